// What the two JavaScript clients have in common: their orders, and how they tell what came of them.
//
// The orders are JSON on standard input: `key` is the payer's, `urls` are asked in turn, `rpc` has the nodes by chain id, for
// clients that look at the chain, and `allowedAssets` are the spend controls. With `body`, it is posted as JSON to each. One line of
// JSON is written for each address.
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { readFileSync } from "node:fs";
import { privateKeyToAccount } from "viem/accounts";

const orders = JSON.parse(readFileSync(0, "utf8"));

/** The spend controls: assets beside USDC that may be paid in, and how much of each. */
export const { allowedAssets } = orders;

/** What is posted to each address. Undefined: they are asked by GET. */
export const { body } = orders;

/** The payer's key, and the name and version in the token's EIP-712 domain, for clients that take them from their user. */
export const { key, domain } = orders;

/**
 * Has a client pay by both schemes, with the key of the orders.
 *
 * @template C
 * @param {C} client - x402's client.
 * @returns {C} The same.
 */
export function withSchemes(client) {
  const account = privateKeyToAccount(orders.key);
  const options = Object.fromEntries(Object.entries(orders.rpc ?? {}).map(([id, rpcUrl]) => [id, { rpcUrl }]));
  return client
    .register("eip155:*", new ExactEvmScheme(account, options))
    .register("eip155:*", new UptoEvmScheme(account, options));
}

/**
 * Asks every address, and writes what came of it.
 *
 * @param {(url: string) => Promise<{ status: number, body: string, header: (name: string) => string | null | undefined }>} get - Asks
 *   one, and pays.
 */
export async function carryOut(get) {
  for (const url of orders.urls) {
    let line;
    try {
      const { status, body, header } = await get(url);
      const [paymentResponse, paymentRequired] = [header("payment-response"), header("payment-required")];
      const [paymentResponseV1, paymentReceipt] = [header("x-payment-response"), header("payment-receipt")];
      line = { url, status, body, paymentResponse, paymentRequired, paymentResponseV1, paymentReceipt };
    } catch (error) {
      line = { url, error: error.message };
    }
    console.log(JSON.stringify(line));
  }
}
