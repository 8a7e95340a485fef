// Plays the clients that are flows on a page and no package, with curl: `node clients/curl.mjs payment-details`, or `masken`, `mpp-hash`,
// `payment-headers`, `requirements-header`, `nested-body`. What is asked and what pays is read and written as that page has it.
//
// Such a client pays whenever it is told how to, three times at the most. Without that, and with Retry-After, it shows the same again.
import { execFileSync } from "node:child_process";
import { createWalletClient, defineChain, http, parseAbi, parseUnits, publicActions, toHex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { carryOut, chain, domain, key, orders } from "./orders.mjs";

const MOST_PAYMENTS = 3;
const MOST_PAUSES = 4;

const account = privateKeyToAccount(key);
const wallet = createWalletClient({
  account,
  chain: defineChain({ id: chain.id, name: "chain", nativeCurrency: { name: "Coin", symbol: "COIN", decimals: 18 }, rpcUrls: { default: { http: [chain.rpc] } } }),
  transport: http(chain.rpc),
  pollingInterval: 50,
}).extend(publicActions);

const calls = parseAbi([
  "function payOnTime(bytes32 paymentReference, uint256 deadlineAndPayee) payable",
  "function payTokenOnTime(address asset, uint256 amount, uint256 deadlineAndPayee, bytes32 paymentReference)",
  "function pay(bytes32 paymentReference, address payee) payable",
  "function payToken(bytes32 paymentReference, address payee, address asset, uint256 amount)",
  "function approve(address spender, uint256 amount)",
]);

/** Asks with curl. */
function curl(url, body, headers = {}) {
  const said = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const posted = body ? ["-H", "content-type: application/json", "--data-binary", "@-"] : [];
  const args = ["--silent", "--show-error", "--include", "--noproxy", "*", "--max-time", "90", ...said, ...posted, url];
  const [head, ...rest] = execFileSync("curl", args, { input: body ?? "", encoding: "utf8", maxBuffer: 1 << 24 }).split("\r\n\r\n");
  const [line, ...lines] = head.split("\r\n");
  const pairs = lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]);
  const all = (name) => pairs.filter(([known]) => known === name).map(([, value]) => value);
  return { status: Number(line.split(" ")[1]), body: rest.join("\r\n\r\n"), header: (name) => all(name)[0], all };
}

const decoded = (text) => JSON.parse(Buffer.from(text, "base64").toString());
const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64");
const json = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** Pays by a transaction, through the payment contract. */
async function sent({ contract, asset, amount, native, token }) {
  const write = (call) => wallet.writeContract({ abi: calls, ...call });
  if (asset === "native") return write({ address: contract, ...native, value: amount });
  const approved = await write({ address: asset, functionName: "approve", args: [contract, amount] });
  await wallet.waitForTransactionReceipt({ hash: approved });
  // More than it takes: whoever pays does not wait for the node to try it.
  return write({ address: contract, ...token, gas: 300_000n });
}

/** Signs an EIP-3009 authorization in a token's domain. */
async function signed({ contract, to, value, name = domain.name, version = domain.version, seconds = 300 }) {
  const nonce = toHex(crypto.getRandomValues(new Uint8Array(32)));
  const validBefore = BigInt(Math.floor(Date.now() / 1000) + seconds);
  const message = { from: account.address, to, value, validAfter: 0n, validBefore, nonce };
  const fields = { from: "address", to: "address", value: "uint256", validAfter: "uint256", validBefore: "uint256", nonce: "bytes32" };
  const signature = await account.signTypedData({
    domain: { name, version, chainId: chain.id, verifyingContract: contract },
    types: { TransferWithAuthorization: Object.entries(fields).map(([name, type]) => ({ name, type })) },
    primaryType: "TransferWithAuthorization",
    message,
  });
  const text = (value) => (typeof value === "bigint" ? String(value) : value);
  return { signature, authorization: Object.fromEntries(Object.entries(message).map(([name, value]) => [name, text(value)])) };
}

