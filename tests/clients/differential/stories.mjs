// What may happen between a payment's signature and its settlement.
import { encodeFunctionData, maxUint256, parseAbi, parseSignature } from "viem";
import { delegated, delegatedSilent, deployer, owner } from "../support/accounts.mjs";
import { EXACT_PROXY, PERMIT2, UPTO_PROXY, artifact } from "../support/contracts.mjs";
import { BASE_SEPOLIA } from "../support/stand.mjs";
import { malleated } from "./mutations/signatures.mjs";
import { balanceOf, callToken } from "./outcome.mjs";

/**
 * A payment that a story is about, and what can be done with it. `verify` and `settle` ask the facilitator, with other requirements
 * if any are given, and note what it says.
 *
 * @typedef {object} Scene
 * @property {import("../support/kinds.mjs").Kind} kind - The way of paying.
 * @property {import("../support/stand.mjs").Site} site - The chain.
 * @property {`0x${string}`} token - The token's address.
 * @property {ReturnType<typeof import("../support/accounts.mjs").named>} from - Who pays; nobody else uses the account.
 * @property {object} payload - The signed payment.
 * @property {bigint} amount - What is asked for.
 * @property {(changes?: object) => Promise<any>} verify - Asks `/verify`.
 * @property {(changes?: object) => Promise<any>} settle - Asks `/settle`.
 * @property {() => Promise<void>} cancel - The payer makes the nonce unusable.
 */

/**
 * A story.
 *
 * @typedef {object} Story
 * @property {string} name - What tests call it.
 * @property {(kind: import("../support/kinds.mjs").Kind) => boolean} [kinds] - Whether it can happen in a way of paying.
 * @property {(scene: Scene) => Promise<unknown>} play - What happens.
 * @property {bigint} [share] - What the payee has in the end, where that is not the amount or nothing.
 * @property {string} [must] - What a facilitator of ours must say, whatever the official one says.
 * @property {number} [timeout] - For how many seconds the payment is signed.
 * @property {(site: import("../support/stand.mjs").Site) => { address: string, account: object }} [payer] - Who pays; a new account if
 *   nobody is named.
 * @property {boolean} [apart] - Whether it concerns other payments too, so that it is told to one facilitator at a time.
 */

const byPermit2 = ({ method }) => method === "permit2";
const upto = ({ scheme }) => scheme === "upto";
/** Of each scheme one, for what takes its time. */
const inSalt = ({ token, chain }) => token === "Salt" && chain === BASE_SEPOLIA;

/** Anybody submits the payment by himself, as he may for `exact`. */
async function submit({ kind, site, token, payload: { payload } }) {
  if (kind.method === "eip3009") {
    const { from, to, value, validAfter, validBefore, nonce } = payload.authorization;
    const { r, s, v } = parseSignature(payload.signature);
    const abi = parseAbi([
      "function transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
    ]);
    const args = [from, to, BigInt(value), BigInt(validAfter), BigInt(validBefore), nonce, Number(v), r, s];
    await site.anvil.act(
      deployer.address,
      token,
      encodeFunctionData({ abi, functionName: "transferWithAuthorization", args }),
    );
    return;
  }
  const { permitted, nonce, deadline, from, witness } = payload.permit2Authorization;
  const args = [{ permitted, nonce, deadline }, from, witness, payload.signature];
  const data = encodeFunctionData({ abi: artifact("X402ExactPermit2Proxy").abi, functionName: "settle", args });
  await site.anvil.act(deployer.address, EXACT_PROXY, data);
}

/** The payer gives all away but so much. */
async function leave(amount, { site, token, from }) {
  const all = await balanceOf(site, token, from.address);
  await callToken(site, from.address, token, "transfer", [deployer.address, all - amount]);
}

