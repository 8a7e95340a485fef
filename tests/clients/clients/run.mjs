// Carries orders out with a client that is a fetch: `node clients/run.mjs clients/fetch.mjs`. The module's default export is the fetch.
import { carryOutBy } from "./orders.mjs";

const { default: pay } = await import(new URL(`../${process.argv[2]}`, import.meta.url));
await carryOutBy(pay);
// Some clients leave timers and sockets behind.
process.exit(0);
