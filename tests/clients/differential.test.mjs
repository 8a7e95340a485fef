// x402's facilitator and the one that is judged are asked the same, thousands of times, and must say the same. What differs stands
// with its reason in differences.json, or is a fault. Without FACILITATOR=salt402 or FACILITATOR_URL the official one is held against
// itself: then nothing may differ.
//
// CASES is how many (600), SEED which (another each time, and printed), and ONLY one request of them, which is shown.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { explainer, grouped } from "./differential/compare.mjs";
import { askBoth, settleAll, settleBoth, verifyAll } from "./differential/run.mjs";
import { useNonces } from "./differential/world.mjs";
import { secondFacilitator } from "./support/accounts.mjs";
import { facilitatorUnderTest, isJudged, startOfficial } from "./support/facilitators.mjs";
import { openStand } from "./support/stand.mjs";

const count = Number(process.env.CASES ?? 600);
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const { ONLY: only } = process.env;
const explanations = JSON.parse(readFileSync(new URL("differences.json", import.meta.url), "utf8"));

describe("two facilitators say the same", { timeout: 3_600_000 }, () => {
  let stand, world;
  before(async () => {
    stand = await openStand();
    const { sites } = stand;
    await useNonces(sites);
    const official = await startOfficial(sites, secondFacilitator);
    const judged = await facilitatorUnderTest(sites);
    const networks = Object.values(sites).map(({ anvil }) => anvil.network);
    const keys = async (one) =>
      Object.fromEntries(await Promise.all(networks.map(async (name) => [name, await one.signer(name)])));
    world = { sites, official, judged, signers: [await keys(official), await keys(judged)] };
  });
  after(async () => {
    await world?.official.stop();
    await world?.judged.stop();
    await stand?.stop();
  });

  /** Says what came of many requests, and fails if something differs for no known reason. */
  function judge(context, { differences, verdicts, mutations }) {
    for (const [words, times] of [...verdicts].sort((a, b) => b[1] - a[1])) context.diagnostic(`${times} × ${words}`);
    const explain = explainer(isJudged ? explanations : []);
    const [open, known] = [[], new Map()];
    for (const one of differences) {
      const why = explain(one.mutations, one.official, one.ours);
      if (why) known.set(why, (known.get(why) ?? 0) + 1);
      else open.push(one);
    }
    for (const [{ mutation, official, ours, why }, times] of [...known].sort((a, b) => b[1] - a[1]))
      context.diagnostic(`${times} × ${mutation}: ${official} / ${ours}. ${why}`);
    const explained = differences.length - open.length;
    context.diagnostic(`${mutations.size} mutations; ${differences.length} differ, ${explained} of them for a known reason`);
    const report = grouped(open).map((group) => JSON.stringify(group));
    assert.equal(open.length, 0, `SEED=${seed} ONLY=<example> shows one.\n${report.join("\n")}`);
  }

  test("of every request to /verify", async (context) => {
    if (only) {
      console.log(JSON.stringify(shown(await askBoth({ seed, index: Number(only) }, world)), null, 2));
      return;
    }
    context.diagnostic(`SEED=${seed} CASES=${count}`);
    const found = await verifyAll({ seed, count, progress: (done) => context.diagnostic(`${done} asked`) }, world);
    judge(context, found);
    // What says the same to everything has been asked nothing.
    assert.ok(found.verdicts.size >= Math.min(12, count / 40), `only ${found.verdicts.size} verdicts`);
  });

  test("of every request to /settle, and it is so", async (context) => {
    if (only) {
      console.log(JSON.stringify(shown(await settleBoth({ seed, index: Number(only) }, world)), null, 2));
      return;
    }
    const found = await settleAll({ seed, count: Math.ceil(count / 6) }, world);
    const untrue = isJudged ? found.untrue.filter(({ who }) => who === "ours") : found.untrue;
    assert.deepEqual(untrue, [], `SEED=${seed}`);
    judge(context, found);
  });
});

/** A result without what it was made of. */
function shown({ draft: _, ...result }) {
  return result;
}
