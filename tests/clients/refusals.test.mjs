// What goes wrong after a 402, shown to every client: how often does it pay? Once at the most. support/table.mjs says what and whom. Counted is
// what moved on the chain; and what the payee has is all of it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { named, unapproved } from "./support/accounts.mjs";
import { startModel } from "./support/model.mjs";
import { ADDRESSES, LIFETIME, isTransaction, plans, show } from "./support/refusing.mjs";
import { Run } from "./support/render.mjs";
import { PRICE, openSale } from "./support/sale.mjs";
import { openStand } from "./support/stand.mjs";
import { columns, paidOf, refusals, shownTo } from "./support/table.mjs";

const PATH = "/v1/chat/completions";
const run = randomBytes(8).toString("hex");
/** CELLS=mppx:late picks those whose name it is found in. */
const picked = new RegExp(process.env.CELLS ?? "");

describe("what goes wrong after a payment", { timeout: 3_600_000 }, () => {
  const done = new Run();
  let stand, model;
  before(async () => {
    stand = await openStand();
    model = await startModel();
  });
  after(async () => {
    model?.stop();
    await stand?.stop();
    done.print("How often it paid", Object.values(shownTo).flat(), refusals.map(({ title }) => title));
  });

  for (const [id, everybody] of Object.entries(shownTo)) {
    const chain = Number(id);
    for (const short of [false, true]) {
      const kindsOf = (client) =>
        refusals.filter((kind) => Boolean(kind.short) === short && !(kind.signed && isTransaction(client)) && picked.test(`${client}:${kind.id}`));
      const clients = everybody.filter((client) => kindsOf(client).length);
      if (!clients.length) continue;

      test(`chain ${chain}${short ? ", with quotes that end soon" : ""}`, async (context) => {
        const { sale: sold } = columns.find((column) => column.chain === chain && column.way === "eip3009");
        const payee = named(`${run} refusals ${chain} ${short}`).address;
        const modelOf = (client, { model }) => (model ? `${model}-${client}` : "plain");
        const names = new Set(clients.flatMap((client) => refusals.map((kind) => modelOf(client, kind))));
        const sells = (price) =>
          [...names]
            .map((name) => {
              const full = name.startsWith("holds-full") ? "at_once = 1\nqueue = 0\n" : "";
              return `[gateway.models.${name}]\nupstream = "${model.url}"\napis = ["chat"]\nprice_per_request = ${price}\n${full}`;
            })
            .join("\n");
        const how = short ? { lifetime: LIFETIME } : { addresses: ADDRESSES };
        const sale = await openSale(stand, { ...sold, ...how, chain, payee, sells });
        const { salt402, has } = sale;
        /** Fills the one place of a model, until it is released. */
        const fills = (name) => {
          const scheme = new x402Client().setSpendControls(false).register("eip155:*", new ExactEvmScheme(unapproved.account));
          const body = JSON.stringify({ model: name, messages: [{ role: "user", content: "fills the place" }], max_tokens: 8 });
          return wrapFetchWithPayment(fetch, scheme)(`${salt402.gateway}${PATH}`, { method: "POST", headers: { "content-type": "application/json" }, body });
        };
        let others = 0n;
        let earned = 0n;
        const full = (client) => {
          let filled;
          return {
            before: async () => {
              const held = model.held();
              filled = fills(`holds-full-${client}`);
              filled.catch(() => {});
              await held;
            },
            after: async () => {
              model.release();
              assert.equal((await filled).status, 200);
              others += PRICE;
            },
          };
        };
        const taken = (client) => ({
          before: async () => {
            names.delete(`taken-${client}`);
            salt402.sell(sells);
            await salt402.kill();
            await salt402.up();
          },
        });
        try {
          for (const client of clients) {
            await context.test(client, async (context) => {
              const kinds = kindsOf(client);
              const all = { ...plans(sale, client, model), full: full(client), taken: taken(client) };
              const body = (kind) =>
                JSON.stringify({ model: modelOf(client, kind), messages: [{ role: "user", content: `${client} ${kind.id} ${run}` }], max_tokens: 8 });
              const moved = await show(context, { sale, client, kinds, gateway: salt402.gateway, path: () => PATH, body, all, paidOf }, done);
              earned += BigInt(moved) * PRICE;
              assert.equal(await has(), earned + others, "nothing was paid that was not shown");
            });
          }
        } finally {
          await salt402.stop();
        }
      });
    }
  }
});
