#!/usr/bin/env node
// Makes npm's solc (the compiler as WebAssembly) answer like the native `solc` that forge expects to run.
// forge asks two things of it: its version, and one compilation as standard JSON from stdin to stdout.
"use strict";

const fs = require("node:fs");
const solc = require("solc");

// Written in a loop and never followed by process.exit(): stdout may be a pipe that takes 64 KiB at a time, and what it
// has not taken yet would be lost.
function write(text) {
  const bytes = Buffer.from(text);
  let sent = 0;
  while (sent < bytes.length) {
    try {
      sent += fs.writeSync(1, bytes, sent);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

const flags = process.argv.slice(2);
if (flags.includes("--version")) {
  write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else if (flags.includes("--standard-json")) {
  write(solc.compile(fs.readFileSync(0, "utf8")));
} else {
  process.stderr.write("tools/solc.cjs answers --version and --standard-json only\n");
  process.exitCode = 1;
}
