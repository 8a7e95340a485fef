// The two chains with everything on them, until Ctrl-C, for a facilitator that somebody starts by hand.
//
//   node tests/clients/stand.mjs [PORT]
//
// Chain 40204 is at PORT (8545) and 84532 at the next. scratch/clients/stand.json says what stands where, and
// scratch/clients/salt402.toml is a configuration for `salt402 up`. Then:
//
//   CLIENTS_STAND=$PWD/scratch/clients/stand.json FACILITATOR_URL=http://127.0.0.1:4022 make test-clients
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ours } from "./support/accounts.mjs";
import { root } from "./support/children.mjs";
import { configuration } from "./support/ours.mjs";
import { BASE_SEPOLIA, CITRATE, description, openStand } from "./support/stand.mjs";

const port = Number(process.argv[2] ?? 8545);
const { sites, stop } = await openStand({ ports: { [CITRATE]: port, [BASE_SEPOLIA]: port + 1 } });
const folder = join(root, "scratch/clients");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "stand.json"), `${JSON.stringify(description(sites), null, 2)}\n`);
writeFileSync(join(folder, "salt402.toml"), configuration(sites, { facilitator: 4022, verifier: 4020 }));
console.log(`${folder}/stand.json and salt402.toml are written. Anvil's published key for a facilitator of ours:
export SALT402_FACILITATOR_KEY=${ours.key}
The chains run until Ctrl-C.`);

const end = async () => {
  await stop();
  process.exit(0);
};
process.on("SIGINT", end);
process.on("SIGTERM", end);
