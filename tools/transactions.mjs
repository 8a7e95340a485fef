#!/usr/bin/env node
// Adds the transactions that created the contracts, and their blocks, to the file of deployments that the forge script
// wrote before it sent them. tools/deploy.sh runs it.
//
//   ETH_RPC_URL=… node tools/transactions.mjs DEPLOYMENTS BROADCAST
//
// forge keeps what it sent in BROADCAST/Deploy.s.sol/<chain id>/run-*.json, also of runs that broke off, and of runs on
// another chain of the same id, as local ones are. So the node is asked for each receipt, and only what it knows counts.
import { readFileSync, readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

class Failure extends Error {}

async function ask(url, method, params) {
  let response;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      signal: AbortSignal.timeout(30_000),
    });
    const answer = await response.json();
    if (answer.error) throw new Failure(`the node refused ${method}: ${answer.error.message}`);
    return answer.result;
  } catch (error) {
    if (error instanceof Failure) throw error;
    // The address may hold a key, and fetch puts it into its messages.
    throw new Failure(`the node at ETH_RPC_URL did not answer ${method}${response ? ` (HTTP ${response.status})` : ""}`);
  }
}

/** The creations that forge says it sent, those of the last run first. */
function creations(directory) {
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
    .flatMap((path) => JSON.parse(readFileSync(path, "utf8")).transactions)
    .filter((sent) => sent.hash && sent.contractAddress && sent.transactionType.startsWith("CREATE"));
}

/**
 * The receipt of the transaction that created a contract. What a transaction does follows from its hash; that it did it,
 * and where, the node says. The factory reverts when it creates nothing.
 */
async function creationOf(url, address, sent) {
  for (const { hash } of sent.filter((one) => one.contractAddress.toLowerCase() === address)) {
    const receipt = await ask(url, "eth_getTransactionReceipt", [hash]);
    if (receipt?.status === "0x1" && receipt.transactionHash === hash) return receipt;
  }
  return null;
}

async function main([deployments, broadcast]) {
  const url = process.env.ETH_RPC_URL;
  if (!url || !deployments || !broadcast) {
    throw new Failure("usage: ETH_RPC_URL=… node tools/transactions.mjs DEPLOYMENTS BROADCAST");
  }

  const chain = Number(await ask(url, "eth_chainId", []));
  const path = join(deployments, `${chain}.json`);
  let before;
  try {
    before = readFileSync(path, "utf8");
  } catch {
    throw new Failure(`${path} is not there: the forge script writes it; run make deploy`);
  }
  const file = JSON.parse(before);
  const sent = creations(join(broadcast, "Deploy.s.sol", String(chain)));

  for (const [name, contract] of Object.entries(file.contracts)) {
    if (contract.transaction) continue;
    const receipt = await creationOf(url, contract.address.toLowerCase(), sent);
    if (!receipt) {
      console.log(`${name} was there before; its transaction is not known`);
      continue;
    }
    contract.transaction = receipt.transactionHash;
    contract.block = Number(receipt.blockNumber);
    console.log(`${name} was created in block ${contract.block} by ${contract.transaction}`);
  }

  const after = `${JSON.stringify(file, null, 2)}\n`;
  if (after === before) return;
  // Written whole or not at all.
  writeFileSync(`${path}.part`, after);
  renameSync(`${path}.part`, path);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Failure ? error.message : error);
  process.exitCode = 1;
}
