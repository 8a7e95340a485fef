// Facilitators as services: the official one, ours, and one that is named from outside.
import { facilitator } from "./accounts.mjs";
import { start } from "./children.mjs";
import { startOurs } from "./ours.mjs";

/** Whether another facilitator than the official one is judged. */
export const isJudged = Boolean(process.env.FACILITATOR_URL) || process.env.FACILITATOR === "salt402";

/**
 * A facilitator, asked by HTTP.
 *
 * @typedef {object} Facilitator
 * @property {string} url - Its address.
 * @property {(path: "verify" | "settle", body: unknown) => Promise<{ status: number, body: any }>} ask - Posts a request. A
 *   text is sent as it is. A body that is no JSON is given as a text.
 * @property {(network: string) => Promise<`0x${string}`>} signer - The address that `upto` must name on a network.
 * @property {() => Promise<void>} stop - Ends it, if it was started here.
 */

/**
 * The facilitator that is judged: the one at FACILITATOR_URL; with FACILITATOR=salt402 the one of this repository, started here; and
 * the official one if neither is said.
 *
 * @param {Record<number, import("./stand.mjs").Site>} sites - The chains.
 * @returns {Promise<Facilitator>} The facilitator.
 */
export async function facilitatorUnderTest(sites) {
  const { FACILITATOR, FACILITATOR_URL, CLIENTS_STAND } = process.env;
  if (FACILITATOR_URL) {
    if (!CLIENTS_STAND) throw new Error("FACILITATOR_URL needs CLIENTS_STAND: `node tests/clients/stand.mjs` writes it");
    return facilitatorAt(FACILITATOR_URL.replace(/\/+$/, ""));
  }
  if (!FACILITATOR || FACILITATOR === "official") return startOfficial(sites);
  if (FACILITATOR !== "salt402") throw new Error(`FACILITATOR is salt402 or official, and not ${FACILITATOR}`);
  const { url, stop } = await startOurs(sites);
  return facilitatorAt(url, stop);
}

/**
 * Starts the official facilitator.
 *
 * @param {Record<number, import("./stand.mjs").Site>} sites - The chains.
 * @param {{ key: `0x${string}` }} signer - Who pays for gas. Two that send at once must not share a key.
 * @returns {Promise<Facilitator>} The facilitator.
 */
export async function startOfficial(sites, signer = facilitator) {
  const chains = Object.values(sites).map(({ anvil, factory }) => ({ id: anvil.id, rpc: anvil.rpc, factory }));
  const { found, stop } = await start(process.execPath, ["official-facilitator.mjs"], {
    ready: /listening on (\S+)/,
    env: { FACILITATOR_CHAINS: JSON.stringify(chains), FACILITATOR_KEY: signer.key },
    label: "the official facilitator",
  });
  return facilitatorAt(found[1], stop);
}

/**
 * A facilitator that runs.
 *
 * @param {string} url - Its address.
 * @param {() => Promise<void>} stop - How it ends.
 * @returns {Facilitator} The facilitator.
 */
export function facilitatorAt(url, stop = async () => {}) {
  const headers = { "content-type": "application/json" };
  const ask = async (path, body) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const post = () => fetch(`${url}/${path}`, { method: "POST", headers, body: text });
    // A server may close an idle connection just when it is used again. To verify does nothing, so it is asked once more.
    const response = await post().catch((error) => {
      if (path !== "verify") throw error;
      return post();
    });
    const answer = await response.text();
    try {
      return { status: response.status, body: JSON.parse(answer) };
    } catch {
      return { status: response.status, body: answer };
    }
  };
  const signer = async (network) => {
    const { kinds } = await (await fetch(`${url}/supported`)).json();
    const kind = kinds.find((one) => one.scheme === "upto" && one.network === network && one.x402Version === 2);
    if (!kind?.extra?.facilitatorAddress)
      throw new Error(`${url}/supported names no facilitatorAddress for upto on ${network}`);
    return kind.extra.facilitatorAddress;
  };
  return { url, ask, signer, stop };
}
