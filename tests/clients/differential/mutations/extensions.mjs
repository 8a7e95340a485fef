// EIP-2612 permits that the facilitator submits, and other extensions.
import { maxUint256 } from "viem";
import { owner, unapproved } from "../../support/accounts.mjs";
import { PERMIT2 } from "../../support/contracts.mjs";

const permitTypes = {
  Permit: [
    { name: "owner", type: "address" },
    { name: "spender", type: "address" },
    { name: "value", type: "uint256" },
    { name: "nonce", type: "uint256" },
    { name: "deadline", type: "uint256" },
  ],
};

/** An amount that can be signed. */
const atLeastZero = (amount) => (BigInt(amount) > 0n ? BigInt(amount) : 0n);

/** Adds a permit of the payer, with changes in what is signed and what is said. */
const permit = (name, { said = {}, signed = {}, without, info: whole } = {}) => ({
  name: `permit:${name}`,
  ways: ({ method, token, v1 }) => !v1 && method !== "eip3009" && token === "Salt",
  before: (draft) => {
    draft.fields.from = unapproved.address;
    draft.signer = unapproved;
  },
  after: async (draft) => {
    const { requirements, now, way, body } = draft;
    const given = (values) => (typeof values === "function" ? values(draft) : values);
    const amount = atLeastZero(draft.fields.permitted.amount);
    const message = {
      owner: unapproved.address,
      spender: PERMIT2,
      value: amount,
      nonce: 0n,
      deadline: BigInt(now + 60),
      ...given(signed),
    };
    const domain = { name: "Salt", version: "1", chainId: way.chain, verifyingContract: requirements.asset };
    const signature = await unapproved.account.signTypedData({ domain, types: permitTypes, primaryType: "Permit", message });
    const info = {
      from: message.owner,
      asset: requirements.asset,
      spender: message.spender,
      amount: String(message.value),
      nonce: String(message.nonce),
      deadline: String(message.deadline),
      signature,
      version: "1",
      ...given(said),
    };
    if (without) delete info[without];
    body.paymentPayload.extensions = { eip2612GasSponsoring: { info: whole === undefined ? info : whole } };
  },
});
const members = ["from", "asset", "spender", "amount", "nonce", "deadline", "signature", "version"];
const extensions = (name, value) => ({
  name: `extensions:${name}`,
  ways: ({ v1 }) => !v1,
  after: ({ body }) => (body.paymentPayload.extensions = value),
});

/** @type {import("../generate.mjs").Mutation[]} */
export const extended = [
  permit("right"),
  ...members.map((member) => permit(`without-${member}`, { without: member })),
  ...members.map((member) => permit(`null-${member}`, { said: { [member]: null } })),
  ...members.map((member) => permit(`number-${member}`, { said: { [member]: 7 } })),
  ...members.map((member) => permit(`odd-${member}`, { said: { [member]: "odd" } })),
  permit("of-another", { said: { from: owner.address } }),
  permit("for-another-asset", { said: { asset: PERMIT2 } }),
  permit("for-another-spender", { said: { spender: owner.address } }),
  permit("signed-for-another-spender", { signed: { spender: owner.address }, said: { spender: PERMIT2 } }),
  permit("amount-more", { signed: ({ fields }) => ({ value: atLeastZero(fields.permitted.amount) + 1n }) }),
  permit("amount-less", { signed: ({ fields }) => ({ value: atLeastZero(BigInt(fields.permitted.amount) - 1n) }) }),
  permit("amount-unlimited", { signed: { value: maxUint256 } }),
  permit("amount-said-alone", { said: { amount: "1" } }),
  permit("nonce-used-up", { signed: { nonce: 7n } }),
  permit("deadline-passed", { signed: ({ now }) => ({ deadline: BigInt(Math.max(now - 1, 0)) }) }),
  permit("deadline-now", { signed: ({ now }) => ({ deadline: BigInt(now) }) }),
  permit("deadline-unlimited", { signed: { deadline: maxUint256 } }),
  permit("signature-random", { said: { signature: `0x${"ab".repeat(65)}` } }),
  permit("signature-short", { said: { signature: `0x${"ab".repeat(64)}` } }),
  permit("version-2", { said: { version: "2" } }),
  permit("info-null", { info: null }),
  permit("info-array", { info: [] }),
  extensions("null", null),
  extensions("array", []),
  extensions("text", "text"),
  extensions("unknown", { unknown: { info: {}, schema: {} } }),
  extensions("sponsoring-null", { eip2612GasSponsoring: null }),
  extensions("sponsoring-by-server-alone", {
    eip2612GasSponsoring: { info: { description: "A test", version: "1" }, schema: {} },
  }),
  extensions("approval", { erc20ApprovalGasSponsoring: { info: { from: "0x", signedTransaction: "0x" } } }),
  extensions("builder-code", { "builder-code": { info: { a: "app" } } }),
  extensions("payment-identifier", { "payment-identifier": { info: { required: true, id: "pay_0123456789abcdef" } } }),
];
