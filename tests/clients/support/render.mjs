// How the tables of table.mjs are written: as Markdown, on a page and in a terminal.

/**
 * A table.
 *
 * @param {string[]} head - The titles.
 * @param {string[][]} lines - The cells.
 * @returns {string} Markdown.
 */
export function table(head, lines) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...lines.map(line)].join("\n");
}

/** What happened in the cells of a table in this run. */
export class Run {
  #said = new Map();

  /**
   * Notes a cell.
   *
   * @param {string} row - The row's title.
   * @param {string} column - The column's.
   * @param {string} text - What happened.
   */
  note(row, column, text) {
    this.#said.set(JSON.stringify([row, column]), text);
  }

  /**
   * Prints the table, with a question mark where nothing was noted.
   *
   * @param {string} title - What it shows.
   * @param {string[]} rows - The rows' titles.
   * @param {string[]} columns - The columns'.
   */
  print(title, rows, columns) {
    const lines = rows.map((row) => [row, ...columns.map((column) => this.#said.get(JSON.stringify([row, column])) ?? "?")]);
    console.log(`\n${title}, in this run:\n\n${table(["", ...columns], lines)}\n`);
  }
}
