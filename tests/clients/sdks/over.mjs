// An SDK over a client that is a fetch, both unmodified: `node sdks/over.mjs openai clients/fetch.mjs`, or `ai`. Each body of the orders is
// asked for as the SDK does it, plain or, with `stream`, streamed. What came is written as clients/orders.mjs says; `body` is the text.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import OpenAI from "openai";
import { carryOut } from "../clients/orders.mjs";

const [, , sdk, module] = process.argv;
const { default: pay } = await import(new URL(`../${module}`, import.meta.url));

async function joined(stream, text) {
  let all = "";
  for await (const piece of stream) all += text(piece) ?? "";
  return all;
}

const asked = {
  async openai(baseURL, { stream, ...body }) {
    const { completions } = new OpenAI({ baseURL, apiKey: "none", fetch: pay }).chat;
    if (stream) return joined(await completions.create({ ...body, stream }), ({ choices }) => choices[0]?.delta.content);
    return (await completions.create(body)).choices[0].message.content;
  },
  async ai(baseURL, { stream, model: name, messages: [{ content: prompt }], max_tokens: maxOutputTokens }) {
    const model = createOpenAICompatible({ name: "salt402", baseURL, fetch: pay })(name);
    if (!stream) return (await generateText({ model, prompt, maxOutputTokens })).text;
    let failed;
    const { textStream } = streamText({ model, prompt, maxOutputTokens, onError: ({ error }) => (failed = error) });
    const text = await joined(textStream, (piece) => piece);
    if (failed) throw failed;
    return text;
  },
};

await carryOut(async (url, body) => {
  try {
    const text = await asked[sdk](url.replace("/chat/completions", ""), JSON.parse(body));
    return { status: 200, body: text, header: () => null };
  } catch (error) {
    const status = error.status ?? error.statusCode ?? error.lastError?.statusCode;
    if (!status) throw error;
    return { status, body: error.message, header: () => null };
  }
});
process.exit(0);
