// Pays with @x402/fetch, unmodified.
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { allowedAssets, withSchemes } from "./orders.mjs";

export default wrapFetchWithPayment(fetch, withSchemes(new x402Client().setSpendControls({ allowedAssets })));
