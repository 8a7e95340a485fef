#!/usr/bin/env node
// Reads the init code of x402's own proxies from a chain that has them, for SALT402_X402_INIT_CODE.
//
//   ETH_RPC_URL=… node tools/x402-initcode.mjs FOLDER [--exact HASH] [--upto HASH]
//
// FOLDER, below scratch/ or deployments/, gets x402ExactPermit2Proxy.hex and x402UptoPermit2Proxy.hex. HASH is the
// transaction that created the one or the other, if it is known. Otherwise it is looked for: by the height at which the
// code appeared, which takes a node that knows old states, and then in that block's transactions and traces.
//
// The node is not trusted: code whose hash is not the published one is refused, wherever it came from.
import { join, resolve } from "node:path";
import { Failure, run } from "./deployment/failure.mjs";
import { write } from "./deployment/files.mjs";
import { root } from "./deployment/forge.mjs";
import { keccak } from "./deployment/keccak.mjs";
import { Node, Refused } from "./deployment/node.mjs";

const FACTORY = "0x4e59b44847b379578588920ca78fbf26c0b4956c";

/** As script/PublicContracts.sol has them. */
export const PUBLISHED = {
  exact: {
    file: "x402ExactPermit2Proxy.hex",
    address: "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
    salt: "0x0000000000000000000000000000000000000000000000003000000007263b0e",
    initCodeHash: "0xe774d1d5a07218946ab54efe010b300481478b86861bb17d69c98a57f68a604c",
  },
  upto: {
    file: "x402UptoPermit2Proxy.hex",
    address: "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
    salt: "0x000000000000000000000000000000000000000000000000b000000001db633d",
    initCodeHash: "0x74f7a29cbc3c55f87cdef7f7c551643189e8bb62eed9de67753aebc402b83797",
  },
};

const isHex = (text) => typeof text === "string" && /^0x([0-9a-f]{2})+$/i.test(text);
const same = (one, other) => String(one).toLowerCase() === String(other).toLowerCase();

/** Answers of a node that does not have a method, or the state that it needs, as nothing. */
async function unlessRefused(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  }
}

/** The init code that a transaction gave to the factory. */
function handedOver(transaction, { salt }) {
  const data = transaction?.input ?? transaction?.data;
  if (!isHex(data) || !same(transaction.to, FACTORY) || !same(data.slice(0, 66), salt)) return [];
  return [`0x${data.slice(66)}`];
}

/** What created the contract, in a tree of calls as geth's callTracer gives it. */
function inCalls(call, address) {
  if (!call) return [];
  const here = same(call.type, "CREATE2") && same(call.to, address) && isHex(call.input) ? [call.input] : [];
  return [...here, ...(call.calls ?? []).flatMap((inner) => inCalls(inner, address))];
}

/** The same, in a list of traces as OpenEthereum and its followers give it. */
function inTraces(traces, address) {
  return (Array.isArray(traces) ? traces : [])
    .filter((one) => one?.type === "create" && same(one.result?.address, address) && isHex(one.action?.init))
    .map((one) => one.action.init);
}

/** The first that was published among some, or what is wrong with them. */
function published(codes, { initCodeHash }) {
  const hashes = codes.map((code) => keccak(code));
  const at = hashes.indexOf(initCodeHash);
  return { code: codes[at]?.toLowerCase(), others: hashes.filter((hash) => hash !== initCodeHash) };
}

/**
 * Tries ways one after the other, until one gives the published code. Each way gives init codes.
 */
async function first(ways, proxy, place) {
  const others = [];
  for (const way of ways) {
    const found = published((await way()) ?? [], proxy);
    if (found.code) return found.code;
    others.push(...found.others);
  }
  if (others.length > 0) {
    throw new Failure(
      `${place} holds code for ${proxy.address}, and its hash is ${others[0]}. Published is ${proxy.initCodeHash}. The node lies, or this is another contract. Nothing was written for it.`,
    );
  }
  throw new Failure(
    `${place} does not show what created ${proxy.address}. Ask a node that has debug_ or trace_ methods, or name the transaction.`,
  );
}

const calls = { tracer: "callTracer" };

function fromTransaction(node, hash, proxy) {
  return first(
    [
      async () => handedOver(await node.ask("eth_getTransactionByHash", hash), proxy),
      async () => inTraces(await unlessRefused(node.ask("trace_transaction", hash)), proxy.address),
      async () => inCalls(await unlessRefused(node.ask("debug_traceTransaction", hash, calls)), proxy.address),
    ],
    proxy,
    `transaction ${hash}`,
  );
}

/** The block whose transactions created a contract. */
async function birth(node, { address }) {
  const head = await node.height();
  if ((await node.code(address, head)) === "0x") {
    throw new Failure(`${address} has no code on this chain. Ask the node of a chain that has it, such as Base.`);
  }
  let [without, from] = [-1, head];
  while (from - without > 1) {
    const middle = Math.floor((from + without) / 2);
    let code;
    try {
      code = await node.code(address, middle);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      throw new Failure(
        `the node does not know the state of block ${middle}: ask an archive node, or name the transaction (--exact, --upto)`,
      );
    }
    if (code === "0x") without = middle;
    else from = middle;
  }
  return from;
}

async function search(node, proxy) {
  const height = await birth(node, proxy);
  const block = `0x${height.toString(16)}`;
  return first(
    [
      async () => {
        const found = await node.ask("eth_getBlockByNumber", block, true);
        return (found?.transactions ?? []).flatMap((transaction) => handedOver(transaction, proxy));
      },
      async () => inTraces(await unlessRefused(node.ask("trace_block", block)), proxy.address),
      async () => {
        const traced = await unlessRefused(node.ask("debug_traceBlockByNumber", block, calls));
        return (Array.isArray(traced) ? traced : []).flatMap((one) => inCalls(one.result, proxy.address));
      },
    ],
    proxy,
    `block ${height}`,
  );
}

/** The published init code of a proxy, from the transaction that created it if that is known. */
export function initCode(node, proxy, transaction) {
  return transaction ? fromTransaction(node, transaction, proxy) : search(node, proxy);
}

async function main(args, environment) {
  const usage = "usage: ETH_RPC_URL=… node tools/x402-initcode.mjs FOLDER [--exact HASH] [--upto HASH]";
  const [folder, ...rest] = args;
  const transactions = {};
  for (let at = 0; at < rest.length; at += 2) {
    const name = rest[at].slice(2);
    if (!rest[at].startsWith("--") || !(name in PUBLISHED)) throw new Failure(usage);
    if (!/^0x[0-9a-f]{64}$/i.test(rest[at + 1] ?? "")) throw new Failure(`${rest[at]} needs a transaction's hash`);
    transactions[name] = rest[at + 1];
  }
  if (!folder || folder.startsWith("-")) throw new Failure(usage);
  const target = resolve(folder);
  if (!["scratch", "deployments"].some((allowed) => target.startsWith(join(root, allowed, "/")))) {
    throw new Failure("FOLDER must be below scratch/ or deployments/: the deployment's script reads it from there alone");
  }
  const node = new Node(environment.ETH_RPC_URL);
  for (const [name, proxy] of Object.entries(PUBLISHED)) {
    const code = await initCode(node, proxy, transactions[name]);
    write(join(target, proxy.file), `${code}\n`);
    console.log(`${proxy.address}: ${(code.length - 2) / 2} bytes of init code with the published hash, in ${join(folder, proxy.file)}`);
  }
  console.log(`Deploy with SALT402_X402_INIT_CODE=${folder}`);
  return 0;
}

if (process.argv[1] === new URL(import.meta.url).pathname) await run(main);
