// Every client pays for a file of any server behind Caddy, which asks salt402 first: support/table.mjs says who can. docs/proxies/Caddyfile is used
// as it stands.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { named, payer } from "./support/accounts.mjs";
import { startCaddy } from "./support/caddy.mjs";
import { pay } from "./support/paying.mjs";
import { Run } from "./support/render.mjs";
import { PRICE, openSale } from "./support/sale.mjs";
import { openStand } from "./support/stand.mjs";
import { behind, cellBehind, reasons, rows } from "./support/table.mjs";

const run = randomBytes(8).toString("hex");
const titleOf = ({ title, dialect }) => `${title}, ${dialect}`;
const sells = (price) => `
[gateway.models.demo]
upstream = "demo"
price_per_request = ${price}

[forward_auth]

[[forward_auth.routes]]
path = "/paid/*"
price = ${price}
description = "a file"
`;
/** The cells, by what is sold to them. CELLS=mppx:eip3009-84532 picks those whose name it is found in. */
const picked = new RegExp(process.env.CELLS ?? "");
const sales = new Map();
for (const column of behind) {
  for (const row of rows.filter(({ client }) => picked.test(`${client}:${column.id}`))) {
    const sale = { chain: column.chain, ...column.sale, ...(row.only && { dialects: row.only }) };
    const key = JSON.stringify(sale);
    if (!sales.has(key)) sales.set(key, { sale, cells: [] });
    sales.get(key).cells.push({ row, column, expected: cellBehind(row, column) });
  }
}

describe("clients and forward-auth", { timeout: 1_200_000 }, () => {
  const done = new Run();
  let stand;
  before(async () => (stand = await openStand()));
  after(async () => {
    await stand?.stop();
    done.print("Who pays how behind Caddy", rows.map(titleOf), behind.map(({ title }) => title));
  });

  for (const { sale, cells } of sales.values()) {
    const name = [sale.chain, sale.token, sale.method ?? "eip3009", sale.dialects].filter(Boolean).join(" ");
    const isRun = ({ expected }) => !reasons[expected] || reasons[expected].says;
    for (const { row, column, expected } of cells.filter((cell) => !isRun(cell))) {
      done.note(titleOf(row), column.title, "not run");
      test(`${name}: ${row.client} by ${column.way}`, { skip: reasons[expected].why }, () => {});
    }
    if (!cells.some(isRun)) continue;
    test(name, async (context) => {
      const payee = named(`${run} forward ${name}`).address;
      const { salt402, has, orders } = await openSale(stand, { ...sale, payee, sells });
      const caddy = await startCaddy(salt402.verifier);
      let earned = 0n;
      try {
        for (const { row, column, expected } of cells.filter(isRun)) {
          await context.test(`${row.client} by ${column.way}: ${expected}`, async () => {
            done.note(titleOf(row), column.title, "FAILED");
            const path = `/paid/${row.client}/${column.way}`;
            const [answer] = await pay(row.client, orders([caddy.url + path]));
            const said = JSON.stringify(answer);
            if (reasons[expected]) {
              assert.notEqual(answer?.status, 200, said);
              assert.match(answer.error ?? answer.body, reasons[expected].says, said);
              assert.equal(await has(), earned, said);
              done.note(titleOf(row), column.title, "nothing moves");
              return;
            }
            assert.equal(answer?.status, 200, said);
            const body = JSON.parse(answer.body);
            assert.equal(body.served, path);
            assert.equal(body.payer?.toLowerCase(), payer.address.toLowerCase());
            earned += PRICE;
            assert.equal(await has(), earned, said);
            done.note(titleOf(row), column.title, expected);
          });
        }
      } finally {
        await caddy.stop();
        await salt402.stop();
      }
    });
  }
});
