// Pays with @x402/fetch, unmodified.
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { allowedAssets, carryOut, withSchemes } from "./orders.mjs";

const pay = wrapFetchWithPayment(fetch, withSchemes(new x402Client().setSpendControls({ allowedAssets })));
await carryOut(async (url) => {
  const response = await pay(url);
  return { status: response.status, body: await response.text(), header: (name) => response.headers.get(name) };
});
