// The one source of what is tested with whom: which client pays in which dialect, by which way, on which chain. The tests run its
// cells, and docs/clients.md shows them. It imports nothing, so that the page can be checked where no client is installed.

const [CITRATE, BASE_SEPOLIA] = [40204, 84532];

/**
 * A way of paying on a chain, and how it is sold.
 *
 * @typedef {object} Column
 * @property {string} id - Its name in `cells`.
 * @property {string} title - On the page.
 * @property {number} chain - The chain id.
 * @property {"eip3009" | "permit2" | "upto" | "transaction"} way - How money moves.
 * @property {object} sale - For `startGateway`: the token, and how it is moved.
 */

const column = (way, chain, title, sale) => ({ id: `${way}-${chain}`, way, chain, title: `${title}, ${chain}`, sale });
const priced = { [CITRATE]: { token: "wSALT", native: true }, [BASE_SEPOLIA]: { token: "Salt" } };

/** The ways of paying. @type {Column[]} */
export const columns = [CITRATE, BASE_SEPOLIA].flatMap((chain) => [
  column("transaction", chain, "transaction", priced[chain]),
  column("eip3009", chain, "EIP-3009", priced[chain]),
  // Prices are in the token: Permit2 moves what has an allowance.
  column("permit2", chain, "Permit2", { ...priced[chain], native: false, method: "permit2" }),
  column("upto", chain, "`upto`", { ...priced[chain], upto: "0.000000000000001" }),
]);

/**
 * Why a cell is not paid. With `says`, the cell is run: the client fails with this, and nothing moves.
 *
 * @type {Record<string, { why: string, says?: RegExp }>}
 */
export const reasons = {
  signs: { why: "It signs, and sends no transaction." },
  sends: { why: "It sends a transaction, and signs nothing." },
  version1: { why: "Version 1 of x402 has no name for this chain, so nothing is offered in it.", says: /.*/ },
  noPermit: { why: "Nothing is offered in the dialect, which has EIP-3009 alone; or the client signs nothing else.", says: /.*/ },
  noRoom: {
    why: "A 402 of all dialects that offers `upto` and `exact` has no room for it within 7 KiB of headers: name fewer in `dialects`.",
    says: /.*/,
  },
  asks: { why: "It asks a server of its maker on the internet what the token can do, where the offer names no `TransferWithAuthorization`." },
  takesHttpx: { why: "The SDK takes a client of httpx, which `requests` is not." },
  quoteless: { why: "It sends no quote back, which a proxy's price needs, so nothing is offered in it.", says: /.*/ },

};

/**
 * A client in a dialect.
 *
 * @typedef {object} Row
 * @property {string} client - Which: a key of `clients` in paying.mjs.
 * @property {string} title - On the page.
 * @property {string} dialect - As `dialects` of the configuration has it.
 * @property {string[]} [only] - The dialects in which its 402 asks, where others would come first.
 * @property {Record<string, string>} cells - By the way of paying or by a column's id: `pays`, `exact` (it pays the most, by `exact`), or a reason.
 */

const x402 = { transaction: "signs", eip3009: "pays", permit2: "pays", upto: "pays" };
const version1 = {
  transaction: "signs",
  [`eip3009-${CITRATE}`]: "version1",
  [`eip3009-${BASE_SEPOLIA}`]: "pays",
  permit2: "noPermit",
  [`upto-${CITRATE}`]: "version1",
  [`upto-${BASE_SEPOLIA}`]: "exact",
};
const signing = { transaction: "signs", eip3009: "pays", permit2: "noPermit", upto: "exact" };
const sending = { transaction: "pays", eip3009: "sends", permit2: "sends", upto: "sends" };
const row = (client, title, dialect, cells, more) => ({ client, title, dialect, cells, ...more });

/** The clients. @type {Row[]} */
export const rows = [
  row("fetch", "`@x402/fetch`", "x402", x402),
  row("axios", "`@x402/axios`", "x402", x402),
  row("httpx", "`x402` (PyPI), httpx", "x402", x402),
  row("requests", "`x402` (PyPI), requests", "x402", x402),
  row("reqwest", "crate `x402-reqwest`", "x402", { ...x402, upto: "exact" }),
  row("thirdweb", "`thirdweb`", "x402", { ...x402, permit2: "asks", upto: "asks" }),
  row("faremeter", "`@faremeter/fetch`", "x402", { ...x402, permit2: "noPermit", upto: "exact" }),
  row("fetch-v1", "`@x402/fetch`", "x402-v1", version1, { only: ["x402-v1"] }),
  row("faremeter-v1", "`@faremeter/fetch`", "x402-v1", version1, { only: ["x402-v1"] }),
  row("x402-fetch", "`x402-fetch`", "x402-v1", version1),
  row("x402-axios", "`x402-axios`", "x402-v1", version1),
  row("mppx", "`mppx`", "mpp", signing),
  row("curl-mpp-hash", "curl, a credential of type `hash`", "mpp", sending),
  row("curl-payment-details", "curl, Citrate's flow", "X-Payment-Details", sending),
  row("curl-masken", "curl, Masken's flow", "masken", sending),
  row("curl-payment-headers", "curl, the flow of `X-Payment-Required`", "payment-headers", { ...signing, upto: "noRoom" }),
  row("curl-requirements-header", "curl, x402cloud's flow", "requirements-header", signing),
  row("curl-nested-body", "curl, CheapestInference's flow", "nested-body", signing),
];

