// Facilitators as services: the official one, and the one that is named from outside.
import { facilitator } from "./accounts.mjs";
import { start } from "./children.mjs";

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
 * The facilitator that is judged: the one at FACILITATOR_URL, and the official one if none is named.
 *
 * @param {Record<number, import("./stand.mjs").Site>} sites - The chains.
 * @returns {Promise<Facilitator>} The facilitator.
 */
export async function facilitatorUnderTest(sites) {
  const url = process.env.FACILITATOR_URL;
  if (!url) return startOfficial(sites);
  if (!process.env.CLIENTS_STAND) throw new Error("FACILITATOR_URL needs CLIENTS_STAND: its chains are those of a stand");
  return facilitatorAt(url.replace(/\/+$/, ""));
}

/**
 * Starts the official facilitator.
 *
 * @param {Record<number, import("./stand.mjs").Site>} sites - The chains.
 * @param {{ key: `0x${string}` }} signer - Who pays for gas. Two that send at once must not share a key.
 * @returns {Promise<Facilitator>} The facilitator.
 */
export async function startOfficial(sites, signer = facilitator) {
  const chains = Object.values(sites).map(({ anvil }) => ({ id: anvil.id, rpc: anvil.rpc }));
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
    const response = await fetch(`${url}/${path}`, { method: "POST", headers, body: text });
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
    if (!kind?.extra?.facilitatorAddress) throw new Error(`${url}/supported names no facilitatorAddress for upto on ${network}`);
    return kind.extra.facilitatorAddress;
  };
  return { url, ask, signer, stop };
}
