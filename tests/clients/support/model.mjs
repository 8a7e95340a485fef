// A model server that misbehaves as its model's name says, for tests of what a client does then.
import { once } from "node:events";
import { createServer } from "node:http";

/** What it says where it answers, in three pieces. */
export const WORDS = ["salt ", "is ", "paid"];

/** A promise with what resolves it. */
export function settled() {
  const it = {};
  it.promise = new Promise((resolve) => (it.resolve = resolve));
  return it;
}

/**
 * Starts it. A model whose name begins with `fails` answers 500, `refuses` 400, `breaks` closes the connection, and of one that begins with
 * `holds` the first request waits until it is released. All others answer.
 *
 * @returns {Promise<{ url: string, held: () => Promise<void>, release: () => void, stop: () => void }>} Its address; `held` resolves when
 *   a request is held, and `release` lets it go.
 */
export async function startModel() {
  const known = new Set();
  let waiting = settled();
  let gate = settled();
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const piece of request) text += piece;
    const { model = "", messages, stream } = JSON.parse(text || "{}");
    const own = messages?.[0]?.content === "ping";
    if (!own && model.startsWith("fails")) return response.writeHead(500).end("{}");
    if (!own && model.startsWith("refuses")) return response.writeHead(400).end("{}");
    if (!own && model.startsWith("breaks")) return request.socket.destroy();
    if (!own && model.startsWith("holds") && !known.has(model)) {
      known.add(model);
      waiting.resolve();
      await gate.promise;
    }
    const head = { id: "chatcmpl-1", created: 1, model };
    const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 };
    if (!stream) {
      const choices = [{ index: 0, message: { role: "assistant", content: WORDS.join("") }, finish_reason: "stop" }];
      return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ ...head, object: "chat.completion", choices, usage }));
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const chunk = (delta, finish_reason = null) =>
      response.write(`data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
    for (const content of WORDS) chunk({ content });
    chunk({}, "stop");
    response.end("data: [DONE]\n\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    held: () => waiting.promise,
    release: () => {
      gate.resolve();
      [waiting, gate] = [settled(), settled()];
    },
    stop: () => server.close(),
  };
}
