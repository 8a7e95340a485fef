#!/usr/bin/env node
// The compiler's input of each contract of this project, as explorers take it to verify a contract's source.
//
//   node tools/verification.mjs write     `make verification`: writes deployments/verification/, after `forge build`
//   node tools/verification.mjs check     `make lint`: fails where a file is not what the build says
//
// Which sources, with which settings, is what the compiler wrote down of the build in out/. Each input that is written
// is compiled once more, alone, and must give the same code.
import { readFileSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { read, write } from "./deployment/files.mjs";
import { Failure, run } from "./deployment/failure.mjs";
import { root } from "./deployment/forge.mjs";
import { keccak } from "./deployment/keccak.mjs";

export const FOLDER = join(root, "deployments/verification");
const INDEX = "index.json";

const PERMIT2 = "000000000022d473030f116ddee9f6b43ac78ba3";
// The types of each constructor's arguments, and the arguments where they are always the same.
const CONTRACTS = {
  SaltPay: { types: [], fixed: "" },
  SaltChannels: { types: [], fixed: "" },
  WrappedSalt: { types: [], fixed: "" },
  Salt: { types: ["address", "uint256"], fixed: null },
  X402ExactPermit2Proxy: { types: ["address"], fixed: PERMIT2.padStart(64, "0") },
  X402UptoPermit2Proxy: { types: ["address"], fixed: PERMIT2.padStart(64, "0") },
};

function artifact(name, out) {
  const text = read(join(out, `${name}.sol`, `${name}.json`));
  if (text === null) throw new Failure(`${name} is not built: run make contracts`);
  return JSON.parse(text);
}

/** The standard JSON input that gives an artifact's code. */
export function inputOf(built, folder = root) {
  const { sources, settings } = JSON.parse(built.rawMetadata);
  const { compilationTarget: _, ...kept } = settings;
  return {
    language: "Solidity",
    sources: Object.fromEntries(
      Object.keys(sources)
        .sort()
        .map((path) => {
          const content = readFileSync(join(folder, path), "utf8");
          if (keccak(`0x${Buffer.from(content).toString("hex")}`) !== sources[path].keccak256) {
            throw new Failure(`${path} is not what was built: run make contracts`);
          }
          return [path, { content }];
        }),
    ),
    settings: { ...kept, outputSelection: { "*": { "*": ["abi", "evm.bytecode", "evm.deployedBytecode"] } } },
  };
}

/** The creation code that an input gives. */
export function compile(input, path, name) {
  const solc = createRequire(import.meta.url)("solc");
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input)));
  const fatal = errors.filter((error) => error.severity === "error");
  if (fatal.length > 0) throw new Failure(`${name} does not compile alone: ${fatal[0].formattedMessage}`);
  return `0x${contracts[path][name].evm.bytecode.object}`;
}

/** Each file's name and text, as the build in `out` says; and what is needed to compile each input once more. */
export function files(out = join(root, "out")) {
  const made = { texts: {}, inputs: [] };
  const index = { compiler: undefined, contracts: {} };
  for (const [name, { types, fixed }] of Object.entries(CONTRACTS)) {
    const built = artifact(name, out);
    const { compiler, settings } = JSON.parse(built.rawMetadata);
    const [[path]] = Object.entries(settings.compilationTarget);
    const found = built.abi.find((entry) => entry.type === "constructor")?.inputs.map((input) => input.type) ?? [];
    if (String(found) !== String(types)) {
      throw new Failure(`the constructor of ${name} takes (${found}): say so in tools/verification.mjs`);
    }
    const input = inputOf(built);
    index.compiler ??= `v${compiler.version}`;
    index.contracts[name] = {
      input: `${name}.json`,
      contract: `${path}:${name}`,
      creationCodeHash: keccak(built.bytecode.object),
      creationCodeSize: built.bytecode.object.length / 2 - 1,
      initCodeHash: fixed === null ? null : keccak(built.bytecode.object + fixed),
      constructorTypes: types,
      constructorArguments: fixed === null ? null : `0x${fixed}`,
    };
    made.texts[`${name}.json`] = `${JSON.stringify(input, null, 1)}\n`;
    made.inputs.push({ name, path, input, code: built.bytecode.object });
  }
  made.texts[INDEX] = `${JSON.stringify(index, null, 2)}\n`;
  return made;
}

/** The names of the files that are not what they should be, missing and superfluous ones among them. */
export function stale(texts, folder = FOLDER) {
  let there = [];
  try {
    there = readdirSync(folder);
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  const wrong = Object.keys(texts).filter((name) => read(join(folder, name)) !== texts[name]);
  return [...wrong, ...there.filter((name) => !(name in texts))];
}

async function main([mode, ...rest]) {
  if (!["write", "check"].includes(mode) || rest.length > 0) {
    throw new Failure("usage: node tools/verification.mjs write|check");
  }
  const { texts, inputs } = files();
  const wrong = stale(texts);
  if (wrong.length === 0) return 0;
  if (mode === "check") {
    throw new Failure(`deployments/verification is not what the build gives (${wrong.join(", ")}): run make verification`);
  }
  for (const { name, path, input, code } of inputs) {
    if (!wrong.includes(`${name}.json`)) continue;
    if (compile(input, path, name) !== code) throw new Failure(`${name}, compiled alone, is not what forge built`);
    console.log(`${name}: compiled alone, the same code`);
  }
  for (const name of wrong) {
    if (name in texts) write(join(FOLDER, name), texts[name]);
    else rmSync(join(FOLDER, name));
  }
  return 0;
}

if (process.argv[1] === new URL(import.meta.url).pathname) await run(main);
