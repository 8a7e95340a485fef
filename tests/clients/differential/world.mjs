// What the differential does to the chains before it asks: nonces that are used up.
import { encodeFunctionData, keccak256, parseAbi, parseSignature, stringToHex } from "viem";
import { payer } from "../support/accounts.mjs";
import { PERMIT2 } from "../support/contracts.mjs";
import { tokenAbi } from "../support/stand.mjs";

/** A nonce of EIP-3009 that the payer has used up on every token. */
export const USED_NONCE = keccak256(stringToHex("used"));
/** A word of Permit2's nonces that the payer has used up. */
export const USED_WORD = 0x77n;

const permit2Abi = parseAbi(["function invalidateUnorderedNonces(uint256,uint256)"]);
const cancellation = {
  CancelAuthorization: [
    { name: "authorizer", type: "address" },
    { name: "nonce", type: "bytes32" },
  ],
};

/**
 * A payer cancels an authorization of EIP-3009.
 *
 * @param {import("../support/stand.mjs").Site} site - The chain.
 * @param {import("../support/stand.mjs").Token} token - The token.
 * @param {`0x${string}`} nonce - The nonce.
 * @param {typeof payer} by - Who signed it.
 */
export async function cancel({ anvil }, { address, name, version }, nonce, by = payer) {
  const domain = { name, version, chainId: anvil.id, verifyingContract: address };
  const message = { authorizer: by.address, nonce };
  const signature = await by.account.signTypedData({
    domain,
    types: cancellation,
    primaryType: "CancelAuthorization",
    message,
  });
  const { r, s, v } = parseSignature(signature);
  const args = [by.address, nonce, Number(v), r, s];
  await anvil.act(by.address, address, encodeFunctionData({ abi: tokenAbi, functionName: "cancelAuthorization", args }));
}

/**
 * Uses nonces up, on both chains. What is used up already stays so.
 *
 * @param {Record<number, import("../support/stand.mjs").Site>} sites - The chains.
 */
export async function useNonces(sites) {
  for (const site of Object.values(sites)) {
    const { anvil, tokens } = site;
    const args = [USED_WORD, 2n ** 256n - 1n];
    const data = encodeFunctionData({ abi: permit2Abi, functionName: "invalidateUnorderedNonces", args });
    await anvil.act(payer.address, PERMIT2, data);
    for (const token of Object.values(tokens)) {
      const state = {
        address: token.address,
        abi: tokenAbi,
        functionName: "authorizationState",
        args: [payer.address, USED_NONCE],
      };
      if (!(await anvil.client.readContract(state))) await cancel(site, token, USED_NONCE);
    }
  }
}
