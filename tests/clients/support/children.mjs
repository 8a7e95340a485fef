// Processes that a test starts, and ends by their ids.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The folder of these tests. */
export const here = fileURLToPath(new URL("..", import.meta.url));
/** The repository. */
export const root = fileURLToPath(new URL("../../..", import.meta.url));

const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/**
 * A port that is free now.
 *
 * @returns {Promise<number>} The port.
 */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/**
 * Starts a process and waits until it says that it is ready.
 *
 * @param {string} command - The program.
 * @param {string[]} args - Its arguments; nothing secret.
 * @param {{ ready?: RegExp, input?: unknown, env?: Record<string, string>, label?: string }} options - `ready` is looked for
 *   in its output, line by line, and not waited for if there is none; `input` is given to it as JSON.
 * @returns {Promise<{ id: number, found: RegExpMatchArray, stop: () => Promise<void>, said: string[], hasEnded: () => boolean }>}
 *   Its id, what `ready` found, how to end it, the last lines of its output, and whether it has ended.
 * @throws {Error} With its output, if it ends first or is not ready within a minute.
 */
export async function start(command, args, { ready, input, env = {}, label = command }) {
  const child = spawn(command, args, {
    cwd: here,
    env: { ...process.env, ...env },
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const ended = once(child, "close");
  running.add(child);
  child.on("close", () => running.delete(child));
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  if (input !== undefined) child.stdin.end(JSON.stringify(input));
  const said = [];
  const hear = (stream, onLine) => createInterface({ input: stream }).on("line", onLine);
  const keep = (line) => {
    said.push(line);
    if (said.length > 50) said.shift();
  };
  try {
    const found = await new Promise((resolve, reject) => {
      hear(child.stdout, (line) => {
        keep(line);
        const match = ready && line.match(ready);
        if (match) resolve(match);
      });
      hear(child.stderr, keep);
      if (!ready) child.on("spawn", () => resolve([]));
      child.on("error", reject);
      ended.then(([code]) => reject(new Error(`it ended with ${code}`)), reject);
      setTimeout(() => reject(new Error("it was not ready within a minute")), 60_000).unref();
    });
    return { id: child.pid, found, stop, said, hasEnded: () => !running.has(child) };
  } catch (error) {
    await stop().catch(() => {});
    throw new Error(`${label}: ${error.message}\n${said.join("\n")}`);
  }
}

/**
 * Runs a process to its end, and reads the lines of JSON that it writes.
 *
 * @param {string} command - The program.
 * @param {string[]} args - Its arguments.
 * @param {unknown} input - Given to it as JSON.
 * @returns {Promise<any[]>} The lines.
 * @throws {Error} With what it said, if it fails.
 */
export async function lines(command, args, input) {
  const child = spawn(command, args, { cwd: here, stdio: ["pipe", "pipe", "pipe"] });
  const [out, err] = [[], []];
  createInterface({ input: child.stdout }).on("line", (line) => out.push(line));
  createInterface({ input: child.stderr }).on("line", (line) => err.push(line));
  child.stdin.on("error", () => {});
  child.stdin.end(JSON.stringify(input));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}\n${err.slice(-30).join("\n")}`);
  return out.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
}
