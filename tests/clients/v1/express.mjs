// A server that sells by x402-express, the server of version 1, unmodified, in USDC on Base Sepolia.
import express from "express";
import { readFileSync } from "node:fs";
import { paymentMiddleware } from "x402-express";

/** The orders of whoever started it: `{ facilitator, payTo, price, paths }`, as JSON on standard input. */
const { facilitator, payTo, price, paths } = JSON.parse(readFileSync(0, "utf8"));
const routes = Object.fromEntries(paths.map((path) => [`GET ${path}`, { price, network: "base-sepolia" }]));
const app = express();
app.use(paymentMiddleware(payTo, routes, { url: facilitator }));
for (const path of paths) app.get(path, (_, response) => response.json({ served: path }));
const server = app.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
