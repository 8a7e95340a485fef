// x402's facilitator and the one that is judged settle twin payments to which the same happens. What each says is held against the
// money: who says success has paid the payee once and to the unit, and who says failure has moved nothing. What they say differently
// stands with its reason in differences.json. Without FACILITATOR=salt402 or FACILITATOR_URL the official one is held against
// itself.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { encodeFunctionData, parseAbi } from "viem";
import { explainer, verdict } from "./differential/compare.mjs";
import { balanceOf, newPayer, outcome } from "./differential/outcome.mjs";
import { stories } from "./differential/stories.mjs";
import { cancel } from "./differential/world.mjs";
import { named, secondFacilitator } from "./support/accounts.mjs";
import { PERMIT2 } from "./support/contracts.mjs";
import { facilitatorUnderTest, isJudged, startOfficial } from "./support/facilitators.mjs";
import { kinds } from "./support/kinds.mjs";
import { requirementsOf, signedPayment } from "./support/payments.mjs";
import { openStand } from "./support/stand.mjs";

const AMOUNT = 1_009n;
const run = randomBytes(8).toString("hex");
const explanations = JSON.parse(readFileSync(new URL("differences.json", import.meta.url), "utf8"));
const permit2Abi = parseAbi(["function invalidateUnorderedNonces(uint256,uint256)"]);

/** What was answered at once came in no order, and what x402's facilitator says to the losers depends on who came when. */
function atOnce(said) {
  const successes = said.filter((words) => words.startsWith("success"));
  if (successes.length === 1 && said.length > 1) return "success, and refusals";
  return [...new Set(said)].sort().join(" | ");
}

describe("two facilitators settle the same", { timeout: 1_800_000 }, () => {
  let stand, official, judged;
  let scenes = 0;

  before(async () => {
    stand = await openStand();
    official = await startOfficial(stand.sites, secondFacilitator);
    judged = await facilitatorUnderTest(stand.sites);
  });
  after(async () => {
    await official?.stop();
    await judged?.stop();
    await stand?.stop();
  });

  /** Plays a story with one facilitator, and says what it said, and what the payee has. */
  async function played(story, kind, facilitator) {
    const site = stand.sites[kind.chain];
    const token = site.tokens[kind.token];
    scenes += 1;
    const payTo = named(`payee ${run} ${scenes}`).address;
    const from = story.payer?.(site) ?? (await newPayer(site, token.address, 3n * AMOUNT, `payer ${run} ${scenes}`));
    const signer = kind.scheme === "upto" ? await facilitator.signer(site.anvil.network) : undefined;
    const requirements = requirementsOf(kind, site, {
      payTo,
      amount: AMOUNT,
      facilitator: signer,
      timeout: story.timeout ?? 120,
    });
    const payload = await signedPayment(kind, site, requirements, from.account);
    const said = [];
    const asked = (changes) => ({
      x402Version: 2,
      paymentPayload: payload,
      paymentRequirements: { ...requirements, ...changes },
    });
    const ask = async (path, changes, words) => {
      const answer = await facilitator.ask(path, asked(changes));
      said.push(words(answer));
      return answer;
    };
    const first = new Set();
    await story.play({
      kind,
      site,
      token: token.address,
      from,
      payload,
      amount: AMOUNT,
      verify: (changes) => ask("verify", changes, (answer) => verdict(answer, from.address)),
      settle: (changes) =>
        ask("settle", changes, (answer) => {
          const { transaction } = answer.body ?? {};
          const same = transaction && first.has(transaction);
          if (transaction) first.add(transaction);
          return `${outcome(answer)}${same ? ", the same transaction" : ""}`;
        }),
      cancel: async () => {
        if (kind.method === "eip3009") return cancel(site, token, payload.payload.authorization.nonce, from);
        const nonce = BigInt(payload.payload.permit2Authorization.nonce);
        const args = [nonce >> 8n, 1n << (nonce & 0xffn)];
        const data = encodeFunctionData({ abi: permit2Abi, functionName: "invalidateUnorderedNonces", args });
        return site.anvil.act(from.address, PERMIT2, data);
      },
    });
    const paid = await balanceOf(site, token.address, payTo);
    return { said, paid, words: story.name.endsWith("at-once") ? atOnce(said) : said.join(" | ") };
  }

  for (const story of stories) {
    const possible = kinds.filter((kind) => !kind.sponsored && (story.kinds?.(kind) ?? true));
    test(story.name, async (context) => {
      for (const kind of possible) {
        await context.test(kind.name, async (inner) => {
          const first = played(story, kind, official);
          if (story.apart) await first;
          const [theirs, own] = await Promise.all([first, played(story, kind, judged)]);
          for (const [who, { said, paid, words }] of Object.entries({ theirs, own })) {
            const full = said.some((one) => /^success(,|$)/.test(one));
            const elsewhere = story.name === "settled-by-somebody-else";
            // x402's classes take a transaction for a payment that a missing proxy has not made.
            const known = story.name === "proxy-without-code" && !(who === "own" && isJudged);
            const due = full || elsewhere ? (story.share ?? AMOUNT) : 0n;
            if (!known) assert.equal(paid, due, `${who}: ${words}`);
          }
          inner.diagnostic(`${kind.name}: ${theirs.words}`);
          if (isJudged && story.must) assert.equal(own.words, story.must);
          if (theirs.words === own.words) return;
          const explain = explainer(isJudged ? explanations : []);
          const known = explain([`settle.${story.name}`], theirs.words, own.words);
          assert.ok(known, `no reason is known for the difference.\nofficial: ${theirs.words}\nours:     ${own.words}`);
          inner.diagnostic(`ours: ${own.words}; ${known.why}`);
        });
      }
    });
  }
});
