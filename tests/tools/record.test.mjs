import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { record } from "../../tools/deployment/record.mjs";
import { folder, node } from "./support.mjs";

const [PAY, CHANNELS] = [`0x${"A1".repeat(20)}`, `0x${"b2".repeat(20)}`];
const [HASH, OTHER] = [`0x${"11".repeat(32)}`, `0x${"22".repeat(32)}`];
const INIT = `0x${"33".repeat(32)}`;

const plan = (isThere, names = ["SaltPay", "SaltChannels"]) => ({
  chainId: 40204,
  block: 900,
  contracts: names.map((name) => ({
    name,
    address: name === "SaltPay" ? PAY : CHANNELS,
    initCodeHash: INIT,
    isThere,
  })),
});

const receipt = (hash, block, status = "0x1") => ({ transactionHash: hash, status, blockNumber: `0x${block.toString(16)}` });

/** A chain with code at some addresses, and some receipts. */
const chain = (t, codes, receipts = {}, others = {}) =>
  node(t, {
    eth_blockNumber: "0x3e8",
    eth_getCode: (address) => (codes.includes(address) ? "0x6001" : "0x"),
    eth_getTransactionReceipt: (hash) => receipts[hash] ?? null,
    ...others,
  });

/** A site with what forge says it sent, and a deployments file. */
function site(t, { sent = [], file } = {}) {
  const at = folder(t);
  const runs = join(at, "broadcast/Deploy.s.sol/40204");
  mkdirSync(runs, { recursive: true });
  const transactions = sent.map(([hash, contractAddress]) => ({ hash, contractAddress, transactionType: "CREATE2" }));
  writeFileSync(join(runs, "run-1.json"), JSON.stringify({ transactions }));
  const path = join(at, "deployments/40204.json");
  if (file) {
    mkdirSync(join(at, "deployments"));
    writeFileSync(path, JSON.stringify(file, null, 2) + "\n");
  }
  const folders = { deployments: join(at, "deployments"), broadcast: join(at, "broadcast"), say: () => {} };
  return { path, folders, read: () => JSON.parse(readFileSync(path, "utf8")) };
}

const entry = (address, block, transaction) => ({ address, initCodeHash: INIT, block, transaction });
const both = (...values) => ({ chainId: 40204, contracts: { SaltPay: values[0], SaltChannels: values[1] } });

test("what was sent and mined is written with its transaction and block", async (t) => {
  const at = site(t, { sent: [[HASH, PAY.toLowerCase()], [OTHER, CHANNELS]] });
  const on = await chain(t, [PAY, CHANNELS], { [HASH]: receipt(HASH, 901), [OTHER]: receipt(OTHER, 902) });

  assert.deepEqual(await record(on, plan(false), at.folders), []);
  assert.deepEqual(at.read(), both(entry(PAY, 901, HASH), entry(CHANNELS, 902, OTHER)));
});

test("where nothing was mined no file is written", async (t) => {
  const at = site(t, { sent: [[HASH, PAY]] });
  assert.deepEqual(await record(await chain(t, []), plan(false), at.folders), ["SaltPay", "SaltChannels"]);
  assert.equal(existsSync(at.path), false);
  assert.equal(existsSync(at.folders.deployments), false);
});

test("a contract that the chain does not have is not in the file, whatever forge and an earlier file say", async (t) => {
  const at = site(t, {
    sent: [[HASH, PAY], [OTHER, CHANNELS]],
    file: both(entry(PAY, 10, null), entry(CHANNELS, 10, OTHER)),
  });
  const failed = await chain(t, [PAY], { [HASH]: receipt(HASH, 901), [OTHER]: receipt(OTHER, 902, "0x0") });

  assert.deepEqual(await record(failed, plan(false), at.folders), ["SaltChannels"]);
  assert.deepEqual(at.read().contracts, { SaltPay: entry(PAY, 901, HASH) });
});

test("a node that is behind its own receipt is asked again", async (t) => {
  const at = site(t, { sent: [[HASH, PAY]] });
  let asked = 0;
  const late = await chain(t, [], { [HASH]: receipt(HASH, 901) }, { eth_getCode: () => (++asked > 1 ? "0x6001" : "0x") });

  assert.deepEqual(await record(late, plan(false, ["SaltPay"]), at.folders), []);
  assert.deepEqual(at.read().contracts.SaltPay, entry(PAY, 901, HASH));

  // And not for ever: a receipt without the code that it promises is a node that cannot be believed.
  const lying = site(t, { sent: [[HASH, PAY]] });
  const never = await chain(t, [], { [HASH]: receipt(HASH, 901) });
  const only = plan(false, ["SaltPay"]);
  assert.deepEqual(await record(never, only, { ...lying.folders, patience: 1 }), ["SaltPay"]);
  assert.equal(existsSync(lying.path), false);
});

