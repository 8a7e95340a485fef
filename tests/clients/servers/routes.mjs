// What the two JavaScript servers have in common: their routes, and x402's resource server.
import { HTTPFacilitatorClient, x402ResourceServer } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { declareEip2612GasSponsoringExtension } from "@x402/extensions";
import { readFileSync } from "node:fs";

/** The orders of whoever started the server: `{ facilitator, routes }`, as JSON on standard input. */
export const orders = JSON.parse(readFileSync(0, "utf8"));

/** The routes as x402's middlewares take them. */
export const routes = Object.fromEntries(
  orders.routes.map(({ path, offer, sponsored }) => [
    `GET ${path}`,
    { accepts: offer, description: "A test", ...(sponsored && { extensions: declareEip2612GasSponsoringExtension() }) },
  ]),
);

/**
 * x402's resource server before the facilitator that was named.
 *
 * @returns {x402ResourceServer} The server.
 */
export function resourceServer() {
  return new x402ResourceServer(new HTTPFacilitatorClient({ url: orders.facilitator }))
    .register("eip155:*", new ExactEvmScheme())
    .register("eip155:*", new UptoEvmScheme());
}
