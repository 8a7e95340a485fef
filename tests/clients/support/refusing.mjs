// What goes wrong after a 402, and what is looked at then: how much moved, what was answered, and whether whoever paid is served.
import assert from "node:assert/strict";
import { encodeFunctionData, parseAbi, parseSignature } from "viem";
import { deployer } from "./accounts.mjs";
import { Middle } from "./middle.mjs";
import { authorizationIn, changed } from "./offers.mjs";
import { pay } from "./paying.mjs";
import { tokenAbi } from "./stand.mjs";
import { rows, sdks, sendsNoQuote } from "./table.mjs";

const settles = parseAbi(["function transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"]);
const pause = (ms) => new Promise((later) => setTimeout(later, ms));

/** Whether a client pays by a transaction. */
export const isTransaction = (client) => rows.find((row) => row.client === client)?.cells.transaction === "pays";

const dialectOf = (client) => [...rows, ...sdks].find((row) => row.client === client)?.dialect;

/** How often one address may ask where the limit by address is tested: more than any client does, and soon again. */
export const ADDRESSES = { per_minute: 60, burst: 40 };

/** For how many seconds a quote is good where its end is tested. */
export const LIFETIME = 1;

/**
 * What each kind has happen, as a middle takes it.
 *
 * @param {import("./sale.mjs").Opened} sale - The sale.
 * @param {string} client - To whom.
 * @param {{ held: () => Promise<void>, release: () => void }} holds - What holds a request.
 * @returns {Record<string, import("./middle.mjs").Plan>} By the kind.
 */
export function plans({ anvil, token, tokens, salt402 }, client, { held, release }) {
  const other = Object.values(tokens).find((other) => other !== token);
  const stops = async () => {
    await anvil.ask("evm_setAutomine", false);
    await anvil.ask("evm_setIntervalMining", 0);
  };
  const hasRoom = () => salt402.fill(false);
  return {
    less: { offer: changed({ amount: (amount) => amount / 2n }) },
    token: { offer: changed({ asset: other.address }) },
    domain: { offer: changed({ name: "Another" }) },
    late: { offer: changed({ seconds: 2 }) },
    ended: {
      // A quote of its own ends when it says so; one that others get too lives on for a minute.
      headers: sendsNoQuote.includes(dialectOf(client)) ? {} : { "x-payment-binding": "quote" },
      asked: async (head) => {
        const until = JSON.parse(head["x-payment-details"]).expiresAt * 1000;
        // Within the five seconds that httpx waits.
        await pause(Math.max(0, until - Date.now()) + 1200);
      },
    },
    used: {
      before: async ({ shown }) => {
        const { from, to, value, validAfter, validBefore, nonce, signature } = authorizationIn(shown);
        const { r, s, yParity } = parseSignature(signature);
        const args = [from, to, BigInt(value), BigInt(validAfter), BigInt(validBefore), nonce, 27 + yParity, r, s];
        await anvil.act(deployer.address, token.address, encodeFunctionData({ abi: settles, args }));
      },
    },
    time: { [isTransaction(client) ? "asked" : "before"]: stops, after: () => goesOn(anvil), left: () => goesOn(anvil) },
    limited: {
      before: async (exchange, middle) => {
        for (let asked = 0; asked < 2 * ADDRESSES.burst; asked += 1) {
          if ((await middle.ask(exchange)) === 429) return;
        }
        throw new Error("there is no limit");
      },
    },
    disk: { before: () => salt402.fill(true), after: hasRoom, left: hasRoom },
    killed: {
      during: async () => {
        await held();
        await salt402.kill();
        release();
        await salt402.up();
        return true;
      },
    },
    lost: { after: async () => true },
  };
}

/** Lets a chain go on whose blocks were stopped. */
export async function goesOn(anvil) {
  await anvil.ask("evm_setAutomine", true);
  await anvil.ask("evm_setIntervalMining", 1);
  await anvil.ask("evm_mine");
}

/**
 * Shows a client what goes wrong, each kind with a request of its own.
 *
 * @param {import("node:test").TestContext} context - Under which each is a test.
 * @param {object} shown - What is shown to whom.
 * @param {import("./sale.mjs").Opened} shown.sale - The sale.
 * @param {string} shown.client - Who is shown it.
 * @param {import("./table.mjs").Refusal[]} shown.kinds - What.
 * @param {string} shown.gateway - Where it is asked.
 * @param {(kind: import("./table.mjs").Refusal) => string} shown.path - Which path is asked.
 * @param {(kind: import("./table.mjs").Refusal) => string} [shown.body] - What is posted.
 * @param {Record<string, import("./middle.mjs").Plan>} shown.all - What happens.
 * @param {(client: string, kind: string) => string} shown.paidOf - How often it pays, of how many that it shows.
 * @param {import("./render.mjs").Run} done - Where it is noted.
 * @returns {Promise<number>} How many payments moved money.
 */
export async function show(context, { sale: { anvil, token, orders }, client, kinds, gateway, path, body, all, paidOf }, done) {
  const middles = [];
  for (const { id } of kinds) middles.push(await Middle.start(gateway, all[id] ?? {}));
  const urls = kinds.map((kind, index) => middles[index].url + path(kind));
  const told = await pay(client, orders(urls, body && { bodies: kinds.map(body) }));
  await goesOn(anvil);
  let moved = 0;
  for (const [index, kind] of kinds.entries()) {
    await context.test(kind.title, async () => {
      done.note(client, kind.title, "FAILED");
      const middle = middles[index];
      const paid = await countPaid(anvil, token, middle.shown);
      const count = `${paid}/${middle.shown.size}`;
      const said = `${count}, answered ${middle.answered}: ${JSON.stringify(told[index])}`;
      assert.ok(paid <= 1, said);
      assert.ok(middle.first || told[index].error || told[index].status >= 400, said);
      const answers = kind.spares?.test(client) ? /^200$/ : isTransaction(client) ? (kind.answersSent ?? kind.answers) : kind.answers;
      if (middle.first && answers && !middle.hasLeft) assert.match(middle.answered ?? "", answers, said);
      if (kind.serves) {
        let again = await middle.again();
        for (let tries = 0; again.status !== 200 && tries < 80; tries += 1) {
          await pause(250);
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
    moved += await countPaid(anvil, token, middle.shown);
  }
  return moved;
}

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
