// The official clients and servers, as processes.
import { join } from "node:path";
import { here, lines, start } from "./children.mjs";

const python = join(here, ".venv/bin/python");

/** A client that is a fetch. */
const fetching = (module, ...args) => [process.execPath, "clients/run.mjs", module, ...args];

/**
 * The clients of x402's version 2: the program, and whether it can sign a permit that a facilitator submits. @x402/axios 2.11 does not
 * send back what a server said of the extension; PyPI's needs a further package for extensions; x402-reqwest has it for `upto` alone.
 */
export const clients = {
  fetch: { run: fetching("clients/fetch.mjs"), sponsors: true },
  axios: { run: [process.execPath, "clients/axios.mjs"], sponsors: false },
  httpx: { run: [python, "clients/httpx_client.py"], sponsors: false },
  requests: { run: [python, "clients/requests_client.py"], sponsors: false },
  reqwest: { run: [join(here, "reqwest/target/debug/salt402-clients-reqwest")], sponsors: false },
};

/** The clients of x402's version 1, which are packages of their own. */
export const firstClients = {
  "x402-fetch": { run: fetching("v1/fetch.mjs") },
  "x402-axios": { run: [process.execPath, "v1/axios.mjs"] },
};

const flows = ["payment-details", "masken", "mpp-hash", "payment-headers", "requirements-header", "nested-body"];

/** Clients that pay at our gateway alone. */
export const otherClients = {
  ...firstClients,
  "fetch-v1": { run: fetching("clients/fetch-v1.mjs") },
  faremeter: { run: fetching("clients/faremeter.mjs") },
  "faremeter-v1": { run: fetching("clients/faremeter.mjs") },
  mppx: { run: fetching("clients/mppx.mjs") },
  thirdweb: { run: fetching("thirdweb/fetch.mjs") },
  ...Object.fromEntries(flows.map((flow) => [`curl-${flow}`, { run: [process.execPath, "clients/curl.mjs", flow] }])),
};

/** SDKs of model servers over paying clients: the SDK, and the module or the program. */
export const sdks = Object.fromEntries(
  [
    ["openai", "fetch", "clients/fetch.mjs"],
    ["openai", "x402-fetch", "v1/fetch.mjs"],
    ["openai", "mppx", "clients/mppx.mjs"],
    ["openai", "faremeter", "clients/faremeter.mjs"],
    ["openai", "thirdweb", "thirdweb/fetch.mjs"],
    ["ai", "fetch", "clients/fetch.mjs"],
    ["ai", "x402-fetch", "v1/fetch.mjs"],
    ["ai", "mppx", "clients/mppx.mjs"],
    ["ai", "faremeter", "clients/faremeter.mjs"],
    ["ai", "thirdweb", "thirdweb/fetch.mjs"],
  ]
    .map(([sdk, client, module]) => [`${sdk}-${client}`, { run: [process.execPath, "sdks/over.mjs", sdk, module] }])
    .concat([["openai-httpx", { run: [python, "clients/openai_client.py"] }]]),
);

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
 * @param {keyof typeof clients | keyof typeof otherClients | keyof typeof sdks} name - Which.
 * @param {{ key: string, urls: string[], rpc: Record<number, string>, chain?: number, allowedAssets: object[], body?: string,
 *   bodies?: string[], domain?: { name: string, version: string } }} orders - What it shall do.
 * @returns {Promise<any[]>} A line for each address: `status`, `body`, and the headers that tell of the payment, or `error`.
 */
export async function pay(name, orders) {
  const [command, ...args] = (clients[name] ?? otherClients[name] ?? sdks[name]).run;
  return lines(command, args, orders);
}
