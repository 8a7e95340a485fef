import assert from "node:assert/strict";
import { test } from "node:test";
import { amount, parse } from "../../tools/deployment/flags.mjs";

const KEY = `0x${"4c".repeat(32)}`;
const ADDRESS = `0x${"ab".repeat(20)}`;

test("devices, keystores and how to send are passed on", () => {
  for (const flags of [
    ["--ledger"],
    ["--trezor", "--mnemonic-derivation-paths", "m/44'/60'/0'/0/3"],
    ["--keystore", "/keys/one", "--password-file", "/keys/password"],
    ["--account", "deployer"],
  ]) {
    const { signer, signs } = parse([...flags, "--slow", "--timeout", "9"], {});
    assert.deepEqual([signer, signs], [flags, true]);
  }
  assert.deepEqual(parse(["--slow", "--timeout=9"], {}).sending, ["--slow", "--timeout", "9"]);
  assert.deepEqual(parse(["--slow", "--slow"], {}).sending, ["--slow"]);
  assert.deepEqual(parse(["-l"], {}).signer, ["--ledger"]);
});

test("the price of gas is read from both names and from forge's variables", () => {
  assert.equal(parse(["--gas-price", "3gwei"], {}).price.max, 3_000_000_000n);
  assert.equal(parse(["--with-gas-price=3000000000"], {}).price.max, 3_000_000_000n);
  const both = parse([], { ETH_GAS_PRICE: "2gwei", ETH_PRIORITY_GAS_PRICE: "1" });
  assert.deepEqual(both.price, { max: 2_000_000_000n, priority: 1n });
  assert.equal(both.environment.ETH_GAS_PRICE, undefined);
  assert.deepEqual(parse(["--legacy"], {}).price, { legacy: true });
  assert.deepEqual(parse(["--priority-gas-price", "0.5gwei"], {}).price, { priority: 500_000_000n });
  assert.throws(() => parse(["--gas-price", "3", "--with-gas-price", "4"], {}), /given twice/);
  assert.throws(() => parse(["--legacy", "--priority-gas-price", "4"], {}), /one price/);
});

test("an amount is exact or refused", () => {
  assert.equal(amount("0.00000001ether", "--gas-price"), 10_000_000_000n);
  for (const wrong of ["", "-1", "1.5", "1.5wei", "0.0000000001gwei", "1 gwei", "0x10", "1e9", "gwei"]) {
    assert.throws(() => amount(wrong, "--gas-price"), /--gas-price is ".*", and must be/, wrong);
  }
});

test("a secret is refused, and not repeated", () => {
  for (const flag of ["--private-key", "--private-keys", "--mnemonics", "--mnemonic", "--password", "--mnemonic-passphrase"]) {
    for (const args of [[flag, KEY], [`${flag}=${KEY}`]]) {
      assert.throws(
        () => parse(args, {}),
        (error) => error.message.startsWith(`${flag} is not taken`) && !error.message.includes(KEY),
      );
    }
  }
  assert.throws(() => parse(["--rpc-url", "https://node/KEY"], {}), /Set ETH_RPC_URL/);
  // A key that follows nothing, or a flag that nobody knows.
  assert.throws(
    () => parse([KEY], {}),
    (error) => !error.message.includes(KEY),
  );
  assert.throws(
    () => parse([`--privatekey=${KEY}`], {}),
    (error) => /"--privatekey" is not known/.test(error.message) && !error.message.includes(KEY),
  );
});

test("flags without their values, and values without need, are refused", () => {
  assert.throws(() => parse(["--keystore"], {}), /--keystore needs a value/);
  assert.throws(() => parse(["--keystore", "--legacy"], {}), /--keystore needs a value/);
  assert.throws(() => parse(["--ledger=yes"], {}), /--ledger takes no value/);
  assert.throws(() => parse(["--gas-estimate-multiplier", "99"], {}), /percentage from 100/);
  assert.throws(() => parse(["--broadcast"], {}), /"--broadcast" is not known/);
});

test("nobody signs unless somebody is named, and only one", () => {
  assert.equal(parse([], {}).signs, false);
  assert.equal(parse(["--sender", ADDRESS], {}).signs, false);
  assert.equal(parse([], { SALT402_DEPLOYER_KEY: "", ETH_KEYSTORE: "", ETH_KEYSTORE_ACCOUNT: "" }).signs, false);
  assert.equal(parse([], { ETH_KEYSTORE: "/keys/one" }).signs, true);
  assert.equal(parse([], { ETH_KEYSTORE_ACCOUNT: "one" }).signs, true);
  assert.throws(() => parse([], { ETH_KEYSTORE_ACCOUNT: "one", SALT402_DEPLOYER_KEY: KEY }), /each name an account/);
  assert.throws(() => parse(["--ledger", "--trezor"], {}), /--ledger and --trezor each name/);
  assert.throws(() => parse(["--ledger"], { ETH_KEYSTORE: "/keys/one" }), /each name/);
  const { signer, environment } = parse(["--account", "two"], { ETH_KEYSTORE_ACCOUNT: "one" });
  assert.deepEqual([signer, environment.ETH_KEYSTORE_ACCOUNT], [["--account", "two"], undefined]);
});

test("a key that forge would take for none is refused", () => {
  assert.equal(parse([], { SALT402_DEPLOYER_KEY: KEY.slice(2) }).environment.SALT402_DEPLOYER_KEY, KEY);
  for (const wrong of ["secret", "0x12", `${KEY}00`, `0x${"00".repeat(32)}`, ` ${KEY}`]) {
    assert.throws(
      () => parse([], { SALT402_DEPLOYER_KEY: wrong }),
      (error) => /is not a private key/.test(error.message) && !error.message.includes(wrong),
    );
  }
});

test("an address is one", () => {
  assert.equal(parse([], { ETH_FROM: ADDRESS }).account, ADDRESS);
  assert.equal(parse(["--from", ADDRESS], {}).account, ADDRESS);
  assert.throws(() => parse([], { ETH_FROM: "deployer" }), /ETH_FROM must be an address/);
});
