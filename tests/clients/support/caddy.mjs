// Any server behind Caddy, which asks salt402 first. docs/proxies/Caddyfile is used as it stands.
import { once } from "node:events";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, root, start } from "./children.mjs";
import { settled } from "./model.mjs";

/**
 * Starts a server that sells nothing itself, and Caddy before it. A path with `/fails/` is answered 500, with `/breaks/` not at all; one with
 * `/holds` waits, the first time that it is asked, until it is released. All others are answered with their path and who paid.
 *
 * @param {string} verifier - Where salt402 is asked.
 * @returns {Promise<{ url: string, held: () => Promise<void>, release: () => void, stop: () => Promise<void> }>} Caddy's address; `held`
 *   resolves when a request is held, and `release` lets it go.
 * @throws {Error} With what Caddy said, if it does not ask salt402 within half a minute.
 */
export async function startCaddy(verifier) {
  const known = new Set();
  let [waiting, gate] = [settled(), settled()];
  const files = createServer(async (request, response) => {
    if (request.url.includes("/fails/")) return response.writeHead(500).end("{}");
    if (request.url.includes("/breaks/")) return request.socket.destroy();
    if (request.url.includes("/holds") && !known.has(request.url)) {
      known.add(request.url);
      waiting.resolve();
      await gate.promise;
    }
    response.end(JSON.stringify({ served: request.url, payer: request.headers["x-payment-payer"] }));
  });
  files.listen(0, "127.0.0.1");
  await once(files, "listening");
  const port = await freePort();
  const env = { PORT: String(port), SALT402: new URL(verifier).host, BACKEND: `127.0.0.1:${files.address().port}` };
  for (const home of ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"]) env[home] = tmpdir();
  const config = join(root, "docs/proxies/Caddyfile");
  const caddy = await start("caddy", ["run", "--adapter", "caddyfile", "--config", config], { env });
  const url = `http://127.0.0.1:${port}`;
  const held = () => waiting.promise;
  const release = () => {
    gate.resolve();
    [waiting, gate] = [settled(), settled()];
  };
  const stop = async () => {
    await caddy.stop();
    files.close();
    files.closeAllConnections();
  };
  for (let tries = 0; tries < 300; tries += 1) {
    if (await fetch(`${url}/paid/0`).then(({ status }) => status === 402, () => false)) return { url, held, release, stop };
    await new Promise((later) => setTimeout(later, 100));
  }
  await stop();
  throw new Error(`Caddy does not ask:\n${caddy.said.join("\n")}`);
}
