// Pays with x402-fetch, the client of version 1, unmodified.
import { createSigner, wrapFetchWithPayment } from "x402-fetch";
import { allowedAssets, body, carryOut, key } from "../clients/orders.mjs";

const most = BigInt(allowedAssets[0].maxAmountPerPayment);
const pay = wrapFetchWithPayment(fetch, await createSigner("base-sepolia", key), most);
const posted = body && { method: "POST", headers: { "content-type": "application/json" }, body };
await carryOut(async (url) => {
  const response = await pay(url, posted);
  return { status: response.status, body: await response.text(), header: (name) => response.headers.get(name) };
});
