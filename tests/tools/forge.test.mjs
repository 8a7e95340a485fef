import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { test } from "node:test";
import { discreet } from "../../tools/deployment/forge.mjs";
import { tool } from "./support.mjs";

const KEY = "sEcReT0123456789abcdef";

test("the node's address is in nothing that is shown, whole or in parts", () => {
  const url = `https://user1234:passw%2Frd99@node.example/v2/${KEY}?apikey=query0123456789`;
  for (const said of [url, `${url}/`, KEY, "path=query0123456789", "user1234", "passw/rd99", new URL(url).href]) {
    const shown = discreet(`error sending request for url (${said})`, url);
    for (const secret of [KEY, "query0123456789", "user1234", "passw"]) assert.ok(!shown.includes(secret), shown);
    assert.ok(shown.includes("<ETH_RPC_URL>"), shown);
  }
  assert.equal(discreet("block 7 of http", "http://127.0.0.1:8545"), "block 7 of http");
  assert.equal(discreet("no address", undefined), "no address");
  assert.equal(discreet("it is not://an address", "not://an address"), "it is <ETH_RPC_URL>");
});

test("a dead node's key is not shown by a run that fails", { timeout: 300_000 }, async () => {
  const free = createServer();
  await new Promise((resolve) => free.listen(0, "127.0.0.1", resolve));
  const { port } = free.address();
  await new Promise((resolve) => free.close(resolve));
  for (const url of [`http://127.0.0.1:${port}/v2/${KEY}`, `http://127.0.0.1:${port}/?apikey=${KEY}`]) {
    // As the run that sends shows it, and as the one that plans does.
    const module = JSON.stringify(new URL("../../tools/deployment/forge.mjs", import.meta.url));
    const run = `import { script } from ${module}; await script(["--sig", "plan()"], process.env, { show: true });`;
    const { PATH, HOME } = process.env;
    const sending = spawnSync("node", ["--input-type=module", "-e", run], {
      env: { PATH, HOME, ETH_RPC_URL: url, SALT402_PLAN: "scratch/none.json" },
      encoding: "utf8",
    });
    assert.ok(!`${sending.stdout}${sending.stderr}`.includes(KEY), `${sending.stdout}${sending.stderr}`);
    assert.ok(sending.stderr.includes("<ETH_RPC_URL>"), sending.stderr);
    const { code, said, complained } = await tool("deploy.mjs", ["dry"], { ETH_RPC_URL: url });
    assert.notEqual(code, 0);
    assert.ok(!`${said}${complained}`.includes(KEY), `${said}${complained}`);
    assert.match(complained, /The deployment was not planned/);
  }
});
