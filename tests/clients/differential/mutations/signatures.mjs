// Every form that a signature can have.
import { concatHex, encodeAbiParameters, padHex, toHex } from "viem";
import { owner, unapproved } from "../../support/accounts.mjs";

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const MAGIC = "0x6492649264926492649264926492649264926492649264926492649264926492";
const word = (value) => padHex(toHex(value), { size: 32 });
const parts = (signature) => ({
  r: BigInt(signature.slice(0, 66)),
  s: BigInt(`0x${signature.slice(66, 130)}`),
  v: parseInt(signature.slice(130), 16),
});
const whole = ({ r, s, v }) => concatHex([word(r), word(s), toHex(v, { size: 1 })]);
/** With the signature's parts changed. */
const changed = (change) => (draft) =>
  setSignature(draft, whole({ ...parts(draft.signature), ...change(parts(draft.signature)) }));
/**
 * The other signature that recovers to the same key: everybody can make it of the first.
 *
 * @param {`0x${string}`} signature - 65 bytes.
 * @returns {`0x${string}`} With an s in the upper half.
 */
export function malleated(signature) {
  const { r, s, v } = parts(signature);
  return whole({ r, s: ORDER - s, v: v === 27 ? 28 : 27 });
}
const text = (change) => (draft, random) => setSignature(draft, change(draft.signature, random));
const setSignature = (draft, signature) => (draft.body.paymentPayload.payload.signature = signature);

/**
 * A signature in the envelope of ERC-6492.
 *
 * @param {`0x${string}`} signature - What is inside.
 * @param {`0x${string}`} factory - The factory that is named.
 * @param {`0x${string}`} calldata - What it is called with.
 * @returns {`0x${string}`} The envelope.
 */
export function wrapped(signature, factory, calldata = "0x1234") {
  const inner = encodeAbiParameters(
    [{ type: "address" }, { type: "bytes" }, { type: "bytes" }],
    [factory, calldata, signature],
  );
  return concatHex([inner, MAGIC]);
}

/** @type {import("../generate.mjs").Mutation[]} */
export const signatures = [
  { name: "high-s", after: text(malleated) },
  { name: "other-v", after: changed(({ v }) => ({ v: v === 27 ? 28 : 27 })) },
  { name: "v-0-or-1", after: changed(({ v }) => ({ v: v - 27 })) },
  { name: "v-2-or-3", after: changed(({ v }) => ({ v: v - 25 })) },
  { name: "v-29", after: changed(() => ({ v: 29 })) },
  { name: "v-of-chain", after: changed(({ v }) => ({ v: v + 8 })) },
  { name: "v-255", after: changed(() => ({ v: 255 })) },
  { name: "zero-r", after: changed(() => ({ r: 0n })) },
  { name: "zero-s", after: changed(() => ({ s: 0n })) },
  { name: "s-is-order", after: changed(() => ({ s: ORDER })) },
  { name: "r-above-order", after: changed(() => ({ r: 2n ** 256n - 1n })) },
  { name: "r-one-more", after: changed(({ r }) => ({ r: r + 1n })) },
  { name: "all-zero", after: text(() => `0x${"00".repeat(65)}`) },
  { name: "random", after: text((_, random) => random.hex(65)) },
  {
    name: "compact",
    after: text((signature) => {
      const { r, s, v } = parts(signature);
      return concatHex([word(r), word(s | (BigInt(v - 27) << 255n))]);
    }),
  },
  { name: "64-bytes", after: text((signature) => signature.slice(0, 130)) },
  { name: "66-bytes", after: text((signature) => `${signature}00`) },
  { name: "twice", after: text((signature) => concatHex([signature, signature])) },
  { name: "empty", after: text(() => "0x") },
  { name: "empty-text", after: text(() => "") },
  { name: "without-prefix", after: text((signature) => signature.slice(2)) },
  { name: "upper-case", after: text((signature) => `0x${signature.slice(2).toUpperCase()}`) },
  { name: "upper-case-prefix", after: text((signature) => `0X${signature.slice(2)}`) },
  { name: "odd-digits", after: text((signature) => signature.slice(0, -1)) },
  { name: "no-hex", after: text((signature) => `${signature.slice(0, -2)}zz`) },
  { name: "space-behind", after: text((signature) => `${signature} `) },
  { name: "5000-bytes", after: text((_, random) => random.hex(5_000)) },
  { name: "somebody-else's", before: (draft) => (draft.signer = unapproved) },
  { name: "a-hash-of-nothing", before: (draft) => (draft.signed = {}) },
  {
    name: "6492-around-a-right-one",
    after: text((signature) => wrapped(signature, "0x4e59b44847b379578588920cA78FbF26c0B4956C")),
  },
  { name: "6492-around-a-wrong-one", after: text((_, random) => wrapped(random.hex(65), random.hex(20))) },
  { name: "6492-without-factory", after: text((signature) => wrapped(signature, `0x${"00".repeat(20)}`)) },
  { name: "6492-mark-alone", after: text((signature) => concatHex([signature, MAGIC])) },
  { name: "6492-twice", after: text((signature, random) => wrapped(wrapped(signature, random.hex(20)), random.hex(20))) },
  {
    name: "6492-of-an-account-without-code",
    before: (draft) => {
      draft.fields.from = owner.address;
      draft.signer = unapproved;
    },
    after: text((signature, random) => wrapped(signature, random.hex(20))),
  },
];
