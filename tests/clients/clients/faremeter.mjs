// Pays with @faremeter/fetch, unmodified, by version 2 of x402 or by version 1, whichever the 402 has. It knows a token from its user alone.
import { wrap } from "@faremeter/fetch";
import { createPaymentHandler } from "@faremeter/payment-evm/exact";
import { createLocalWallet } from "@faremeter/wallet-evm";
import { allowedAssets, chain, domain, key } from "./orders.mjs";

const wallet = await createLocalWallet({ id: chain.id, name: String(chain.id) }, key);
const asset = { address: allowedAssets[0].asset, contractName: domain?.name };
export default wrap(fetch, { handlers: [createPaymentHandler(wallet, { asset })], returnPaymentFailure: true });
