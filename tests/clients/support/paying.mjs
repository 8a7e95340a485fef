// The official clients and servers, as processes.
import { join } from "node:path";
import { here, lines, start } from "./children.mjs";

const python = join(here, ".venv/bin/python");

/**
 * The clients: the program, and whether it can sign a permit that a facilitator submits. @x402/axios 2.11 does not send back what
 * a server said of the extension; PyPI's needs a further package for extensions; x402-reqwest has it for `upto` alone.
 */
export const clients = {
  fetch: { run: [process.execPath, "clients/fetch.mjs"], sponsors: true },
  axios: { run: [process.execPath, "clients/axios.mjs"], sponsors: false },
  httpx: { run: [python, "clients/httpx_client.py"], sponsors: false },
  requests: { run: [python, "clients/requests_client.py"], sponsors: false },
  reqwest: { run: [join(here, "reqwest/target/debug/salt402-clients-reqwest")], sponsors: false },
};

/** The clients of x402's version 1, which are packages of their own. */
export const firstClients = {
  "x402-fetch": { run: [process.execPath, "v1/fetch.mjs"] },
  "x402-axios": { run: [process.execPath, "v1/axios.mjs"] },
};

/** Clients of other dialects of a 402, which our gateway alone speaks. */
export const otherDialects = {
  mppx: { run: [process.execPath, "clients/mppx.mjs"] },
  "fetch-v1": { run: [process.execPath, "clients/fetch-v1.mjs"] },
  ...firstClients,
};

/** The servers, and what they can sell. PyPI's needs a further package for extensions. */
export const servers = {
  express: { run: [process.execPath, "servers/express.mjs"], sponsors: true },
  hono: { run: [process.execPath, "servers/hono.mjs"], sponsors: true },
  fastapi: { run: [python, "servers/fastapi_server.py"], sponsors: false },
};

/**
 * What one route sells.
 *
 * @typedef {object} Route
 * @property {string} path - The path.
 * @property {object} offer - What is asked for, as the servers' configuration has it.
 * @property {boolean} [sponsored] - Whether it offers to pay for an EIP-2612 permit.
 * @property {string} [charge] - What is charged in the end, in base units, where that is less than was offered.
 */

/**
 * Starts a server.
 *
 * @param {keyof typeof servers} name - Which.
 * @param {string} facilitator - The facilitator's address.
 * @param {Route[]} routes - What it sells.
 * @returns {Promise<{ url: string, stop: () => Promise<void>, said: string[] }>} Its address, how to end it, and what it says.
 */
export async function startServer(name, facilitator, routes) {
  const [command, ...args] = servers[name].run;
  const ready = /listening on (\S+)/;
  const { found, stop, said } = await start(command, args, { ready, input: { facilitator, routes }, label: name });
  return { url: found[1], stop, said };
}

/**
 * Has a client ask addresses in turn, and pay for each.
 *
 * @param {keyof typeof clients | keyof typeof otherDialects} name - Which.
 * @param {{ key: string, urls: string[], rpc: Record<number, string>, allowedAssets: object[], body?: string,
 *   domain?: { name: string, version: string } }} orders - What it shall do.
 * @returns {Promise<any[]>} A line for each address: `status`, `body`, and the headers that tell of the payment, or `error`.
 */
export async function pay(name, orders) {
  const [command, ...args] = (clients[name] ?? otherDialects[name]).run;
  return lines(command, args, orders);
}
