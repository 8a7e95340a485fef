// A chain's node, asked by JSON-RPC.
import { Failure } from "./failure.mjs";

/** The node has an answer, and it is an error. `code` is JSON-RPC's. */
export class Refused extends Failure {
  constructor(method, error) {
    super(`the node refused ${method}: ${error.message}`);
    this.code = error.code;
  }
}

export class Node {
  #url;

  constructor(url) {
    if (!url) {
      throw new Failure("ETH_RPC_URL is not set: the address of the node, as in ETH_RPC_URL=http://127.0.0.1:8545");
    }
    this.#url = url;
  }

  async ask(method, ...params) {
    let response;
    try {
      response = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
        signal: AbortSignal.timeout(30_000),
      });
      const answer = await response.json();
      if (answer.error) throw new Refused(method, answer.error);
      return answer.result;
    } catch (error) {
      if (error instanceof Failure) throw error;
      // The address may hold a key, and fetch puts it into its messages.
      throw new Failure(`the node at ETH_RPC_URL did not answer ${method}${response ? ` (HTTP ${response.status})` : ""}`);
    }
  }

  /** A number that the node gives as a quantity, as a BigInt. */
  async quantity(method, ...params) {
    const answer = await this.ask(method, ...params);
    if (!/^0x[0-9a-f]+$/i.test(answer)) throw new Failure(`the node answered ${method} with no number`);
    return BigInt(answer);
  }

  async chain() {
    return Number(await this.quantity("eth_chainId"));
  }

  async height() {
    return Number(await this.quantity("eth_blockNumber"));
  }

  /** The code of an account, "0x" where there is none. At the newest block if no other is named. */
  async code(address, block) {
    const code = await this.ask("eth_getCode", address, block === undefined ? "latest" : `0x${block.toString(16)}`);
    if (!/^0x([0-9a-f]{2})*$/i.test(code)) throw new Failure(`the node answered eth_getCode with no code`);
    return code.toLowerCase();
  }
}