/** All stories. @type {Story[]} */
export const stories = [
  { name: "settled", play: async ({ verify, settle }) => [await verify(), await settle()] },
  { name: "settled-unverified", play: async ({ settle }) => settle() },
  { name: "settled-again", play: async ({ settle }) => [await settle(), await settle()] },
  { name: "verified-after-settlement", play: async ({ settle, verify }) => [await settle(), await verify()] },
  { name: "two-at-once", play: ({ settle }) => Promise.all([settle(), settle()]) },
  { name: "eight-at-once", kinds: inSalt, play: ({ settle }) => Promise.all(Array.from({ length: 8 }, () => settle())) },
  {
    name: "settled-by-somebody-else",
    kinds: (kind) => !upto(kind),
    must: "valid | success",
    play: async (scene) => {
      await scene.verify();
      await submit(scene);
      await scene.settle();
    },
  },
  {
    name: "cancelled-after-verification",
    play: async ({ verify, cancel, settle }) => [await verify(), await cancel(), await settle()],
  },
  {
    name: "balance-gone-after-verification",
    play: async ({ verify, settle, site, token, from }) => {
      await verify();
      await leave(0n, { site, token, from });
      await settle();
    },
  },
  {
    name: "balance-one-too-small",
    play: async ({ settle, site, token, from, amount }) => {
      await leave(amount - 1n, { site, token, from });
      await settle();
    },
  },
  {
    name: "allowance-revoked-after-verification",
    kinds: byPermit2,
    play: async ({ verify, settle, site, token, from }) => {
      await verify();
      await callToken(site, from.address, token, "approve", [PERMIT2, 0n]);
      await settle();
    },
  },
  {
    name: "allowance-revoked-and-given-again",
    kinds: byPermit2,
    play: async ({ settle, site, token, from }) => {
      await callToken(site, from.address, token, "approve", [PERMIT2, 0n]);
      await settle();
      await callToken(site, from.address, token, "approve", [PERMIT2, maxUint256]);
      await settle();
    },
  },
  {
    name: "too-late-after-verification",
    kinds: inSalt,
    timeout: 9,
    play: async ({ verify, settle }) => {
      await verify();
      await new Promise((resolve) => setTimeout(resolve, 5_000));
      await settle();
    },
  },
  { name: "another-payee-is-asked-for", play: ({ settle }) => settle({ payTo: deployer.address }) },
  { name: "another-asset-is-asked-for", play: ({ settle }) => settle({ asset: PERMIT2 }) },
  { name: "one-more-is-asked-for", play: ({ settle, amount }) => settle({ amount: String(amount + 1n) }) },
  {
    name: "one-less-is-asked-for",
    kinds: (kind) => !upto(kind),
    play: ({ settle, amount }) => settle({ amount: String(amount - 1n) }),
  },
  { name: "charged-a-part", kinds: upto, share: 7n, play: ({ settle }) => settle({ amount: "7" }) },
  { name: "charged-nothing", kinds: upto, play: ({ settle }) => settle({ amount: "0" }) },
  {
    name: "charged-nothing-and-then-all",
    kinds: upto,
    play: async ({ settle }) => [await settle({ amount: "0" }), await settle()],
  },
  {
    name: "charged-a-part-and-then-all",
    kinds: upto,
    share: 7n,
    play: async ({ settle }) => [await settle({ amount: "7" }), await settle()],
  },
  { name: "charged-less-than-nothing", kinds: upto, play: ({ settle }) => settle({ amount: "-1" }) },
  {
    // Permit2 takes it; the tokens do not.
    name: "a-high-s",
    play: async ({ verify, settle, payload: { payload } }) => {
      payload.signature = malleated(payload.signature);
      await verify();
      await settle();
    },
  },
  {
    name: "a-high-s-after-the-right-one",
    play: async ({ settle, payload: { payload } }) => {
      await settle();
      payload.signature = malleated(payload.signature);
      await settle();
    },
  },
  {
    name: "a-high-s-before-the-right-one",
    play: async ({ settle, payload: { payload } }) => {
      const right = payload.signature;
      payload.signature = malleated(right);
      await settle();
      payload.signature = right;
      await settle();
    },
  },
  {
    name: "a-wrong-signature-after-the-right-one",
    play: async ({ settle, payload: { payload } }) => {
      await settle();
      payload.signature = payload.signature.replace(/..$/, (v) => (v === "1b" ? "1c" : "1b"));
      await settle();
    },
  },
  {
    name: "paid-by-a-contract",
    payer: ({ wallet }) => ({ address: wallet, account: { ...owner.account, address: wallet } }),
    play: async ({ verify, settle }) => [await verify(), await settle()],
  },
  {
    name: "paid-by-a-delegated-account",
    payer: () => delegated,
    play: async ({ verify, settle }) => [await verify(), await settle()],
  },
  {
    // What its own key signs, Salt takes and Permit2 does not: there is code, and it knows no ERC-1271.
    name: "paid-by-a-delegated-account-without-1271",
    payer: () => delegatedSilent,
    play: async ({ verify, settle }) => [await verify(), await settle()],
  },
  {
    // It takes the code away from everybody.
    name: "proxy-without-code",
    apart: true,
    kinds: byPermit2,
    play: async ({ kind, site: { anvil }, settle }) => {
      const proxy = upto(kind) ? UPTO_PROXY : EXACT_PROXY;
      const code = await anvil.ask("eth_getCode", proxy, "latest");
      await anvil.ask("anvil_setCode", proxy, "0x");
      try {
        await settle();
      } finally {
        await anvil.ask("anvil_setCode", proxy, code);
      }
    },
  },
];
