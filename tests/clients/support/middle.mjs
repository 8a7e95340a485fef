// Stands between a client and the gateway: it counts what the client pays with, and makes happen what is tested.
import { once } from "node:events";
import { createServer, request as ask } from "node:http";

const SHOWN = ["payment-signature", "x-payment", "x-payment-signature", "payment-authorization", "x402-proof", "x-payment-proof"];

/** What a request pays with, as it stands in its header; undefined where it pays with nothing. */
export function shownIn(headers) {
  const credential = /^payment /i.test(headers.authorization ?? "") ? headers.authorization : undefined;
  return credential ?? SHOWN.map((name) => headers[name]).find(Boolean);
}

/**
 * What is to happen with one request of a client.
 *
 * @typedef {object} Plan
 * @property {Record<string, string>} [headers] - What its requests have besides.
 * @property {(head: import("node:http").IncomingHttpHeaders, body: string) => [object, string]} [offer] - Changes the first 402.
 * @property {(head: import("node:http").IncomingHttpHeaders) => Promise<void>} [asked] - Done before the first 402 is given.
 * @property {(exchange: Exchange, middle: Middle) => Promise<void>} [before] - Done before the first paid request is passed on.
 * @property {(exchange: Exchange) => Promise<boolean | void>} [during] - Done while it is asked, before its answer is awaited. With
 *   `true` the client gets no answer: its connection is closed.
 * @property {(exchange: Exchange) => Promise<boolean | void>} [after] - The same, done when the answer is there.
 * @property {() => Promise<void>} [left] - Done when the client has left before its answer is there.
 */

/**
 * The first paid request.
 *
 * @typedef {object} Exchange
 * @property {string} method - Its method.
 * @property {string} path - Its path.
 * @property {import("node:http").IncomingHttpHeaders} headers - Its headers.
 * @property {string} body - Its body.
 * @property {string} shown - What it pays with.
 */

let count = 0;

/** A middle. What it passes on comes from an address of its own. */
export class Middle {
  #server;
  #gateway;
  #plan = {};
  #up = Promise.resolve();
  #address = `127.1.${Math.floor((count += 1) / 250)}.${1 + (count % 250)}`;

  /** What was paid with, each once. */
  shown = new Set();
  /** The first paid request. @type {Exchange | undefined} */
  first = undefined;
  /** The status of its answer, and the code in it. */
  answered = undefined;
  /** Whether its client left before that. */
  hasLeft = false;

  /**
   * Starts one.
   *
   * @param {string} gateway - Where it passes requests on to.
   * @param {Plan} plan - What is to happen.
   * @returns {Promise<Middle>} It, with its address as `url`.
   */
  static async start(gateway, plan) {
    const middle = new Middle();
    middle.#gateway = new URL(gateway);
    middle.#plan = plan;
    middle.#server = createServer((request, response) => middle.#pass(request, response).catch(() => request.socket.destroy()));
    middle.#server.listen(0, "127.0.0.1");
    await once(middle.#server, "listening");
    middle.url = `http://127.0.0.1:${middle.#server.address().port}`;
    return middle;
  }

  /** Ends it. */
  stop() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /**
   * Asks the gateway as the first paid request did.
   *
   * @returns {Promise<{ status: number, body: string }>} The answer.
   */
  async again() {
    const { method, path, headers, body } = this.first;
    const response = await this.#ask(method, path, headers, body);
    return { status: response.statusCode, body: await whole(response) };
  }

  /** Asks the gateway without a payment, as its client could. @returns {Promise<number>} The status. */
  async ask({ method, path, headers, body }) {
    const { host, "content-type": type = "application/json" } = headers;
    const response = await this.#ask(method, path, { host, "content-type": type }, body);
    await whole(response);
    return response.statusCode;
  }

  async #ask(method, path, headers, body) {
    const { hostname, port } = this.#gateway;
    const localAddress = this.#address;
    const asked = ask({ hostname, port, method, path, localAddress, headers: { ...headers, "accept-encoding": "identity" } });
    asked.end(body);
    const [response] = await once(asked, "response");
    return response;
  }

  async #pass(request, response) {
    const body = await whole(request);
    const shown = shownIn(request.headers);
    const isFirst = shown && !this.first;
    if (shown) this.shown.add(shown);
    const headers = { ...request.headers, ...this.#plan.headers };
    const exchange = { method: request.method, path: request.url, headers, body, shown };
    if (isFirst) {
      this.first = exchange;
      response.on("close", () => {
        this.hasLeft = !this.answered;
        if (this.hasLeft) this.#plan.left?.().catch(() => {});
      });
      await this.#plan.before?.(exchange, this);
    }
    await this.#up;
    const answer = this.#ask(request.method, request.url, headers, body);
    if (isFirst && this.#plan.during) {
      answer.catch(() => {});
      const during = this.#plan.during(exchange);
      this.#up = during.catch(() => {});
      if (await during) return request.socket.destroy();
    }
    const told = await answer;
    if (isFirst) this.answered = `${told.statusCode} ${told.headers["x-payment-code"] ?? ""}`.trim();
    if (isFirst && this.#plan.after) {
      const text = await whole(told);
      if (await this.#plan.after(exchange)) return request.socket.destroy();
      return response.writeHead(told.statusCode, told.rawHeaders).end(text);
    }
    if (told.statusCode === 402 && !shown && this.#plan.asked) {
      await this.#plan.asked(told.headers);
      this.#plan.asked = undefined;
    }
    if (told.statusCode === 402 && !shown && this.#plan.offer) {
      const [headers, text] = this.#plan.offer(told.headers, await whole(told));
      this.#plan.offer = undefined;
      delete headers["content-length"];
      delete headers["transfer-encoding"];
      return response.writeHead(402, headers).end(text);
    }
    response.writeHead(told.statusCode, told.rawHeaders);
    told.pipe(response);
  }
}

async function whole(stream) {
  let text = "";
  for await (const piece of stream.setEncoding("utf8")) text += piece;
  return text;
}