/** Each flow: what to pay with, of a 402; undefined where it does not say how. */
const flows = {
  // Citrate's: https://www.citrate.ai, X-Payment-Details and X-Payment-Proof.
  async "payment-details"({ header }) {
    if (!header("x-payment-details")) return undefined;
    const { amount, asset, paymentContract, quoteId, recipient, reference, expiresAt } = JSON.parse(header("x-payment-details"));
    const until = (BigInt(expiresAt) << 160n) | BigInt(recipient);
    const hash = await sent({
      contract: paymentContract,
      asset,
      amount: BigInt(amount),
      native: { functionName: "payOnTime", args: [reference, until] },
      token: { functionName: "payTokenOnTime", args: [asset, BigInt(amount), until, reference] },
    });
    return { "x-payment-proof": hash, "x-payment-quote": quoteId };
  },
  async masken({ body }) {
    const asked = json(body)?.x402;
    if (!asked?.receiver) return undefined;
    const amount = parseUnits(asked.amount, 18);
    const hash = await sent({
      contract: asked.paymentContract,
      asset: asked.token,
      amount,
      native: { functionName: "pay", args: [asked.reference, asked.receiver] },
      token: { functionName: "payToken", args: [asked.reference, asked.receiver, asked.token, amount] },
    });
    return { "x402-proof": `evm:${asked.receiver}:${asked.nonce}:${hash}` };
  },
  async "mpp-hash"({ all }) {
    const challenges = all("www-authenticate").map((text) =>
      Object.fromEntries([...text.matchAll(/([a-z]+)="([^"]*)"/g)].map(([, name, value]) => [name, value])),
    );
    const challenge = challenges.find(({ method }) => method === "salt402");
    if (!challenge) return undefined;
    const { amount, currency, recipient, methodDetails } = decoded(challenge.request);
    const { paymentContract, reference } = methodDetails;
    const hash = await sent({
      contract: paymentContract,
      asset: BigInt(currency) === 0n ? "native" : currency,
      amount: BigInt(amount),
      native: { functionName: "pay", args: [reference, recipient] },
      token: { functionName: "payToken", args: [reference, recipient, currency, BigInt(amount)] },
    });
    const credential = { challenge, payload: { type: "hash", hash } };
    return { authorization: `Payment ${Buffer.from(JSON.stringify(credential)).toString("base64url")}` };
  },
  // K's: X-Payment-Required and its family.
  async "payment-headers"({ header }) {
    if (header("x-payment-required") !== "true") return undefined;
    const [amount, asset, to] = ["amount", "asset", "recipient"].map((name) => header(`x-payment-${name}`));
    const { name, version, verifyingContract } = JSON.parse(header("x-payment-domain"));
    const payload = await signed({ contract: verifyingContract, to, value: parseUnits(amount, 18), name, version });
    return {
      "x-payment-signature": encoded(payload),
      "x-payment-amount": amount,
      "x-payment-asset": asset,
      "x-payment-nonce": payload.authorization.nonce,
    };
  },
  // x402cloud's.
  async "requirements-header"({ header }) {
    if (!header("x-payment-requirements")) return undefined;
    const { resource, accepts } = decoded(header("x-payment-requirements"));
    const accepted = accepts.find(({ scheme, extra }) => scheme === "exact" && extra.assetTransferMethod === "eip3009");
    if (!accepted) return undefined;
    const { name, version } = accepted.extra;
    const terms = { contract: accepted.asset, to: accepted.payTo, value: BigInt(accepted.amount), name, version };
    const payload = await signed({ ...terms, seconds: accepted.maxTimeoutSeconds });
    return { "x-payment": encoded({ x402Version: 2, resource, accepted, payload }) };
  },
  // CheapestInference's.
  async "nested-body"({ body }) {
    const way = json(body)?.x402?.accepts?.[0];
    if (!way) return undefined;
    const { asset, decimals, name, version } = way.extra;
    const terms = { contract: asset, to: way.payTo, value: parseUnits(way.maxAmountRequired, decimals), name, version };
    const payload = await signed({ ...terms, seconds: way.maxTimeoutSeconds });
    return { "x-payment": encoded({ x402Version: 1, scheme: way.scheme, network: way.network, payload }) };
  },
};

const paidBy = flows[process.argv[2]];
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

await carryOut(async (url, body) => {
  let answer = curl(url, body, orders.headers);
  for (let payments = 0; answer.status === 402 && payments < MOST_PAYMENTS; payments += 1) {
    const shown = await paidBy(answer);
    if (!shown) break;
    answer = curl(url, body, { ...orders.headers, ...shown });
    for (let pauses = 0; answer.status !== 200 && answer.header("retry-after") && pauses < MOST_PAUSES; pauses += 1) {
      await pause(Math.min(Number(answer.header("retry-after")), 2));
      answer = curl(url, body, { ...orders.headers, ...shown });
    }
  }
  return answer;
});
