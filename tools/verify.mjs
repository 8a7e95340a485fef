#!/usr/bin/env node
// Has the sources of the deployed contracts verified by a block explorer: `make verify`.
//
//   ETH_RPC_URL=… SALT402_EXPLORER_URL=… SALT402_EXPLORER_KEY=… node tools/verify.mjs [CONTRACT…]
//
// What stands where is in deployments/<chain id>.json, the compiler's input in deployments/verification/. Needs no key
// of an account and no build. Contracts of others are left out: their authors verify them.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Barred, Explorer } from "./deployment/explorer.mjs";
import { Failure, run } from "./deployment/failure.mjs";
import { read } from "./deployment/files.mjs";
import { root } from "./deployment/forge.mjs";
import { keccak } from "./deployment/keccak.mjs";
import { Node } from "./deployment/node.mjs";
import { FOLDER } from "./verification.mjs";
import { PUBLISHED } from "./x402-initcode.mjs";

const OTHERS = new Set(["Permit2", "Multicall3"]);

/** Why a contract is not ours to verify; undefined if it is. */
export function othersOwn(name, deployed, index) {
  if (OTHERS.has(name)) return "its authors verify it";
  if (deployed.initCodeHash === null) return "it was not deployed from here";
  // Ours or x402's own stand under one name.
  if (Object.values(PUBLISHED).some((proxy) => proxy.initCodeHash === deployed.initCodeHash)) return "it is x402's own";
  if (!(name in index.contracts)) return "there is no input for it in deployments/verification";
  return undefined;
}

/** The constructor's arguments that a contract was created with. They must give the hash that the deployment has. */
export async function argumentsOf(node, name, deployed, index) {
  const known = index.contracts[name];
  const other = () =>
    new Failure("it was not created from these sources: check out the version of salt402 that deployed it, and verify there");
  if (known.constructorArguments !== null) {
    if (known.initCodeHash !== deployed.initCodeHash) throw other();
    return known.constructorArguments;
  }
  if (!deployed.transaction) {
    throw new Failure("its constructor's arguments are in the transaction that created it, which the file does not name");
  }
  const transaction = await node.ask("eth_getTransactionByHash", deployed.transaction);
  const data = transaction?.input ?? transaction?.data;
  if (!data) throw new Failure(`the node does not have the transaction that created it, ${deployed.transaction}`);
  // The CREATE2 salt goes before the code.
  const initCode = `0x${data.slice(2 + 64)}`;
  const code = initCode.slice(0, 2 + 2 * known.creationCodeSize);
  if (keccak(initCode) !== deployed.initCodeHash || keccak(code) !== known.creationCodeHash) throw other();
  return `0x${initCode.slice(code.length)}`;
}

async function verifyOne(name, deployed, { node, explorer, index, folder }) {
  const constructorArguments = await argumentsOf(node, name, deployed, index);
  if ((await node.code(deployed.address)) === "0x") throw new Failure("the chain has no code there");
  const { input, contract } = index.contracts[name];
  return explorer.verify({
    address: deployed.address,
    contract,
    compiler: index.compiler,
    input: JSON.stringify(JSON.parse(readFileSync(join(folder, input), "utf8"))),
    constructorArguments,
  });
}

/** Verifies the contracts of a deployment, and gives the names of those that were not. */
export async function verify({ deployment, names, node, explorer, folder = FOLDER, say = console.log }) {
  const index = JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));
  const failed = [];
  for (const [name, deployed] of Object.entries(deployment.contracts)) {
    if (names.length > 0 && !names.includes(name)) continue;
    const others = othersOwn(name, deployed, index);
    if (others) {
      say(`${name}: left out, ${others}`);
      continue;
    }
    try {
      const result = await verifyOne(name, deployed, { node, explorer, index, folder });
      say(`${name}: ${result === "already" ? "was verified before" : "verified"} at ${deployed.address}`);
    } catch (error) {
      if (!(error instanceof Failure) || error instanceof Barred) throw error;
      say(`${name}: NOT verified at ${deployed.address}: ${error.message}`);
      failed.push(name);
    }
  }
  return failed;
}

async function main(names, environment) {
  process.chdir(root);
  const node = new Node(environment.ETH_RPC_URL);
  const chain = await node.chain();
  const explorer = new Explorer({
    url: environment.SALT402_EXPLORER_URL,
    key: environment.SALT402_EXPLORER_KEY,
    chain,
  });
  const path = join(environment.SALT402_DEPLOYMENTS || "deployments", `${chain}.json`);
  const text = read(path);
  if (text === null) throw new Failure(`${path} is not there: nothing was deployed on chain ${chain} from here. Run make deploy`);
  const deployment = JSON.parse(text);
  const unknown = names.filter((name) => !(name in deployment.contracts));
  if (unknown.length > 0) throw new Failure(`${path} has no ${unknown.join(", ")}`);

  const failed = await verify({ deployment, names, node, explorer });
  if (failed.length > 0) throw new Failure(`Not verified: ${failed.join(", ")}`);
  return 0;
}

if (process.argv[1] === new URL(import.meta.url).pathname) await run(main);
