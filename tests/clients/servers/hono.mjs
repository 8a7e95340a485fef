// A server that sells by @x402/hono, unmodified.
import { serve } from "@hono/node-server";
import { paymentMiddleware, setSettlementOverrides } from "@x402/hono";
import { Hono } from "hono";
import { orders, resourceServer, routes } from "./routes.mjs";

const app = new Hono();
app.use(paymentMiddleware(routes, resourceServer()));
for (const { path, charge } of orders.routes) {
  app.get(path, (context) => {
    if (charge) setSettlementOverrides(context, { amount: charge });
    return context.json({ served: path });
  });
}
serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) =>
  console.log(`listening on http://127.0.0.1:${port}`),
);
