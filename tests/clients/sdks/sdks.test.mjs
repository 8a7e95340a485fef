// The official SDKs ask our gateway, and pay it with a fetch or a transport of a few lines. Each request is asked once of the model's server and
// paid once.
//
//   make test-sdks
import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, streamText } from "ai";
import OpenAI from "openai";
import { createWalletClient, http } from "viem";
import { payer, secondFacilitator as payee } from "../support/accounts.mjs";
import { startAnvil } from "../support/anvil.mjs";
import { freePort, lines, root, start } from "../support/children.mjs";
import { deploy } from "../support/contracts.mjs";
import { startModelServer, WORDS } from "./model-server.mjs";
import { payingFetch } from "./paying-fetch.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const TEXT = WORDS.join("");
const MODEL = "sold";
const most = 10n ** 18n;
const folder = join(root, "scratch/clients", `sdks-${process.pid}`);
const stops = [];
let anvil, gateway, server, paying;

before(async () => {
  anvil = await startAnvil(40204);
  stops.push(anvil.stop);
  const { folder: deployments } = await deploy(anvil);
  server = await startModelServer();
  stops.push(server.stop);
  const ports = { gateway: await freePort(), verifier: await freePort() };
  mkdirSync(folder, { recursive: true });
  stops.push(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, "salt402.toml");
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

[gateway.models.${MODEL}]
upstream = "${server.url}/v1"
upstream_model = "theirs"
apis = ["chat", "completions", "embeddings", "messages", "responses"]
price_per_token = "0.000001 SALT"
price_per_prompt_token = "0.0000001 SALT"
`,
  );
  const binary = process.env.SALT402 ?? join(root, "target/debug/salt402");
  const salt402 = await start(binary, ["up", "--config", config], { label: binary });
  stops.push(salt402.stop);
  gateway = `http://127.0.0.1:${ports.gateway}`;
  for (let tries = 0; ; tries += 1) {
    if (await fetch(`${gateway}/readyz`).then(({ ok }) => ok, () => false)) break;
    if (tries > 300 || salt402.hasEnded()) throw new Error(`salt402 is not ready:\n${salt402.said.join("\n")}`);
    await new Promise((done) => setTimeout(done, 100));
  }
  const wallet = createWalletClient({ account: payer.account, chain: anvil.chain, transport: http(anvil.rpc) });
  paying = payingFetch(wallet, most);
});

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

/** How many payments there were: the payer sends nothing else. */
const payments = () => anvil.client.getTransactionCount({ address: payer.address });

/** Asks, and holds against it what was asked of the model's server and what was paid. */
function asks(name, path, ask) {
  test(name, { timeout: 60_000 }, async () => {
    const before = { paid: await payments(), asked: server.asked.length };
    assert.equal(await ask(name), TEXT);
    const asked = server.asked.slice(before.asked);
    assert.deepEqual(asked.map((one) => one.path), [path]);
    assert.equal((await payments()) - before.paid, 1);
    const [{ body, headers }] = asked;
    assert.equal(body.model, "theirs");
    assert.equal(headers["x-x402-payer"]?.toLowerCase(), payer.address.toLowerCase());
    for (const header of ["authorization", "x-api-key", "cookie", "x-payment-proof"]) {
      assert.equal(headers[header], undefined, header);
    }
  });
}

const chat = "/v1/chat/completions";
const messages = (content) => [{ role: "user", content }];
const openai = () => new OpenAI({ baseURL: `${gateway}/v1`, apiKey: "none", fetch: paying });
const claude = () => new Anthropic({ baseURL: gateway, apiKey: "none", fetch: paying });
const vercel = () => createOpenAICompatible({ name: "salt402", baseURL: `${gateway}/v1`, fetch: paying })(MODEL);
const langchain = () => new ChatOpenAI({ model: MODEL, apiKey: "none", configuration: { baseURL: `${gateway}/v1`, fetch: paying } });

async function joined(stream, text) {
  let all = "";
  for await (const piece of stream) all += text(piece) ?? "";
  return all;
}

asks("openai, plain", chat, async (name) => {
  const { choices } = await openai().chat.completions.create({ model: MODEL, messages: messages(name) });
  return choices[0].message.content;
});

asks("openai, streamed", chat, async (name) => {
  const stream = await openai().chat.completions.create({ model: MODEL, messages: messages(name), stream: true });
  // No chunk without choices comes to whoever did not ask for the usage.
  return joined(stream, ({ choices }) => choices[0].delta.content);
});

