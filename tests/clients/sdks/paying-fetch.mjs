// A fetch that pays, for any SDK that takes one: it pays a 402 in the chain's coin, and asks again with the proof.
import { parseAbi } from "viem";

const abi = parseAbi(["function payOnTime(bytes32 paymentReference, uint256 deadlineAndPayee) payable"]);
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/**
 * @param {import("viem").WalletClient} wallet - Of the payer, with its account and chain.
 * @param {bigint} most - The most that a request may cost, in base units.
 * @returns {typeof fetch} The fetch.
 */
export function payingFetch(wallet, most) {
  // What was paid for and is not answered yet. SDKs ask again on their own: they must show the same proof, and pay nothing.
  const paid = new Map();
  return async (input, init) => {
    const request = new Request(input, init);
    const { method, url, signal } = request;
    const body = method === "GET" ? undefined : await request.text();
    const ask = (more) => fetch(url, { method, signal, body, headers: { ...Object.fromEntries(request.headers), ...more } });
    const key = `${method} ${url}\n${body}`;
    // Taken out, so that the same request at the same time pays for itself.
    let proof = paid.get(key);
    paid.delete(key);
    try {
      for (let tries = 0; ; tries += 1) {
        const response = await ask(proof ?? { "x-payment-binding": "quote" });
        const details = response.headers.get("x-payment-details");
        const wait = response.headers.get("retry-after");
        if (response.status === 402 && details && !proof) {
          proof = await pay(JSON.parse(details));
        } else if (!response.ok && proof && wait && tries < 30) {
          await pause(Number(wait));
        } else {
          if (response.ok) proof = undefined;
          return response;
        }
        await response.body?.cancel();
      }
    } finally {
      if (proof) paid.set(key, proof);
    }
  };

  async function pay({ amount, asset, chainId, expiresAt, paymentContract, quoteId, recipient, reference }) {
    if (BigInt(amount) > most) throw new Error(`it costs ${amount}, which is more than ${most}`);
    if (asset !== "native" || chainId !== wallet.chain.id) throw new Error(`it is paid in ${asset} on chain ${chainId}`);
    const hash = await wallet.writeContract({
      address: paymentContract,
      abi,
      functionName: "payOnTime",
      args: [reference, (BigInt(expiresAt) << 160n) | BigInt(recipient)],
      value: BigInt(amount),
    });
    return { "x-payment-proof": hash, "x-payment-quote": quoteId };
  }
}
