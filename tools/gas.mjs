#!/usr/bin/env node
// Prints snapshots/*.json, the gas of whole transactions, as tables: `make gas`. What the EVM and the other contracts
// take of it, and why, is said in docs/contracts.md and docs/channels.md.
import { readFileSync } from "node:fs";

// What is known of some operations: a floor, which is the same transaction without one instruction of our own; what is
// aimed at; and x402's own figure for the like.
const known = JSON.parse(readFileSync(new URL("gas-floors.json", import.meta.url)));

const figure = (number) => (number === undefined ? "" : String(number).replace(/\B(?=(\d{3})+$)/g, ","));

function table(name) {
  const path = new URL(`../snapshots/${name}.json`, import.meta.url);
  const gas = JSON.parse(readFileSync(path));
  for (const operation of Object.keys(known[name] ?? {})) {
    if (!(operation in gas)) throw new Error(`tools/gas-floors.json names "${operation}", which ${name} has not`);
  }
  const rows = Object.entries(gas).map(([operation, spent]) => {
    const { floor, target, x402 } = known[name]?.[operation] ?? {};
    const over = target !== undefined && spent > target ? `+${figure(spent - target)}` : "";
    return [operation, figure(Number(spent)), figure(floor), figure(target), over, x402 ?? ""];
  });
  print([[name, "gas", "floor", "aimed at", "over", "x402"], ...rows]);
}

function print(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  rows.forEach((row, at) => {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])));
    console.log(cells.join("  ").trimEnd());
    if (at === 0) console.log(widths.map((width) => "-".repeat(width)).join("  "));
  });
  console.log();
}

for (const name of ["SaltPay", "X402", "SaltChannels", "Salt", "WrappedSalt"]) table(name);
