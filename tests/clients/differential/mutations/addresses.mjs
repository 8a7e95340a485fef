// Every spelling of an address, and every wrong one, in each place that has one.
import { payer } from "../../support/accounts.mjs";
import { MULTICALL3, PERMIT2 } from "../../support/contracts.mjs";

const swapCase = (text) =>
  text.replace(/[a-z]/gi, (letter) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()));
/** The same address, written in another way. */
const spellings = {
  "lower-case": (address) => address.toLowerCase(),
  "upper-case": (address) => `0x${address.slice(2).toUpperCase()}`,
  "upper-case-prefix": (address) => `0X${address.slice(2)}`,
  "wrong-checksum": (address) => `0x${swapCase(address.slice(2))}`,
  "without-prefix": (address) => address.slice(2),
  "one-byte-less": (address) => address.slice(0, -2),
  "one-byte-more": (address) => `${address}00`,
  "as-word": (address) => `0x${"00".repeat(12)}${address.slice(2)}`,
  "space-behind": (address) => `${address} `,
  empty: () => "",
  name: () => "vitalik.eth",
  "no-hex": (address) => `${address.slice(0, -1)}g`,
};
/** Another address. */
const others = {
  zero: () => `0x${"00".repeat(20)}`,
  random: (_, random) => random.hex(20),
  permit2: () => PERMIT2,
  payer: () => payer.address,
  multicall3: () => MULTICALL3,
};

/** The places of addresses: in what is signed, and in what is asked for. */
const places = {
  from: { get: ({ fields }) => [fields, "from"] },
  to: { get: ({ fields }) => [fields.witness ?? fields, "to"] },
  token: { get: ({ fields }) => [fields.permitted, "token"], ways: ({ method }) => method !== "eip3009" },
  spender: { get: ({ fields }) => [fields, "spender"], ways: ({ method }) => method !== "eip3009" },
  facilitator: { get: ({ fields }) => [fields.witness, "facilitator"], ways: ({ scheme }) => scheme === "upto" },
  payTo: { get: ({ requirements }) => [requirements, "payTo"] },
  asset: { get: ({ requirements }) => [requirements, "asset"] },
  "extra.facilitatorAddress": {
    get: ({ requirements }) => [requirements.extra, "facilitatorAddress"],
    ways: ({ scheme }) => scheme === "upto",
  },
};

const changed = (place, change, keepSigned) => (draft, random) => {
  const signed = structuredClone(draft.fields);
  const [object, member] = places[place].get(draft);
  object[member] = change(object[member], random);
  if (keepSigned) draft.signed = signed;
};

/** @type {import("../generate.mjs").Mutation[]} */
export const addresses = Object.entries(places).flatMap(([place, { ways }]) => [
  ...Object.entries(spellings).map(([name, change]) => ({
    name: `${place}:${name}`,
    ways,
    before: changed(place, change, true),
  })),
  ...Object.entries(others).map(([name, change]) => ({
    name: `${place}:${name}`,
    ways,
    before: changed(place, change, false),
  })),
]);
addresses.push(
  {
    name: "asset-and-signed:no-contract",
    before: (draft, random) => {
      const address = random.hex(20);
      draft.requirements.asset = address;
      if (draft.fields.permitted) draft.fields.permitted.token = address;
      else draft.domain.verifyingContract = address;
    },
  },
  {
    name: "asset-and-signed:no-token",
    before: (draft) => {
      draft.requirements.asset = MULTICALL3;
      if (draft.fields.permitted) draft.fields.permitted.token = MULTICALL3;
      else draft.domain.verifyingContract = MULTICALL3;
    },
  },
  {
    name: "payTo-and-signed:zero",
    before: (draft) => {
      const zero = `0x${"00".repeat(20)}`;
      draft.requirements.payTo = zero;
      (draft.fields.witness ?? draft.fields).to = zero;
    },
  },
  {
    name: "payTo-and-signed:the-token",
    before: (draft) => {
      draft.requirements.payTo = draft.requirements.asset;
      (draft.fields.witness ?? draft.fields).to = draft.requirements.asset;
    },
  },
);
