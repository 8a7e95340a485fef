// Pays with mppx, unmodified: what WWW-Authenticate asks, by an EIP-3009 authorization. It knows a token's domain from its user alone.
import { Mppx, evm } from "mppx/client";
import { privateKeyToAccount } from "viem/accounts";
import { allowedAssets, domain, key } from "./orders.mjs";

const [{ asset, maxAmountPerPayment }] = allowedAssets;
const method = evm({
  account: privateKeyToAccount(key),
  authorization: domain,
  currencies: [asset],
  decimals: 18,
  maxAtomicAmount: maxAmountPerPayment,
  networks: [40204, 84532],
});
export default Mppx.create({ methods: [method], polyfill: false }).fetch;
