// The clients and the server of x402's version 1, unmodified: each client pays the server, in USDC on Base Sepolia, through the official
// facilitator, or with FACILITATOR=salt402 or FACILITATOR_URL through another. The payee has the money to the unit.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { named, payer } from "./support/accounts.mjs";
import { start } from "./support/children.mjs";
import { facilitatorUnderTest } from "./support/facilitators.mjs";
import { firstClients, pay } from "./support/paying.mjs";
import { BASE_SEPOLIA, openStand, tokenAbi } from "./support/stand.mjs";

/** In dollars, and in base units of USDC. */
const [PRICE, UNITS] = ["$0.010007", 10007n];
const run = randomBytes(8).toString("hex");
const names = Object.keys(firstClients);

describe("clients and servers of version 1", { timeout: 600_000 }, () => {
  let stand, facilitator, server;
  const payee = named(`${run} version 1`).address;

  before(async () => {
    stand = await openStand();
    facilitator = await facilitatorUnderTest(stand.sites);
    const input = { facilitator: facilitator.url, payTo: payee, price: PRICE, paths: names.map((name) => `/${name}`) };
    server = await start(process.execPath, ["v1/express.mjs"], { ready: /listening on (\S+)/, input, label: "x402-express" });
  });
  after(async () => {
    await server?.stop();
    await facilitator?.stop();
    await stand?.stop();
  });

  for (const [index, name] of names.entries()) {
    test(`${name} pays x402-express`, async () => {
      const { anvil, tokens } = stand.sites[BASE_SEPOLIA];
      const allowedAssets = [{ network: "base-sepolia", asset: tokens.USDC.address, maxAmountPerPayment: String(UNITS) }];
      const [answer] = await pay(name, { key: payer.key, urls: [`${server.found[1]}/${name}`], rpc: {}, allowedAssets });
      const said = `${JSON.stringify(answer)}\n${server.said.join("\n")}`;
      assert.equal(answer?.status, 200, said);
      assert.deepEqual(JSON.parse(answer.body), { served: `/${name}` });
      const response = JSON.parse(Buffer.from(answer.paymentResponseV1, "base64").toString());
      assert.equal(response.success, true, said);
      assert.equal(response.network, "base-sepolia");
      assert.equal((await anvil.client.getTransactionReceipt({ hash: response.transaction })).status, "success");
      const balance = { address: tokens.USDC.address, abi: tokenAbi, functionName: "balanceOf", args: [payee] };
      assert.equal(await anvil.client.readContract(balance), UNITS * BigInt(index + 1));
    });
  }
});
