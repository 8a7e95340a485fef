// A real chain: anvil from tools/, with a chain id of our choice.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createPublicClient, defineChain, http } from "viem";
import { root, start } from "./children.mjs";

/**
 * A running anvil. It mines a block for each transaction, and one a second, so that the chain's time is the clock's.
 *
 * @typedef {object} Anvil
 * @property {number} id - The chain id.
 * @property {string} network - The chain's name in x402, `eip155:<id>`.
 * @property {string} rpc - Its address.
 * @property {(method: string, ...params: unknown[]) => Promise<any>} ask - JSON-RPC; throws with the node's words.
 * @property {import("viem").PublicClient} client - Reads the chain.
 * @property {(from: string, to: string | undefined, data?: string, value?: bigint) => Promise<any>} act - Sends a
 *   transaction of anybody's, waits for it, and gives its receipt. Throws if it failed.
 * @property {() => Promise<void>} stop - Ends it, if it was started here.
 */

/**
 * Starts an anvil.
 *
 * @param {number} id - The chain id.
 * @param {number} port - The port; 0 is any free one.
 * @returns {Promise<Anvil>} The chain.
 */
export async function startAnvil(id, port = 0) {
  // By default anvil writes old states into the home folder, and leaves them.
  const states = mkdtempSync(join(tmpdir(), "salt402-clients-"));
  const fixed = ["--chain-id", String(id), "--port", String(port), "--max-persisted-states", "0", "--cache-path", states];
  const { found, stop } = await start(join(root, "tools/anvil"), [...fixed, "--block-time", "1", "--mixed-mining"], {
    ready: /^Listening on 127\.0\.0\.1:(\d+)/,
    label: "anvil",
  });
  return {
    ...anvilAt(id, `http://127.0.0.1:${found[1]}`),
    stop: async () => {
      await stop();
      rmSync(states, { recursive: true, force: true });
    },
  };
}

/**
 * An anvil that runs already.
 *
 * @param {number} id - Its chain id.
 * @param {string} rpc - Its address.
 * @returns {Anvil} The chain; `stop` does nothing.
 */
export function anvilAt(id, rpc) {
  const chain = defineChain({
    id,
    name: `anvil ${id}`,
    nativeCurrency: { name: "Coin", symbol: "COIN", decimals: 18 },
    rpcUrls: { default: { http: [rpc] } },
    contracts: { multicall3: { address: "0xcA11bde05977b3631167028862bE2a173976CA11" } },
  });
  const client = createPublicClient({ chain, transport: http(), pollingInterval: 20 });
  const ask = (method, ...params) => client.request({ method, params });
  // One after the other: anvil gives two transactions of one sender that come at once the same nonce.
  let last = Promise.resolve();
  const act = (...args) => {
    const done = last.then(() => send(...args));
    last = done.catch(() => {});
    return done;
  };
  const send = async (from, to, data = "0x", value = 0n) => {
    await ask("anvil_impersonateAccount", from);
    const hash = await ask("eth_sendTransaction", { from, to, data, value: `0x${value.toString(16)}` });
    const receipt = await client.waitForTransactionReceipt({ hash });
    if (receipt.status !== "success") throw new Error(`the transaction to ${to ?? "a new contract"} failed: ${hash}`);
    return receipt;
  };
  return { id, network: `eip155:${id}`, rpc, chain, client, ask, act, stop: async () => {} };
}
