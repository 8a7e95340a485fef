// What a test of clients needs of a sale: a gateway, what clients are told of the token, and what the payee has.
import { payer } from "./accounts.mjs";
import { startGateway } from "./ours.mjs";
import { tokenAbi } from "./stand.mjs";

/** What everything costs, in base units: 0.000000000000010007 of a token of 18 decimals. The odd one finds who rounds. */
export const PRICE = 10007n;

/**
 * A sale.
 *
 * @typedef {object} Opened
 * @property {import("./anvil.mjs").Anvil} anvil - Its chain.
 * @property {import("./stand.mjs").Token} token - What is signed for.
 * @property {Awaited<ReturnType<typeof startGateway>>} salt402 - What sells.
 * @property {() => Promise<bigint>} has - What the payee has, of the coin and of the token.
 * @property {(urls: string[], more?: object) => object} orders - The orders of a client that asks addresses.
 */

/**
 * Opens a sale.
 *
 * @param {{ sites: Record<number, import("./stand.mjs").Site> }} stand - The chains.
 * @param {{ chain: number, token: string, payee: string, most?: bigint }} sold - What is sold where, as in table.mjs, to whose favour, and the
 *   most that a client may pay. All other members are of `startGateway`.
 * @returns {Promise<Opened>} The sale.
 */
export async function openSale(stand, { chain, token: short, payee, most = PRICE, ...how }) {
  const { anvil, tokens } = stand.sites[chain];
  const token = tokens[short];
  const salt402 = await startGateway(stand.sites, { ...how, chain, token, payee, price: "0.000000000000010007" });
  const balance = { address: token.address, abi: tokenAbi, functionName: "balanceOf", args: [payee] };
  const has = async () => (await anvil.client.readContract(balance)) + (await anvil.client.getBalance({ address: payee }));
  // What is paid in comes first: some clients know one token alone.
  const assets = [token, ...Object.values(tokens).filter((other) => other !== token)];
  const orders = (urls, more) => ({
    key: payer.key,
    urls,
    rpc: Object.fromEntries(Object.values(stand.sites).map(({ anvil }) => [anvil.id, anvil.rpc])),
    chain,
    allowedAssets: assets.map(({ address }) => ({ network: "eip155:*", asset: address, maxAmountPerPayment: String(most) })),
    domain: { name: token.name, version: token.version },
    ...more,
  });
  return { anvil, token, tokens, salt402, has, orders };
}
