// Pays with x402-fetch, the client of version 1, unmodified.
import { createSigner, wrapFetchWithPayment } from "x402-fetch";
import { allowedAssets, key } from "../clients/orders.mjs";

const most = BigInt(allowedAssets[0].maxAmountPerPayment);
export default wrapFetchWithPayment(fetch, await createSigner("base-sepolia", key), most);
