// The facilitator of this repository, as an operator would configure it for the two chains.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ours } from "./accounts.mjs";
import { freePort, root, start } from "./children.mjs";

/**
 * Its configuration: all tokens of the stand, any payee, x402's own proxies.
 *
 * @param {Record<number, import("./stand.mjs").Site>} sites - The chains.
 * @param {{ facilitator: number, verifier: number }} ports - Where it listens, and where the verifier does that runs beside it.
 * @param {string} [verifier] - What else the verifier is told.
 * @returns {string} The configuration.
 */
export function configuration(sites, ports, verifier = "") {
  const chains = Object.values(sites).map(({ anvil, deployments, tokens, factory }) => {
    const name = `anvil-${anvil.id}`;
    const listed = Object.values(tokens).map(({ address }) => `{ contract = "${address}" }`);
    return `
[chains.${name}]
profile = "local"
overrides = { chain_id = "${anvil.network}" }
rpc = "${anvil.rpc}"
ws = "${anvil.rpc.replace("http", "ws")}"
deployments = "${deployments}"

[facilitator.chains.${name}]
payees = ["*"]
tokens = [${listed.join(", ")}]
factories = ["${factory}"]
`;
  });
  return `# Written by the tests. The key is in the environment variable SALT402_FACILITATOR_KEY.
data = "data"

[verifier]
listen = "127.0.0.1:${ports.verifier}"
${verifier}

[facilitator]
listen = "127.0.0.1:${ports.facilitator}"
# Tests run beside each other, with the same key on chains of the same id.
locks = "."
${chains.join("")}`;
}

/**
 * Starts it.
 *
 * @param {Record<number, import("./stand.mjs").Site>} sites - The chains.
 * @returns {Promise<{ url: string, stop: () => Promise<void> }>} Its address, and how to end it.
 * @throws {Error} With what it said, if it offers not all chains within a minute.
 */
export async function startOurs(sites) {
  return started(sites, (ports) => configuration(sites, ports));
}

/** All dialects in which a 402 can say how to pay. */
const DIALECTS = ["x402", "x402-v1", "mpp", "payment-headers", "requirements-header", "nested-body", "masken"];

/**
 * Where, in what and for how much something is sold.
 *
 * @typedef {object} Sale
 * @property {number} chain - The chain id.
 * @property {import("./stand.mjs").Token} token - What signed payments are in.
 * @property {string} payee - Who is paid.
 * @property {string} price - In whole coins or tokens of 18 decimals.
 * @property {boolean} [native] - Prices are in the coin, and `token` is its wrapped form.
 * @property {"eip3009" | "permit2"} [method] - How the token is moved.
 * @property {string[]} [dialects] - In which a 402 says how to pay, where that is not all.
 * @property {string} [upto] - Each token has this price besides, and what was used is charged.
 * @property {(price: string) => string} [sells] - What is sold, as the configuration has it. Left out: the model `demo`, of the program itself.
 * @property {number} [lifetime] - For how many seconds a quote is good.
 * @property {{ per_minute: number, burst: number }} [addresses] - How often one address may ask. 127.0.0.1 is a proxy of the operator then.
 */

/**
 * Starts the whole: the facilitator, and a gateway that sells a model's answers on one of the chains, paid by signatures and by transactions.
 *
 * @param {Record<number, import("./stand.mjs").Site>} sites - The chains.
 * @param {Sale} sale - What is sold.
 * @returns {Promise<{ url: string, gateway: string, verifier: string, stop: () => Promise<void>, kill: () => Promise<void>, up: () => Promise<void>,
 *   sell: (sells: (price: string) => string) => void, fill: (isFull: boolean) => Promise<void> }>}
 *   The facilitator's, the gateway's and the verifier's address, how to end it, how to end it as a crash does and to start it again, what it sells
 *   from its next start on, and whether it can write no more, as on a full disk.
 * @throws {Error} With what it said, if it is not ready within a minute.
 */
