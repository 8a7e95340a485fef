// forge, by the launcher in tools/.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const launcher = fileURLToPath(new URL("../forge", import.meta.url));

/**
 * What forge says, without the node's address: it may hold a key, as a path, a query or a password, and forge puts it into
 * its messages. Parts of it that are long enough to be a key are left out by themselves too.
 */
export function discreet(text, url) {
  if (!url) return text;
  const secrets = [url];
  try {
    const { href, pathname, search, username, password } = new URL(url);
    const values = [...new URLSearchParams(search).values()];
    const parts = [...pathname.split("/"), ...values, username, password].filter((part) => part.length >= 8);
    secrets.push(href, ...parts, ...parts.map(decoded));
  } catch {
    // No address: forge says so, and quotes it.
  }
  secrets.push(url.replace(/\/+$/, ""));
  secrets.sort((a, b) => b.length - a.length);
  return secrets.filter(Boolean).reduce((said, secret) => said.replaceAll(secret, "<ETH_RPC_URL>"), text);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * Passes on what comes, a line at a time, so that no address is cut in two. What is no whole line, as a question is, follows
 * after a moment in which nothing more came.
 */
function passer(out, url, pause = 200) {
  let [rest, timer] = ["", undefined];
  const flush = () => {
    clearTimeout(timer);
    if (rest) out.write(discreet(rest, url));
    rest = "";
  };
  return {
    take(chunk) {
      clearTimeout(timer);
      rest += chunk;
      const end = rest.lastIndexOf("\n") + 1;
      if (end > 0) out.write(discreet(rest.slice(0, end), url));
      rest = rest.slice(end);
      if (rest) timer = setTimeout(flush, pause);
    },
    flush,
  };
}

/**
 * Runs the deployment's script. A password is asked for on the terminal. Its output is shown as it comes, or kept, and never
 * holds the node's address. Gives the exit code, and what was kept. Ctrl-C ends forge, and not who waits for it: what was
 * sent is to be recorded.
 */
export function script(args, environment, { show }) {
  return new Promise((resolve, reject) => {
    const forge = spawn(launcher, ["script", "script/Deploy.s.sol", "--rpc-url", "deployment", ...args], {
      cwd: root,
      env: environment,
      stdio: ["inherit", "pipe", "pipe"],
    });
    const wait = () => {};
    process.on("SIGINT", wait);
    let [said, complained] = ["", ""];
    const url = environment.ETH_RPC_URL;
    const [out, err] = [passer(process.stdout, url), passer(process.stderr, url)];
    // Characters of several bytes may come in two pieces.
    forge.stdout.setEncoding("utf8");
    forge.stderr.setEncoding("utf8");
    forge.stdout.on("data", (chunk) => (show ? out.take(chunk) : (said += chunk)));
    forge.stderr.on("data", (chunk) => (show ? err.take(chunk) : (complained += chunk)));
    forge.on("error", reject);
    forge.on("close", (code) => {
      process.off("SIGINT", wait);
      out.flush();
      err.flush();
      resolve({ code: code ?? 1, said: discreet(said, url), complained: discreet(complained, url) });
    });
  });
}
