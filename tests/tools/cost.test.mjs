import assert from "node:assert/strict";
import { test } from "node:test";
import { coins, describe, gasPrice, needs, shortage, sizeFees } from "../../tools/deployment/cost.mjs";
import { node } from "./support.mjs";

const GWEI = 1_000_000_000n;
const ACCOUNT = "0x00000000000000000000000000000000000000A1";
const AUTHOR = "0x05f32B3cC3888453ff71B01135B34FF8e41263F2";

const create = { name: "SaltPay", from: ACCOUNT, to: "0xfac", value: 0n, size: 100, gas: 1_000_000n, gasPrice: null };
const plan = {
  chainId: 40204,
  account: ACCOUNT,
  contracts: [
    { name: "SaltPay", address: "0x51", isThere: false },
    { name: "Permit2", address: "0x52", isThere: true },
  ],
  transactions: [
    create,
    { name: "Multicall3", from: ACCOUNT, to: AUTHOR, value: 10n ** 17n, size: 0, gas: 21_000n, gasPrice: null },
    { name: "Multicall3", from: AUTHOR, to: null, value: 0n, size: 50, gas: 1_000_000n, gasPrice: 100n * GWEI },
  ],
};

test("coins are written in full", () => {
  assert.equal(coins(0n), "0");
  assert.equal(coins(1n), "0.000000000000000001");
  assert.equal(coins(10n ** 17n), "0.1");
  assert.equal(coins(123n * 10n ** 18n + 5n), "123.000000000000000005");
  assert.equal(coins(1_500_000_000n, 9), "1.5");
});

test("what is needed is gas, the coins for Multicall3, and what a node wants to see besides", () => {
  const need = needs(plan, 2n * GWEI);
  assert.equal(need.gas, 1_021_000n * 2n * GWEI);
  assert.equal(need.coins, 10n ** 17n);
  // 1.3 times the gas, rounded up by an eighth.
  assert.equal(need.reserve, 462_500n * 2n * GWEI);
  assert.equal(need.total, need.gas + need.coins + need.reserve);
  assert.equal(needs(plan, 2n * GWEI, 200).reserve, 1_250_000n * 2n * GWEI);
  assert.equal(needs(plan, 2n * GWEI, 130, [7n, 1n, 100n]).total, need.total + 8n);
});

test("a shortage says who has what, and what is needed for what", () => {
  const need = needs(plan, 2n * GWEI);
  assert.equal(shortage(plan, 2n * GWEI, need.total, need), undefined);
  const said = shortage(plan, 2n * GWEI, need.total - 1n, need);
  assert.match(said, new RegExp(`^${ACCOUNT} has too little to deploy on chain 40204. Nothing was sent.`));
  assert.match(said, /0.002042 for the gas of 2 transactions: 1,021,000 at 2 gwei/);
  assert.match(said, /0.1 for Multicall3/);
  assert.match(said, new RegExp(AUTHOR));
  assert.match(said, /Send it at least 0.000000000000000001 more/);
});

test("the description names what is there, and each transaction's sender, receiver, size, gas and cost", () => {
  const need = needs(plan, 2n * GWEI);
  const said = describe(plan, 2n * GWEI, 10n ** 18n, need);
  assert.match(said, /SaltPay +0x51 +is missing/);
  assert.match(said, /Permit2 +0x52 +is there/);
  assert.match(said, new RegExp(`SaltPay +${ACCOUNT} +0xfac +100 +1,000,000 +0.002\n`));
  assert.match(said, new RegExp(`coins for Multicall3 +${ACCOUNT} +${AUTHOR} +0 +21,000 +0.100042\n`));
  assert.match(said, new RegExp(`Multicall3 +${AUTHOR} +creates it +50 +1,000,000 +paid by its author\n`));
  assert.match(said, /Sum: 0.102042 coins from 0x0/);
  assert.match(said, /It must have 0.102967, and has 1./);
  assert.match(describe({ ...plan, account: null }, 1n, null, need), /Name the account with ETH_FROM/);
  assert.match(describe({ ...plan, transactions: [] }), /Nothing is missing: nothing to send.$/);
});

const chain = (base, others = {}) => ({
  eth_getBlockByNumber: base === undefined ? {} : { baseFeePerGas: `0x${base.toString(16)}` },
  eth_gasPrice: "0x3b9aca00",
  eth_maxPriorityFeePerGas: "0x5",
  ...others,
});

test("the price has room for the base fee to double, and is what forge is told", async (t) => {
  const at = await node(t, chain(3n * GWEI));
  assert.deepEqual(await gasPrice(at), {
    max: 6n * GWEI + 5n,
    args: ["--with-gas-price", "6000000005", "--priority-gas-price", "5"],
  });
  // A node whose usual price is above that knows better.
  const citrate = await node(t, chain(7n));
  assert.equal((await gasPrice(citrate)).max, GWEI);
  const quiet = await node(t, { ...chain(3n * GWEI), eth_maxPriorityFeePerGas: new Error("not here") });
  assert.equal((await gasPrice(quiet)).max, 7n * GWEI);
});

test("a price that is given is taken, unless no block would take it", async (t) => {
  const at = await node(t, chain(3n * GWEI));
  assert.deepEqual((await gasPrice(at, { max: 4n * GWEI, priority: 2n })).args.slice(1), [
    "4000000000",
    "--priority-gas-price",
    "2",
  ]);
  assert.deepEqual(await gasPrice(at, { max: 4n * GWEI, legacy: true }), {
    max: 4n * GWEI,
    args: ["--legacy", "--with-gas-price", "4000000000"],
  });
  await assert.rejects(gasPrice(at, { max: 2n * GWEI }), /2 gwei is below the base fee, 3 gwei/);
  await assert.rejects(gasPrice(at, { legacy: true }), /1 gwei is below the base fee/);
  await assert.rejects(gasPrice(at, { max: 4n * GWEI, priority: 5n * GWEI }), /more than the whole price/);
});

test("a chain without a base fee gets legacy transactions", async (t) => {
  const at = await node(t, chain(undefined));
  assert.deepEqual(await gasPrice(at), { max: GWEI, args: ["--legacy", "--with-gas-price", "1000000000"] });
  await assert.rejects(gasPrice(at, { priority: 1n }), /no base fee/);
});

test("a node that gives no number is not believed, and its address is not told", async (t) => {
  const at = await node(t, { ...chain(undefined), eth_gasPrice: "cheap" });
  await assert.rejects(gasPrice(at), /answered eth_gasPrice with no number/);
  const gone = await node(t, {});
  await assert.rejects(gasPrice(gone), /the node refused eth_getBlockByNumber: the method/);
});

test("what Base charges for the size is asked of Base alone, and its silence is told", async (t) => {
  const oracle = await node(t, { eth_call: ({ data }) => `0x${(2n * BigInt(`0x${data.slice(10)}`)).toString(16)}` });
  assert.deepEqual(await sizeFees(oracle, { ...plan, chainId: 8453 }), [200n, 0n, 100n]);
  const silent = await node(t, { eth_call: "0x" });
  assert.equal(await sizeFees(silent, { ...plan, chainId: 84532 }), null);
  assert.deepEqual(await sizeFees(silent, plan), [0n, 0n, 0n]);
  const need = needs(plan, GWEI, 130, null);
  assert.equal(need.size, 0n);
  assert.match(describe(plan, GWEI, 0n, need, null), /charges for the size of transactions, and does not say how much/);
});
