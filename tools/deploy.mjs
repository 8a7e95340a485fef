#!/usr/bin/env node
// Deploys what is missing on a chain, and writes deployments/<chain id>.json.
//
//   node tools/deploy.mjs run [FLAGS]     `make deploy FLAGS="…"`: sends what is missing
//   node tools/deploy.mjs dry [FLAGS]     `make deploy-dry`: says what would be sent, and sends nothing
//   node tools/deploy.mjs record PLAN     writes the file for a plan that forge carried out
//
// ETH_RPC_URL is the node. docs/deploying.md says who can pay, which flags there are and what else can be chosen.
// Nothing secret is an argument, which every process on the machine could read.
//
// The script runs twice: once to find out what is missing and what it costs, and once to send. In between, the account
// must have the money. The file is written at last, from receipts and from the code that the chain has.
import { readFileSync } from "node:fs";
import { describe, gasPrice, needs, shortage, sizeFees } from "./deployment/cost.mjs";
import { Failure, run } from "./deployment/failure.mjs";
import { WAYS, parse } from "./deployment/flags.mjs";
import { root, script } from "./deployment/forge.mjs";
import { Node } from "./deployment/node.mjs";
import { parse as parsePlan, plan as makePlan } from "./deployment/plan.mjs";
import { record } from "./deployment/record.mjs";

async function main([mode, ...rest], environment) {
  process.chdir(root);
  if (mode === "record" && rest.length === 1) {
    const node = new Node(environment.ETH_RPC_URL);
    return written(node, parsePlan(readFileSync(rest[0], "utf8")), environment);
  }
  if (mode !== "run" && mode !== "dry") throw new Failure("usage: node tools/deploy.mjs run|dry [FLAGS]");

  const asked = parse(rest, environment);
  const node = new Node(environment.ETH_RPC_URL);
  const plan = await makePlan(asked);
  if ((await node.chain()) !== plan.chainId) throw new Failure("the node changed its chain id; nothing was sent");

  if (plan.transactions.length === 0) {
    console.log(describe(plan));
    return mode === "dry" ? 0 : written(node, plan, environment);
  }
  const price = await gasPrice(node, asked.price);
  const fees = await sizeFees(node, plan);
  const need = needs(plan, price.max, asked.price.multiplier, fees);
  const balance = plan.account && (await node.quantity("eth_getBalance", plan.account, "latest"));
  console.log(describe(plan, price.max, balance, need, fees));

  const short = plan.account ? shortage(plan, price.max, balance, need) : undefined;
  if (mode === "dry") {
    console.log("\nNothing was sent.");
    if (short) throw new Failure(short);
    return 0;
  }
  if (!asked.signs || !plan.account) {
    throw new Failure(`Contracts are missing, and nobody can sign for them. Nothing was sent.\n${WAYS}`);
  }
  if (short) throw new Failure(short);

  const sender = asked.account ? ["--sender", asked.account] : [];
  const args = ["--broadcast", ...asked.sending, ...asked.signer, ...sender, ...price.args];
  const { code } = await script(args, asked.environment, { show: true });
  const recorded = await written(node, plan, environment);
  if (code !== 0) throw new Failure("forge did not send everything: it says why above. The next run sends what is missing.");
  return recorded;
}

/** Writes the file; the exit code says whether everything that was planned is there. */
async function written(node, plan, environment) {
  const missing = await record(node, plan, {
    deployments: environment.SALT402_DEPLOYMENTS || "deployments",
    broadcast: environment.FOUNDRY_BROADCAST || "broadcast",
  });
  if (missing.length === 0) return 0;
  console.error(`Not on the chain, and so not in the file: ${missing.join(", ")}. The next run sends what is missing.`);
  return 1;
}

await run(main);
