// Pays with mppx, unmodified: what WWW-Authenticate asks, by an EIP-3009 authorization. It knows a token's domain from its user alone.
import { Mppx, evm } from "mppx/client";
import { privateKeyToAccount } from "viem/accounts";
import { allowedAssets, body, carryOut, domain, key } from "./orders.mjs";

const [{ asset, maxAmountPerPayment }] = allowedAssets;
const account = privateKeyToAccount(key);
const networks = [40204, 84532];
const method = evm({
  account,
  authorization: domain,
  currencies: [asset],
  decimals: 18,
  maxAtomicAmount: maxAmountPerPayment,
  networks,
});
const { fetch: pay } = Mppx.create({ methods: [method], polyfill: false });
const posted = body && { method: "POST", headers: { "content-type": "application/json" }, body };
await carryOut(async (url) => {
  const response = await pay(url, posted);
  return { status: response.status, body: await response.text(), header: (name) => response.headers.get(name) };
});