test("a receipt of another transaction does not count", async (t) => {
  const at = site(t, { sent: [[HASH, PAY]] });
  const on = await chain(t, [PAY], { [HASH]: receipt(OTHER, 901) });
  await record(on, plan(false, ["SaltPay"]), at.folders);
  // Somebody else created it: it was not there when the plan was made.
  assert.deepEqual(at.read().contracts.SaltPay, entry(PAY, 900, null));
});

test("a second run leaves the file byte by byte as it is", async (t) => {
  const at = site(t, { file: both(entry(PAY, 901, HASH), entry(CHANNELS, 7, null)) });
  const before = readFileSync(at.path, "utf8");
  const on = await chain(t, [PAY, CHANNELS], { [HASH]: receipt(HASH, 901) });
  assert.deepEqual(await record(on, plan(true), at.folders), []);
  assert.equal(readFileSync(at.path, "utf8"), before);
});

test("what is there since nobody knows when could be as old as the chain", async (t) => {
  const at = site(t);
  await record(await chain(t, [PAY]), plan(true, ["SaltPay"]), at.folders);
  assert.deepEqual(at.read().contracts.SaltPay, entry(PAY, 0, null));
});

test("blocks of a chain that was reset, and of another address, are forgotten", async (t) => {
  const at = site(t, { file: both(entry(PAY, 901, HASH), entry(CHANNELS, 1_001, null)) });
  // The node does not know the transaction, and has not reached the other's block.
  await record(await chain(t, [PAY, CHANNELS]), plan(true), at.folders);
  assert.deepEqual(at.read(), both(entry(PAY, 0, null), entry(CHANNELS, 0, null)));

  const moved = site(t, { file: both(entry(CHANNELS, 5, null), entry(PAY, 5, null)) });
  await record(await chain(t, [PAY, CHANNELS]), plan(true), moved.folders);
  assert.deepEqual(moved.read(), both(entry(PAY, 0, null), entry(CHANNELS, 0, null)));
});

test("a node that knows nothing takes nothing from the file", async (t) => {
  const at = site(t, { file: both(entry(PAY, 901, HASH), entry(CHANNELS, 902, OTHER)) });
  const before = readFileSync(at.path, "utf8");
  assert.deepEqual(await record(await chain(t, []), plan(false), at.folders), ["SaltPay", "SaltChannels"]);
  assert.equal(readFileSync(at.path, "utf8"), before);
});

test("an answer that is no code writes nothing", async (t) => {
  const at = site(t);
  const on = await chain(t, [], {}, { eth_getCode: null });
  await assert.rejects(record(on, plan(true), at.folders), /eth_getCode with no code/);
  assert.equal(existsSync(at.path), false);
});

test("a run that forge did not write down to its end is passed over, and said", async (t) => {
  const at = site(t, { sent: [[HASH, PAY]] });
  const runs = join(at.folders.broadcast, "Deploy.s.sol/40204");
  writeFileSync(join(runs, "run-2.json"), '{"transactions": [{"hash": "0x');
  writeFileSync(join(runs, "run-3.json"), "{}");
  const said = [];
  const on = await chain(t, [PAY], { [HASH]: receipt(HASH, 901) });
  await record(on, plan(false, ["SaltPay"]), { ...at.folders, say: (text) => said.push(text) });
  assert.deepEqual(at.read().contracts.SaltPay, entry(PAY, 901, HASH));
  for (const run of ["run-2.json", "run-3.json"]) {
    assert.ok(said.some((text) => text.includes(run) && text.includes("passed over")), said.join("\n"));
  }
});

test("what the plan does not name stays while the chain has code for it", async (t) => {
  const salt = entry(CHANNELS, 12, OTHER);
  const file = { chainId: 40204, contracts: { SaltPay: entry(PAY, 901, HASH), Salt: salt } };
  const receipts = { [HASH]: receipt(HASH, 901) };
  const kept = site(t, { file });
  await record(await chain(t, [PAY, CHANNELS], receipts), plan(true, ["SaltPay"]), kept.folders);
  assert.deepEqual(kept.read().contracts.Salt, salt);

  const gone = site(t, { file });
  const said = [];
  await record(await chain(t, [PAY], receipts), plan(true, ["SaltPay"]), { ...gone.folders, say: (text) => said.push(text) });
  assert.deepEqual(gone.read().contracts, { SaltPay: entry(PAY, 901, HASH) });
  assert.ok(said.some((text) => text.startsWith("Salt is not in the file any more")), said.join("\n"));
});

test("a creation that moves to a lower block while it is recorded is written with the lower one", async (t) => {
  for (const blocks of [[905, 903], [903, 905]]) {
    const at = site(t, { sent: [[HASH, PAY]] });
    const asked = [...blocks];
    const moving = () => receipt(HASH, asked.length > 1 ? asked.shift() : asked[0]);
    const on = await chain(t, [PAY], {}, { eth_getTransactionReceipt: moving });
    await record(on, plan(false, ["SaltPay"]), at.folders);
    assert.equal(at.read().contracts.SaltPay.block, 903);
  }
});
