// A model server that says one sentence in each of the APIs, and counts how often it was asked.
import { once } from "node:events";
import { createServer } from "node:http";

/** What it says, in three pieces. */
export const WORDS = ["salt ", "is ", "paid"];
const TEXT = WORDS.join("");

/**
 * Starts it.
 *
 * @returns {Promise<{ url: string, asked: { path: string, body: any, headers: import("node:http").IncomingHttpHeaders }[], stop: () => void }>}
 *   Its address, what it was asked without the gateway's own question, and how to end it.
 */
export async function startModelServer() {
  const asked = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const piece of request) text += piece;
    const body = JSON.parse(text || "{}");
    const own = body.messages?.[0]?.content === "ping";
    if (!own) asked.push({ path: request.url, body, headers: request.headers });
    const answer = answers[request.url]?.(body);
    if (!answer) {
      response.writeHead(404).end();
    } else if (body.stream) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const event of answer.events) response.write(event);
      response.end();
    } else {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer.whole));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, asked, stop: () => server.close() };
}

const data = (value) => `data: ${JSON.stringify(value)}\n\n`;
const named = (value) => `event: ${value.type}\n${data(value)}`;
const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 };

const answers = {
  "/v1/chat/completions": ({ model, stream_options }) => {
    const head = { id: "chatcmpl-1", created: 1, model };
    const chunk = (choices, more) => data({ ...head, object: "chat.completion.chunk", choices, ...more });
    const delta = (own, finish_reason = null) => chunk([{ index: 0, delta: own, finish_reason }]);
    const message = { role: "assistant", content: TEXT };
    return {
      whole: { ...head, object: "chat.completion", choices: [{ index: 0, message, finish_reason: "stop" }], usage },
      events: [
        delta({ role: "assistant", content: "" }),
        ...WORDS.map((content) => delta({ content })),
        delta({}, "stop"),
        ...(stream_options?.include_usage ? [chunk([], { usage })] : []),
        "data: [DONE]\n\n",
      ],
    };
  },
  "/v1/embeddings": ({ model, input, encoding_format }) => {
    const vector = encoding_format === "base64" ? Buffer.from(new Float32Array([0.5, 0.25]).buffer).toString("base64") : [0.5, 0.25];
    const items = [].concat(input).map((_, index) => ({ object: "embedding", index, embedding: vector }));
    return { whole: { object: "list", data: items, model, usage: { prompt_tokens: 3, total_tokens: 3 } }, events: [] };
  },
  "/v1/messages": ({ model }) => {
    const message = { id: "msg_1", type: "message", role: "assistant", model, stop_reason: null, stop_sequence: null };
    const used = { input_tokens: 5, output_tokens: 3 };
    return {
      whole: { ...message, content: [{ type: "text", text: TEXT }], stop_reason: "end_turn", usage: used },
      events: [
        { type: "message_start", message: { ...message, content: [], usage: { input_tokens: 5, output_tokens: 1 } } },
        { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
        ...WORDS.map((text) => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })),
        { type: "content_block_stop", index: 0 },
        { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 3 } },
        { type: "message_stop" },
      ].map(named),
    };
  },
  "/v1/responses": ({ model }) => {
    const part = (text) => ({ type: "output_text", text, annotations: [] });
    const item = (status, content) => ({ id: "msg_1", type: "message", role: "assistant", status, content });
    const response = (status, output) => ({
      id: "resp_1", object: "response", created_at: 1, model, status, output, error: null, incomplete_details: null,
      instructions: null, metadata: {}, parallel_tool_calls: true, temperature: 1, tool_choice: "auto", tools: [], top_p: 1,
      usage: status === "completed" ? { input_tokens: 5, output_tokens: 3, total_tokens: 8, input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } } : null,
    });
    const done = response("completed", [item("completed", [part(TEXT)])]);
    const at = { item_id: "msg_1", output_index: 0, content_index: 0 };
    return {
      whole: done,
      events: [
        { type: "response.created", response: response("in_progress", []) },
        { type: "response.output_item.added", output_index: 0, item: item("in_progress", []) },
        { type: "response.content_part.added", ...at, part: part("") },
        ...WORDS.map((delta) => ({ type: "response.output_text.delta", ...at, delta, logprobs: [] })),
        { type: "response.output_text.done", ...at, text: TEXT, logprobs: [] },
        { type: "response.content_part.done", ...at, part: part(TEXT) },
        { type: "response.output_item.done", output_index: 0, item: item("completed", [part(TEXT)]) },
        { type: "response.completed", response: done },
      ].map((event, sequence_number) => named({ ...event, sequence_number })),
    };
  },
};
