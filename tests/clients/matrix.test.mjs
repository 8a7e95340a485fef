// Every official client pays every official server, unmodified, by every scheme on two chains, through the official facilitator, or
// with FACILITATOR=salt402 or FACILITATOR_URL through another. The payee has the money to the unit.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { getAddress } from "viem";
import { named } from "./support/accounts.mjs";
import { facilitatorUnderTest } from "./support/facilitators.mjs";
import { extraOf, kinds } from "./support/kinds.mjs";
import { clients, pay, servers, startServer } from "./support/paying.mjs";
import { openStand, tokenAbi } from "./support/stand.mjs";

/** In base units. The odd ones find who rounds. */
const PRICE = "10007";
/** What `upto` charges of it. */
const CHARGE = "3331";

// Payees of this run alone, so that what they have at the end is what they were paid.
const run = randomBytes(8).toString("hex");

describe("official clients and servers", { timeout: 600_000 }, () => {
  let stand, facilitator;
  const running = {};

  /** What one client buys of one server in one way. */
  const deals = (server) =>
    Object.keys(clients).flatMap((client) =>
      kinds
        .filter(({ sponsored }) => !sponsored || (clients[client].sponsors && servers[server].sponsors))
        .map((kind) => ({
          client,
          server,
          kind,
          path: `/${client}/${kind.name}`,
          payee: named(`${run} ${server} ${client} ${kind.name}`).address,
        })),
    );

  const route = ({ kind, path, payee }) => {
    const { tokens, anvil } = stand.sites[kind.chain];
    const token = tokens[kind.token];
    const price = { asset: token.address, amount: PRICE, extra: extraOf(kind, token) };
    return {
      path,
      sponsored: kind.sponsored ?? false,
      charge: kind.scheme === "upto" ? CHARGE : undefined,
      offer: {
        scheme: kind.scheme,
        network: anvil.network,
        payTo: payee,
        price,
        maxTimeoutSeconds: 120,
        extra: price.extra,
      },
    };
  };

  before(async () => {
    stand = await openStand();
    facilitator = await facilitatorUnderTest(stand.sites);
    const names = Object.keys(servers);
    const started = await Promise.all(names.map((name) => startServer(name, facilitator.url, deals(name).map(route))));
    names.forEach((name, index) => (running[name] = started[index]));
  });

  after(async () => {
    for (const server of Object.values(running)) await server.stop();
    await facilitator?.stop();
    await stand?.stop();
  });

  for (const client of Object.keys(clients)) {
    test(`${client} pays everybody in every way`, async (context) => {
      const rpc = Object.fromEntries(Object.values(stand.sites).map(({ anvil }) => [anvil.id, anvil.rpc]));
      const allowedAssets = Object.values(stand.sites).flatMap(({ tokens }) =>
        // USDC is not among them: it is one of the assets that clients know.
        Object.entries(tokens)
          .filter(([name]) => name !== "USDC")
          .map(([, { address }]) => ({ network: "eip155:*", asset: address, maxAmountPerPayment: PRICE })),
      );
      const all = Object.keys(servers).flatMap((server) => deals(server).filter((deal) => deal.client === client));
      // A payer at a time: each has a key of its own.
      const payers = groupBy(all, ({ kind }) => kind.from.key);
      for (const [key, group] of payers) {
        const urls = group.map(({ server, path }) => running[server].url + path);
        const answers = await pay(client, { key, urls, rpc, allowedAssets });
        for (const [index, deal] of group.entries()) {
          await context.test(`${deal.server}: ${deal.kind.name}`, () => settled(deal, answers[index]));
        }
      }
    });
  }

  async function settled({ server, kind, path, payee }, answer) {
    const said = `${JSON.stringify(answer)}\n${decode(answer?.paymentRequired)?.error ?? ""}\n${running[server].said.join("\n")}`;
    assert.equal(answer?.status, 200, said);
    assert.deepEqual(JSON.parse(answer.body), { served: path });
    const { anvil, tokens } = stand.sites[kind.chain];
    const response = decode(answer.paymentResponse);
    assert.equal(response?.success, true, said);
    assert.equal(response.network, anvil.network);
    assert.equal(getAddress(response.payer), kind.from.address);
    assert.match(response.transaction, /^0x[0-9a-f]{64}$/);
    const amount = kind.scheme === "upto" ? CHARGE : PRICE;
    if (kind.scheme === "upto") assert.equal(response.amount, amount);
    const receipt = await anvil.client.getTransactionReceipt({ hash: response.transaction });
    assert.equal(receipt.status, "success");
    const balance = { address: tokens[kind.token].address, abi: tokenAbi, functionName: "balanceOf", args: [payee] };
    assert.equal(await anvil.client.readContract(balance), BigInt(amount));
  }
});

function decode(header) {
  return header ? JSON.parse(Buffer.from(header, "base64").toString("utf8")) : undefined;
}

function groupBy(all, keyOf) {
  const groups = new Map();
  for (const one of all) groups.set(keyOf(one), [...(groups.get(keyOf(one)) ?? []), one]);
  return groups;
}
