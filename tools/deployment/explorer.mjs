// A block explorer's API for verified sources: Etherscan's, which Blockscout and others speak too.
import { Failure } from "./failure.mjs";

/** The explorer takes no request of ours, whichever contract it is for. */
export class Barred extends Failure {}

// What the explorers' texts mean. They have no codes, and the first that fits counts.
const MEANINGS = [
  [/already verified/i, "already"],
  [/^pass\b/i, "verified"],
  [/rate limit|too many requests|max calls|max rate/i, "later"],
  [/api ?key/i, "barred"],
  [/pending|in progress|in queue/i, "pending"],
  [/unable to locate contract|not a smart contract|unknown uid/i, "unknown"],
];

export class Explorer {
  #url;
  #key;
  #pause;
  #patience;

  /**
   * @param url The API's address, such as https://api.etherscan.io/v2/api or https://explorer.example/api
   * @param key The API's key, where it wants one.
   * @param chain The chain's id, which Etherscan's one address for all chains asks for.
   * @param pause Milliseconds between two questions.
   * @param patience How often a question is asked again.
   */
  constructor({ url, key, chain, pause = 5_000, patience = 60 }) {
    if (!URL.canParse(url ?? "") || !/^https?:$/.test(new URL(url).protocol)) {
      throw new Failure(
        "SALT402_EXPLORER_URL must be the address of an explorer's API, as https://api.etherscan.io/v2/api or https://HOST/api",
      );
    }
    this.#url = new URL(url);
    if (!this.#url.searchParams.has("chainid")) this.#url.searchParams.set("chainid", String(chain));
    [this.#key, this.#pause, this.#patience] = [key, pause, patience];
  }

  /**
   * Has a contract's source verified, and waits for the result: "verified" or "already". Everything else is a failure
   * that says why.
   */
  async verify({ address, contract, compiler, input, constructorArguments }) {
    const submitted = await this.#ask("POST", {
      action: "verifysourcecode",
      contractaddress: address,
      sourceCode: input,
      codeformat: "solidity-standard-json-input",
      contractname: contract,
      compilerversion: compiler,
      // The API's own spelling. Some have corrected it since.
      constructorArguements: constructorArguments.replace(/^0x/, ""),
      constructorArguments: constructorArguments.replace(/^0x/, ""),
    });
    if (submitted.meaning) return submitted.meaning;
    const result = await this.#ask("GET", { action: "checkverifystatus", guid: submitted.text });
    if (result.meaning) return result.meaning;
    throw new Failure(`the explorer's answer is not known: ${result.text}`);
  }

  /** Asks until there is an answer to go on with: a meaning of its own, or, on success, its text. */
  async #ask(method, fields) {
    let last;
    for (let asked = 0; asked <= this.#patience; ++asked) {
      if (asked > 0) await new Promise((resolve) => setTimeout(resolve, last.wait ?? this.#pause));
      last = await this.#once(method, fields);
      if (last.final) return last;
    }
    throw new Failure(`the explorer did not come to a result: ${last.text}. Try again later`);
  }

  async #once(method, fields) {
    const query = new URLSearchParams({ module: "contract", ...fields, ...(this.#key ? { apikey: this.#key } : {}) });
    const url = new URL(this.#url);
    if (method === "GET") for (const [name, value] of query) url.searchParams.set(name, value);
    let response;
    let answer;
    try {
      response = await fetch(url, {
        method,
        body: method === "POST" ? query : undefined,
        signal: AbortSignal.timeout(60_000),
        redirect: "error",
      });
      answer = await response.json();
    } catch {
      // The address may hold a key, and fetch puts it into its messages.
      if (!response) return { text: "it is not reached, or does not answer within a minute" };
    }
    if (response.status === 401 || response.status === 403) throw barred(`HTTP ${response.status}`);
    if (response.status === 429) {
      const seconds = Number(response.headers.get("retry-after"));
      return { text: "it asks for fewer requests", wait: seconds > 0 ? Math.min(seconds, 60) * 1_000 : undefined };
    }
    if (response.status >= 500 || typeof answer?.result !== "string") {
      if (response.status >= 400 && response.status < 500) throw new Failure(`the explorer answers HTTP ${response.status}`);
      return { text: `it answers HTTP ${response.status} and no result` };
    }
    return this.#read(answer.result.trim(), String(answer.status));
  }

  #read(text, status) {
    const meaning = MEANINGS.find(([pattern]) => pattern.test(text))?.[1];
    switch (meaning) {
      case "already":
      case "verified":
        return { final: true, meaning };
      case "barred":
        throw barred(text);
      case "later":
      case "pending":
      case "unknown":
        return { text };
      default:
        if (status === "1" && text !== "" && !/^fail/i.test(text)) return { final: true, text };
        throw new Failure(`the explorer refuses it: ${text || "it does not say why"}`);
    }
  }
}

const barred = (text) => new Barred(`The explorer does not take SALT402_EXPLORER_KEY: ${text.slice(0, 100)}`);
