// Asks two facilitators the same, thousands of times.
import { isAddress } from "viem";
import { ofPayer, verdict } from "./compare.mjs";
import { make } from "./generate.mjs";
import { balanceOf, outcome } from "./outcome.mjs";

/** How many requests are on their way at once. */
const AT_ONCE = 8;

/** Waits for the first part of a second, so that both look at their clocks in the same one. */
async function earlyInASecond() {
  const into = Date.now() % 1000;
  if (into > 300) await new Promise((resolve) => setTimeout(resolve, 1000 - into + 5));
}

/**
 * Whom to ask.
 *
 * @typedef {object} World
 * @property {Record<number, import("../support/stand.mjs").Site>} sites - The chains.
 * @property {import("../support/facilitators.mjs").Facilitator} official - The official facilitator.
 * @property {import("../support/facilitators.mjs").Facilitator} judged - The one that is held against it.
 * @property {Record<string, string>[]} signers - The keys that `upto` names for the first and for the second, by network.
 */

/**
 * Makes a request for each of the two. Only what has to differ does: the facilitator's key, and for twins the nonce.
 *
 * @param {{ seed: number, index: number }} which - The request.
 * @param {World} world - Whom to ask.
 * @param {number[]} twins - Which of twins each is.
 * @returns {Promise<import("./generate.mjs").Case[]>} Both.
 */
async function pair(which, { sites, signers }, twins = [0, 0]) {
  const built = (now) =>
    Promise.all(signers.map((own, index) => make(which, { sites, now, signers: own, twin: twins[index] })));
  const made = await built(Math.floor(Date.now() / 1000));
  if (!made[0].near) return made;
  await earlyInASecond();
  return built(Math.floor(Date.now() / 1000));
}

/**
 * Asks both `/verify`.
 *
 * @param {{ seed: number, index: number }} which - The request.
 * @param {World} world - Whom to ask.
 * @returns {Promise<object>} The request with both verdicts.
 */
export async function askBoth(which, world) {
  const [theirs, mine] = await pair(which, world);
  const answers = await Promise.all([world.official.ask("verify", theirs.text), world.judged.ask("verify", mine.text)]);
  const [official, ours] = [verdict(answers[0], theirs.from), verdict(answers[1], mine.from)];
  return { ...which, ...mine, official, ours, answers };
}

/** Whether a payment that is settled leaves its payee with what it had: who pays itself, or is paid nothing. */
function movesNothing({ requirements: { payTo, amount, maxAmountRequired }, fields }) {
  if (String(payTo).toLowerCase() === String(fields.from).toLowerCase()) return true;
  try {
    return BigInt(amount ?? maxAmountRequired) === 0n;
  } catch {
    return false;
  }
}

/** How many pairs of twins there were. */
let twins = 0;

/**
 * Asks both `/settle`, of payments that differ in their nonces. What each says is held against what its payee got.
 *
 * @param {{ seed: number, index: number }} which - The request.
 * @param {World} world - Whom to ask.
 * @returns {Promise<object>} The request with both outcomes; `untrue` names who said what is not so.
 */
export async function settleBoth(which, world) {
  twins += 1;
  const made = await pair(which, world, [(2 * twins) % 256, (2 * twins + 1) % 256]);
  const said = [];
  const answers = [];
  const untrue = [];
  for (const [index, facilitator] of [world.official, world.judged].entries()) {
    const { draft, text, from } = made[index];
    const { payTo } = draft.requirements;
    const token = draft.site.tokens[draft.way.token].address;
    const isKnown = typeof payTo === "string" && isAddress(payTo, { strict: false });
    const balance = () => (isKnown ? balanceOf(draft.site, token, payTo.toLowerCase()) : 0n);
    const before = await balance();
    const answer = await facilitator.ask("settle", text);
    const words = outcome(answer);
    const got = (await balance()) - before;
    const isTrue = words === "success" ? got !== 0n || movesNothing(draft) : got === 0n;
    if (!isTrue) untrue.push({ who: ["official", "ours"][index], words, got: String(got) });
    said.push(`${words}${/^(threw|\d+)$/.test(words) ? "" : ofPayer(answer.body.payer, from)}`);
    answers.push(answer);
  }
  return { ...which, ...made[1], official: said[0], ours: said[1], untrue, answers };
}

/**
 * What came of many requests.
 *
 * @typedef {object} Findings
 * @property {object[]} differences - What differed.
 * @property {Map<string, number>} verdicts - How often the official one gave which verdict.
 * @property {Set<string>} mutations - Which mutations there were.
 */

/**
 * Asks both `/verify` so many times. A difference counts if it is there a second time.
 *
 * @param {{ seed: number, count: number, progress?: (done: number) => void }} plan - How much.
 * @param {World} world - Whom to ask.
 * @returns {Promise<Findings>} What came of it.
 */
export async function verifyAll({ seed, count, progress = () => {} }, world) {
  const [differences, verdicts, mutations] = [[], new Map(), new Set()];
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const index = next;
      next += 1;
      if (index % 1000 === 999) progress(index + 1);
      let result = await askBoth({ seed, index }, world);
      for (let again = 0; again < 3 && result.official !== result.ours; again += 1)
        result = await askBoth({ seed, index }, world);
      if (result.official !== result.ours) differences.push(result);
      verdicts.set(result.official, (verdicts.get(result.official) ?? 0) + 1);
      for (const name of result.mutations) mutations.add(name.replace(/^(shape\.[^:]+):.*/, "$1"));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { differences, verdicts, mutations };
}

/**
 * Asks both `/settle` so many times, one after the other. What is the same for twins is left out: nonces that have one value,
 * and permits, of which a payer can give one at a time.
 *
 * @param {{ seed: number, count: number }} plan - How much.
 * @param {World} world - Whom to ask.
 * @returns {Promise<Findings & { untrue: object[] }>} What came of it, and which answers were not true.
 */
export async function settleAll({ seed, count }, world) {
  const [differences, untrue, verdicts, mutations] = [[], [], new Map(), new Set()];
  for (let index = 0; index < count; index += 1) {
    const { mutations: names } = await make({ seed, index }, { sites: world.sites, now: 0, signers: world.signers[0] });
    if (names.some((name) => /^(extension\.permit|nonce\.(value|zero|empty))/.test(name))) continue;
    let result = await settleBoth({ seed, index }, world);
    if (result.official !== result.ours) result = await settleBoth({ seed, index }, world);
    untrue.push(...result.untrue.map((one) => ({ ...one, index, mutations: result.mutations })));
    if (result.official !== result.ours)
      differences.push({ ...result, mutations: result.mutations.map((name) => `settle.${name}`) });
    verdicts.set(result.official, (verdicts.get(result.official) ?? 0) + 1);
    for (const name of result.mutations) mutations.add(name);
  }
  return { differences, untrue, verdicts, mutations };
}
