// Writes the file of deployments: of each contract that the chain has code for, its address, its transaction and block.
//
// forge keeps what it sent in BROADCAST/Deploy.s.sol/<chain id>/run-*.json, also of runs that broke off, and of runs on
// another chain of the same id, as local ones are. So the node is asked for each receipt, and only what it knows counts.
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { read, write } from "./files.mjs";

/**
 * The creations that forge says it sent, those of the last run first. forge may have been ended while it wrote a run down: that
 * run is passed over.
 */
function creations(directory, say) {
  let names;
  try {
    names = readdirSync(directory).filter((name) => /^run-.*\.json$/.test(name));
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
  return names
    .map((name) => join(directory, name))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)
    .flatMap((path) => {
      try {
        const { transactions } = JSON.parse(readFileSync(path, "utf8"));
        return transactions.filter((sent) => sent.hash && sent.contractAddress && sent.transactionType.startsWith("CREATE"));
      } catch (error) {
        say(`${path} is passed over, because it was not written to its end: ${error.message}`);
        return [];
      }
    });
}

/** A transaction's receipt, if it is mined and did what it should. The factory reverts when it creates nothing. */
async function receiptOf(node, hash) {
  const receipt = await node.ask("eth_getTransactionReceipt", hash);
  return receipt?.status === "0x1" && receipt.transactionHash === hash ? receipt : undefined;
}

/**
 * The height of a creation's block. The newest block may be replaced, and the creation be mined again in another, which may be
 * lower. So the receipt is read once more, and the lower one counts: who begins to read there misses nothing.
 */
async function lowestOf(node, hash, receipt) {
  const again = await receiptOf(node, hash);
  return Math.min(...[receipt, again ?? receipt].map((one) => Number(one.blockNumber)));
}

/**
 * The transaction that created a contract and its block; or a block that is not later than its creation, from which an
 * indexer may start, and no transaction.
 */
async function creationOf(node, plan, contract, recorded, sent, head) {
  const address = contract.address.toLowerCase();
  const before = recorded?.address?.toLowerCase() === address ? recorded : undefined;
  const hashes = sent.filter((one) => one.contractAddress.toLowerCase() === address).map((one) => one.hash);
  if (before?.transaction) hashes.unshift(before.transaction);
  for (const hash of hashes) {
    const receipt = await receiptOf(node, hash);
    if (receipt) return { block: await lowestOf(node, hash, receipt), transaction: hash };
  }
  // It was not there when the plan was made, so somebody else created it since.
  if (!contract.isThere) return { block: plan.block, transaction: null };
  // A transaction that the node does not know was on the chain before it was reset, and so was its block.
  const block = before && !before.transaction && before.block <= head ? before.block : 0;
  return { block, transaction: null };
}

/** Whether the chain has code for a contract. Every address that is created from here follows from its code. */
async function stands(node, { address }) {
  return (await node.code(address)) !== "0x";
}

/**
 * Writes `<deployments>/<chain id>.json` and gives the names of planned contracts that the chain does not have. A node
 * may be a moment behind the receipts that it gave, so it is asked for those again, `patience` times, a second apart.
 */
export async function record(node, plan, { deployments, broadcast, patience = 30, say = console.log }) {
  const path = join(deployments, `${plan.chainId}.json`);
  const text = read(path);
  const before = text === null ? {} : (JSON.parse(text).contracts ?? {});
  const sent = creations(join(broadcast, "Deploy.s.sol", String(plan.chainId)), say);

  const contracts = {};
  const missing = [];
  for (const contract of plan.contracts) {
    let there = await stands(node, contract);
    for (let asked = 0; !there && asked < patience && (await wasMined(node, contract, sent)); ++asked) {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      there = await stands(node, contract);
    }
    if (!there) {
      missing.push(contract.name);
      continue;
    }
    const found = await creationOf(node, plan, contract, before[contract.name], sent, await node.height());
    contracts[contract.name] = {
      address: contract.address,
      initCodeHash: contract.initCodeHash,
      block: found.block,
      transaction: found.transaction,
    };
    if (before[contract.name]?.transaction === found.transaction) continue;
    say(
      found.transaction
        ? `${contract.name} was created in block ${found.block} by ${found.transaction}`
        : `${contract.name} was there before; its transaction is not known`,
    );
  }

  // What an earlier run deployed, and this one was not asked for, is as it was.
  for (const [name, entry] of Object.entries(before)) {
    if (name in contracts || plan.contracts.some((contract) => contract.name === name)) continue;
    if (typeof entry?.address === "string" && (await stands(node, entry))) {
      contracts[name] = entry;
    } else {
      say(`${name} is not in the file any more: the chain has no code at ${entry?.address}`);
    }
  }

  if (Object.keys(contracts).length === 0) {
    // What an operator has written down is not thrown away on the word of a node that knows nothing at all.
    if (text !== null) say(`${path} stays as it was, and the chain has no contract of it`);
    return missing;
  }
  const after = `${JSON.stringify({ chainId: plan.chainId, contracts }, null, 2)}\n`;
  if (after !== text) write(path, after);
  return missing;
}

async function wasMined(node, contract, sent) {
  for (const { contractAddress, hash } of sent) {
    if (contractAddress.toLowerCase() === contract.address.toLowerCase() && (await receiptOf(node, hash))) return true;
  }
  return false;
}
