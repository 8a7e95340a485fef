// What a deployment will send, as the forge script finds it out without sending anything.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "./failure.mjs";
import { root, script } from "./forge.mjs";

/**
 * The plan for the chain of ETH_RPC_URL: script/DeploymentPlan.sol says what it holds. `account` is null where nobody
 * was named. Needs a signer only to learn its address, and asks for no password where the address is named.
 */
export async function plan({ account, signer, environment }) {
  const forge = { ...environment };
  if (account) {
    delete forge.ETH_KEYSTORE;
    delete forge.ETH_KEYSTORE_ACCOUNT;
  }
  mkdirSync(join(root, "scratch"), { recursive: true });
  const folder = mkdtempSync(join(root, "scratch/plan-"));
  try {
    const path = join(folder, "plan.json");
    const who = account ? ["--sender", account] : signer;
    const { code, said, complained } = await script(["--sig", "plan()", ...who], { ...forge, SALT402_PLAN: path }, {
      show: false,
    });
    if (code !== 0) {
      process.stdout.write(said);
      // A device that is not there makes forge end with a list of its own functions.
      process.stderr.write(complained.split(/^.*BACKTRACE.*$/m)[0]);
      throw new Failure("The deployment was not planned: forge says why above. Nothing was sent.");
    }
    const made = parse(readFileSync(path, "utf8"));
    if (account && made.account?.toLowerCase() !== account.toLowerCase()) {
      throw new Failure(`SALT402_DEPLOYER_KEY is the key of ${made.account}, and ETH_FROM or --sender says ${account}`);
    }
    return made;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A plan's text as numbers that keep every digit. */
export function parse(text) {
  const made = JSON.parse(text);
  made.transactions = made.transactions.map((one) => ({
    ...one,
    gas: BigInt(one.gas),
    value: BigInt(one.value),
    gasPrice: one.gasPrice === null ? null : BigInt(one.gasPrice),
  }));
  return made;
}
