// Who takes part. All keys are those that anvil publishes, or are made from a public text: they are worth nothing.
import { keccak256, stringToHex } from "viem";
import { mnemonicToAccount, privateKeyToAccount } from "viem/accounts";

const MNEMONIC = "test test test test test test test test test test test junk";

/**
 * One of the ten accounts that anvil funds.
 *
 * @param {number} index - 0 to 9.
 * @returns {{ address: `0x${string}`, key: `0x${string}`, account: import("viem").PrivateKeyAccount }} The account with its key.
 */
function funded(index) {
  const { privateKey } = mnemonicToAccount(MNEMONIC, { addressIndex: index }).getHdKey();
  return withKey(`0x${Buffer.from(privateKey).toString("hex")}`);
}

function withKey(key) {
  const account = privateKeyToAccount(key);
  return { address: account.address, key, account };
}

/** Deploys the contracts. */
export const deployer = funded(0);
/** Has tokens, and has allowed Permit2 to move them. */
export const payer = funded(1);
/** The official facilitator's key. */
export const facilitator = funded(5);
/** The key of a second official facilitator, where two are compared. */
export const secondFacilitator = funded(6);
/** The key that a facilitator of ours is to be given. */
export const ours = funded(7);
/** Has tokens and has allowed nobody: it pays by Permit2 with an EIP-2612 permit. */
export const unapproved = funded(2);
/** Has allowed Permit2 and has no tokens. */
export const poor = funded(3);
/** Has tokens and allowances, and is delegated (EIP-7702) to a wallet that takes its own key's signatures. */
export const delegated = funded(8);
/** Has tokens and allowances, and is delegated to code that knows no ERC-1271. */
export const delegatedSilent = funded(9);
/** Owns the contract wallet. */
export const owner = funded(4);

/**
 * An account of no name, made from a text.
 *
 * @param {string} text - Anything; the same text gives the same account.
 * @returns The account with its key.
 */
export function named(text) {
  return withKey(keccak256(stringToHex(`salt402 tests/clients ${text}`)));
}
