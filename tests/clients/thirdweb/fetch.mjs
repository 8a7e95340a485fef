// Pays with thirdweb, unmodified. It is told the chain, so it asks no server on the internet where the offer names what is signed.
import { createThirdwebClient, defineChain } from "thirdweb";
import { createWalletAdapter, privateKeyToAccount } from "thirdweb/wallets";
import { wrapFetchWithPayment } from "thirdweb/x402";
import { allowedAssets, chain, key } from "../clients/orders.mjs";

const client = createThirdwebClient({ clientId: "none" });
const wallet = createWalletAdapter({
  client,
  adaptedAccount: privateKeyToAccount({ client, privateKey: key }),
  chain: defineChain({ id: chain.id, rpc: chain.rpc }),
  onDisconnect: () => {},
  switchChain: () => {},
});
export default wrapFetchWithPayment(fetch, client, wallet, { maxValue: BigInt(allowedAssets[0].maxAmountPerPayment) });
