import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Barred, Explorer } from "../../tools/deployment/explorer.mjs";
import { keccak } from "../../tools/deployment/keccak.mjs";
import { argumentsOf, verify } from "../../tools/verify.mjs";
import { FOLDER } from "../../tools/verification.mjs";
import { folder, node, nodeAt, server, tool } from "./support.mjs";

const KEY = "EXPLORERSECRET";
const GUID = "guid-7";
const index = JSON.parse(readFileSync(join(FOLDER, "index.json"), "utf8"));

const said = (status, result) => ({ text: JSON.stringify({ status, message: status === "1" ? "OK" : "NOTOK", result }) });
const accepted = said("1", GUID);
const verified = said("1", "Pass - Verified");

/**
 * A stand-in of an explorer. Each list is its answers to one action, one after the other; the last one is repeated.
 * Gives its address and what it was asked.
 */
async function explorer(t, submissions, checks = [verified]) {
  const asked = [];
  const answers = { verifysourcecode: [...submissions], checkverifystatus: [...checks] };
  const url = await server(t, (request, body) => {
    const query = new URL(request.url, "http://explorer").searchParams;
    const form = new URLSearchParams(body);
    const fields = Object.fromEntries([...query, ...form]);
    asked.push({ method: request.method, fields, query: Object.fromEntries(query) });
    const left = answers[fields.action];
    return left.length > 1 ? left.shift() : left[0];
  });
  return { url: `${url}/api`, asked, of: (action) => asked.filter((one) => one.fields.action === action).length };
}

const client = (at, options = {}) => new Explorer({ url: at.url, key: KEY, chain: 8453, pause: 1, patience: 5, ...options });
const SOURCE = {
  address: `0x${"a1".repeat(20)}`,
  contract: "contracts/SaltPay.sol:SaltPay",
  compiler: "v0.8.30+commit.73712a01",
  input: '{"language":"Solidity"}',
  constructorArguments: "0xabcd",
};

test("a source is posted as Etherscan's API has it, and its result is waited for", async (t) => {
  const pending = said("0", "Pending in queue");
  const at = await explorer(t, [accepted], [pending, pending, said("0", "In progress"), verified]);

  assert.equal(await client(at).verify(SOURCE), "verified");

  assert.equal(at.asked[0].method, "POST");
  assert.deepEqual(at.asked[0].query, { chainid: "8453" });
  assert.deepEqual(at.asked[0].fields, {
    chainid: "8453",
    module: "contract",
    action: "verifysourcecode",
    apikey: KEY,
    contractaddress: SOURCE.address,
    sourceCode: SOURCE.input,
    codeformat: "solidity-standard-json-input",
    contractname: SOURCE.contract,
    compilerversion: SOURCE.compiler,
    constructorArguements: "abcd",
    constructorArguments: "abcd",
  });
  assert.equal(at.of("checkverifystatus"), 4);
  assert.equal(at.asked[1].method, "GET");
  assert.equal(at.asked[1].fields.guid, GUID);
});

test("an explorer without keys is asked without one, and its address keeps its query", async (t) => {
  const at = await explorer(t, [accepted]);
  const blockscout = new Explorer({ url: `${at.url}?chainid=5`, chain: 8453, pause: 1 });
  assert.equal(await blockscout.verify(SOURCE), "verified");
  assert.equal("apikey" in at.asked[0].fields, false);
  assert.equal(at.asked[0].query.chainid, "5");
});

test("what was verified before is told from what is verified now", async (t) => {
  for (const text of ["Contract source code already verified", "Smart-contract already verified."]) {
    const at = await explorer(t, [said("0", text)]);
    assert.equal(await client(at).verify(SOURCE), "already");
    assert.equal(at.of("checkverifystatus"), 0);
  }
  const later = await explorer(t, [accepted], [said("0", "Already Verified")]);
  assert.equal(await client(later).verify(SOURCE), "already");
});

test("a failure says the explorer's reason and is not tried again", async (t) => {
  const at = await explorer(t, [accepted], [said("0", "Fail - Unable to verify. Compiled bytecode does not match")]);
  await assert.rejects(client(at).verify(SOURCE), /refuses it: Fail - Unable to verify. Compiled bytecode/);
  assert.equal(at.of("checkverifystatus"), 1);
  const unsupported = await explorer(t, [said("0", "Invalid compiler version")]);
  await assert.rejects(client(unsupported).verify(SOURCE), /refuses it: Invalid compiler version/);
  assert.equal(unsupported.of("verifysourcecode"), 1);
  // An answer of success that is a failure's text.
  const odd = await explorer(t, [accepted], [said("1", "Fail - Unable to verify")]);
  await assert.rejects(client(odd).verify(SOURCE), /refuses it: Fail/);
  const unknown = await explorer(t, [accepted], [said("1", "Perhaps")]);
  await assert.rejects(client(unknown).verify(SOURCE), /not known: Perhaps/);
});

