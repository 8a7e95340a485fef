// The tables of docs/clients.md, out of table.mjs. It imports nothing that is installed.
import { table } from "./render.mjs";
import {
  asked, behind, cell, cellBehind, cellOf, columns, paidBehindOf, paidOf, reasons, refusals, refusalsBehind, rows, sdks, shownBehind, shownTo,
} from "./table.mjs";

/** Letters for reasons, in the order in which a page first names them. */
class Notes {
  #letters = new Map();

  /** A cell's text. */
  text(said) {
    if (said === "pays") return "pays";
    if (said === "exact") return "pays the most";
    if (!this.#letters.has(said)) this.#letters.set(said, String.fromCharCode(97 + this.#letters.size));
    return `– (${this.#letters.get(said)})`;
  }

  /** What the letters say. */
  list() {
    return [...this.#letters].map(([said, letter]) => {
      const { why, says } = reasons[said];
      return `- (${letter}) ${why}${says ? " Tried: nothing moves." : ""}`;
    });
  }
}

const named = (all) => new Map(all.map(({ client, title, dialect }) => [client, [title, dialect]]));

/** How often a client pays, as a page says it. */
function often(text) {
  const [paid, shown] = text.split("/").map(Number);
  return shown > 1 ? `${paid} (of ${shown} signed)` : String(paid);
}

/**
 * The blocks of the page, by their names.
 *
 * @returns {Record<string, string>} Markdown.
 */
export function blocks() {
  const matrix = (lines, titles, of) => {
    const notes = new Notes();
    const cells = lines.map((row) => [row.title, row.dialect, ...titles.map((column) => notes.text(of(row, column)))]);
    return [table(["client", "dialect", ...titles.map(({ title }) => title)], cells), "", ...notes.list()].join("\n");
  };
  const known = named([...rows, ...sdks]);
  const everybody = Object.values(shownTo).flat();
  const isSent = (client) => rows.find((row) => row.client === client)?.cells.transaction === "pays";
  const counted = (clients, kinds, of) => {
    const lines = clients.map((client) => {
      const [title, dialect] = known.get(client);
      return [title, dialect, ...kinds.map(({ id, signed }) => (signed && isSent(client) ? "–" : often(of(client, id))))];
    });
    return table(["client", "dialect", ...kinds.map(({ title }) => title)], lines);
  };
  return {
    gateway: matrix(rows, columns, cell),
    "forward-auth": matrix(rows, behind, cellBehind),
    sdks: matrix(sdks, asked, cellOf),
    refusals: counted(everybody, refusals, paidOf),
    "refusals-behind": counted(shownBehind.clients, refusalsBehind, paidBehindOf),
  };
}
