// What goes wrong after a 402 of a server behind Caddy, shown to every client that can pay there: how often does it pay? Once at the most.
// support/table.mjs says what and whom.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { named } from "./support/accounts.mjs";
import { startCaddy } from "./support/caddy.mjs";
import { ADDRESSES, LIFETIME, isTransaction, plans, show } from "./support/refusing.mjs";
import { Run } from "./support/render.mjs";
import { PRICE, openSale } from "./support/sale.mjs";
import { openStand } from "./support/stand.mjs";
import { columns, paidBehindOf, refusalsBehind, shownBehind } from "./support/table.mjs";

const run = randomBytes(8).toString("hex");
/** CELLS=mppx:late picks those whose name it is found in. */
const picked = new RegExp(process.env.CELLS ?? "");

describe("what goes wrong after a payment behind a proxy", { timeout: 3_600_000 }, () => {
  const done = new Run();
  let stand;
  before(async () => (stand = await openStand()));
  after(async () => {
    await stand?.stop();
    done.print("How often it paid behind Caddy", shownBehind.clients, refusalsBehind.map(({ title }) => title));
  });

  const { chain } = shownBehind;
  for (const short of [false, true]) {
    const kindsOf = (client) =>
      refusalsBehind.filter((kind) => Boolean(kind.short) === short && !(kind.signed && isTransaction(client)) && picked.test(`${client}:${kind.id}`));
    const clients = shownBehind.clients.filter((client) => kindsOf(client).length);
    if (!clients.length) continue;

    test(`chain ${chain}${short ? ", with quotes that end soon" : ""}`, async (context) => {
      const { sale: sold } = columns.find((column) => column.chain === chain && column.way === "eip3009");
      const payee = named(`${run} refusals behind ${short}`).address;
      const onSale = new Set(clients);
      const sells = (price) => {
        const route = (path) => `[[forward_auth.routes]]\npath = "${path}"\nprice = ${price}\ndescription = "a file"\n`;
        const model = `[gateway.models.demo]\nupstream = "demo"\nprice_per_request = ${price}\n`;
        return [model, "[forward_auth]\nagain_within_s = 3600\n", route("/paid/*"), ...[...onSale].map((client) => route(`/taken/${client}`))].join("\n");
      };
      const how = short ? { lifetime: LIFETIME } : { addresses: ADDRESSES };
      const sale = await openSale(stand, { ...sold, ...how, chain, payee, sells });
      const { salt402, has } = sale;
      const caddy = await startCaddy(salt402.verifier);
      let earned = 0n;
      try {
        for (const client of clients) {
          await context.test(client, async (context) => {
            const taken = {
              before: async () => {
                onSale.delete(client);
                salt402.sell(sells);
                await salt402.kill();
                await salt402.up();
              },
            };
            const all = { ...plans(sale, client, caddy), taken };
            const path = ({ id }) => (id === "taken" ? `/taken/${client}` : `/paid/${id === "killed" ? "holds" : id}/${client}`);
            const moved = await show(context, { sale, client, kinds: kindsOf(client), gateway: caddy.url, path, all, paidOf: paidBehindOf }, done);
            earned += BigInt(moved) * PRICE;
            assert.equal(await has(), earned, "nothing was paid that was not shown");
          });
        }
      } finally {
        await caddy.stop();
        await salt402.stop();
      }
    });
  }
});