test("limits, faults and a contract that is not seen yet are waited out", async (t) => {
  const at = await explorer(
    t,
    [
      said("0", "Max calls per sec rate limit reached (5/sec)"),
      { status: 429, text: "slow down" },
      { status: 502, text: "<html>Bad Gateway</html>" },
      said("0", "Unable to locate ContractCode at 0xa1"),
      accepted,
    ],
    [{ text: "no JSON" }, said("0", "Max rate limit reached, please use API Key for higher rate limit"), verified],
  );
  assert.equal(await client(at).verify(SOURCE), "verified");
  assert.equal(at.of("verifysourcecode"), 5);
  assert.equal(at.of("checkverifystatus"), 3);
});

test("waiting ends, and says what it waited for", async (t) => {
  const at = await explorer(t, [accepted], [said("0", "Pending in queue")]);
  await assert.rejects(client(at).verify(SOURCE), /did not come to a result: Pending in queue. Try again later/);
  assert.equal(at.of("checkverifystatus"), 6);
  const down = await explorer(t, [{ status: 503, text: "" }]);
  await assert.rejects(client(down).verify(SOURCE), /answers HTTP 503 and no result/);
  const nobody = new Explorer({ url: "http://127.0.0.1:1/api?key=SECRET", chain: 1, pause: 1, patience: 1 });
  await assert.rejects(
    nobody.verify(SOURCE),
    (error) => /is not reached/.test(error.message) && !error.message.includes("SECRET"),
  );
  const strict = await explorer(t, [{ status: 404, text: "nothing here" }]);
  await assert.rejects(client(strict).verify(SOURCE), /answers HTTP 404/);
  assert.equal(strict.of("verifysourcecode"), 1);
});

test("a wrong key is named as such, once, and not shown", async (t) => {
  for (const answer of [
    said("0", "Invalid API Key (#err2)|8453-"),
    said("0", "Missing/Invalid API Key"),
    { status: 401, text: "" },
    { status: 403, text: "{}" },
  ]) {
    const at = await explorer(t, [answer]);
    await assert.rejects(
      client(at).verify(SOURCE),
      (error) => error instanceof Barred && /SALT402_EXPLORER_KEY/.test(error.message) && !error.message.includes(KEY),
    );
    assert.equal(at.asked.length, 1);
  }
});

test("an address that is none is refused before anything is asked", () => {
  for (const url of [undefined, "", "explorer", "ftp://explorer/api"]) {
    assert.throws(() => new Explorer({ url, chain: 1 }), /SALT402_EXPLORER_URL must be/);
  }
});

const at = (digit) => `0x${String(digit).repeat(40)}`;
const ours = (name) => ({ address: at(1), initCodeHash: index.contracts[name].initCodeHash, block: 1, transaction: null });

test("ours are verified with their arguments, and others' are left out", async (t) => {
  const site = await explorer(t, [accepted]);
  const told = [];
  const deployment = {
    contracts: {
      SaltPay: ours("SaltPay"),
      WrappedSalt: { address: at(2), initCodeHash: null },
      Permit2: { address: at(3), initCodeHash: at(3) },
      X402ExactPermit2Proxy: ours("X402ExactPermit2Proxy"),
      X402UptoPermit2Proxy: {
        address: at(4),
        initCodeHash: "0x74f7a29cbc3c55f87cdef7f7c551643189e8bb62eed9de67753aebc402b83797",
      },
      Multicall3: { address: at(5), initCodeHash: at(5) },
      Stranger: { address: at(6), initCodeHash: at(6) },
    },
  };
  const on = await node(t, { eth_getCode: "0x00" });

  const options = { deployment, node: on, explorer: client(site), say: (line) => told.push(line) };
  assert.deepEqual(await verify({ ...options, names: [] }), []);

  const posted = site.asked.filter((one) => one.method === "POST").map((one) => one.fields);
  assert.deepEqual(
    posted.map((fields) => fields.contractname),
    ["contracts/SaltPay.sol:SaltPay", "contracts/X402ExactPermit2Proxy.sol:X402ExactPermit2Proxy"],
  );
  assert.deepEqual(
    posted.map((fields) => fields.constructorArguements),
    ["", "000000000000000000000000000000000022d473030f116ddee9f6b43ac78ba3"],
  );
  assert.deepEqual(JSON.parse(posted[0].sourceCode), JSON.parse(readFileSync(join(FOLDER, "SaltPay.json"), "utf8")));
  assert.equal(posted[0].compilerversion, index.compiler);
  assert.deepEqual(told, [
    `SaltPay: verified at ${at(1)}`,
    "WrappedSalt: left out, it was not deployed from here",
    "Permit2: left out, its authors verify it",
    `X402ExactPermit2Proxy: verified at ${at(1)}`,
    "X402UptoPermit2Proxy: left out, it is x402's own",
    "Multicall3: left out, its authors verify it",
    "Stranger: left out, there is no input for it in deployments/verification",
  ]);
  assert.deepEqual(await verify({ ...options, names: ["Permit2"] }), []);
  assert.equal(site.of("verifysourcecode"), 2);
});

