// x402's own facilitator as a service: the peer that ours is measured against, and held against.
//
//   node tests/clients/official-facilitator.mjs [PORT]
//
// FACILITATOR_CHAINS is JSON, [{"id": 40204, "rpc": "http://…", "factory": "0x…"}], where the factory may create payers' wallets and can be
// left out, and FACILITATOR_KEY the key that pays for gas. It answers
// GET /supported and /health, and POST /verify and /settle. What the classes throw is a 500 with {"error"}, as in x402's examples.
import { once } from "node:events";
import { createServer } from "node:http";
import { anvilAt } from "./support/anvil.mjs";
import { officialFacilitator } from "./support/facilitator-classes.mjs";

const named = JSON.parse(process.env.FACILITATOR_CHAINS ?? "[]");
const chains = named.map(({ id, rpc }) => anvilAt(id, rpc).chain);
const factories = Object.fromEntries(named.map(({ id, factory }) => [id, factory ? [factory] : []]));
if (chains.length === 0 || !process.env.FACILITATOR_KEY) {
  console.error("FACILITATOR_CHAINS and FACILITATOR_KEY must be set; the head of this file says how");
  process.exit(2);
}
const facilitator = officialFacilitator(chains, process.env.FACILITATOR_KEY, factories);

const routes = {
  "GET /health": async () => ({ status: "ok" }),
  "GET /supported": async () => facilitator.getSupported(),
  "POST /verify": async (body) => facilitator.verify(body.paymentPayload, body.paymentRequirements),
  "POST /settle": async (body) => facilitator.settle(body.paymentPayload, body.paymentRequirements),
};

async function read(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

const server = createServer(async (request, response) => {
  const answer = (status, value) => {
    const text = JSON.stringify(value);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    response.writeHead(status, headers).end(text);
  };
  const route = routes[`${request.method} ${request.url}`];
  if (!route) return answer(404, { error: "not found" });
  let body;
  try {
    const text = await read(request);
    body = text === "" ? {} : JSON.parse(text);
  } catch (error) {
    return answer(400, { error: error.message });
  }
  try {
    return answer(200, await route(body));
  } catch (error) {
    return answer(500, { error: error instanceof Error ? error.message : String(error) });
  }
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1");
await once(server, "listening");
console.log(`Facilitator listening on http://127.0.0.1:${server.address().port}`);
