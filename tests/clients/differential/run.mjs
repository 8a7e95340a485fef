// Asks two facilitators the same, thousands of times.
import { verdict } from "./compare.mjs";
import { make } from "./generate.mjs";

/** How many requests are on their way at once. */
const AT_ONCE = 8;

/** Waits for the first part of a second, so that both look at their clocks in the same one. */
async function earlyInASecond() {
  const into = Date.now() % 1000;
  if (into > 300) await new Promise((resolve) => setTimeout(resolve, 1000 - into + 5));
}

/**
 * Asks both.
 *
 * @param {{ seed: number, index: number }} which - The request.
 * @param {{ sites: object, official: Facilitator, judged: Facilitator, signers: Record<string, string>[] }} world - The chains, the
 *   two, and the keys that `upto` names for each of them.
 * @returns {Promise<object>} The request with both verdicts.
 */
export async function askBoth(which, { sites, official, judged, signers }) {
  const built = (now, own) => make(which, { sites, now, signers: own });
  let now = Math.floor(Date.now() / 1000);
  let mine = await built(now, signers[1]);
  if (mine.near) {
    await earlyInASecond();
    now = Math.floor(Date.now() / 1000);
    mine = await built(now, signers[1]);
  }
  const theirs = await built(now, signers[0]);
  const answers = await Promise.all([official.ask("verify", theirs.text), judged.ask("verify", mine.text)]);
  const [one, other] = [verdict(answers[0], theirs.from), verdict(answers[1], mine.from)];
  return { ...which, ...mine, official: one, ours: other, answers };
}

/**
 * Asks both `count` times. A difference counts if it is there a second time.
 *
 * @param {{ seed: number, count: number, progress?: (done: number) => void }} plan - How much.
 * @param {Parameters<typeof askBoth>[1]} world - Whom.
 * @returns {Promise<{ differences: object[], verdicts: Map<string, number>, mutations: Set<string> }>} What differed, how often the
 *   official one gave which verdict, and which mutations there were.
 */
export async function differential({ seed, count, progress = () => {} }, world) {
  const [differences, verdicts, mutations] = [[], new Map(), new Set()];
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const index = next;
      next += 1;
      if (index % 1000 === 999) progress(index + 1);
      let result = await askBoth({ seed, index }, world);
      for (let again = 0; again < 3 && result.official !== result.ours; again += 1) result = await askBoth({ seed, index }, world);
      if (result.official !== result.ours) differences.push(result);
      verdicts.set(result.official, (verdicts.get(result.official) ?? 0) + 1);
      for (const name of result.mutations) mutations.add(name.replace(/^(shape\.[^:]+):.*/, "$1"));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { differences, verdicts, mutations };
}
