// Every official client pays our gateway, unmodified, by a signature: by EIP-3009 in wrapped SALT where prices are in SALT, by
// EIP-3009 and by Permit2 in a token, and by `upto` for what it used. The payee has the money to the unit, and who asks again pays no second time.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { named, payer } from "./support/accounts.mjs";
import { startGateway } from "./support/ours.mjs";
import { clients, otherDialects, pay } from "./support/paying.mjs";
import { BASE_SEPOLIA, CITRATE, openStand, tokenAbi } from "./support/stand.mjs";

/** In base units: 0.000000000000010007 of a token of 18 decimals. */
const PRICE = 10007n;
/** What a request costs at the most where what was used is charged: eight tokens of 1,000 base units besides. */
const MOST = PRICE + 8n * 1000n;
const run = randomBytes(8).toString("hex");

/** What is sold in: the chain, the token, how it is moved, and whether prices are in the coin. */
const sales = [
  { name: "Citrate, SALT, by EIP-3009 of wrapped SALT", chain: CITRATE, token: "wSALT", native: true },
  { name: "Citrate, wrapped SALT, by Permit2", chain: CITRATE, token: "wSALT", method: "permit2" },
  { name: "Base Sepolia, Salt, by EIP-3009", chain: BASE_SEPOLIA, token: "Salt" },
  // Its clients read the offer of version 2 where there is one.
  { name: "Base Sepolia, Salt, version 1 of x402", chain: BASE_SEPOLIA, token: "Salt", dialects: ["x402-v1"], by: ["fetch-v1", "x402-fetch", "x402-axios"] },
  { name: "Citrate, wrapped SALT, by upto", chain: CITRATE, token: "wSALT", native: true, upto: "0.000000000000001" },
];

/** Who pays in a sale. mppx signs no permit, and so pays nothing by use. */
const payers = ({ by, method, upto }) => by ?? [...Object.keys(clients), ...(method || upto ? [] : ["mppx"])];

/** What an answer tells of its payment in the client's dialect. */
function told({ paymentResponse, paymentResponseV1, paymentReceipt }) {
  const told = [paymentResponse, paymentResponseV1, paymentReceipt].filter(Boolean);
  assert.equal(told.length, 1, "in one dialect alone");
  return JSON.parse(Buffer.from(told[0], "base64").toString());
}

describe("official clients and our gateway", { timeout: 600_000 }, () => {
  let stand;
  before(async () => (stand = await openStand()));
  after(async () => stand?.stop());

  assert.ok(Object.keys(otherDialects).every((name) => sales.some((sale) => payers(sale).includes(name))));
  for (const { name, chain, token: short, by, ...how } of sales) {
    test(name, async (context) => {
      const { anvil, tokens } = stand.sites[chain];
      const token = tokens[short];
      const payee = named(`${run} gateway ${name}`).address;
      const sale = { chain, token, payee, price: "0.000000000000010007", ...how };
      const { gateway, stop } = await startGateway(stand.sites, sale);
      const urls = [`${gateway}/v1/inference`];
      const rpc = Object.fromEntries(Object.values(stand.sites).map(({ anvil }) => [anvil.id, anvil.rpc]));
      const allowedAssets = [{ network: "eip155:*", asset: token.address, maxAmountPerPayment: String(how.upto ? MOST : PRICE) }];
      const has = () =>
        anvil.client.readContract({ address: token.address, abi: tokenAbi, functionName: "balanceOf", args: [payee] });
      try {
        let earned = 0n;
        for (const client of payers({ by, ...how })) {
          await context.test(client, async () => {
            const body = JSON.stringify({ model: "demo", prompt: `${client} asks`, max_tokens: 8 });
            const domain = { name: token.name, version: token.version };
            const orders = { key: payer.key, urls, rpc, allowedAssets, body, domain };
            const [answer] = await pay(client, orders);
            const said = JSON.stringify(answer);
            assert.equal(answer?.status, 200, said);
            assert.equal(JSON.parse(answer.body).model, "demo");
            const response = told(answer);
            assert.ok(response.success === true || response.status === "success", said);
            const hash = response.transaction ?? response.reference;
            assert.equal((await anvil.client.getTransactionReceipt({ hash })).status, "success");
            assert.equal((response.payer ?? payer.address).toLowerCase(), payer.address.toLowerCase());
            const charged = how.upto ? BigInt(response.amount) : PRICE;
            if (how.upto) {
              const { usage } = JSON.parse(answer.body);
              // x402-reqwest takes the way that its user registered first, which is exact: it pays the most.
              const exact = client === "reqwest";
              assert.equal(usage.cost, exact ? undefined : response.amount, said);
              assert.equal(charged, exact ? MOST : PRICE + BigInt(usage.completion_tokens) * 1000n, said);
              assert.ok(charged <= MOST, said);
            }
            earned += charged;
            assert.equal(await has(), earned);
            // It signs anew for the same request, as clients do after an error: answered from the first.
            const [again] = await pay(client, orders);
            assert.equal(again?.status, 200, JSON.stringify(again));
            assert.equal(again.body, answer.body);
            assert.equal(await has(), earned, "nobody pays twice for one request");
          });
        }
      } finally {
        await stop();
      }
    });
  }
});
