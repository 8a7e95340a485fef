import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../tools/deployment/forge.mjs";
import { keccak } from "../../tools/deployment/keccak.mjs";
import { PUBLISHED, initCode } from "../../tools/x402-initcode.mjs";
import { anvil, folder, node, nodeAt, tool } from "./support.mjs";

const FACTORY = "0x4e59b44847b379578588920ca78fbf26c0b4956c";
const SENDER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const SALT = `0x${"00".repeat(31)}07`;
// Returns one byte of code, 0x00; and another that returns two.
const CODE = "0x600160005360016000f3";
const OTHER = "0x600160005360026000f3";

const hex = (number) => `0x${number.toString(16)}`;
const create2 = (code) => `0x${keccak(`0xff${FACTORY.slice(2)}${SALT.slice(2)}${keccak(code).slice(2)}`).slice(26)}`;
const standIn = { file: "standIn.hex", address: create2(CODE), salt: SALT, initCodeHash: keccak(CODE) };

async function send(chain, transaction) {
  const hash = await chain.ask("eth_sendTransaction", { from: SENDER, gas: "0x100000", ...transaction });
  await chain.ask("evm_mine");
  return hash;
}

test("what is published is what the deployment's script takes", () => {
  const script = readFileSync(join(root, "script/PublicContracts.sol"), "utf8");
  for (const { file, salt, initCodeHash, address } of Object.values(PUBLISHED)) {
    const [, tail] = script.split(`file: "${file}"`);
    assert.equal(BigInt(/salt: bytes32\(uint256\((0x[0-9a-f]+)\)\)/.exec(tail)[1]), BigInt(salt));
    assert.equal(/initCodeHash: (0x[0-9a-f]{64})/.exec(tail)[1], initCodeHash);
    const computed = keccak(`0xff${FACTORY.slice(2)}${salt.slice(2)}${initCodeHash.slice(2)}`).slice(26);
    assert.equal(computed, address.slice(2).toLowerCase());
  }
});

test("on a real chain the code is found by its transaction, by the search, and inside other contracts' calls", async (t) => {
  const chain = await anvil(t);
  await chain.ask("anvil_mine", "0x14");
  await assert.rejects(initCode(chain, standIn), /has no code on this chain/);
  const hash = await send(chain, { to: FACTORY, data: SALT + CODE.slice(2) });
  await chain.ask("anvil_mine", "0x9");

  assert.notEqual(await chain.code(standIn.address), "0x");
  assert.equal(await initCode(chain, standIn, hash), CODE);
  assert.equal(await initCode(chain, standIn), CODE);

  // A creation whose code hands the salt and the init code that stand behind it to the factory.
  const salt = `0x${"00".repeat(31)}08`;
  const address = `0x${keccak(`0xff${FACTORY.slice(2)}${salt.slice(2)}${keccak(CODE).slice(2)}`).slice(26)}`;
  const calls = `602a6040600039` + `60006000602a60006000` + `73${FACTORY.slice(2)}5af100`;
  const outer = await send(chain, { data: `0x${calls.padEnd(128, "0")}${salt.slice(2)}${CODE.slice(2)}` });
  assert.notEqual(await chain.code(address), "0x");
  const called = { ...standIn, salt, address };
  assert.equal(await initCode(chain, called, outer), CODE);
  assert.equal(await initCode(chain, called), CODE);
});

/** A node on which a contract was created in block 5 of 9. */
const chain = (others) => ({
  eth_blockNumber: hex(9),
  eth_getCode: (_, block) => (Number(block) >= 5 ? "0x00" : "0x"),
  eth_getBlockByNumber: { transactions: [{ to: FACTORY, input: SALT + CODE.slice(2) }] },
  eth_getTransactionByHash: { to: FACTORY, input: SALT + CODE.slice(2) },
  ...others,
});
const HASH = `0x${"11".repeat(32)}`;

