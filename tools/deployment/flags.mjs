// Who pays, and what forge is told of it: from the command's flags and the environment.
import { Failure } from "./failure.mjs";

export const WAYS = `Name the account that pays in one of these ways:
  ETH_KEYSTORE_ACCOUNT=NAME      an account that "tools/cast wallet import NAME --interactive" stored, or --account NAME
  ETH_KEYSTORE=PATH              a keystore's file, or --keystore PATH
  FLAGS="--ledger"               a Ledger, or --trezor, --aws, --gcp, --turnkey
  FLAGS="--interactive"          a key that is typed in
  SALT402_DEPLOYER_KEY=0x…       a key in the environment, for local chains and automatic runs
A keystore's password is asked for, or read from the file that ETH_PASSWORD names.`;

// The number is how many values follow.
const SIGNERS = {
  "--ledger": 0,
  "--trezor": 0,
  "--aws": 0,
  "--gcp": 0,
  "--turnkey": 0,
  "--interactive": 0,
  "--keystore": 1,
  "--account": 1,
};
const BESIDE_SIGNERS = { "--password-file": 1, "--mnemonic-derivation-paths": 1, "--mnemonic-indexes": 1 };
const SENDING = { "--slow": 0, "--timeout": 1, "--rpc-timeout": 1, "-v": 0, "-vv": 0, "-vvv": 0, "-vvvv": 0 };
const OURS = {
  "--sender": 1,
  "--gas-price": 1,
  "--with-gas-price": 1,
  "--priority-gas-price": 1,
  "--gas-estimate-multiplier": 1,
  "--legacy": 0,
};
const KNOWN = { ...SIGNERS, ...BESIDE_SIGNERS, ...SENDING, ...OURS };
const OTHER_NAMES = {
  "-l": "--ledger",
  "-t": "--trezor",
  "-i": "--interactive",
  "-g": "--gas-estimate-multiplier",
  "--keystores": "--keystore",
  "--accounts": "--account",
  "--from": "--sender",
  "--mnemonic-derivation-path": "--mnemonic-derivation-paths",
  "--mnemonic-index": "--mnemonic-indexes",
};

// What must not stand in a command, and what to do instead.
const SECRETS = {
  "--private-key": WAYS,
  "--private-keys": WAYS,
  "--mnemonics": WAYS,
  "--mnemonic": WAYS,
  "--mnemonic-passphrases": WAYS,
  "--mnemonic-passphrase": WAYS,
  "--password": "Put the password into a file that only you can read, and name the file: ETH_PASSWORD=PATH.",
  "--rpc-url": "The node's address may hold a key. Set ETH_RPC_URL.",
  "--fork-url": "The node's address may hold a key. Set ETH_RPC_URL.",
};

/** An amount of base units: `3000000000`, `3gwei`, `0.5gwei`, `0.00000001ether`. */
export function amount(text, flag) {
  const [, whole, fraction = "", unit = "wei"] = /^(\d+)(?:\.(\d+))?(wei|gwei|ether)?$/.exec(text) ?? [];
  const digits = { wei: 0, gwei: 9, ether: 18 }[unit];
  if (whole === undefined || fraction.length > digits) {
    throw new Failure(`${flag} is "${text}", and must be a number of base units, or as 3gwei`);
  }
  return BigInt(whole + fraction.padEnd(digits, "0"));
}

function address(text, name) {
  if (!/^0x[0-9a-fA-F]{40}$/.test(text)) throw new Failure(`${name} must be an address: 0x and 40 hexadecimal digits`);
  return text;
}

/** Pairs of flag and value, each flag by its first name. Nothing that is refused is repeated: it may be a secret. */
function pairs(args) {
  const found = [];
  for (let at = 0; at < args.length; ++at) {
    const [, written, glued] = /^([^=]*)(?:=(.*))?$/s.exec(args[at]);
    const flag = OTHER_NAMES[written] ?? written;
    if (flag in SECRETS) {
      const spent = flag === "--rpc-url" || flag === "--fork-url" ? "" : " Consider what stood there known to others.";
      throw new Failure(
        `${flag} is not taken: every process on the machine can read a command, and the shell keeps it.${spent}\n${SECRETS[flag]}`,
      );
    }
    if (!(flag in KNOWN)) {
      const name = written.startsWith("-") ? `"${written}" is not known` : "a value stands where a flag is expected";
      throw new Failure(`${name}. Known are ${Object.keys(KNOWN).join(", ")}.`);
    }
    let value = glued;
    if (KNOWN[flag] === 1 && value === undefined) value = args[++at];
    if (KNOWN[flag] === 1 ? !value || value.startsWith("--") : value !== undefined) {
      throw new Failure(`${flag} ${KNOWN[flag] === 1 ? "needs a value" : "takes no value"}`);
    }
    found.push([flag, value]);
  }
  return found;
}