/** The ways of paying behind forward-auth. By `upto` nothing is offered there: what was used is not seen. */
export const behind = columns.filter(({ way }) => way !== "upto");

/** The dialects whose clients do not send the quote back. */
export const sendsNoQuote = ["x402-v1", "payment-headers", "nested-body"];

/**
 * What is expected of a client behind forward-auth.
 *
 * @param {Row} row - The client.
 * @param {Column} column - The column.
 * @returns {string} `pays`, `exact` or a reason.
 */
export function cellBehind(row, column) {
  const before = cell(row, column);
  return before === "pays" && sendsNoQuote.includes(row.dialect) ? "quoteless" : before;
}

/** SDKs of model servers, over paying clients. */
export const sdks = [
  ["openai-fetch", "`openai` over `@x402/fetch`", "x402"],
  ["openai-x402-fetch", "`openai` over `x402-fetch`", "x402-v1"],
  ["openai-mppx", "`openai` over `mppx`", "mpp"],
  ["openai-faremeter", "`openai` over `@faremeter/fetch`", "x402"],
  ["openai-thirdweb", "`openai` over `thirdweb`", "x402"],
  ["ai-fetch", "`ai` over `@x402/fetch`", "x402"],
  ["ai-x402-fetch", "`ai` over `x402-fetch`", "x402-v1"],
  ["ai-mppx", "`ai` over `mppx`", "mpp"],
  ["ai-faremeter", "`ai` over `@faremeter/fetch`", "x402"],
  ["ai-thirdweb", "`ai` over `thirdweb`", "x402"],
  ["openai-httpx", "`openai` (Python) over `x402` (PyPI), httpx", "x402"],
  ["openai-requests", "`openai` (Python) over `x402` (PyPI), requests", "x402"],
].map(([client, title, dialect]) => ({ client, title, dialect }));

/** How they ask, on each chain. */
export const asked = [CITRATE, BASE_SEPOLIA].flatMap((chain) =>
  ["plain", "streamed"].map((form) => ({ id: `${form}-${chain}`, chain, form, title: `${form}, ${chain}` })),
);

/**
 * What is expected of an SDK.
 *
 * @param {{ client: string, dialect: string }} sdk - The SDK.
 * @param {{ chain: number }} asked - How it asks, and where.
 * @returns {string} `pays`, or a reason.
 */
export function cellOf({ client, dialect }, { chain }) {
  if (client.endsWith("-requests")) return "takesHttpx";
  return dialect === "x402-v1" && chain === CITRATE ? "version1" : "pays";
}

/**
 * What is expected of a client in a column.
 *
 * @param {Row} row - The client.
 * @param {Column} column - The column.
 * @returns {string} `pays`, `exact` or a reason.
 */
export function cell({ cells }, { id, way }) {
  const said = cells[id] ?? cells[way];
  if (!said) throw new Error(`no cell for ${id}`);
  return said;
}

/**
 * What goes wrong after something to pay with was shown.
 *
 * @typedef {object} Refusal
 * @property {string} id - Its name in `paid`.
 * @property {string} title - On the page.
 * @property {RegExp} answers - Status and code of the first answer after the payment. Left out: there is none.
 * @property {string} [model] - How the model server behaves: the beginning of the model's name.
 * @property {boolean} [serves] - Whether whoever shows the first payment again is served.
 * @property {boolean} [signed] - Whether it can befall signatures alone.
 * @property {RegExp} [answersSent] - The same for whoever sends a transaction, where it is another.
 * @property {RegExp} [spares] - Whom it does not befall.
 * @property {boolean} [short] - Whether it needs quotes that end soon.
 */

/** @type {Refusal[]} */
export const refusals = [
  { id: "less", title: "too little", answers: /^402 (insufficient_payment|signature_refused)$/, signed: true },
  { id: "token", title: "another token", answers: /^402 signature_refused$/, signed: true, spares: /^(openai|ai)-(mppx|faremeter)/ },
  { id: "domain", title: "a signature that is not good", answers: /^402 signature_refused$/, signed: true, spares: /mppx/ },
  { id: "late", title: "expired", answers: /^402 signature_refused$/, signed: true, spares: /^curl-payment-headers$/ },
  { id: "ended", title: "the quote ended", answers: /^(200|402 signature_refused)$/, answersSent: /^410 payment_expired$/, short: true },
  { id: "used", title: "used before it came", answers: /^403 signature_used$/, signed: true },
  { id: "time", title: "not on the chain yet", answers: /^(425 |402 payment_not_seen$)/, serves: true },
  { id: "fails", title: "model server: 500", answers: /^424 upstream_failed$/, model: "fails" },
  { id: "refuses", title: "model server: 400", answers: /^424 not_served$/, model: "refuses" },
  { id: "breaks", title: "model server: connection closed", answers: /^424 upstream_failed$/, model: "breaks" },
  { id: "full", title: "at capacity", answers: /^(425|503) at_capacity$/, model: "holds-full", serves: true },
  { id: "taken", title: "the model taken away", answers: /^404 unknown_model$/, answersSent: /^424 not_served$/, model: "taken" },
  { id: "limited", title: "the limit by address", answers: /^425 address_limited$/, answersSent: /^(200|425 address_limited|429 address_limited)$/, serves: true },
  { id: "disk", title: "full disk", answers: /^425 (storage|facilitator)_unavailable$/, answersSent: /^(503 storage_unavailable|402 payment_not_seen|425 (payment_not_seen|storage_unavailable))$/, serves: true },
  { id: "killed", title: "salt402 killed while it ran", model: "holds-killed", serves: true },
  { id: "lost", title: "the answer lost", answers: /^200$/, serves: true },
];