test("a node that lies about the code is refused, whichever way it lies", async (t) => {
  const wrong = SALT + OTHER.slice(2);
  const found = keccak(OTHER);
  const refused = (error) =>
    error.message.includes(found) && error.message.includes(standIn.initCodeHash) && /Nothing was written/.test(error.message);
  const transaction = await node(t, chain({ eth_getTransactionByHash: { to: FACTORY, input: wrong } }));
  await assert.rejects(initCode(transaction, standIn, HASH), refused);
  const block = await node(t, chain({ eth_getBlockByNumber: { transactions: [{ to: FACTORY, input: wrong }] } }));
  await assert.rejects(initCode(block, standIn), refused);
  const nothing = { eth_getBlockByNumber: { transactions: [] }, eth_getTransactionByHash: null };
  const create = { type: "create", action: { init: OTHER }, result: { address: standIn.address } };
  const traces = await node(t, chain({ ...nothing, trace_block: [create], trace_transaction: [create] }));
  await assert.rejects(initCode(traces, standIn), refused);
  await assert.rejects(initCode(traces, standIn, HASH), refused);
  const call = { type: "CALL", calls: [{ type: "CREATE2", to: standIn.address, input: OTHER }] };
  const calls = await node(t, chain({ ...nothing, debug_traceBlockByNumber: [{ result: call }], debug_traceTransaction: call }));
  await assert.rejects(initCode(calls, standIn), refused);
  await assert.rejects(initCode(calls, standIn, HASH), refused);
});

test("the right code is found beside wrong ones and wrong answers", async (t) => {
  const create = { type: "create", action: { init: CODE }, result: { address: standIn.address.toUpperCase().replace("0X", "0x") } };
  const traced = await node(
    t,
    chain({
      eth_getBlockByNumber: { transactions: ["0x12", { to: FACTORY, input: SALT + OTHER.slice(2) }, { to: null, input: "0x" }] },
      trace_block: [null, { type: "call", action: {} }, create],
    }),
  );
  assert.equal(await initCode(traced, standIn), CODE);
  // Blocks with hashes alone, and a callTracer.
  const call = { type: "CALL", calls: [{ type: "CREATE2", to: standIn.address, input: CODE }] };
  const called = await node(
    t,
    chain({ eth_getBlockByNumber: null, trace_block: "nothing", debug_traceBlockByNumber: [{ error: "no" }, { result: call }] }),
  );
  assert.equal(await initCode(called, standIn), CODE);
});

test("a node that cannot show it says what it lacks", async (t) => {
  const pruned = await node(t, chain({ eth_getCode: (_, block) => (Number(block) > 7 ? "0x00" : new Error("missing trie node")) }));
  await assert.rejects(initCode(pruned, standIn), /does not know the state of block 4: ask an archive node/);
  const dark = await node(t, chain({ eth_getBlockByNumber: { transactions: [] }, eth_getTransactionByHash: null }));
  await assert.rejects(initCode(dark, standIn), /block 5 does not show what created/);
  await assert.rejects(initCode(dark, standIn, HASH), new RegExp(`transaction ${HASH} does not show`));
  // One that answers for every block with today's state ends at the chain's first block.
  const ageless = await node(t, chain({ eth_getCode: "0x00", eth_getBlockByNumber: { transactions: [] } }));
  await assert.rejects(initCode(ageless, standIn), /block 0 does not show/);
});

test("the tool writes nothing that is not published, and only where the script reads", async (t) => {
  const at = folder(t);
  const url = await nodeAt(t, chain({ eth_getTransactionByHash: { to: FACTORY, input: PUBLISHED.exact.salt + CODE.slice(2) } }));
  const lied = await tool("x402-initcode.mjs", [at, "--exact", HASH], { ETH_RPC_URL: url });
  assert.equal(lied.code, 1);
  assert.match(lied.complained, /its hash is 0x.*\. Published is 0xe774d1d5/s);
  assert.equal(existsSync(join(at, "x402ExactPermit2Proxy.hex")), false);

  const elsewhere = await tool("x402-initcode.mjs", ["/tmp/elsewhere"], { ETH_RPC_URL: url });
  assert.match(elsewhere.complained, /FOLDER must be below scratch/);
  assert.match((await tool("x402-initcode.mjs", [at, "--exact", "0x12"], {})).complained, /needs a transaction's hash/);
  assert.match((await tool("x402-initcode.mjs", [], {})).complained, /^usage/);
  assert.match((await tool("x402-initcode.mjs", [at], {})).complained, /ETH_RPC_URL is not set/);
});