/**
 * What the flags and the environment say:
 * - `account`: the address, where one was named; the signer must be of that address
 * - `signs`: whether there is somebody who can sign
 * - `signer`: forge's arguments for it
 * - `sending`: forge's arguments for sending
 * - `price`: what the flags say of the price of gas
 * - `environment`: forge's, in which a key is one that it can read
 */
export function parse(args, environment) {
  const [signer, sending, price, signers] = [[], [], {}, []];
  let account = environment.ETH_FROM ? address(environment.ETH_FROM, "ETH_FROM") : undefined;
  const forge = { ...environment };

  for (const [flag, value] of pairs(args)) {
    const spoken = value === undefined ? [flag] : [flag, value];
    if (flag in SIGNERS) {
      signers.push(flag);
      signer.push(...spoken);
    } else if (flag in BESIDE_SIGNERS) signer.push(...spoken);
    else if (flag in SENDING) {
      // `make deploy` says --slow already.
      if (!sending.includes(flag)) sending.push(...spoken);
    } else if (flag === "--sender") account = address(value, flag);
    else if (flag === "--legacy") price.legacy = true;
    else if (flag === "--gas-estimate-multiplier") {
      if (!/^[1-9]\d{2,3}$/.test(value)) throw new Failure(`${flag} is a percentage from 100 on`);
      price.multiplier = Number(value);
      sending.push(...spoken);
    } else if (flag === "--priority-gas-price") price.priority = amount(value, flag);
    else {
      // forge's own --gas-price is the price that contracts see in its simulation, and changes nothing that is sent.
      const said = amount(value, flag);
      if (price.max !== undefined && price.max !== said) throw new Failure("the price of gas is given twice");
      price.max = said;
    }
  }
  if (price.max === undefined && environment.ETH_GAS_PRICE) {
    price.max = amount(environment.ETH_GAS_PRICE, "ETH_GAS_PRICE");
  }
  if (price.priority === undefined && environment.ETH_PRIORITY_GAS_PRICE) {
    price.priority = amount(environment.ETH_PRIORITY_GAS_PRICE, "ETH_PRIORITY_GAS_PRICE");
  }
  if (price.legacy && price.priority !== undefined) {
    throw new Failure("a --legacy transaction has one price: leave --priority-gas-price (ETH_PRIORITY_GAS_PRICE) out");
  }
  // They are arguments from here on.
  delete forge.ETH_GAS_PRICE;
  delete forge.ETH_PRIORITY_GAS_PRICE;

  // forge takes a key that it cannot read for none.
  const key = environment.SALT402_DEPLOYER_KEY;
  if (key) {
    if (!/^(0x)?[0-9a-fA-F]{64}$/.test(key) || /^(0x)?0*$/.test(key)) {
      throw new Failure("SALT402_DEPLOYER_KEY is not a private key: 64 hexadecimal digits, 0x before them or not");
    }
    forge.SALT402_DEPLOYER_KEY = key.startsWith("0x") ? key : `0x${key}`;
    signers.push("SALT402_DEPLOYER_KEY");
  } else delete forge.SALT402_DEPLOYER_KEY;
  for (const name of ["ETH_KEYSTORE", "ETH_KEYSTORE_ACCOUNT"]) {
    if (!environment[name]) delete forge[name];
    else if (!signers.includes("--keystore") && !signers.includes("--account")) signers.push(name);
    // A flag goes before the environment, and forge would take both.
    else delete forge[name];
  }
  if (signers.length > 1) {
    throw new Failure(`${signers.join(" and ")} each name an account that pays. Leave one.`);
  }
  return { account, signs: signers.length > 0, signer, sending, price, environment: forge };
}
