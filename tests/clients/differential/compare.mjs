// Two facilitators' answers held against each other.

/**
 * What a facilitator answered to `/verify`, in a few words: `valid`, a reason, `400`, or `threw`; and what it said of the payer, if
 * that is not the one that the request names.
 *
 * @param {{ status: number, body: any }} answer - The answer.
 * @param {string | undefined} from - The payer that the request names.
 * @returns {string} The words.
 */
export function verdict({ status, body }, from) {
  if (typeof body !== "object" || body === null || typeof body.isValid !== "boolean") {
    // x402's classes throw where they do not understand; a service says so with a 500, its HTTP frame with a 400.
    return status === 500 ? "threw" : String(status);
  }
  const reason = body.isValid ? "valid" : String(body.invalidReason);
  return `${status === 200 ? "" : `${status} `}${reason}${ofPayer(body.payer, from)}`;
}

/**
 * What a facilitator said of the payer, if that is not the one that the request names. Ours writes an address with its
 * checksum and x402 as it came; that is the same payer.
 *
 * @param {unknown} said - The payer in its answer.
 * @param {string | undefined} from - The payer in the request.
 * @returns {string} Some words, or none.
 */
export function ofPayer(said, from) {
  if (said === undefined || said === null) return from === undefined ? "" : ", no payer";
  if (said === "" && from !== "") return ", empty payer";
  const isSame = typeof said === "string" && typeof from === "string" && said.toLowerCase() === from.toLowerCase();
  return isSame ? "" : ", another payer";
}

/**
 * A difference that has a reason. `mutation`, `official` and `ours` are texts in which `*` stands for anything;
 * `refused` is every refusal, and no failure to answer.
 *
 * @typedef {object} Explanation
 * @property {string} mutation - The mutation, `area.name`.
 * @property {string} official - What the official facilitator answers.
 * @property {string} ours - What ours answers.
 * @property {string} why - Why that is right.
 */

/** What a text in the table stands for, as a test. */
function pattern(text) {
  if (text === "refused") return (words) => words !== "threw" && !/^(\d+ )?(valid|success)/.test(words);
  const escaped = text.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const whole = new RegExp(`^${escaped.join(".*")}$`, "s");
  return (words) => whole.test(words);
}

/**
 * Makes a table of explanations ready for use.
 *
 * @param {Explanation[]} table - The table.
 * @returns {(mutations: string[], official: string, ours: string) => Explanation | undefined} Finds the explanation of a
 *   difference; of a request that is wrong in two ways, an explanation of either will do.
 */
export function explainer(table) {
  const made = table.map((entry) => ({ entry, parts: [entry.mutation, entry.official, entry.ours].map(pattern) }));
  return (mutations, official, ours) => {
    const fits = ({ parts: [mutation, theirs, own] }) => theirs(official) && own(ours) && mutations.some(mutation);
    return made.find(fits)?.entry;
  };
}

/**
 * How bad a difference is: what is valid for one alone matters most.
 *
 * @param {string} official - The official answer.
 * @param {string} ours - Ours.
 * @returns {string} `laxer`, `stricter` or `words`.
 */
export function kindOf(official, ours) {
  const [theirs, own] = [official, ours].map((words) => words.startsWith("valid"));
  if (own && !theirs) return "laxer";
  return theirs && !own ? "stricter" : "words";
}

/**
 * Puts differences together that are the same.
 *
 * @param {{ mutations: string[], way: string, index: number, official: string, ours: string }[]} differences - All of them.
 * @returns {object[]} The groups: the gravest and the largest first, each with its ways of paying and an example.
 */
export function grouped(differences) {
  const groups = new Map();
  for (const { mutations, way, index, official, ours } of differences) {
    const mutation = mutations.join(" + ");
    const key = JSON.stringify([mutation, official, ours]);
    const group = groups.get(key) ?? {
      kind: kindOf(official, ours),
      mutation,
      official,
      ours,
      count: 0,
      ways: new Set(),
      example: index,
    };
    group.count += 1;
    group.ways.add(way);
    groups.set(key, group);
  }
  const rank = ["laxer", "stricter", "words"];
  return [...groups.values()]
    .map((group) => ({ ...group, ways: [...group.ways] }))
    .sort((a, b) => rank.indexOf(a.kind) - rank.indexOf(b.kind) || b.count - a.count);
}
