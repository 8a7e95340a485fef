// A server that sells by @x402/express, unmodified.
import { paymentMiddleware, setSettlementOverrides } from "@x402/express";
import express from "express";
import { orders, resourceServer, routes } from "./routes.mjs";

const app = express();
app.use(paymentMiddleware(routes, resourceServer()));
for (const { path, charge } of orders.routes) {
  app.get(path, (_, response) => {
    if (charge) setSettlementOverrides(response, { amount: charge });
    response.json({ served: path });
  });
}
const server = app.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
