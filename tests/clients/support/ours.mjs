// The facilitator of this repository, as an operator would configure it for the two chains.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ours } from "./accounts.mjs";
import { freePort, root, start } from "./children.mjs";

/**
 * Its configuration: all tokens of the stand, any payee, x402's own proxies.
 *
 * @param {Record<number, import("./stand.mjs").Site>} sites - The chains.
 * @param {{ facilitator: number, verifier: number }} ports - Where it listens, and where the verifier does that runs beside it.
 * @returns {string} The configuration.
 */
export function configuration(sites, ports) {
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

/**
 * Starts the whole: the facilitator, and a gateway that sells a model's answers on one of the chains, paid by signatures.
 *
 * @param {Record<number, import("./stand.mjs").Site>} sites - The chains.
 * @param {{ chain: number, token: import("./stand.mjs").Token, payee: string, price: string, native?: boolean, method?: string,
 *   dialects?: string[], upto?: string }} sale -
 *   Where, in what and for how much in whole coins or tokens of 18 decimals. `native`: prices are in the coin, and `token` is its
 *   wrapped form. `dialects`: in which a 402 says how to pay, where that is not all. `upto`: each token has this price besides, and what
 *   was used is charged.
 * @returns {Promise<{ url: string, gateway: string, stop: () => Promise<void> }>} The facilitator's and the gateway's address, and
 *   how to end it.
 * @throws {Error} With what it said, if it is not ready within a minute.
 */
export async function startGateway(sites, sale) {
  const { chain, token, payee, price, native = false, method = "eip3009", dialects, upto } = sale;
  const gateway = await freePort();
  const asset = native ? "" : `asset = "${token.address}"\nasset_symbol = "TOKEN"\nasset_decimals = 18\n`;
  const unit = native ? "SALT" : "TOKEN";
  const each = upto ? `charge = "used"\nprice_per_token = "${upto} ${unit}"` : "";
  const text = (ports) => `${configuration(sites, ports)}
[payment]
chain = "anvil-${chain}"
payee = "${payee}"
${dialects ? `dialects = ${JSON.stringify(dialects)}` : ""}
${asset}
[payment.signatures]
token = "${token.address}"
method = "${method}"
domain_name = "${token.name}"
domain_version = "${token.version}"
upto = ${Boolean(upto)}

[gateway]
listen = "127.0.0.1:${gateway}"

[gateway.models.demo]
upstream = "demo"
price_per_request = "${price} ${unit}"
${each}
`;
  const { url, stop } = await started(sites, text);
  const address = `http://127.0.0.1:${gateway}`;
  for (let tries = 0; tries < 600; tries += 1) {
    const ready = await fetch(`${address}/readyz`).then((answer) => answer.ok, () => false);
    if (ready) return { url, gateway: address, stop };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await stop();
  throw new Error(`the gateway at ${address} is not ready`);
}

async function started(sites, text) {
  const folder = join(root, "scratch/clients", `salt402-${process.pid}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const ports = { facilitator: await freePort(), verifier: await freePort() };
  const config = join(folder, "salt402.toml");
  writeFileSync(config, text(ports));
  const binary = process.env.SALT402 ?? join(root, "target/debug/salt402");
  const env = { SALT402_FACILITATOR_KEY: ours.key };
  const { stop: end, hasEnded, said } = await start(binary, ["up", "--config", config], { env, label: binary });
  const stop = async () => {
    await end();
    rmSync(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${ports.facilitator}`;
  const networks = Object.values(sites).map(({ anvil }) => anvil.network);
  for (let tries = 0; tries < 600 && !hasEnded(); tries += 1) {
    const supported = await fetch(`${url}/supported`).then(
      (answer) => answer.json(),
      () => undefined,
    );
    if (networks.every((network) => supported?.kinds?.some((kind) => kind.network === network))) return { url, stop };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await stop();
  throw new Error(`${binary} offers not all of ${networks.join(", ")}:\n${said.join("\n")}`);
}
