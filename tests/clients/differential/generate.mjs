// Requests that follow from a seed: most are wrong in one way, some in two, some in none.
import { named } from "../support/accounts.mjs";
import { kinds } from "../support/kinds.mjs";
import { BASE_SEPOLIA } from "../support/stand.mjs";
import { draftOf, sign } from "./draft.mjs";
import { addresses } from "./mutations/addresses.mjs";
import { amounts } from "./mutations/amounts.mjs";
import { extended } from "./mutations/extensions.mjs";
import { nonces } from "./mutations/nonces.mjs";
import { payers } from "./mutations/payers.mjs";
import { shapes } from "./mutations/shapes.mjs";
import { signatures } from "./mutations/signatures.mjs";
import { terms } from "./mutations/terms.mjs";
import { times } from "./mutations/times.mjs";
import { random } from "./random.mjs";

/**
 * One way of being wrong.
 *
 * @typedef {object} Mutation
 * @property {string} name - What it does; unique in its area and way of paying.
 * @property {(way: import("./draft.mjs").Way) => boolean} [ways] - Whether there is such a thing in a way of paying.
 * @property {(draft: import("./draft.mjs").Draft, random: import("./random.mjs").Random) => unknown} [before] - Before it is signed.
 * @property {(draft: import("./draft.mjs").Draft, random: import("./random.mjs").Random) => unknown} [after] - After. A text that it
 *   gives says what was changed.
 */

/**
 * A request with its name.
 *
 * @typedef {object} Case
 * @property {string[]} mutations - The names of what is wrong, `area.name`; `right` if nothing is.
 * @property {boolean} near - Whether it depends on the second in which it is judged.
 * @property {string} way - The way of paying.
 * @property {string | undefined} from - The payer that the request names.
 * @property {import("./draft.mjs").Draft} draft - What it was made of.
 * @property {string} text - The request, as JSON or what stands for it.
 */

const areas = {
  signature: signatures,
  payer: payers,
  time: times,
  amount: amounts,
  address: addresses,
  terms,
  nonce: nonces,
  shape: shapes,
  extension: extended,
};

/** How often each area comes. Shapes act on all members, and so have more to do than their number says. */
const weights = { signature: 15, payer: 8, time: 13, amount: 10, address: 15, terms: 15, nonce: 5, shape: 25, extension: 8 };
const drawn = Object.entries(weights).flatMap(([area, weight]) => Array(weight).fill(area));

/** @type {import("./draft.mjs").Way[]} */
const ways = [
  ...kinds.filter(({ sponsored }) => !sponsored),
  { name: "v1-base-sepolia-USDC", v1: true, chain: BASE_SEPOLIA, scheme: "exact", method: "eip3009", token: "USDC" },
];

/** The edges of times, which are the same for two facilitators only if both look at their clocks in the same second. */
const NEAR = /^time\.(end|beginning):now[+-]\d{1,2}$|^extension\.permit:deadline-now$/;

/**
 * Makes a request.
 *
 * @param {{ seed: number, index: number }} which - Which one: the same gives the same, but for the time and the facilitator's key.
 * @param {object} world - For whom.
 * @param {Record<number, import("../support/stand.mjs").Site>} world.sites - The chains.
 * @param {number} world.now - The time in seconds.
 * @param {Record<string, string>} world.signers - The key that `upto` names, by network.
 * @param {number} [world.twin] - Which of twins it is, 0 to 255.
 * @returns {Promise<Case>} The request.
 */
export async function make({ seed, index }, { sites, now, signers, twin = 0 }) {
  const chance = random(seed, index);
  const way = chance.pick(ways);
  const payTo = named(`payee ${seed} ${index}`).address;
  const draft = draftOf(way, { sites, payTo, now, facilitator: signers[`eip155:${way.chain}`], twin }, chance);
  const chosen = choose(chance, way);
  // Of two, the one may have taken away what the other changes. One alone always does what it says.
  const attempt = async (act) => {
    try {
      return await act?.(draft, chance);
    } catch (error) {
      if (chosen.length === 1) throw error;
    }
  };
  for (const { mutation } of chosen) await attempt(mutation.before);
  await sign(draft);
  const from = draft.fields.from;
  for (const one of chosen) {
    const where = await attempt(one.mutation.after);
    if (typeof where === "string" && one.area === "shape") one.name += `:${where}`;
  }
  const names = chosen.map(({ name }) => name);
  return {
    mutations: names.length > 0 ? names : ["right"],
    near: names.some((name) => NEAR.test(name)),
    way: way.name,
    from: typeof from === "string" ? from : undefined,
    draft,
    text: draft.text ?? JSON.stringify(draft.body),
  };
}

function choose(chance, way) {
  if (chance.chance(4)) return [];
  const chosen = [];
  for (let left = chance.chance(15) ? 2 : 1; left > 0; left -= 1) {
    const area = chance.pick(drawn);
    const possible = areas[area].filter(({ ways }) => ways?.(way) ?? true);
    if (possible.length === 0) continue;
    const mutation = chance.pick(possible);
    chosen.push({ area, mutation, name: `${area}.${mutation.name}` });
  }
  return chosen;
}
