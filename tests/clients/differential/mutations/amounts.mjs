// Every edge of an amount: as signed, as asked for, and both.
const asked = (draft) => (draft.way.v1 ? "maxAmountRequired" : "amount");
const setAsked = (draft, value) => (draft.requirements[asked(draft)] = value);
const setSigned = (draft, value) => {
  if (draft.fields.permitted) draft.fields.permitted.amount = value;
  else draft.fields.value = value;
};
const both = (value) => (draft) => {
  const made = typeof value === "function" ? value(draft.requirements[asked(draft)]) : value;
  setAsked(draft, made);
  setSigned(draft, made);
};
const more = (amount, by) => String(BigInt(amount) + by);

/** Other ways of writing a number. The same number is signed. */
const spellings = {
  "leading-zeros": (amount) => `000${amount}`,
  plus: (amount) => `+${amount}`,
  hexadecimal: (amount) => `0x${BigInt(amount).toString(16)}`,
  spaces: (amount) => ` ${amount} `,
  fraction: (amount) => `${amount}.0`,
  exponent: (amount) => `${amount}e0`,
  underscore: (amount) => `0_${amount}`,
  comma: (amount) => `${amount},0`,
  "full-width": (amount) => [...amount].map((digit) => String.fromCharCode(0xff10 + Number(digit))).join(""),
  "with-n": (amount) => `${amount}n`,
};
const values = {
  0: "0",
  "-1": "-1",
  "-0": "-0",
  empty: "",
  space: " ",
  "2^64": String(2n ** 64n),
  "2^128": String(2n ** 128n),
  "2^256-1": String(2n ** 256n - 1n),
  "2^256": String(2n ** 256n),
  "400-digits": "9".repeat(400),
  words: "ten",
  NaN: "NaN",
  Infinity: "Infinity",
};

/** @type {import("../generate.mjs").Mutation[]} */
export const amounts = [
  { name: "signed-one-more", before: (draft) => setSigned(draft, more(draft.requirements[asked(draft)], 1n)) },
  { name: "signed-one-less", before: (draft) => setSigned(draft, more(draft.requirements[asked(draft)], -1n)) },
  { name: "asked-one-more", before: (draft) => setAsked(draft, more(draft.requirements[asked(draft)], 1n)) },
  { name: "asked-one-less", before: (draft) => setAsked(draft, more(draft.requirements[asked(draft)], -1n)) },
  ...Object.entries(values).map(([name, value]) => ({ name: `both:${name}`, before: both(value) })),
  ...Object.entries(values).map(([name, value]) => ({ name: `asked:${name}`, before: (draft) => setAsked(draft, value) })),
  ...Object.entries(spellings).map(([name, spell]) => ({
    name: `asked-spelt:${name}`,
    before: (draft) => setAsked(draft, spell(draft.requirements[asked(draft)])),
  })),
  ...Object.entries(spellings).map(([name, spell]) => ({
    name: `signed-spelt:${name}`,
    before: (draft) => {
      draft.signed = structuredClone(draft.fields);
      setSigned(draft, spell(draft.requirements[asked(draft)]));
    },
  })),
];
