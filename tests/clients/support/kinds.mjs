// The ways of paying that are tried: a scheme, a way of moving the token, a chain and a token.
import { payer, unapproved } from "./accounts.mjs";
import { BASE_SEPOLIA, CITRATE } from "./stand.mjs";

/**
 * A way of paying.
 *
 * @typedef {object} Kind
 * @property {string} name - What tests call it.
 * @property {number} chain - The chain id.
 * @property {"exact" | "upto"} scheme - The scheme.
 * @property {"eip3009" | "permit2"} method - How the token is moved.
 * @property {string} token - The token's short name.
 * @property {boolean} [sponsored] - Whether the payer has not allowed Permit2, and signs an EIP-2612 permit.
 * @property {{ key: string, address: string }} from - Who pays.
 */

const kind = (chain, scheme, method, token, rest = {}) => {
  const name = [chain, scheme, scheme === "upto" ? "" : method, token, rest.sponsored && "sponsored"]
    .filter(Boolean)
    .join("-");
  return { name, chain, scheme, method, token, from: payer, ...rest };
};

/** All that are tried. @type {Kind[]} */
export const kinds = [
  kind(CITRATE, "exact", "eip3009", "wSALT"),
  kind(CITRATE, "exact", "permit2", "wSALT"),
  kind(CITRATE, "upto", "permit2", "wSALT"),
  kind(BASE_SEPOLIA, "exact", "eip3009", "Salt"),
  // USDC is paid within the clients' own limits, which nobody has changed for it.
  kind(BASE_SEPOLIA, "exact", "eip3009", "USDC"),
  kind(BASE_SEPOLIA, "exact", "permit2", "Salt"),
  kind(BASE_SEPOLIA, "exact", "permit2", "Salt", { sponsored: true, from: unapproved }),
  kind(BASE_SEPOLIA, "upto", "permit2", "Salt"),
];

/**
 * What an offer says beside the amount.
 *
 * @param {Kind} kind - The way of paying.
 * @param {import("./stand.mjs").Token} token - The token.
 * @returns {object} The offer's `extra`.
 */
export function extraOf({ scheme, method }, { name, version }) {
  if (scheme === "upto") return { name, version, assetTransferMethod: "permit2" };
  if (method === "permit2") return { name, version, assetTransferMethod: "permit2" };
  return { name, version, primaryType: "TransferWithAuthorization" };
}
