// Stand-ins for what the tools talk to.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { root } from "../../tools/deployment/forge.mjs";
import { Node } from "../../tools/deployment/node.mjs";

/** A server on a free port, until the test ends. `answer` is given the request and its body. */
export async function server(test, answer) {
  const listening = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", async () => {
      const { status = 200, headers = {}, text } = await answer(request, body);
      response.writeHead(status, headers).end(text);
    });
  });
  await new Promise((resolve) => listening.listen(0, "127.0.0.1", resolve));
  test.after(() => {
    listening.closeAllConnections();
    listening.close();
  });
  return `http://127.0.0.1:${listening.address().port}`;
}

/**
 * A node that answers what it is told: for each method a value, or what gives one of the parameters. A method that it
 * does not have is refused, as nodes refuse it.
 */
export async function node(test, methods) {
  return new Node(await nodeAt(test, methods));
}

export function nodeAt(test, methods) {
  return server(test, async (_, body) => {
    const { id, method, params } = JSON.parse(body);
    if (!(method in methods)) {
      return { text: JSON.stringify({ id, error: { code: -32601, message: `the method ${method} does not exist` } }) };
    }
    const known = methods[method];
    const result = typeof known === "function" ? await known(...params) : known;
    if (result instanceof Error) return { text: JSON.stringify({ id, error: { code: -32000, message: result.message } }) };
    return { text: JSON.stringify({ id, result }) };
  });
}

/** A real chain, until the test ends. */
export async function anvil(test, ...flags) {
  const free = createServer();
  await new Promise((resolve) => free.listen(0, "127.0.0.1", resolve));
  const { port } = free.address();
  await new Promise((resolve) => free.close(resolve));
  const chain = spawn(join(root, "tools/anvil"), ["--port", String(port), "--silent", ...flags], { stdio: "ignore" });
  const ended = new Promise((resolve) => chain.on("close", resolve));
  test.after(async () => {
    chain.kill();
    await ended;
  });
  const at = new Node(`http://127.0.0.1:${port}`);
  for (let asked = 0; ; ++asked) {
    try {
      await at.chain();
      return at;
    } catch (error) {
      if (asked === 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** A folder below scratch, until the test ends. */
export function folder(test) {
  mkdirSync(join(root, "scratch/tests"), { recursive: true });
  const made = mkdtempSync(join(root, "scratch/tests/tools-"));
  test.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** Runs one of the tools as an operator does; gives its exit code and what it said. */
export function tool(name, args, environment) {
  return new Promise((resolve, reject) => {
    const { PATH, HOME } = process.env;
    const running = spawn("node", [join(root, "tools", name), ...args], { env: { PATH, HOME, ...environment } });
    let [said, complained] = ["", ""];
    running.stdout.on("data", (chunk) => (said += chunk));
    running.stderr.on("data", (chunk) => (complained += chunk));
    running.on("error", reject);
    running.on("close", (code) => resolve({ code, said, complained }));
  });
}
