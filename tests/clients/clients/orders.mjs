// What the JavaScript clients have in common: their orders, and how they tell what came of them.
//
// The orders are JSON on standard input: `key` is the payer's, `urls` are asked in turn, `rpc` has the nodes by chain id, for
// clients that look at the chain, `chain` is the chain that they are on, and `allowedAssets` are the spend controls. With `body`, it is posted
// as JSON to each; with `bodies`, each address has its own. One line of JSON is written for each address.
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { readFileSync } from "node:fs";
import { privateKeyToAccount } from "viem/accounts";

/** All of them. */
export const orders = JSON.parse(readFileSync(0, "utf8"));

/** The spend controls: assets beside USDC that may be paid in, and how much of each. */
export const { allowedAssets } = orders;

/** The payer's key, and the name and version in the token's EIP-712 domain, for clients that take them from their user. */
export const { key, domain } = orders;

/** The chain that a client is on, by its id, and its node. */
export const chain = { id: orders.chain, rpc: orders.rpc?.[orders.chain] };

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

/** A request of JSON, as a fetch takes it; undefined without a body. */
const posted = (body) => body && { method: "POST", headers: { "content-type": "application/json" }, body };

/**
 * Asks every address, and writes what came of it.
 *
 * @param {(url: string, body?: string) => Promise<{ status: number, body: string, header: (name: string) => string | null | undefined }>} ask -
 *   Asks one, and pays.
 */
export async function carryOut(ask) {
  for (const [index, url] of orders.urls.entries()) {
    let line;
    try {
      const { status, body, header } = await ask(url, orders.bodies?.[index] ?? orders.body);
      const [paymentResponse, paymentRequired] = [header("payment-response"), header("payment-required")];
      const [paymentResponseV1, paymentReceipt] = [header("x-payment-response"), header("payment-receipt")];
      const receipt = header("x-payment-receipt");
      line = { url, status, body, paymentResponse, paymentRequired, paymentResponseV1, paymentReceipt, receipt };
    } catch (error) {
      line = { url, error: [error.message, error.cause?.message].filter(Boolean).join(": ") };
    }
    console.log(JSON.stringify(line));
  }
}

/**
 * The same with a fetch.
 *
 * @param {typeof fetch} pay - The fetch that pays.
 */
export async function carryOutBy(pay) {
  await carryOut(async (url, body) => {
    const response = await pay(url, posted(body));
    return { status: response.status, body: await response.text(), header: (name) => response.headers.get(name) };
  });
}
