// What came of payments that were settled: in a few words, and in money.
import { encodeFunctionData, maxUint256 } from "viem";
import { named, payer } from "../support/accounts.mjs";
import { PERMIT2 } from "../support/contracts.mjs";
import { tokenAbi } from "../support/stand.mjs";

/**
 * What a facilitator answered to `/settle`, in a few words.
 *
 * @param {{ status: number, body: any }} answer - The answer.
 * @returns {string} `success`, `success without a transaction`, a reason, a status, or `threw`.
 */
export function outcome({ status, body }) {
  if (typeof body !== "object" || body === null || typeof body.success !== "boolean") {
    return status === 500 ? "threw" : String(status);
  }
  const said = status === 200 ? "" : `${status} `;
  if (body.success) return `${said}success${body.transaction ? "" : " without a transaction"}`;
  // Behind the colon are the node's words.
  const [reason, words] = String(body.errorReason).split(":");
  return `${said}${reason}${words === undefined ? "" : ": …"}${body.transaction ? " with a transaction" : ""}`;
}

/**
 * How much of a token an account has.
 *
 * @param {import("../support/stand.mjs").Site} site - The chain.
 * @param {`0x${string}`} token - The token.
 * @param {`0x${string}`} holder - The account.
 * @returns {Promise<bigint>} In base units.
 */
export function balanceOf({ anvil }, token, holder) {
  return anvil.client.readContract({ address: token, abi: tokenAbi, functionName: "balanceOf", args: [holder] });
}

/**
 * Has anybody call a token.
 *
 * @param {import("../support/stand.mjs").Site} site - The chain.
 * @param {`0x${string}`} from - Who calls.
 * @param {`0x${string}`} token - The token.
 * @param {string} functionName - What is called.
 * @param {unknown[]} args - With what.
 * @returns {Promise<unknown>} When it is mined.
 */
export function callToken({ anvil }, from, token, functionName, args) {
  return anvil.act(from, token, encodeFunctionData({ abi: tokenAbi, functionName, args }));
}

/**
 * A new payer, with coins for gas, tokens, and an allowance for Permit2.
 *
 * @param {import("../support/stand.mjs").Site} site - The chain.
 * @param {`0x${string}`} token - The token.
 * @param {bigint} amount - How much of it.
 * @param {string} name - Another for each.
 * @returns {Promise<ReturnType<typeof named>>} The payer.
 */
export async function newPayer(site, token, amount, name) {
  const made = named(name);
  await site.anvil.ask("anvil_setBalance", made.address, "0xde0b6b3a7640000");
  await callToken(site, payer.address, token, "transfer", [made.address, amount]);
  await callToken(site, made.address, token, "approve", [PERMIT2, maxUint256]);
  return made;
}
