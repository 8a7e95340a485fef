// What is asked for, what the payer says it accepted, and the domain that was signed.
const only = (...methods) => ({ ways: ({ method }) => methods.includes(method) });
const asked = (member, value) => (draft) => (draft.requirements[member] = value);
const extra = (change) => (draft) => change(draft.requirements.extra);
/** After signing, so that what was accepted is what was asked for at first. */
const accepted = (change) => (draft) => {
  const { accepted: terms } = draft.body.paymentPayload;
  if (terms) change(terms, draft.body.paymentPayload);
};
const v2 = { ways: ({ v1 }) => !v1 };

const networks = [
  "eip155:1",
  "eip155:40204",
  "eip155:84532",
  "eip155:040204",
  "eip155:40204 ",
  "EIP155:84532",
  "eip155:",
  "eip155:*",
];
const oddNetworks = [
  "eip155:-1",
  "eip155:1.5",
  "eip155:99999999999999999999",
  "solana:mainnet",
  "base-sepolia",
  "base",
  "",
  "84532",
];
const schemes = ["exact", "upto", "EXACT", "exact ", "batch-settlement", "", "toString"];

/** @type {import("../generate.mjs").Mutation[]} */
export const terms = [
  ...[...networks, ...oddNetworks].map((network) => ({
    name: `asked.network:${network}`,
    before: asked("network", network),
  })),
  ...networks.map((network) => ({
    name: `accepted.network:${network}`,
    ...v2,
    after: accepted((terms) => (terms.network = network)),
  })),
  ...schemes.map((scheme) => ({ name: `asked.scheme:${scheme}`, before: asked("scheme", scheme) })),
  ...schemes.map((scheme) => ({
    name: `accepted.scheme:${scheme}`,
    ...v2,
    after: accepted((terms) => (terms.scheme = scheme)),
  })),
  ...[0, -1, 1, 1.5, 5, 10 ** 9, 2 ** 53, "60", null].map((seconds) => ({
    name: `asked.maxTimeoutSeconds:${seconds}`,
    before: asked("maxTimeoutSeconds", seconds),
  })),
  { name: "asked.unknown-member", before: asked("unknown", { some: "thing" }) },
  { name: "accepted.amount", ...v2, after: accepted((terms) => (terms.amount = "1")) },
  { name: "accepted.asset", ...v2, after: accepted((terms) => (terms.asset = terms.payTo)) },
  { name: "accepted.payTo", ...v2, after: accepted((terms) => (terms.payTo = terms.asset)) },
  { name: "accepted.maxTimeoutSeconds", ...v2, after: accepted((terms) => (terms.maxTimeoutSeconds += 1)) },
  { name: "accepted.extra", ...v2, after: accepted((terms) => (terms.extra = { name: "Other", version: "9" })) },
  { name: "accepted.extra-added", ...v2, after: accepted((terms) => (terms.extra.more = 1)) },
  { name: "accepted.without-extra", ...v2, after: accepted((terms) => delete terms.extra) },
  { name: "accepted.missing", ...v2, after: accepted((_, payload) => delete payload.accepted) },
  { name: "accepted.null", ...v2, after: accepted((_, payload) => (payload.accepted = null)) },
  { name: "extra.missing", before: (draft) => delete draft.requirements.extra },
  ...[null, [], "text", 7, {}].map((value) => ({ name: `extra:${JSON.stringify(value)}`, before: asked("extra", value) })),
  { name: "extra.without-name", before: extra((members) => delete members.name) },
  { name: "extra.without-version", before: extra((members) => delete members.version) },
  ...["", null, 2, "2", "Other", "wsalt"].map((value) => ({
    name: `extra.name:${value}`,
    before: extra((m) => (m.name = value)),
  })),
  ...["", null, 1, "1.0", "9"].map((value) => ({
    name: `extra.version:${value}`,
    before: extra((m) => (m.version = value)),
  })),
  ...["permit2", "eip3009", "erc7710", "", null, 7].map((value) => ({
    name: `extra.assetTransferMethod:${value}`,
    before: extra((members) => (members.assetTransferMethod = value)),
  })),
  ...["authorization", "upfront", "escrow", "other", null].map((value) => ({
    name: `extra.paymentFlow:${value}`,
    before: extra((members) => (members.paymentFlow = value)),
  })),
  { name: "extra.unknown-member", before: extra((members) => (members.more = { some: ["thing"] })) },
  { name: "domain.chain", before: (draft) => (draft.domain = { ...draft.domain, chainId: draft.way.chain + 1 }) },
  {
    name: "domain.other-chain-of-ours",
    before: (draft) => (draft.domain = { ...draft.domain, chainId: draft.way.chain === 84532 ? 40204 : 84532 }),
  },
  {
    name: "domain.contract",
    before: (draft, random) => (draft.domain = { ...draft.domain, verifyingContract: random.hex(20) }),
  },
  { name: "domain.name", before: (draft) => (draft.domain = { ...draft.domain, name: `${draft.domain.name}.` }) },
  { name: "domain.version", before: (draft) => (draft.domain = { ...draft.domain, version: "3" }) },
  {
    name: "domain.without-version",
    ...only("eip3009"),
    before: (draft) => (draft.domain = { ...draft.domain, version: undefined }),
  },
  {
    // The token has another name than both sides say.
    name: "domain-and-extra.name",
    ...only("eip3009"),
    before: (draft) => {
      draft.domain = { ...draft.domain, name: "Other" };
      draft.requirements.extra.name = "Other";
    },
  },
  {
    name: "domain-and-extra.version",
    ...only("eip3009"),
    before: (draft) => {
      draft.domain = { ...draft.domain, version: "9" };
      draft.requirements.extra.version = "9";
    },
  },
  { name: "to-somebody-else", before: (draft, random) => ((draft.fields.witness ?? draft.fields).to = random.hex(20)) },
];
