// Every kind of payer.
import { delegated, delegatedSilent, named, owner, payer, poor, unapproved } from "../../support/accounts.mjs";
import { encodeFunctionData } from "viem";
import { artifact } from "../../support/contracts.mjs";
import { tokenAbi } from "../../support/stand.mjs";
import { wrapped } from "./signatures.mjs";

const by = (account) => (draft) => {
  draft.fields.from = account.address;
  draft.signer = account;
};
/** A contract wallet, with a signature of its owner or of somebody else. */
const wallet = (signer) => (draft) => {
  draft.fields.from = draft.site.wallet;
  draft.signer = signer;
};
const sealed = (draft) => {
  const { payload } = draft.body.paymentPayload;
  payload.signature = wrapped(payload.signature, "0x4e59b44847b379578588920cA78FbF26c0B4956C");
};

/**
 * A wallet that does not exist yet and has tokens, with what creates it in its signature (ERC-6492). Each is another one: one that
 * is settled exists.
 */
const unborn = (name, { signer = owner, factory, calldata } = {}) => ({
  name: `unborn:${name}`,
  before: async (draft, random) => {
    const { site, twin, requirements } = draft;
    const { abi } = artifact("WalletFactory");
    const args = [owner.address, `${random.hex(31)}${twin.toString(16).padStart(2, "0")}`];
    const wallet = await site.anvil.client.readContract({ address: site.factory, abi, functionName: "addressOf", args });
    const transfer = { abi: tokenAbi, functionName: "transfer", args: [wallet, 10n ** 7n] };
    await site.anvil.act(payer.address, requirements.asset, encodeFunctionData(transfer));
    draft.fields.from = wallet;
    draft.signer = signer;
    draft.creates = calldata ?? encodeFunctionData({ abi, functionName: "create", args });
  },
  after: ({ site, body, creates }) => {
    const { payload } = body.paymentPayload;
    payload.signature = wrapped(payload.signature, factory ?? site.factory, creates);
  },
});

/** @type {import("../generate.mjs").Mutation[]} */
export const payers = [
  { name: "without-tokens", before: by(poor) },
  { name: "without-allowance", before: by(unapproved) },
  { name: "unknown", before: (draft, random) => by(named(random.hex(8)))(draft) },
  { name: "contract", before: wallet(owner) },
  { name: "contract-signed-by-another", before: wallet(payer) },
  { name: "contract-6492", before: wallet(owner), after: sealed },
  unborn("right"),
  unborn("signed-by-another", { signer: payer }),
  unborn("other-factory", { factory: "0x4e59b44847b379578588920cA78FbF26c0B4956C" }),
  unborn("other-calldata", { calldata: "0x1234" }),
  { name: "delegated", before: by(delegated) },
  { name: "delegated-signed-by-another", before: (draft) => (draft.fields.from = delegated.address) },
  { name: "delegated-6492", before: by(delegated), after: sealed },
  { name: "delegated-without-1271", before: by(delegatedSilent) },
  { name: "nobody", before: (draft) => (draft.fields.from = `0x${"00".repeat(20)}`) },
  { name: "the-token", before: (draft) => (draft.fields.from = draft.requirements.asset) },
  { name: "the-payee", before: (draft) => (draft.fields.from = draft.requirements.payTo) },
  {
    name: "pays-itself",
    before: (draft) => {
      draft.requirements.payTo = payer.address;
      if (draft.fields.witness) draft.fields.witness.to = payer.address;
      else draft.fields.to = payer.address;
    },
  },
  {
    name: "has-less-than-asked",
    before: (draft) => {
      by(unapproved)(draft);
      const amount = String(10n ** 20n);
      draft.requirements[draft.way.v1 ? "maxAmountRequired" : "amount"] = amount;
      if (draft.fields.permitted) draft.fields.permitted.amount = amount;
      else draft.fields.value = amount;
    },
  },
];
