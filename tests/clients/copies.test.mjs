// One payment buys one answer: the same paid request, sent to an official server many times at once and once more later, is served
// once. The servers ask to verify all copies before any is settled, so that the facilitator's answers to /settle decide.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { named } from "./support/accounts.mjs";
import { facilitatorUnderTest } from "./support/facilitators.mjs";
import { extraOf, kinds } from "./support/kinds.mjs";
import { servers, startServer } from "./support/paying.mjs";
import { signedPayment } from "./support/payments.mjs";
import { openStand, tokenAbi } from "./support/stand.mjs";

const AMOUNT = "10007";
const COPIES = 6;
const run = randomBytes(8).toString("hex");

describe("one payment buys one answer", { timeout: 600_000 }, () => {
  let stand, facilitator;
  const running = {};
  const sold = kinds.filter(({ sponsored }) => !sponsored);
  const payee = (server, kind) => named(`${run} ${server} ${kind.name}`).address;

  before(async () => {
    stand = await openStand();
    facilitator = await facilitatorUnderTest(stand.sites);
    for (const server of Object.keys(servers)) {
      const routes = sold.map((kind) => {
        const { tokens, anvil } = stand.sites[kind.chain];
        const token = tokens[kind.token];
        const extra = extraOf(kind, token);
        const price = { asset: token.address, amount: AMOUNT, extra };
        const offer = {
          scheme: kind.scheme,
          network: anvil.network,
          payTo: payee(server, kind),
          price,
          maxTimeoutSeconds: 120,
          extra,
        };
        return { path: `/${kind.name}`, offer };
      });
      running[server] = await startServer(server, facilitator.url, routes);
    }
  });
  after(async () => {
    for (const server of Object.values(running)) await server.stop();
    await facilitator?.stop();
    await stand?.stop();
  });

  for (const server of Object.keys(servers)) {
    test(server, async (context) => {
      for (const kind of sold) {
        await context.test(kind.name, async () => {
          const url = `${running[server].url}/${kind.name}`;
          const unpaid = await fetch(url);
          assert.equal(unpaid.status, 402);
          const { accepts } = decoded(unpaid.headers.get("payment-required"));
          const site = stand.sites[kind.chain];
          const payload = await signedPayment(kind, site, accepts[0]);
          const headers = { "payment-signature": Buffer.from(JSON.stringify(payload)).toString("base64") };
          const copies = await Promise.all(Array.from({ length: COPIES }, () => fetch(url, { headers })));
          const later = await fetch(url, { headers });
          const statuses = [...copies, later].map(({ status }) => status);
          const balance = { abi: tokenAbi, functionName: "balanceOf", args: [payee(server, kind)] };
          const address = site.tokens[kind.token].address;
          assert.equal(await site.anvil.client.readContract({ ...balance, address }), BigInt(AMOUNT));
          assert.equal(statuses.filter((status) => status === 200).length, 1, `one payment was served as ${statuses}`);
        });
      }
    });
  }
});

function decoded(header) {
  return JSON.parse(Buffer.from(header, "base64").toString("utf8"));
}
