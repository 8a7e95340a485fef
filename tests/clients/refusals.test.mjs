// What goes wrong after a payment was shown, shown to every client: how often does it pay? Once at the most. support/table.mjs says what and
// whom. Counted is what moved on the chain; and what the payee has is all of it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { encodeFunctionData, parseAbi, parseSignature } from "viem";
import { deployer, named, unapproved } from "./support/accounts.mjs";
import { Middle } from "./support/middle.mjs";
import { startModel } from "./support/model.mjs";
import { authorizationIn, changed } from "./support/offers.mjs";
import { pay } from "./support/paying.mjs";
import { Run } from "./support/render.mjs";
import { PRICE, openSale } from "./support/sale.mjs";
import { openStand, tokenAbi } from "./support/stand.mjs";
import { columns, paidOf, refusals, rows, shownTo } from "./support/table.mjs";

const PATH = "/v1/chat/completions";
const run = randomBytes(8).toString("hex");
const settles = parseAbi(["function transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"]);
/** CELLS=mppx:late picks those whose name it is found in. */
const picked = new RegExp(process.env.CELLS ?? "");

describe("what goes wrong after a payment", { timeout: 1_800_000 }, () => {
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
    const isTransaction = (client) => rows.find((row) => row.client === client)?.cells.transaction === "pays";
    const kindsOf = (client) => refusals.filter(({ id, signed }) => !(signed && isTransaction(client)) && picked.test(`${client}:${id}`));
    const clients = everybody.filter((client) => kindsOf(client).length);
    if (!clients.length) continue;

    test(`chain ${chain}`, async (context) => {
      const { sale } = columns.find((column) => column.chain === chain && column.way === "eip3009");
      const payee = named(`${run} refusals ${chain}`).address;
      const modelOf = (client, { model }) => (model ? `${model}-${client}` : "plain");
      const names = new Set(clients.flatMap((client) => refusals.map((kind) => modelOf(client, kind))));
      const sells = (price) =>
        [...names]
          .map((name) => {
            const full = name.startsWith("holds-full") ? "at_once = 1\nqueue = 0\n" : "";
            return `[gateway.models.${name}]\nupstream = "${model.url}"\napis = ["chat"]\nprice_per_request = ${price}\n${full}`;
          })
          .join("\n");
      const { anvil, token, tokens, salt402, has, orders } = await openSale(stand, { ...sale, chain, payee, sells });
      const other = Object.values(tokens).find((other) => other !== token);
      const stops = async () => {
        await anvil.ask("evm_setAutomine", false);
        await anvil.ask("evm_setIntervalMining", 0);
      };
      const goesOn = async () => {
        await anvil.ask("evm_setAutomine", true);
        await anvil.ask("evm_setIntervalMining", 1);
        await anvil.ask("evm_mine");
      };
      /** Fills the one place of a model, until it is released. */
      const fills = (name) => {
        const scheme = new x402Client().setSpendControls(false).register("eip155:*", new ExactEvmScheme(unapproved.account));
        const body = JSON.stringify({ model: name, messages: [{ role: "user", content: "fills the place" }], max_tokens: 8 });
        return wrapFetchWithPayment(fetch, scheme)(`${salt402.gateway}${PATH}`, { method: "POST", headers: { "content-type": "application/json" }, body });
      };
      /** What each kind has happen. */
      const plans = (client) => {
        let filled;
        return {
          less: { offer: changed({ amount: (amount) => amount / 2n }) },
          token: { offer: changed({ asset: other.address }) },
          domain: { offer: changed({ name: "Another" }) },
          late: { offer: changed({ seconds: 2 }) },
          used: {
            before: async ({ shown }) => {
              const { from, to, value, validAfter, validBefore, nonce, signature } = authorizationIn(shown);
              const { r, s, yParity } = parseSignature(signature);
              const args = [from, to, BigInt(value), BigInt(validAfter), BigInt(validBefore), nonce, 27 + yParity, r, s];
              await anvil.act(deployer.address, token.address, encodeFunctionData({ abi: settles, args }));
            },
          },
          time: { [isTransaction(client) ? "asked" : "before"]: stops, after: goesOn, left: goesOn },
          full: {
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
          },
          killed: {
            during: async () => {
              await model.held();
              await salt402.kill();
              model.release();
              await salt402.up();
              return true;
            },
          },
          lost: { after: async () => true },
        };
      };
      let others = 0n;
      let earned = 0n;
      try {
        for (const client of clients) {
          await context.test(client, async (context) => {
            const kinds = kindsOf(client);
            const all = plans(client);
            const middles = [];
            for (const { id } of kinds) middles.push(await Middle.start(salt402.gateway, all[id] ?? {}));
            const bodies = kinds.map((kind) =>
              JSON.stringify({ model: modelOf(client, kind), messages: [{ role: "user", content: `${client} ${kind.id} ${run}` }], max_tokens: 8 }),
            );
            const told = await pay(client, orders(middles.map(({ url }) => url + PATH), { bodies }));
            await goesOn();
            for (const [index, kind] of kinds.entries()) {
              await context.test(kind.title, async () => {
                done.note(client, kind.title, "FAILED");
                const middle = middles[index];
                const paid = await countPaid(anvil, token, middle.shown);
                const count = `${paid}/${middle.shown.size}`;
                const said = `${count}, answered ${middle.answered}: ${JSON.stringify(told[index])}`;
                assert.ok(paid <= 1, said);
                assert.ok(middle.first || told[index].error, said);
                const answers = kind.spares?.test(client) ? /^200$/ : kind.answers;
                if (middle.first && answers && !middle.hasLeft) assert.match(middle.answered ?? "", answers, said);
                if (kind.serves) {
                  let again = await middle.again();
                  for (let tries = 0; again.status !== 200 && tries < 40; tries += 1) {
                    await new Promise((later) => setTimeout(later, 250));
                    again = await middle.again();
                  }
                  assert.equal(again.status, 200, `${again.body} after ${said}`);
                }
                const inTheEnd = await countPaid(anvil, token, middle.shown);
                assert.ok(inTheEnd <= 1, said);
                done.note(client, kind.title, `${count}, not ${paidOf(client, kind.id)}`);
                const expected = paidOf(client, kind.id);
                assert.equal(expected.endsWith("/*") ? `${paid}/*` : count, expected, said);
                done.note(client, kind.title, count);
              });
            }
            for (const middle of middles) {
              middle.stop();
              earned += BigInt(await countPaid(anvil, token, middle.shown)) * PRICE;
            }
            assert.equal(await has(), earned + others, "nothing was paid that was not shown");
          });
        }
      } finally {
        await salt402.stop();
      }
    });
  }
});

/** How many payments of what was shown moved money. What mppx signs for one challenge has one nonce, and moves it once. */
async function countPaid(anvil, token, shown) {
  const paid = new Set();
  for (const text of shown) {
    const hash = hashIn(text);
    if (hash) {
      const { status } = await anvil.client.waitForTransactionReceipt({ hash });
      if (status === "success") paid.add(hash);
    } else {
      const { from, nonce } = authorizationIn(text);
      const state = { address: token.address, abi: tokenAbi, functionName: "authorizationState", args: [from, nonce] };
      if (await anvil.client.readContract(state)) paid.add(nonce);
    }
  }
  return paid.size;
}

/** The transaction's hash in what is shown, in whatever dialect; undefined in what is signed. */
function hashIn(text) {
  if (text.startsWith("0x")) return text;
  if (text.startsWith("evm:")) return text.split(":").at(-1);
  return JSON.parse(Buffer.from(text.replace(/^payment /i, ""), "base64").toString()).payload?.hash;
}
