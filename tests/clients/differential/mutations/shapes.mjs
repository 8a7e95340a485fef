// What JSON can do to a request: members that are missing, null, of another type, added or there twice.

/** The paths of all values in a request. */
function paths(value, path = []) {
  if (typeof value !== "object" || value === null) return [path];
  return [
    ...(path.length > 0 ? [path] : []),
    ...Object.entries(value).flatMap(([name, inner]) => paths(inner, [...path, name])),
  ];
}

const at = (body, path) => path.reduce((object, name) => object[name], body);
const shown = (path) => path.join(".").replace("paymentPayload", "payload").replace("paymentRequirements", "asked");

/** Does something to a value of the request, and says in the mutation's name to which. */
const somewhere = (name, act, which = () => true) => ({
  name,
  after: (draft, random) => {
    const path = random.pick(paths(draft.body).filter((candidate) => which(at(draft.body, candidate))));
    if (!path) return "nowhere";
    const holder = at(draft.body, path.slice(0, -1));
    const member = path.at(-1);
    act(holder, member, random, draft, path);
    return shown(path);
  },
});

const isText = (value) => typeof value === "string";
const isInteger = (value) => typeof value === "string" && /^\d+$/.test(value);
const isObject = (value) => typeof value === "object" && value !== null;
const types = [0, 1, -1, 1.5, true, false, "", "text", [], {}, [[]], { toString: 1 }];

/** The request as text, with a member there twice: before and after another value of it. */
function doubled(draft, path, value, first) {
  const [holder, member] = [at(draft.body, path.slice(0, -1)), path.at(-1)];
  const [mark, original] = ["the member that is there twice", holder[member]];
  holder[member] = mark;
  const text = JSON.stringify(draft.body);
  holder[member] = original;
  const both = (first ? [value, original] : [original, value]).map(
    (one) => `${JSON.stringify(member)}:${JSON.stringify(one)}`,
  );
  draft.text = text.replace(`${JSON.stringify(member)}:${JSON.stringify(mark)}`, () => both.join(","));
}

const raw = (change) => ({
  after: (draft) => {
    draft.text = change(JSON.stringify(draft.body));
  },
});

/** @type {import("../generate.mjs").Mutation[]} */
export const shapes = [
  somewhere("missing", (holder, member) => delete holder[member]),
  somewhere("null", (holder, member) => (holder[member] = null)),
  somewhere("type", (holder, member, random) => (holder[member] = random.pick(types))),
  somewhere("number", (holder, member) => (holder[member] = Number(holder[member])), isInteger),
  somewhere(
    "huge-number",
    (holder, member, random) => (holder[member] = random.pick([1e21, 1e300, 2 ** 53, -1e21])),
    isInteger,
  ),
  somewhere("array-of-one", (holder, member) => (holder[member] = [holder[member]])),
  somewhere("object-of-one", (holder, member) => (holder[member] = { value: holder[member] }), isText),
  somewhere("long-text", (holder, member) => (holder[member] = "a".repeat(10_000)), isText),
  somewhere("zero-byte", (holder, member) => (holder[member] = `${holder[member]}\u0000`), isText),
  somewhere("emoji", (holder, member) => (holder[member] = "🧂"), isText),
  somewhere("one-more-member", (holder, member) => (holder[member].unknown = "member"), isObject),
  somewhere("prototype", (holder, member) => (holder[member] = JSON.parse('{"__proto__":{"isValid":true}}')), isObject),
  somewhere("twice-right-first", (_, __, random, draft, path) => doubled(draft, path, random.pick(types), false)),
  somewhere("twice-right-last", (_, __, random, draft, path) => doubled(draft, path, random.pick(types), true)),
  ...[0, 1, 2, 3, "2", "1", null, 2.5, -1, true].map((version) => ({
    name: `version:${JSON.stringify(version)}`,
    after: (draft) => (draft.body.x402Version = draft.body.paymentPayload.x402Version = version),
  })),
  { name: "version-outside", after: (draft) => (draft.body.x402Version = 3 - draft.body.x402Version) },
  {
    name: "version-inside",
    after: (draft) => (draft.body.paymentPayload.x402Version = 3 - draft.body.paymentPayload.x402Version),
  },
  { name: "text:empty", ...raw(() => "") },
  { name: "text:null", ...raw(() => "null") },
  { name: "text:array", ...raw((text) => `[${text}]`) },
  { name: "text:number", ...raw(() => "7") },
  { name: "text:cut", ...raw((text) => text.slice(0, -5)) },
  { name: "text:more-behind", ...raw((text) => `${text}x`) },
  { name: "text:spaces-around", ...raw((text) => `\n\t ${text} \r\n`) },
  { name: "text:byte-order-mark", ...raw((text) => `\ufeff${text}`) },
  { name: "text:comment", ...raw((text) => `/* */${text}`) },
  { name: "text:single-quotes", ...raw((text) => text.replaceAll('"', "'")) },
  { name: "text:trailing-comma", ...raw((text) => `${text.slice(0, -1)},}`) },
  { name: "text:escaped", ...raw((text) => text.replaceAll("paymentPayload", "\\u0070aymentPayload")) },
  { name: "text:lone-surrogate", ...raw((text) => text.replace("A test", "\\ud800")) },
  { name: "text:deep", ...raw((text) => `${text.slice(0, -1)},"deep":${"[".repeat(2000)}${"]".repeat(2000)}}`) },
  { name: "text:large", ...raw((text) => `${text.slice(0, -1)},"large":"${"a".repeat(100_000)}"}`) },
  {
    name: "both-payloads",
    after: ({ body: { paymentPayload }, fields }) => {
      paymentPayload.payload.authorization ??= {
        from: fields.from,
        to: fields.from,
        value: "1",
        validAfter: "0",
        validBefore: "9",
        nonce: "0x",
      };
      paymentPayload.payload.permit2Authorization ??= { ...paymentPayload.payload.authorization };
    },
  },
];
