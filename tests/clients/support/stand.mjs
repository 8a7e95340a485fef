// The two chains that all tests here use, with everything on them: a stand.
import { readFileSync, rmSync } from "node:fs";
import { createWalletClient, encodeFunctionData, http, maxUint256, parseAbi } from "viem";
import {
  delegated,
  delegatedSilent,
  deployer,
  facilitator,
  ours,
  owner,
  payer,
  poor,
  secondFacilitator,
  unapproved,
} from "./accounts.mjs";
import { anvilAt, startAnvil } from "./anvil.mjs";
import { BASE_SEPOLIA_USDC, MULTICALL3, PERMIT2, artifact, create, deploy, placeUsdc } from "./contracts.mjs";

/** Citrate. */
export const CITRATE = 40204;
/** Base Sepolia, whose USDC the official clients pay in without being told to. */
export const BASE_SEPOLIA = 84532;

/** What the tests call of a token. */
export const tokenAbi = parseAbi([
  "function balanceOf(address) view returns (uint256)",
  "function allowance(address,address) view returns (uint256)",
  "function approve(address,uint256) returns (bool)",
  "function transfer(address,uint256) returns (bool)",
  "function deposit() payable",
  "function nonces(address) view returns (uint256)",
  "function authorizationState(address,bytes32) view returns (bool)",
  "function cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)",
]);

/**
 * A token, as an offer in x402 describes it.
 *
 * @typedef {object} Token
 * @property {`0x${string}`} address - Where it stands.
 * @property {string} name - Of its EIP-712 domain.
 * @property {string} version - Of its EIP-712 domain.
 * @property {boolean} eip2612 - Whether it has `permit`.
 */

/**
 * A chain with what stands on it.
 *
 * @typedef {object} Site
 * @property {import("./anvil.mjs").Anvil} anvil - The chain.
 * @property {string} deployments - The folder with our deployment's file.
 * @property {Record<string, Token>} tokens - By a short name.
 * @property {Token} token - What payments are in where nothing else is said: wrapped SALT on Citrate, Salt on Base.
 * @property {`0x${string}`} factory - Creates contract wallets, and facilitators may call it.
 * @property {`0x${string}`} wallet - A contract wallet (ERC-1271) of `owner`, with tokens and allowances.
 */

/**
 * Opens the stand: the one that the file named by CLIENTS_STAND tells of, or a new one.
 *
 * @param {{ ports?: Record<number, number> }} options - Ports of the chains, where they are to be known.
 * @returns {Promise<{ sites: Record<number, Site>, stop: () => Promise<void> }>} The stand.
 */
export async function openStand({ ports = {} } = {}) {
  if (process.env.CLIENTS_STAND) {
    const { chains } = JSON.parse(readFileSync(process.env.CLIENTS_STAND, "utf8"));
    const sites = chains.map(({ id, rpc, ...rest }) => [
      id,
      { anvil: anvilAt(id, rpc), ...rest, token: rest.tokens[rest.token] },
    ]);
    return { sites: Object.fromEntries(sites), stop: async () => {} };
  }
  const sites = {};
  for (const id of [CITRATE, BASE_SEPOLIA]) sites[id] = await furnish(await startAnvil(id, ports[id]));
  return {
    sites,
    stop: async () => {
      for (const { anvil, deployments } of Object.values(sites)) {
        await anvil.stop();
        rmSync(deployments, { recursive: true, force: true });
      }
    },
  };
}

/**
 * What CLIENTS_STAND's file holds, and whoever starts a facilitator for the stand must know.
 *
 * @param {Record<number, Site>} sites - The chains.
 * @returns {object} JSON.
 */
export function description(sites) {
  return {
    chains: Object.values(sites).map(({ anvil, token, ...rest }) => ({
      id: anvil.id,
      network: anvil.network,
      rpc: anvil.rpc,
      ...rest,
      token: Object.keys(rest.tokens).find((name) => rest.tokens[name] === token),
    })),
    signers: { official: facilitator.address, second: secondFacilitator.address, ours: ours.address },
  };
}

async function furnish(anvil) {
  const { folder, contracts } = await deploy(anvil);
  const call = (from, to, functionName, args = [], value = 0n) =>
    anvil.act(from, to, encodeFunctionData({ abi: tokenAbi, functionName, args }), value);
  const wallet = await create(anvil, "ContractWallet", [owner.address]);
  const factory = await create(anvil, "WalletFactory");

  const tokens = { Salt: { address: contracts.Salt, name: "Salt", version: "1", eip2612: true } };
  if (anvil.id === CITRATE) {
    tokens.wSALT = { address: contracts.WrappedSalt, name: "Wrapped SALT", version: "1", eip2612: false };
  } else {
    await placeUsdc(anvil, payer.address, 10n ** 12n);
    tokens.USDC = { address: BASE_SEPOLIA_USDC, name: "USDC", version: "2", eip2612: true };
  }
  const holders = [unapproved.address, delegated.address, delegatedSilent.address, wallet];
  for (const { address } of Object.values(tokens)) {
    if (address === contracts.WrappedSalt) await call(payer.address, address, "deposit", [], 10n ** 21n);
    for (const holder of holders) await call(payer.address, address, "transfer", [holder, 10n ** 10n]);
    for (const { address: holder } of [payer, poor, delegated, delegatedSilent]) {
      await call(holder, address, "approve", [PERMIT2, maxUint256]);
    }
    const approval = encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [PERMIT2, maxUint256] });
    const execution = { abi: artifact("ContractWallet").abi, functionName: "execute", args: [address, approval] };
    await anvil.act(owner.address, wallet, encodeFunctionData(execution));
  }

  await delegate(anvil, delegated, await create(anvil, "ContractWallet", [delegated.address]));
  await delegate(anvil, delegatedSilent, MULTICALL3);
  return { anvil, deployments: folder, tokens, token: tokens.wSALT ?? tokens.Salt, factory, wallet };
}

/** Has an account act as a contract does (EIP-7702). */
async function delegate(anvil, { account, address }, contractAddress) {
  const nonce = await anvil.client.getTransactionCount({ address });
  const authorization = await account.signAuthorization({ contractAddress, chainId: anvil.id, nonce });
  const wallet = createWalletClient({ account: deployer.account, chain: anvil.chain, transport: http(anvil.rpc) });
  const hash = await wallet.sendTransaction({ to: deployer.address, authorizationList: [authorization] });
  await anvil.client.waitForTransactionReceipt({ hash });
  const code = await anvil.client.getCode({ address });
  if (!code?.startsWith("0xef0100")) throw new Error(`${address} is not delegated`);
}