export async function startGateway(sites, sale) {
  const { chain, token, payee, price, native = false, method = "eip3009", dialects = DIALECTS, upto, lifetime, addresses } = sale;
  let { sells = sellsDemo } = sale;
  const gateway = await freePort();
  const asset = native ? "" : `asset = "${token.address}"\nasset_symbol = "TOKEN"\nasset_decimals = 18\n`;
  const unit = native ? "SALT" : "TOKEN";
  const text = (ports) => `${configuration(sites, ports, lifetime && `quote_lifetime_s = ${lifetime}\nclock_skew_s = 0`)}
[payment]
chain = "anvil-${chain}"
payee = "${payee}"
dialects = ${JSON.stringify(dialects)}
${asset}
[payment.signatures]
token = "${token.address}"
method = "${method}"
domain_name = "${token.name}"
domain_version = "${token.version}"
upto = ${Boolean(upto)}

[gateway]
listen = "127.0.0.1:${gateway}"
${addresses ? `[limits]\ntrusted_proxies = ["127.0.0.1"]\n\n[limits.per_address]\nper_minute = ${addresses.per_minute}\nburst = ${addresses.burst}\n` : ""}
${sells(`"${price} ${unit}"`, upto && `"${upto} ${unit}"`)}
`;
  const { url, verifier, stop, kill, up, configure, fill } = await started(sites, text);
  const address = `http://127.0.0.1:${gateway}`;
  const ready = async () => {
    for (let tries = 0; tries < 600; tries += 1) {
      if (await fetch(`${address}/readyz`).then((answer) => answer.ok, () => false)) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await stop();
    throw new Error(`the gateway at ${address} is not ready`);
  };
  await ready();
  const sell = (others) => {
    sells = others;
    configure();
  };
  const filled = async (isFull) => {
    fill(isFull);
    if (!isFull) await ready();
  };
  return { url, gateway: address, verifier, stop, kill, up: () => up().then(ready), sell, fill: filled };
}

const sellsDemo = (price, each) => `
[gateway.models.demo]
upstream = "demo"
price_per_request = ${price}
${each ? `charge = "used"\nprice_per_token = ${each}` : ""}`;

async function started(sites, text) {
  const folder = join(root, "scratch/clients", `salt402-${process.pid}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const ports = { facilitator: await freePort(), verifier: await freePort() };
  const config = join(folder, "salt402.toml");
  const configure = () => writeFileSync(config, text(ports));
  configure();
  const binary = process.env.SALT402 ?? join(root, "target/debug/salt402");
  const env = { SALT402_FACILITATOR_KEY: ours.key };
  const url = `http://127.0.0.1:${ports.facilitator}`;
  const networks = Object.values(sites).map(({ anvil }) => anvil.network);
  let running;
  const kill = () => running.stop();
  const stop = async () => {
    await kill();
    rmSync(folder, { recursive: true, force: true });
  };
  const up = async () => {
    // An ignored signal stays ignored after `exec`: to write beyond a limit is an error then, as on a full disk.
    running = await start("sh", ["-c", `trap '' XFSZ; exec "$0" "$@"`, binary, "up", "--config", config], { env, label: binary });
    for (let tries = 0; tries < 600 && !running.hasEnded(); tries += 1) {
      const supported = await fetch(`${url}/supported`).then(
        (answer) => answer.json(),
        () => undefined,
      );
      if (networks.every((network) => supported?.kinds?.some((kind) => kind.network === network))) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await stop();
    throw new Error(`${binary} offers not all of ${networks.join(", ")}:\n${running.said.join("\n")}`);
  };
  const fill = (isFull) => execFileSync("prlimit", ["--pid", String(running.id), `--fsize=${isFull ? 0 : "unlimited"}:unlimited`]);
  await up();
  return { url, verifier: `http://127.0.0.1:${ports.verifier}`, stop, kill, up, configure, fill };
}
