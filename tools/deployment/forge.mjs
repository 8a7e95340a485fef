// forge, by the launcher in tools/.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const launcher = fileURLToPath(new URL("../forge", import.meta.url));

/**
 * Runs the deployment's script. A password is asked for on the terminal. Its output is shown as it comes, or kept.
 * Gives the exit code, and what was kept. Ctrl-C ends forge, and not who waits for it: what was sent is to be recorded.
 */
export function script(args, environment, { show }) {
  return new Promise((resolve, reject) => {
    const forge = spawn(launcher, ["script", "script/Deploy.s.sol", "--rpc-url", "deployment", ...args], {
      cwd: root,
      env: environment,
      stdio: ["inherit", show ? "inherit" : "pipe", show ? "inherit" : "pipe"],
    });
    const wait = () => {};
    process.on("SIGINT", wait);
    let [said, complained] = ["", ""];
    forge.stdout?.on("data", (chunk) => (said += chunk));
    forge.stderr?.on("data", (chunk) => (complained += chunk));
    forge.on("error", reject);
    forge.on("close", (code) => {
      process.off("SIGINT", wait);
      resolve({ code: code ?? 1, said, complained });
    });
  });
}
