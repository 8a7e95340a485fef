// Payments as x402's own client makes them.
import { x402Client } from "@x402/core/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { declareEip2612GasSponsoringExtension } from "@x402/extensions";
import { extraOf } from "./kinds.mjs";

/**
 * What is asked for.
 *
 * @param {import("./kinds.mjs").Kind} kind - The way of paying.
 * @param {import("./stand.mjs").Site} site - The chain.
 * @param {{ payTo: string, amount: bigint, facilitator?: string, timeout?: number }} terms - Who is paid how much, in base units;
 *   `upto` names the facilitator's key.
 * @returns {object} x402's PaymentRequirements.
 */
export function requirementsOf(kind, site, { payTo, amount, facilitator, timeout = 120 }) {
  const token = site.tokens[kind.token];
  return {
    scheme: kind.scheme,
    network: site.anvil.network,
    amount: String(amount),
    asset: token.address,
    payTo,
    maxTimeoutSeconds: timeout,
    extra: { ...extraOf(kind, token), ...(kind.scheme === "upto" && { facilitatorAddress: facilitator }) },
  };
}

/**
 * Has x402's client sign what is asked for.
 *
 * @param {import("./kinds.mjs").Kind} kind - The way of paying.
 * @param {import("./stand.mjs").Site} site - The chain, which the client asks for a permit's nonce alone.
 * @param {object} requirements - What is asked for.
 * @param {import("@x402/evm").ClientEvmSigner} account - Who pays.
 * @returns {Promise<object>} x402's PaymentPayload.
 */
export async function signedPayment(kind, site, requirements, account = kind.from.account) {
  const options = kind.sponsored ? { rpcUrl: site.anvil.rpc } : undefined;
  const client = new x402Client()
    .setSpendControls(false)
    .register("eip155:*", new ExactEvmScheme(account, options))
    .register("eip155:*", new UptoEvmScheme(account, options));
  return client.createPaymentPayload({
    x402Version: 2,
    resource: { url: "http://127.0.0.1/test", description: "A test", mimeType: "application/json" },
    accepts: [requirements],
    ...(kind.sponsored && { extensions: declareEip2612GasSponsoringExtension() }),
  });
}