/** Who is shown them, by the chain on which they pay. */
export const shownTo = {
  [CITRATE]: [
    "fetch", "axios", "httpx", "requests", "reqwest", "thirdweb", "faremeter", "mppx",
    "curl-payment-headers", "curl-requirements-header", "curl-nested-body",
    "curl-payment-details", "curl-masken", "curl-mpp-hash",
    "openai-fetch", "openai-mppx", "openai-faremeter", "openai-httpx", "ai-fetch", "ai-mppx",
  ],
  [BASE_SEPOLIA]: ["x402-fetch", "x402-axios", "openai-x402-fetch"],
};

const again = { less: "1/2", token: "0/0", domain: "1/2", late: "1/2" };
const waits = { full: "1/1", limited: "1/1", disk: "1/1" };
const anew = { killed: "1/2", lost: "1/2" };
// What mppx signs for a challenge is the same where the challenge still is.
const maybe = { killed: "1/*", lost: "1/*" };

/** How often each client pays, of how many payments that it shows, as `paid/shown`; `*` is any number. By the client, with `*` for all others. */
export const paid = {
  "*": {
    less: "0/1", token: "0/1", domain: "0/1", late: "0/1", used: "1/1", time: "1/1", fails: "1/1", refuses: "1/1", breaks: "1/1",
    full: "0/1", ended: "1/1", taken: "0/1", limited: "0/1", disk: "0/1", killed: "1/1", lost: "1/1",
  },
  // They pay again after a 402. Both know the token from their user, and mppx its domain too.
  faremeter: again,
  // It looks at the end of an offer itself, as the contract does of who pays in time.
  mppx: { ...again, domain: "1/1", ended: "0/0" },
  // They wait, and show the same again.
  ...Object.fromEntries(["requirements-header", "nested-body"].map((flow) => [`curl-${flow}`, { ...again, token: "1/2", ...waits }])),
  // Its 402 names no time.
  "curl-payment-headers": { ...again, token: "1/2", late: "1/1", ...waits },
  ...Object.fromEntries(["payment-details", "masken", "mpp-hash"].map((flow) => [`curl-${flow}`, { ...waits, taken: "1/1", ...(flow === "payment-details" && { ended: "0/0" }) }])),
  // They ask anew where the connection breaks.
  "openai-fetch": anew,
  "openai-x402-fetch": anew,
  // It asks anew, for challenges that end sooner than a settlement takes.
  "openai-mppx": { ...again, token: "1/1", domain: "1/1", ended: "0/*", ...maybe },
  "openai-faremeter": { ...again, token: "1/1", ...anew },
  "ai-fetch": anew,
  "ai-mppx": { ...again, domain: "1/1", ended: "0/0", ...maybe },
};

/**
 * How often a client pays.
 *
 * @param {string} client - Which.
 * @param {string} refusal - A refusal's id.
 * @returns {string} `paid/shown`.
 */
export const paidOf = (client, refusal) => paid[client]?.[refusal] ?? paid["*"][refusal];

/** What goes wrong where a proxy asks: what a model does, the server behind does, whose answers are passed on as they are. */
export const refusalsBehind = refusals
  .filter(({ id }) => !["refuses", "full"].includes(id))
  .map((kind) => ({ ...kind, ...({
    fails: { title: "server behind: 500", answers: /^500$/ },
    breaks: { title: "server behind: connection closed", answers: /^502$/ },
    taken: { title: "the price taken away", answers: /^403 no_price$/, answersSent: /^403 no_price$/ },
  })[kind.id] }));

/** Who is shown it there: all who can pay there. */
export const shownBehind = {
  chain: CITRATE,
  clients: rows.filter((row) => columns.some((column) => column.chain === CITRATE && cellBehind(row, column) === "pays")).map(({ client }) => client),
};

const paidBehind = { "*": {} };

/**
 * How often a client pays there.
 *
 * @param {string} client - Which.
 * @param {string} refusal - A refusal's id.
 * @returns {string} `paid/shown`.
 */
export const paidBehindOf = (client, refusal) => paidBehind[client]?.[refusal] ?? paidBehind["*"][refusal] ?? paidOf(client, refusal);
