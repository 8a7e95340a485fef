// The SDKs of model servers ask our gateway over paying clients, plain and streamed, on both chains; nothing of either is modified.
// support/table.mjs says which. Each request is paid once.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { named } from "./support/accounts.mjs";
import { startModel, WORDS } from "./support/model.mjs";
import { pay, sdks as known } from "./support/paying.mjs";
import { Run } from "./support/render.mjs";
import { PRICE, openSale } from "./support/sale.mjs";
import { openStand } from "./support/stand.mjs";
import { asked, cellOf, columns, reasons, sdks } from "./support/table.mjs";

const PATH = "/v1/chat/completions";
const run = randomBytes(8).toString("hex");
const picked = new RegExp(process.env.CELLS ?? "");
const titleOf = ({ title, dialect }) => `${title}, ${dialect}`;

describe("SDKs over paying clients", { timeout: 1_200_000 }, () => {
  const done = new Run();
  let stand, model;
  before(async () => {
    stand = await openStand();
    model = await startModel();
  });
  after(async () => {
    model?.stop();
    await stand?.stop();
    done.print("Which SDK pays over what", sdks.map(titleOf), asked.map(({ title }) => title));
  });

  test("every SDK is in the table", () => {
    for (const name of Object.keys(known)) assert.ok(sdks.some(({ client }) => client === name), name);
  });

  for (const chain of new Set(asked.map(({ chain }) => chain))) {
    test(`chain ${chain}`, async (context) => {
      const { sale } = columns.find((column) => column.chain === chain && column.way === "eip3009");
      const payee = named(`${run} sdks ${chain}`).address;
      const sells = (price) => `[gateway.models.plain]\nupstream = "${model.url}"\napis = ["chat"]\nprice_per_request = ${price}\n`;
      const { salt402, has, orders } = await openSale(stand, { ...sale, chain, payee, sells });
      let earned = 0n;
      try {
        for (const sdk of sdks.filter(({ client }) => picked.test(client))) {
          const forms = asked.filter((one) => one.chain === chain);
          const expected = cellOf(sdk, { chain });
          if (!known[sdk.client]) {
            for (const { title } of forms) done.note(titleOf(sdk), title, "not run");
            await context.test(sdk.client, { skip: reasons[expected].why }, () => {});
            continue;
          }
          const bodies = forms.map(({ form }) => {
            const messages = [{ role: "user", content: `${sdk.client} ${form}` }];
            return JSON.stringify({ model: "plain", messages, max_tokens: 8, ...(form === "streamed" && { stream: true }) });
          });
          const answers = await pay(sdk.client, orders(forms.map(() => salt402.gateway + PATH), { bodies }));
          for (const [index, { title }] of forms.entries()) {
            await context.test(`${sdk.client}, ${title}: ${expected}`, () => {
              done.note(titleOf(sdk), title, "FAILED");
              const said = JSON.stringify(answers[index]);
              if (reasons[expected]) {
                assert.notEqual(answers[index].status, 200, said);
                done.note(titleOf(sdk), title, "nothing moves");
                return;
              }
              assert.deepEqual([answers[index].status, answers[index].body], [200, WORDS.join("")], said);
              earned += PRICE;
              done.note(titleOf(sdk), title, expected);
            });
          }
          await context.test(`${sdk.client} has paid for each once`, async () => assert.equal(await has(), earned));
        }
      } finally {
        await salt402.stop();
      }
    });
  }
});
