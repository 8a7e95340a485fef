// Pays with @x402/fetch, unmodified.
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { allowedAssets, body, carryOut, withSchemes } from "./orders.mjs";

const pay = wrapFetchWithPayment(fetch, withSchemes(new x402Client().setSpendControls({ allowedAssets })));
const posted = body && { method: "POST", headers: { "content-type": "application/json" }, body };
await carryOut(async (url) => {
  const response = await pay(url, posted);
  return { status: response.status, body: await response.text(), header: (name) => response.headers.get(name) };
});
