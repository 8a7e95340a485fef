// Pays with @x402/fetch in version 1 of x402, unmodified: the offer is in the body of the 402.
import { ExactEvmSchemeV1 } from "@x402/evm/v1";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";
import { allowedAssets, key } from "./orders.mjs";

const client = new x402Client()
  .setSpendControls({ allowedAssets: allowedAssets.map((allowed) => ({ ...allowed, network: "base-sepolia" })) })
  .registerV1("base-sepolia", new ExactEvmSchemeV1(privateKeyToAccount(key)));
export default wrapFetchWithPayment(fetch, client);
