// Every client pays our gateway, unmodified, in its dialect, by every way that it can, on both chains: support/table.mjs says which. The payee
// has the money to the unit, and who signs again pays no second time. What a client cannot pay moves nothing.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { named, payer } from "./support/accounts.mjs";
import { clients, otherClients, pay } from "./support/paying.mjs";
import { Run } from "./support/render.mjs";
import { PRICE, openSale } from "./support/sale.mjs";
import { openStand } from "./support/stand.mjs";
import { cell, columns, reasons, rows } from "./support/table.mjs";

/** What a request costs at the most where what was used is charged: eight tokens of 1,000 base units besides. */
const MOST = PRICE + 8n * 1000n;
const run = randomBytes(8).toString("hex");
const titleOf = ({ title, dialect }) => `${title}, ${dialect}`;

/** The cells, by what is sold to them: one gateway each. CELLS=mppx:eip3009-84532 picks those whose name it is found in. */
const picked = new RegExp(process.env.CELLS ?? "");
const sales = new Map();
for (const column of columns) {
  for (const row of rows.filter(({ client }) => picked.test(`${client}:${column.id}`))) {
    const sale = { chain: column.chain, ...column.sale, ...(row.only && { dialects: row.only }) };
    const key = JSON.stringify(sale);
    if (!sales.has(key)) sales.set(key, { sale, cells: [] });
    sales.get(key).cells.push({ row, column, expected: cell(row, column) });
  }
}

/** What an answer tells of its payment in the client's dialect. */
function told({ paymentResponse, paymentResponseV1, paymentReceipt, receipt }, way) {
  const told = [paymentResponse, paymentResponseV1, paymentReceipt].filter(Boolean);
  if (way === "transaction") return { success: told.length <= 1, ...JSON.parse(receipt) };
  assert.equal(told.length, 1, "in one dialect alone");
  return JSON.parse(Buffer.from(told[0], "base64").toString());
}

describe("clients and our gateway", { timeout: 1_200_000 }, () => {
  const done = new Run();
  let stand;
  before(async () => (stand = await openStand()));
  after(async () => {
    await stand?.stop();
    done.print("Who pays how", rows.map(titleOf), columns.map(({ title }) => title));
  });

  test("every client is in the table", () => {
    for (const name of [...Object.keys(clients), ...Object.keys(otherClients)]) {
      assert.ok(rows.some(({ client }) => client === name), name);
    }
  });

  for (const { sale: sold, cells } of sales.values()) {
    const { chain, token: short, ...how } = sold;
    const name = [chain, short, how.method ?? (how.upto ? "upto" : "eip3009"), how.dialects].filter(Boolean).join(" ");
    const isRun = ({ expected }) => !reasons[expected] || reasons[expected].says;
    for (const { row, column, expected } of cells.filter((cell) => !isRun(cell))) {
      done.note(titleOf(row), column.title, "not run");
      test(`${name}: ${row.client} by ${column.way}`, { skip: reasons[expected].why }, () => {});
    }
    if (!cells.some(isRun)) continue;
    test(name, async (context) => {
      const payee = named(`${run} gateway ${name}`).address;
      const { anvil, salt402, has, orders } = await openSale(stand, { ...sold, payee, most: how.upto ? MOST : PRICE });
      const asks = (body) => orders([`${salt402.gateway}/v1/inference`], { body });
      try {
        let earned = 0n;
        for (const { row, column, expected } of cells.filter(isRun)) {
          const { client } = row;
          await context.test(`${client} by ${column.way}: ${expected}`, async () => {
            done.note(titleOf(row), column.title, "FAILED");
            const body = JSON.stringify({ model: "demo", prompt: `${client} asks by ${column.way}`, max_tokens: 8 });
            const [answer] = await pay(client, asks(body));
            const said = JSON.stringify(answer);
            if (reasons[expected]) {
              assert.notEqual(answer?.status, 200, said);
              assert.match(answer.error ?? answer.body, reasons[expected].says, said);
              assert.equal(await has(), earned, said);
              done.note(titleOf(row), column.title, "nothing moves");
              return;
            }
            assert.equal(answer?.status, 200, said);
            assert.equal(JSON.parse(answer.body).model, "demo");
            const response = told(answer, column.way);
            assert.ok(response.success === true || response.status === "success", said);
            const hash = response.transaction ?? response.reference;
            assert.equal((await anvil.client.getTransactionReceipt({ hash })).status, "success");
            assert.equal((response.payer ?? payer.address).toLowerCase(), payer.address.toLowerCase());
            let charged = how.upto ? MOST : PRICE;
            if (how.upto && expected !== "exact") {
              const { usage } = JSON.parse(answer.body);
              charged = BigInt(response.amount);
              assert.equal(usage.cost, response.amount, said);
              assert.equal(charged, PRICE + BigInt(usage.completion_tokens) * 1000n, said);
              assert.ok(charged <= MOST, said);
            }
            earned += charged;
            assert.equal(await has(), earned, said);
            if (column.way !== "transaction") {
              // It signs anew for the same request, as clients do after an error: answered from the first.
              const [again] = await pay(client, asks(body));
              assert.equal(again?.status, 200, JSON.stringify(again));
              assert.equal(again.body, answer.body);
              assert.equal(await has(), earned, "nobody pays twice for one request");
            }
            done.note(titleOf(row), column.title, expected);
          });
        }
      } finally {
        await salt402.stop();
      }
    });
  }
});
