// The official SDKs of OpenAI and Anthropic, LiteLLM and LangChain are customers with a base address and an API key alone: nothing in them
// pays.
//
//   make test-sdks
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { secondFacilitator as payee } from "../support/accounts.mjs";
import { startAnvil } from "../support/anvil.mjs";
import { freePort, here, lines, root, start } from "../support/children.mjs";
import { deploy } from "../support/contracts.mjs";
import { startModelServer, WORDS } from "./model-server.mjs";

const TEXT = WORDS.join("");
const MODEL = "sold";
const folder = join(root, "scratch/clients", `keys-${process.pid}`);
const config = join(folder, "salt402.toml");
const binary = process.env.SALT402 ?? join(root, "target/debug/salt402");
const stops = [];
let gateway, server, key, account;

const command = (...args) => execFileSync(binary, ["keys", ...args, "--config", config], { encoding: "utf8" });

before(async () => {
  const anvil = await startAnvil(40204);
  stops.push(anvil.stop);
  const { folder: deployments } = await deploy(anvil);
  server = await startModelServer();
  stops.push(server.stop);
  const ports = { gateway: await freePort(), verifier: await freePort() };
  mkdirSync(folder, { recursive: true });
  stops.push(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(
    config,
    `data = "data"

[chains.local]
profile = "local"
overrides = { chain_id = "${anvil.network}" }
rpc = "${anvil.rpc}"
ws = "${anvil.rpc.replace("http", "ws")}"
deployments = "${deployments}"

[verifier]
listen = "127.0.0.1:${ports.verifier}"

[payment]
chain = "local"
payee = "${payee.address}"

[gateway]
listen = "127.0.0.1:${ports.gateway}"
keys = { least = "0.001 SALT", most = "1 SALT" }

[gateway.models.${MODEL}]
upstream = "${server.url}/v1"
upstream_model = "theirs"
apis = ["chat", "messages", "responses"]
price_per_token = "0.000001 SALT"
price_per_prompt_token = "0.0000001 SALT"
`,
  );
  const salt402 = await start(binary, ["up", "--config", config], { label: binary });
  stops.push(salt402.stop);
  gateway = `http://127.0.0.1:${ports.gateway}`;
  for (let tries = 0; ; tries += 1) {
    if (await fetch(`${gateway}/readyz`).then(({ ok }) => ok, () => false)) break;
    if (tries > 300 || salt402.hasEnded()) throw new Error(`salt402 is not ready:\n${salt402.said.join("\n")}`);
    await new Promise((done) => setTimeout(done, 100));
  }
  ({ key, account } = JSON.parse(command("create", "--amount", "0.1 SALT", "--json")));
});

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

const messages = (content) => [{ role: "user", content }];
const openai = (apiKey = key) => new OpenAI({ baseURL: `${gateway}/v1`, apiKey });
const claude = (options = { apiKey: key }) => new Anthropic({ baseURL: gateway, ...options });

async function spent() {
  const told = await fetch(`${gateway}/v1/balance`, { headers: { authorization: `Bearer ${key}` } });
  return BigInt((await told.json()).spent);
}

/** Asks, and holds against it that the model's server was asked once and something was charged. */
function asks(name, ask) {
  test(name, { timeout: 60_000 }, async () => {
    const before = { spent: await spent(), asked: server.asked.length };
    assert.equal(await ask(name), TEXT);
    for (let tries = 0; (await spent()) === before.spent && tries < 100; tries += 1) {
      await new Promise((done) => setTimeout(done, 50));
    }
    assert.ok((await spent()) > before.spent);
    const asked = server.asked.slice(before.asked);
    assert.equal(asked.length, 1);
    for (const header of ["authorization", "x-api-key"]) assert.equal(asked[0].headers[header], undefined, header);
  });
}

asks("openai, plain", async (name) => {
  const { choices } = await openai().chat.completions.create({ model: MODEL, messages: messages(name) });
  return choices[0].message.content;
});

asks("openai, streamed", async (name) => {
  const stream = await openai().chat.completions.create({ model: MODEL, messages: messages(name), stream: true });
  let all = "";
  for await (const { choices } of stream) all += choices[0].delta.content ?? "";
  return all;
});

asks("openai, responses", async (input) => (await openai().responses.create({ model: MODEL, input })).output_text);

asks("@anthropic-ai/sdk, with its header", async (name) => {
  const { content } = await claude().messages.create({ model: MODEL, max_tokens: 16, messages: messages(name) });
  return content[0].text;
});

asks("@anthropic-ai/sdk, with a token as Claude Code has it", async (name) => {
  const asked = claude({ apiKey: null, authToken: key });
  return asked.messages.stream({ model: MODEL, max_tokens: 16, messages: messages(name) }).finalText();
});

test("openai, litellm, langchain and anthropic for Python, plain and streamed", { timeout: 300_000 }, async () => {
  const charges = async () => {
    const told = await fetch(`${gateway}/v1/balance/history?limit=1000`, { headers: { authorization: `Bearer ${key}` } });
    return (await told.json()).entries.filter(({ kind, reserved }) => kind === "charge" && !reserved).length;
  };
  const before = { charges: await charges(), asked: server.asked.length };
  const python = join(here, "sdks/.venv/bin/python");
  const answers = await lines(python, [join(here, "sdks/sdks.py")], { gateway, model: MODEL, api_key: key });
  assert.equal(answers.length, 9);
  for (const answer of answers) assert.deepEqual(answer, { sdk: answer.sdk, text: TEXT });
  const asked = server.asked.slice(before.asked);
  assert.equal(asked.length, answers.length);
  for (const { headers } of asked) for (const name of ["authorization", "x-api-key"]) assert.equal(headers[name], undefined, name);
  // Each charge is written after its answer.
  const are = async () => (await charges()) - before.charges;
  for (let tries = 0; (await are()) < answers.length && tries < 100; tries += 1) await new Promise((done) => setTimeout(done, 50));
  assert.equal(await are(), answers.length);
});

test("a wrong key and a low balance are said in the SDKs' own errors", { timeout: 60_000 }, async () => {
  const ask = (client) => client.chat.completions.create({ model: MODEL, messages: messages("x") });
  await assert.rejects(ask(openai(`${key.slice(0, -4)}zzzz`)), OpenAI.AuthenticationError);
  const asked = { model: MODEL, max_tokens: 16, messages: messages("x") };
  await assert.rejects(claude({ apiKey: `${key.slice(0, -4)}zzzz` }).messages.create(asked), Anthropic.AuthenticationError);
  command("refund", account, "--note", "all of it");
  const before = server.asked.length;
  await assert.rejects(ask(openai()), (error) => {
    assert.equal(error.status, 402);
    assert.match(error.message, /\/v1\/balance/);
    return error.message.includes(account);
  });
  await assert.rejects(claude().messages.create(asked), (error) => error.status === 402 && error.message.includes(account));
  assert.equal(server.asked.length, before);
});
