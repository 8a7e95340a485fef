// A request to a facilitator in the making: what is asked for, what is signed, and the request that comes of it.
import { hashTypedData } from "viem";
import { payer } from "../support/accounts.mjs";
import { EXACT_PROXY, PERMIT2, UPTO_PROXY } from "../support/contracts.mjs";
import { extraOf } from "../support/kinds.mjs";

const types = {
  eip3009: {
    TransferWithAuthorization: [
      { name: "from", type: "address" },
      { name: "to", type: "address" },
      { name: "value", type: "uint256" },
      { name: "validAfter", type: "uint256" },
      { name: "validBefore", type: "uint256" },
      { name: "nonce", type: "bytes32" },
    ],
  },
  permit2: (witness) => ({
    PermitWitnessTransferFrom: [
      { name: "permitted", type: "TokenPermissions" },
      { name: "spender", type: "address" },
      { name: "nonce", type: "uint256" },
      { name: "deadline", type: "uint256" },
      { name: "witness", type: "Witness" },
    ],
    TokenPermissions: [
      { name: "token", type: "address" },
      { name: "amount", type: "uint256" },
    ],
    Witness: witness,
  }),
};

const witnesses = {
  exact: [
    { name: "to", type: "address" },
    { name: "validAfter", type: "uint256" },
  ],
  upto: [
    { name: "to", type: "address" },
    { name: "facilitator", type: "address" },
    { name: "validAfter", type: "uint256" },
  ],
};

/**
 * A way of paying, which a draft is of. `v1` is of the protocol's first version.
 *
 * @typedef {import("../support/kinds.mjs").Kind & { v1?: boolean }} Way
 */

/**
 * A draft. Mutations change it before it is signed (`before`) and after (`after`).
 *
 * @typedef {object} Draft
 * @property {Way} way - The way of paying.
 * @property {import("../support/stand.mjs").Site} site - The chain.
 * @property {number} now - The time in seconds.
 * @property {number} twin - Which of twins it is.
 * @property {object} requirements - What is asked for.
 * @property {object} fields - What is signed, as the payload has it.
 * @property {object} domain - The signing domain.
 * @property {object} [signed] - What is signed instead of `fields`, where they cannot be signed.
 * @property {import("../support/accounts.mjs").payer} signer - Whose key signs.
 * @property {`0x${string}`} [signature] - There once it is signed.
 * @property {{ x402Version: any, paymentPayload: any, paymentRequirements: any }} [body] - The request; there once it is signed.
 * @property {string} [text] - The request as it is sent, where that is not `body` as JSON.
 */

/**
 * Begins a draft that is right in all.
 *
 * @param {Way} way - The way of paying.
 * @param {object} terms - Where, to whom, and when.
 * @param {Record<number, import("../support/stand.mjs").Site>} terms.sites - The chains.
 * @param {string} terms.payTo - The payee.
 * @param {number} terms.now - The time in seconds.
 * @param {string} terms.facilitator - The key that `upto` names.
 * @param {number} terms.twin - Which of twins it is, 0 to 255: they differ in their nonces alone.
 * @param {import("./random.mjs").Random} random - For the nonce.
 * @returns {Draft} The draft.
 */
export function draftOf(way, { sites, payTo, now, facilitator, twin }, random) {
  const site = sites[way.chain];
  const token = site.tokens[way.token];
  const amount = String(1 + random.below(1_000_000));
  const common = { scheme: way.scheme, asset: token.address, payTo, maxTimeoutSeconds: 60 };
  const extra = { ...extraOf(way, token), ...(way.scheme === "upto" && { facilitatorAddress: facilitator }) };
  const first = {
    network: "base-sepolia",
    maxAmountRequired: amount,
    resource: "http://127.0.0.1/",
    description: "",
    mimeType: "",
  };
  const requirements = { ...common, ...(way.v1 ? first : { network: site.anvil.network, amount }), extra };
  const base = { way, site, now, twin, requirements, signer: payer };
  const nonce = `${random.hex(31)}${twin.toString(16).padStart(2, "0")}`;
  const [from, validAfter, end] = [payer.address, "0", String(now + 60)];
  if (way.method === "eip3009") {
    const domain = { name: token.name, version: token.version, chainId: way.chain, verifyingContract: token.address };
    const fields = { from, to: payTo, value: amount, validAfter, validBefore: end, nonce };
    return { ...base, domain, fields };
  }
  const witness = { to: payTo, ...(way.scheme === "upto" && { facilitator }), validAfter };
  const fields = {
    from,
    permitted: { token: token.address, amount },
    spender: way.scheme === "upto" ? UPTO_PROXY : EXACT_PROXY,
    nonce: BigInt(nonce).toString(),
    deadline: end,
    witness,
  };
  return { ...base, domain: { name: "Permit2", chainId: way.chain, verifyingContract: PERMIT2 }, fields };
}

/**
 * The digest of a draft.
 *
 * @param {Draft} draft - The draft.
 * @returns {`0x${string}`} The digest, or 32 zero bytes where there is none.
 */
export function digestOf({ way, domain, fields, signed }) {
  const permit2 = way.method !== "eip3009";
  const primaryType = permit2 ? "PermitWitnessTransferFrom" : "TransferWithAuthorization";
  const message = signed ?? fields;
  try {
    const kinds = permit2 ? types.permit2(witnesses[way.scheme]) : types.eip3009;
    return hashTypedData({ domain, types: kinds, primaryType, message });
  } catch {
    return `0x${"00".repeat(32)}`;
  }
}

/**
 * Signs a draft, and makes the request of it.
 *
 * @param {Draft} draft - The draft; `signature` and `body` are there then.
 */
export async function sign(draft) {
  draft.signature ??= await draft.signer.account.sign({ hash: digestOf(draft) });
  const { way, requirements, fields, signature } = draft;
  const payload = {
    signature,
    [way.method === "eip3009" ? "authorization" : "permit2Authorization"]: structuredClone(fields),
  };
  const accepted = structuredClone(requirements);
  const resource = { url: "http://127.0.0.1/test", description: "A test", mimeType: "application/json" };
  draft.body = way.v1
    ? {
        x402Version: 1,
        paymentPayload: { x402Version: 1, scheme: way.scheme, network: requirements.network, payload },
        paymentRequirements: requirements,
      }
    : { x402Version: 2, paymentPayload: { x402Version: 2, resource, accepted, payload }, paymentRequirements: requirements };
}

/**
 * The part of a request's payload that was signed.
 *
 * @param {Draft} draft - A signed draft.
 * @returns {any} `authorization` or `permit2Authorization`.
 */
export function authorizationOf({ body }) {
  const { payload } = body.paymentPayload;
  return payload.authorization ?? payload.permit2Authorization;
}
