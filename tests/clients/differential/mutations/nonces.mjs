// Every edge of a nonce, used ones included.
import { USED_NONCE, USED_WORD } from "../world.mjs";

const set = (value) => (draft, random) => (draft.fields.nonce = typeof value === "function" ? value(random) : value);
/** The same nonce, written in another way; the right one is signed. */
const spelt = (spell) => (draft) => {
  draft.signed = structuredClone(draft.fields);
  draft.fields.nonce = spell(draft.fields.nonce);
};
const eip3009 = { ways: ({ method }) => method === "eip3009" };
const permit2 = { ways: ({ method }) => method !== "eip3009" };

/** @type {import("../generate.mjs").Mutation[]} */
export const nonces = [
  { name: "used", ...eip3009, before: set(USED_NONCE) },
  { name: "used", ...permit2, before: set((random) => String((USED_WORD << 8n) | BigInt(random.below(256)))) },
  { name: "zero", ...eip3009, before: set(`0x${"00".repeat(32)}`) },
  { name: "31-bytes", ...eip3009, before: set((random) => random.hex(31)) },
  { name: "33-bytes", ...eip3009, before: set((random) => random.hex(33)) },
  { name: "decimal", ...eip3009, before: set("12345") },
  { name: "empty", before: set("") },
  { name: "prefix-alone", before: set("0x") },
  { name: "upper-case", ...eip3009, before: spelt((nonce) => `0x${nonce.slice(2).toUpperCase()}`) },
  { name: "upper-case-prefix", ...eip3009, before: spelt((nonce) => `0X${nonce.slice(2)}`) },
  { name: "without-prefix", ...eip3009, before: spelt((nonce) => nonce.slice(2)) },
  ...[0n, 1n, 255n, 256n, 2n ** 64n, 2n ** 255n, 2n ** 256n - 1n, 2n ** 256n].map((value) => ({
    name: `value:${value < 1000n ? value : "large"}`,
    ...permit2,
    before: set(String(value)),
  })),
  { name: "negative", ...permit2, before: set("-1") },
  { name: "hexadecimal", ...permit2, before: spelt((nonce) => `0x${BigInt(nonce).toString(16)}`) },
  { name: "leading-zeros", ...permit2, before: spelt((nonce) => `00${nonce}`) },
  { name: "fraction", ...permit2, before: spelt((nonce) => `${nonce}.0`) },
  { name: "space", ...permit2, before: spelt((nonce) => ` ${nonce}`) },
];
