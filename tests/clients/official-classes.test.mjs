// x402's own facilitator classes, in this process, settle through the code of our proxies, which stands where x402's does. The
// money moves to the unit, our events tell it, and what is refused is refused in x402's words.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { encodeFunctionData, parseAbi, parseEventLogs, toFunctionSelector } from "viem";
import { facilitator as signer, named, payer, poor, secondFacilitator, unapproved } from "./support/accounts.mjs";
import { EXACT_PROXY, PERMIT2, UPTO_PROXY, artifact } from "./support/contracts.mjs";
import { officialFacilitator } from "./support/facilitator-classes.mjs";
import { kinds } from "./support/kinds.mjs";
import { requirementsOf, signedPayment } from "./support/payments.mjs";
import { openStand, tokenAbi } from "./support/stand.mjs";

const AMOUNT = 10_007n;
const CHARGE = 3_331n;

const events = [
  ...parseAbi([
    "event Transfer(address indexed from, address indexed to, uint256 value)",
    "event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)",
  ]),
  ...artifact("X402ExactPermit2Proxy").abi.filter(({ type }) => type === "event"),
];

describe("x402's facilitator classes through our proxies", { timeout: 300_000 }, () => {
  let stand, facilitator;
  let payees = 0;

  before(async () => {
    stand = await openStand();
    facilitator = officialFacilitator(
      Object.values(stand.sites).map(({ anvil }) => anvil.chain),
      signer.key,
    );
  });
  after(async () => stand?.stop());

  /** A payment to a new payee. */
  async function payment(kind, { by = kind.from, facilitator = signer.address } = {}) {
    const site = stand.sites[kind.chain];
    const payTo = named(`payee ${process.pid} ${payees++}`).address;
    const requirements = requirementsOf(kind, site, { payTo, amount: AMOUNT, facilitator });
    const payload = await signedPayment(kind, site, requirements, by.account);
    return { site, requirements, payload, payTo, token: site.tokens[kind.token].address };
  }

  const balance = ({ site, token }, holder) =>
    site.anvil.client.readContract({ address: token, abi: tokenAbi, functionName: "balanceOf", args: [holder] });

  const way = (name) => kinds.find((kind) => kind.name === name);
  const exact = () => way("84532-exact-permit2-Salt");
  const upto = () => way("84532-upto-Salt");
  const sponsored = () => way("84532-exact-permit2-Salt-sponsored");
  const signedTransfer = () => way("84532-exact-eip3009-Salt");

  for (const kind of kinds) {
    test(`${kind.name} is verified and settled`, async () => {
      const made = await payment(kind);
      const { site, requirements, payload, payTo, token } = made;
      const before = await balance(made, kind.from.address);
      assert.deepEqual(await facilitator.verify(payload, requirements), {
        isValid: true,
        invalidReason: undefined,
        payer: kind.from.address,
      });

      const amount = kind.scheme === "upto" ? CHARGE : AMOUNT;
      const settled = await facilitator.settle(payload, { ...requirements, amount: String(amount) });
      assert.equal(settled.success, true, JSON.stringify(settled));
      assert.equal(await balance(made, payTo), amount);
      assert.equal(await balance(made, kind.from.address), before - amount);

      const receipt = await site.anvil.client.getTransactionReceipt({ hash: settled.transaction });
      const logs = parseEventLogs({ abi: events, logs: receipt.logs });
      const found = (name, address) => logs.filter((log) => log.eventName === name && log.address === address.toLowerCase());
      assert.deepEqual(
        found("Transfer", token).map(({ args }) => args),
        [{ from: kind.from.address, to: payTo, value: amount }],
      );
      if (kind.method === "eip3009") {
        const nonce = payload.payload.authorization.nonce;
        assert.deepEqual(
          found("AuthorizationUsed", token).map(({ args }) => args),
          [{ authorizer: kind.from.address, nonce }],
        );
        return;
      }
      const proxy = kind.scheme === "upto" ? UPTO_PROXY : EXACT_PROXY;
      const nonce = BigInt(payload.payload.permit2Authorization.nonce);
      const told = found("PaymentSettled", proxy).map(({ args }) => Object.values(args));
      assert.deepEqual(told, [[kind.from.address, payTo, token, amount, nonce]]);
      assert.equal(found(kind.sponsored ? "SettledWithPermit" : "Settled", proxy).length, 1);
      // Nothing stays behind: not in the proxy, and of a permit not with Permit2.
      assert.equal(await balance(made, proxy), 0n);
      if (kind.sponsored) {
        const allowance = { address: token, abi: tokenAbi, functionName: "allowance", args: [kind.from.address, PERMIT2] };
        assert.equal(await site.anvil.client.readContract(allowance), 0n);
      }
    });
  }

  /** What each of the two calls refuses with. */
  async function refusals({ payload, requirements }) {
    const verified = await facilitator.verify(payload, requirements);
    const settled = await facilitator.settle(payload, requirements);
    assert.equal(settled.success, false, JSON.stringify(settled));
    assert.equal(settled.transaction, "");
    return [verified.isValid ? "valid" : verified.invalidReason, settled.errorReason.split("\n")[0]];
  }

  test("a payment by Permit2 is refused in x402's words", async () => {
    const now = Math.floor(Date.now() / 1000);
    const cases = {
      invalid_permit2_spender: ({ payload: { permit2Authorization } }) => (permit2Authorization.spender = UPTO_PROXY),
      invalid_permit2_recipient_mismatch: ({
        payload: {
          permit2Authorization: { witness },
        },
      }) => (witness.to = payer.address),
      permit2_deadline_expired: ({ payload: { permit2Authorization } }) => (permit2Authorization.deadline = String(now)),
      permit2_not_yet_valid: ({
        payload: {
          permit2Authorization: { witness },
        },
      }) => (witness.validAfter = String(now + 60)),
      permit2_amount_mismatch: ({
        payload: {
          permit2Authorization: { permitted },
        },
      }) => (permitted.amount = String(AMOUNT + 1n)),
      permit2_token_mismatch: ({
        payload: {
          permit2Authorization: { permitted },
        },
      }) => (permitted.token = PERMIT2),
      invalid_permit2_signature: ({ payload: { permit2Authorization } }) => (permit2Authorization.nonce = "7"),
    };
    for (const kind of [exact(), upto()]) {
      for (const [reason, spoil] of Object.entries(cases)) {
        const made = await payment(kind);
        spoil(made.payload);
        if (kind.scheme === "upto" && reason === "invalid_permit2_spender") {
          made.payload.payload.permit2Authorization.spender = EXACT_PROXY;
        }
        // For `upto`, less than the permit is a charge, and no mismatch: settle holds the charge against it by itself.
        const own = kind.scheme === "upto" && reason === "permit2_amount_mismatch" ? "invalid_permit2_signature" : reason;
        assert.deepEqual(await refusals(made), [reason, own], kind.name);
        assert.equal(await balance(made, made.payTo), 0n);
      }
    }
  });

  test("what the chain would refuse is found out before it is sent", async () => {
    assert.equal((await refusals(await payment(exact(), { by: poor })))[0], "permit2_insufficient_balance");
    assert.equal((await refusals(await payment(exact(), { by: unapproved })))[0], "permit2_allowance_required");
    assert.equal(
      (await refusals(await payment(signedTransfer(), { by: poor })))[0],
      "invalid_exact_evm_insufficient_balance",
    );
  });

  test("a payment is settled once", async () => {
    const used = "invalid_exact_evm_nonce_already_used";
    const failed = "invalid_exact_evm_transaction_failed";
    const simulated = "permit2_simulation_failed";
    // wSALT has errors of its own where the others have texts, and x402 reads texts.
    const reasons = {
      "40204-exact-eip3009-wSALT": [used, failed],
      "84532-exact-eip3009-Salt": [used, used],
      "84532-exact-eip3009-USDC": [used, used],
      "84532-exact-permit2-Salt": [
        simulated,
        `${failed}: The contract function "settle" reverted with the following signature:`,
      ],
      "84532-upto-Salt": [simulated, simulated],
    };
    for (const [name, expected] of Object.entries(reasons)) {
      const made = await payment(way(name));
      assert.equal((await facilitator.settle(made.payload, made.requirements)).success, true);
      assert.deepEqual(await refusals(made), expected, name);
      assert.equal(await balance(made, made.payTo), AMOUNT);
    }
  });

  test("upto: the charge, the facilitator and the limit", async () => {
    // The key that was named is another's.
    const foreign = await payment(upto(), { facilitator: secondFacilitator.address });
    assert.deepEqual(await refusals(foreign), ["upto_facilitator_mismatch", "upto_facilitator_mismatch"]);

    const made = await payment(upto());
    const more = await facilitator.settle(made.payload, { ...made.requirements, amount: String(AMOUNT + 1n) });
    assert.equal(more.errorReason, "invalid_upto_evm_payload_settlement_exceeds_amount");

    const nothing = await facilitator.settle(made.payload, { ...made.requirements, amount: "0" });
    assert.deepEqual(nothing, {
      success: true,
      transaction: "",
      network: "eip155:84532",
      payer: payer.address,
      amount: "0",
    });
    assert.equal(await balance(made, made.payTo), 0n);

    // Our proxy itself holds both rules, whoever calls.
    const { permit2Authorization: signed, signature } = made.payload.payload;
    const { permitted, nonce, deadline, witness, from } = signed;
    const call = (amount) =>
      encodeFunctionData({
        abi: artifact("X402UptoPermit2Proxy").abi,
        functionName: "settle",
        args: [{ permitted, nonce, deadline }, amount, from, witness, signature],
      });
    const refusal = (account, amount) =>
      made.site.anvil.client.call({ account, to: UPTO_PROXY, data: call(amount) }).then(
        () => "accepted",
        (error) => error.walk((cause) => cause.data).data,
      );
    assert.equal(await refusal(secondFacilitator.address, AMOUNT), selector("UnauthorizedFacilitator()"));
    assert.equal(await refusal(signer.address, AMOUNT + 1n), selector("AmountExceedsPermitted()"));
    assert.equal(await refusal(signer.address, AMOUNT), "accepted");
  });

  test("a permit for another amount moves nothing", async () => {
    const made = await payment(sponsored());
    made.payload.extensions.eip2612GasSponsoring.info.amount = String(AMOUNT - 1n);
    assert.equal((await facilitator.verify(made.payload, made.requirements)).invalidReason, "permit2_allowance_required");
    const settled = await facilitator.settle(made.payload, made.requirements);
    assert.equal(settled.errorReason, "permit2_2612_amount_mismatch");
    assert.equal(await balance(made, made.payTo), 0n);
  });

  test("a permit that somebody else submitted first does not stop the payment", async () => {
    const made = await payment(sponsored());
    const { info } = made.payload.extensions.eip2612GasSponsoring;
    const abi = parseAbi(["function permit(address,address,uint256,uint256,uint8,bytes32,bytes32)"]);
    const [r, s, v] = [
      info.signature.slice(0, 66),
      `0x${info.signature.slice(66, 130)}`,
      parseInt(info.signature.slice(130), 16),
    ];
    const args = [info.from, PERMIT2, BigInt(info.amount), BigInt(info.deadline), v, r, s];
    await made.site.anvil.act(payer.address, made.token, encodeFunctionData({ abi, functionName: "permit", args }));
    const settled = await facilitator.settle(made.payload, made.requirements);
    assert.equal(settled.success, true, JSON.stringify(settled));
    assert.equal(await balance(made, made.payTo), AMOUNT);
  });
});

function selector(signature) {
  return toFunctionSelector(signature);
}