asks("openai, streamed with usage", chat, async (name) => {
  const stream_options = { include_usage: true };
  const stream = await openai().chat.completions.create({ model: MODEL, messages: messages(name), stream: true, stream_options });
  let used;
  const text = await joined(stream, ({ choices, usage }) => {
    used = usage ?? used;
    return choices[0]?.delta.content;
  });
  assert.equal(used.total_tokens, 8);
  return text;
});

asks("openai, responses", "/v1/responses", async (input) => {
  return (await openai().responses.create({ model: MODEL, input })).output_text;
});

asks("openai, responses streamed", "/v1/responses", async (input) => {
  const stream = await openai().responses.create({ model: MODEL, input, stream: true });
  return joined(stream, ({ type, delta }) => (type === "response.output_text.delta" ? delta : ""));
});

asks("openai, embeddings", "/v1/embeddings", async (input) => {
  const { data } = await openai().embeddings.create({ model: MODEL, input: [input, "two"] });
  assert.deepEqual(data.map(({ embedding }) => embedding), [[0.5, 0.25], [0.5, 0.25]]);
  return TEXT;
});

asks("@anthropic-ai/sdk, plain", "/v1/messages", async (name) => {
  const { content } = await claude().messages.create({ model: MODEL, max_tokens: 16, messages: messages(name) });
  return content[0].text;
});

asks("@anthropic-ai/sdk, streamed", "/v1/messages", async (name) => {
  return claude().messages.stream({ model: MODEL, max_tokens: 16, messages: messages(name) }).finalText();
});

asks("ai with @ai-sdk/openai-compatible, plain", chat, async (prompt) => {
  return (await generateText({ model: vercel(), prompt })).text;
});

asks("ai with @ai-sdk/openai-compatible, streamed", chat, async (prompt) => {
  return joined(streamText({ model: vercel(), prompt }).textStream, (piece) => piece);
});

asks("langchain, plain", chat, async (name) => (await langchain().invoke(name)).content);

asks("langchain, streamed", chat, async (name) => joined(await langchain().stream(name), ({ content }) => content));

test("openai, litellm, langchain and anthropic for Python", { timeout: 300_000 }, async () => {
  const before = { paid: await payments(), asked: server.asked.length };
  const at = { gateway, model: MODEL, key: payer.key, rpc: anvil.rpc, chain_id: anvil.id, most: String(most) };
  const answers = await lines(join(here, ".venv/bin/python"), [join(here, "sdks.py")], at);
  assert.equal(answers.length, 9);
  for (const answer of answers) assert.deepEqual(answer, { sdk: answer.sdk, text: TEXT });
  assert.equal(server.asked.length - before.asked, answers.length);
  assert.equal((await payments()) - before.paid, answers.length);
});

test("a price above the limit is not paid", { timeout: 60_000 }, async () => {
  const before = await payments();
  const wallet = createWalletClient({ account: payer.account, chain: anvil.chain, transport: http(anvil.rpc) });
  const poor = new OpenAI({ baseURL: `${gateway}/v1`, apiKey: "none", fetch: payingFetch(wallet, 1n), maxRetries: 0 });
  await assert.rejects(poor.chat.completions.create({ model: MODEL, messages: messages("dear") }));
  assert.equal(await payments(), before);
});

test("requests that are the same at the same time are each paid, and a retry pays nothing", { timeout: 60_000 }, async () => {
  const before = { paid: await payments(), asked: server.asked.length };
  const ask = () => openai().chat.completions.create({ model: MODEL, messages: messages("the same") });
  const both = await Promise.all([ask(), ask()]);
  assert.deepEqual(both.map(({ choices }) => choices[0].message.content), [TEXT, TEXT]);
  assert.equal((await payments()) - before.paid, 2);
  assert.equal(server.asked.length - before.asked, 2);

  // The connection breaks once, after the payment.
  let broken = 0;
  const real = globalThis.fetch;
  globalThis.fetch = (url, init) => {
    if (!init?.headers?.["x-payment-proof"] || broken++) return real(url, init);
    throw new TypeError("the connection broke");
  };
  try {
    const { choices } = await openai().chat.completions.create({ model: MODEL, messages: messages("broken") });
    assert.equal(choices[0].message.content, TEXT);
  } finally {
    globalThis.fetch = real;
  }
  assert.ok(broken >= 2);
  assert.equal((await payments()) - before.paid, 3);
  assert.equal(server.asked.length - before.asked, 3);
});