test("one that fails does not keep the others from it; a wrong key does", async (t) => {
  const site = await explorer(t, [said("0", "Fail - no"), accepted]);
  const told = [];
  const on = await node(t, { eth_getCode: (address) => (address === at(9) ? "0x" : "0x00") });
  const deployment = {
    contracts: {
      SaltPay: ours("SaltPay"),
      SaltChannels: ours("SaltChannels"),
      WrappedSalt: { ...ours("WrappedSalt"), address: at(9) },
      X402UptoPermit2Proxy: { ...ours("X402UptoPermit2Proxy"), initCodeHash: keccak("0x00") },
    },
  };
  const options = { deployment, names: [], node: on, say: (line) => told.push(line) };
  assert.deepEqual(await verify({ ...options, explorer: client(site) }), [
    "SaltPay",
    "WrappedSalt",
    "X402UptoPermit2Proxy",
  ]);
  assert.match(told[0], /SaltPay: NOT verified at 0x1+: the explorer refuses it: Fail - no/);
  assert.match(told[1], /SaltChannels: verified/);
  assert.match(told[2], /the chain has no code there/);
  assert.match(told[3], /was not created from these sources/);

  const barred = await explorer(t, [said("0", "Invalid API Key")]);
  await assert.rejects(verify({ ...options, explorer: client(barred) }), Barred);
  assert.equal(barred.asked.length, 1);
});

test("arguments that differ by deployment are read from the transaction, and must give its hash", async (t) => {
  const code = "0x6001";
  const args = "00".repeat(63) + "07";
  const salt = "11".repeat(32);
  const known = { contracts: { Salt: { constructorArguments: null, creationCodeHash: keccak(code), creationCodeSize: 2 } } };
  const deployed = { initCodeHash: keccak(code + args), transaction: `0x${"22".repeat(32)}` };
  const having = (transaction) => node(t, { eth_getTransactionByHash: transaction });

  const right = await having({ input: `0x${salt}6001${args}` });
  assert.equal(await argumentsOf(right, "Salt", deployed, known), `0x${args}`);
  for (const wrong of [`0x${salt}6001${args}00`, `0x${salt}6002${args}`, `0x${salt}`, "0x"]) {
    await assert.rejects(argumentsOf(await having({ input: wrong }), "Salt", deployed, known), /not created from these/);
  }
  // Bytes that are right, and something behind them that is none.
  const tailed = await having({ input: `0x${salt}6001${args}zz` });
  await assert.rejects(argumentsOf(tailed, "Salt", deployed, known), /is not hexadecimal/);
  await assert.rejects(argumentsOf(await having(null), "Salt", deployed, known), /the node does not have the transaction/);
  await assert.rejects(
    argumentsOf(right, "Salt", { ...deployed, transaction: null }, known),
    /which the file does not name/,
  );
});

test("the command reads the deployment of the node's chain, and fails where a contract is not verified", async (t) => {
  const deployments = join(folder(t), "deployments");
  mkdirSync(deployments);
  const contracts = { SaltPay: ours("SaltPay"), SaltChannels: ours("SaltChannels") };
  writeFileSync(join(deployments, "8453.json"), JSON.stringify({ chainId: 8453, contracts }));
  const rpc = await nodeAt(t, { eth_chainId: "0x2105", eth_getCode: "0x00" });
  const site = await explorer(t, [said("0", "Contract source code already verified"), said("0", "Fail - no")]);
  const environment = {
    ETH_RPC_URL: rpc,
    SALT402_DEPLOYMENTS: deployments,
    SALT402_EXPLORER_URL: site.url,
    SALT402_EXPLORER_KEY: KEY,
  };

  const { code, said: out, complained } = await tool("verify.mjs", [], environment);
  assert.equal(code, 1);
  assert.match(out, /SaltPay: was verified before at 0x1/);
  assert.match(complained, /^Not verified: SaltChannels$/m);
  assert.ok(!`${out}${complained}`.includes(KEY));
  const good = { ...environment, SALT402_EXPLORER_URL: (await explorer(t, [accepted])).url };
  assert.equal((await tool("verify.mjs", ["SaltPay"], good)).code, 0);

  assert.match((await tool("verify.mjs", ["Salt"], environment)).complained, /has no Salt$/m);
  assert.match((await tool("verify.mjs", [], { ...environment, SALT402_EXPLORER_URL: "" })).complained, /must be the address/);
  const empty = { ...environment, SALT402_DEPLOYMENTS: join(deployments, "none") };
  assert.match((await tool("verify.mjs", [], empty)).complained, /nothing was deployed on chain 8453 from here/);
});
