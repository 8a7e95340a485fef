// x402's own facilitator for our chains, put together from its classes and from nothing of ours.
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { ExactEvmSchemeV1 } from "@x402/evm/exact/v1/facilitator";
import { UptoEvmScheme } from "@x402/evm/upto/facilitator";
import { EIP2612_GAS_SPONSORING } from "@x402/extensions";
import { createWalletClient, http, nonceManager, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";

/** The names of networks in the protocol's first version, for the chains that have one. */
const FIRST_VERSION_NAMES = { 84532: "base-sepolia" };

/** How long a settlement waits for its receipt, in milliseconds. Local chains answer within one second, or not at all. */
const PATIENCE = 10_000;

/**
 * A signer as the facilitator's classes want it.
 *
 * @param {import("viem").Chain} chain - The chain, with its node.
 * @param {`0x${string}`} key - The key that pays for gas.
 * @returns {object} The signer.
 */
export function facilitatorSigner(chain, key) {
  // Without a manager of nonces, settlements at once get the same nonce.
  const account = privateKeyToAccount(key, { nonceManager });
  const client = createWalletClient({ account, chain, transport: http(), pollingInterval: 20 }).extend(publicActions);
  const signer = {
    address: account.address,
    readContract: (call) => client.readContract({ ...call, args: call.args ?? [] }),
    verifyTypedData: (message) => client.verifyTypedData(message),
    writeContract: (call) => client.writeContract({ ...call, args: call.args ?? [] }),
    sendTransaction: (transaction) => client.sendTransaction(transaction),
    waitForTransactionReceipt: (wait) => client.waitForTransactionReceipt(wait),
    getCode: (account) => client.getCode(account),
  };
  return toFacilitatorEvmSigner(signer, { confirmationTimeoutMs: PATIENCE });
}

/**
 * The facilitator, with the schemes `exact` and `upto` on each chain, and sponsoring of EIP-2612 permits.
 *
 * @param {import("viem").Chain[]} chains - The chains.
 * @param {`0x${string}`} key - The key that pays for gas.
 * @param {Record<number, `0x${string}`[]>} factories - What may create payers' wallets (ERC-6492), by chain id.
 * @returns {x402Facilitator} The facilitator.
 */
export function officialFacilitator(chains, key, factories = {}) {
  const facilitator = new x402Facilitator();
  for (const chain of chains) {
    const signer = facilitatorSigner(chain, key);
    const config = { eip6492AllowedFactories: factories[chain.id] ?? [] };
    // Each chain by itself: a scheme's signer is bound to one node.
    facilitator.register(`eip155:${chain.id}`, new ExactEvmScheme(signer, config));
    facilitator.register(`eip155:${chain.id}`, new UptoEvmScheme(signer));
    const name = FIRST_VERSION_NAMES[chain.id];
    if (name) facilitator.registerV1(name, new ExactEvmSchemeV1(signer, config));
  }
  return facilitator.registerExtension(EIP2612_GAS_SPONSORING);
}
