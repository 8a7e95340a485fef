//! Other people's contracts on a real chain: x402's proxy, whose event says nothing, Citrate's facilitator and paywall, and
//! x402's batch settlement. Their code is in no package, so contracts with the same calls and events stand in for it.

use alloy_primitives::{Bytes, address};
use alloy_sol_types::{SolCall, SolValue, sol};
use reqwest::StatusCode;
use salt402_protocol::contracts::ISaltPay;
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::{Address, Amount, B256, ChainId, U256};
use salt402_store::{ChannelsOf, Options, Store};
use salt402_tests::signing::{
    PAYER, approve_call, approve_permit2_call, exact_call, wrapped_salt_fee_signature, wrapped_salt_signature,
};
use salt402_tests::{NodeProxy, PAYEE, Stack, StackOptions, TestPayer, inference};
use serde_json::{Value, json};

use crate::SALT402;

/// Where x402's proxy for the scheme `exact` stands on every chain.
const CANONICAL_PROXY: Address = address!("0x402085c248EeA27D92E8b30b2C58ed07f9E20001");
const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");
const TREASURY: Address = address!("0x00000000000000000000000000000000007ea508");
/// What the facilitator keeps, in ten-thousandths.
const FEE_BPS: u64 = 1000;

sol! {
    struct PaymentAuthorization {
        address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce;
        uint8 v; bytes32 r; bytes32 s;
    }
    function settlePayment(
        address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
        uint8 v, bytes32 r, bytes32 s
    ) external;
    function batchSettle(PaymentAuthorization[] payments) external;

    function verifyAndGrant(
        bytes32 resourceId, address from, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
        bytes32 salt, uint8 v, bytes32 r, bytes32 s
    ) external;

    struct ChannelConfig {
        address payer; address payerAuthorizer; address receiver; address receiverAuthorizer; address token;
        uint40 withdrawDelay; bytes32 salt;
    }
    struct Voucher { ChannelConfig channel; uint128 maxClaimableAmount; }
    struct VoucherClaim { Voucher voucher; bytes signature; uint128 totalClaimed; }
    function deposit(ChannelConfig config, uint128 amount, address collector, bytes collectorData) external;
    function claim(VoucherClaim[] claims) external;
    function settle(address receiver, address token) external;
    function initiateWithdraw(ChannelConfig config, uint128 amount) external;
    function refund(ChannelConfig config, uint128 amount) external;

    struct Call3 { address target; bool allowFailure; bytes callData; }
    function aggregate3(Call3[] calls) external payable;
    struct Call3Value { address target; bool allowFailure; uint256 value; bytes callData; }
    function aggregate3Value(Call3Value[] calls) external payable;
}

/// A stack whose payments are in wrapped SALT, with one more source; not started yet.
async fn idle() -> Stack {
    Stack::start_with(SALT402, StackOptions { idle: true, ..options("") }).await
}

fn options(sources: &str) -> StackOptions {
    StackOptions {
        payment: "asset = \"WRAPPED_SALT\"\nasset_symbol = \"SALT\"\nasset_decimals = 18".into(),
        chain: sources.to_owned(),
        ..StackOptions::default()
    }
}

fn source(kind: &str, contract: Address) -> String {
    format!("[[chains.local.sources]]\nkind = \"{kind}\"\ncontract = \"{contract}\"\n")
}

/// Starts it with sources, and gives the payer wrapped SALT.
async fn up(stack: &mut Stack, sources: &str) -> TestPayer {
    stack.configure(&options(sources));
    stack.up().await;
    let payer = stack.payer();
    payer.wrap(stack.deployment.wrapped_salt, Amount(U256::from(1_000_000))).await;
    payer.call(stack.deployment.wrapped_salt, approve_permit2_call(), Amount::ZERO).await;
    TestPayer::submitter(&stack.anvil)
}

async fn payments(stack: &mut Stack, transaction: B256) -> Vec<Value> {
    let height = stack.anvil.height().await;
    stack.indexed(height).await;
    let url = format!("{}/v1/payments/{transaction}?chain=eip155:40204", stack.verifier);
    stack.get(&url).await.json()["payments"].as_array().cloned().unwrap_or_default()
}

/// A request is served once for a proof, and the answer is given again to whoever asks again.
async fn served_once(stack: &Stack, prompt: &str, proof: B256) {
    let asked = stack.upstream.asked();
    let answer = stack.infer_with(&inference(prompt), proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(stack.infer_with(&inference(prompt), proof).await.body, answer.body);
    assert_eq!(stack.upstream.asked(), asked + 1);
    let other = stack.infer_with(&inference("what nobody paid for"), proof).await;
    assert_eq!(other.status, StatusCode::PAYMENT_REQUIRED, "{}", other.body);
}

/// Whoever shows it is answered that it may have paid, without anything to pay.
async fn not_asked_again(stack: &Stack, prompt: &str, proof: B256) {
    let refused = stack.infer_with(&inference(prompt), proof).await;
    let said = (refused.status, refused.code());
    assert_eq!(said, (StatusCode::CONFLICT, "ambiguous_payment".to_owned()), "{}", refused.body);
    assert!(!refused.headers.contains_key("x-payment-details"), "{:?}", refused.headers);
}

/// What `salt402 config check` says.
fn checked(stack: &Stack) -> String {
    let check = ["config", "check", "--config"];
    let output = std::process::Command::new(SALT402).args(check).arg(stack.config()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A row tells of the payment of a quote.
fn assert_pays(row: &Value, details: &PaymentDetails, contract: Address) {
    assert_eq!(row["reference"], json!(details.reference.to_string()), "{row}");
    assert_eq!(row["contract"], json!(contract.to_string()), "{row}");
    assert_eq!((&row["payer"], &row["payee"]), (&json!(PAYER), &json!(PAYEE)), "{row}");
    assert_eq!(row["amount"], json!(details.amount.to_string()), "{row}");
    assert_eq!(row["canonical"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn x402s_own_proxy_pays_a_quote_although_its_event_says_nothing() {
    let mut stack = idle().await;
    stack.anvil.place("SilentExactProxy", CANONICAL_PROXY).await;
    let submitter = up(&mut stack, &source("x402-exact-proxy", CANONICAL_PROXY)).await;
    let token = stack.deployment.wrapped_salt;
    let call = |details: &PaymentDetails| exact_call(details, token, CANONICAL_PROXY);

    let details = stack.quote(&inference("plain")).await;
    let plain = submitter.call(CANONICAL_PROXY, call(&details), Amount::ZERO).await;
    let rows = payments(&mut stack, plain).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_pays(&rows[0], &details, CANONICAL_PROXY);
    served_once(&stack, "plain", plain).await;

    // A facilitator's mark behind the arguments (ERC-8021).
    let details = stack.quote(&inference("marked")).await;
    let marked = Bytes::from([call(&details).as_ref(), b"\x07baseapp\x07\x00\x80\x21\x80\x21"].concat());
    let marked = submitter.call(CANONICAL_PROXY, marked, Amount::ZERO).await;
    let rows = payments(&mut stack, marked).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_pays(&rows[0], &details, CANONICAL_PROXY);
    served_once(&stack, "marked", marked).await;

    // The nonce is used: reverted, and nothing is paid by it.
    let again = submitter.call(CANONICAL_PROXY, call(&details), Amount::ZERO).await;
    assert_eq!(payments(&mut stack, again).await, Vec::<Value>::new());
    let refused = stack.infer_with(&inference("marked"), again).await;
    assert_eq!(refused.code(), "transaction_reverted", "{}", refused.body);

    // Two settlements in one transaction, each of its own quote.
    let (one, two) = (stack.quote(&inference("one")).await, stack.quote(&inference("two")).await);
    let calls = [&one, &two].map(|details| Call3 {
        target: CANONICAL_PROXY,
        allowFailure: false,
        callData: call(details),
    });
    let both = aggregate3Call { calls: calls.to_vec() }.abi_encode();
    let both = submitter.call(MULTICALL3, both.into(), Amount::ZERO).await;
    let rows = payments(&mut stack, both).await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_pays(&rows[0], &one, CANONICAL_PROXY);
    assert_pays(&rows[1], &two, CANONICAL_PROXY);
    served_once(&stack, "one", both).await;
    served_once(&stack, "two", both).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 4);

    // Something that nobody knows was called too, and may have asked the proxy for more: told, and counted for nobody.
    let details = stack.quote(&inference("doubtful")).await;
    let quiet = |target, data| Call3 { target, allowFailure: false, callData: data };
    let calls = vec![quiet(CANONICAL_PROXY, call(&details)), quiet(TREASURY, Bytes::new())];
    let doubtful =
        submitter.call(MULTICALL3, aggregate3Call { calls }.abi_encode().into(), Amount::ZERO).await;
    assert_eq!(payments(&mut stack, doubtful).await, Vec::<Value>::new());
    let refused = stack.infer_with(&inference("doubtful"), doubtful).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "ambiguous_payment"));
    let url = format!("{}/v1/ambiguities?chain=eip155:40204", stack.verifier);
    let told = stack.get(&format!("{url}&limit=1")).await.json();
    let row = &told["ambiguities"][0];
    assert_eq!(row["transaction"], json!(doubtful.to_string()), "{told}");
    assert_eq!(row["contract"], json!(CANONICAL_PROXY), "{told}");
    assert_eq!(row["block_number"], json!(stack.anvil.block_of(doubtful).await), "{told}");
    let next = told["next_cursor"].as_str().unwrap();
    assert_eq!(stack.get(&format!("{url}&cursor={next}")).await.json(), json!({ "ambiguities": [] }));
    // Wrapped together with a stranger's payment of 1 wei, which is shown and does not fit.
    let details = stack.quote(&inference("wrapped")).await;
    let pay = ISaltPay::payCall { paymentReference: B256::repeat_byte(1), payee: PAYEE.parse().unwrap() };
    let calls = vec![
        Call3Value {
            target: CANONICAL_PROXY,
            allowFailure: false,
            value: U256::ZERO,
            callData: call(&details),
        },
        Call3Value {
            target: stack.deployment.salt_pay,
            allowFailure: false,
            value: U256::ONE,
            callData: pay.abi_encode().into(),
        },
    ];
    let wrapped = aggregate3ValueCall { calls }.abi_encode();
    let wrapped = submitter.call(MULTICALL3, wrapped.into(), Amount(U256::ONE)).await;
    let rows = payments(&mut stack, wrapped).await;
    assert_eq!((rows.len(), &rows[0]["amount"]), (1, &json!("1")), "{rows:?}");
    not_asked_again(&stack, "wrapped", wrapped).await;
    // Both blocks leave the chain, and it with them.
    stack.anvil.reorg(2).await;
    stack.anvil.mine(1).await;
    let height = stack.anvil.height().await;
    stack.indexed(height).await;
    assert_eq!(stack.get(&url).await.json(), json!({ "ambiguities": [] }));
}

/// A node left it out of its logs: its payer is not asked to pay again, and its operator finds it.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_in_two_ways_and_is_found_by_its_receipt_is_listed_too() {
    let mut stack = idle().await;
    stack.anvil.place("SilentExactProxy", CANONICAL_PROXY).await;
    let proxy = NodeProxy::before(stack.anvil.http()).await;
    let nodes = format!("[[chains.local.nodes]]\nrpc = \"{}\"", proxy.http());
    let sources = format!("completeness = \"off\"\n{}", source("x402-exact-proxy", CANONICAL_PROXY));
    stack.configure(&StackOptions { nodes, ..options(&sources) });
    stack.up().await;
    let (payer, token) = (stack.payer(), stack.deployment.wrapped_salt);
    payer.wrap(token, Amount(U256::from(1_000_000))).await;
    payer.call(token, approve_permit2_call(), Amount::ZERO).await;
    let details = stack.quote(&inference("doubtful")).await;
    proxy.answers(|method, told| if method == "eth_getLogs" { json!([]) } else { told });
    let quiet = |target, data| Call3 { target, allowFailure: false, callData: data };
    let calls = vec![
        quiet(CANONICAL_PROXY, exact_call(&details, token, CANONICAL_PROXY)),
        quiet(TREASURY, Bytes::new()),
    ];
    let doubtful = aggregate3Call { calls }.abi_encode();
    let doubtful = TestPayer::submitter(&stack.anvil).call(MULTICALL3, doubtful.into(), Amount::ZERO).await;
    stack.indexed(stack.anvil.height().await).await;
    let url = format!("{}/v1/ambiguities?chain=eip155:40204", stack.verifier);
    assert_eq!(stack.get(&url).await.json(), json!({ "ambiguities": [] }));
    for _ in 0..3 {
        not_asked_again(&stack, "doubtful", doubtful).await;
        let told = stack.get(&url).await.json();
        assert_eq!(told["ambiguities"].as_array().unwrap().len(), 1, "{told}");
        assert_eq!(told["ambiguities"][0]["transaction"], json!(doubtful.to_string()), "{told}");
        assert_eq!(
            told["ambiguities"][0]["block_number"],
            json!(stack.anvil.block_of(doubtful).await),
            "{told}"
        );
    }
    stack.anvil.reorg(1).await;
    stack.anvil.mine(1).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.get(&url).await.json(), json!({ "ambiguities": [] }));
}

/// What has to be signed for so much to arrive, and the fee of it.
fn gross(net: U256) -> (U256, U256) {
    let fee = |value: U256| value * U256::from(FEE_BPS) / U256::from(10_000);
    let mut value = net;
    while value - fee(value) < net {
        value += U256::from(1);
    }
    assert_eq!(value - fee(value), net, "no value leaves just that");
    (value, fee(value))
}

fn authorization(details: &PaymentDetails, token: Address) -> PaymentAuthorization {
    let (value, fee) = gross(details.amount.0);
    let (v, r, s) =
        wrapped_salt_fee_signature(token, details.recipient, (value, fee), TREASURY, details.reference);
    PaymentAuthorization {
        from: PAYER.parse().unwrap(),
        to: details.recipient,
        value,
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce: details.reference,
        v,
        r,
        s,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn citrates_facilitator_pays_quotes_with_what_arrives_after_its_fee() {
    let mut stack = idle().await;
    let token = stack.deployment.wrapped_salt;
    let arguments = (token, TREASURY, U256::from(FEE_BPS)).abi_encode();
    let facilitator = stack.anvil.create("CitrateFacilitator", &arguments).await;
    let submitter = up(&mut stack, &source("citrate-facilitator", facilitator)).await;

    let details = stack.quote(&inference("facilitated")).await;
    let PaymentAuthorization { from, to, value, validAfter, validBefore, nonce, v, r, s } =
        authorization(&details, token);
    let call = settlePaymentCall { from, to, value, validAfter, validBefore, nonce, v, r, s }.abi_encode();
    let proof = submitter.call(facilitator, call.clone().into(), Amount::ZERO).await;
    let rows = payments(&mut stack, proof).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_pays(&rows[0], &details, token);
    served_once(&stack, "facilitated", proof).await;
    let again = submitter.call(facilitator, call.into(), Amount::ZERO).await;
    assert_eq!(payments(&mut stack, again).await, Vec::<Value>::new());
    let refused = stack.infer_with(&inference("facilitated"), again).await;
    assert_eq!(refused.code(), "transaction_reverted", "{}", refused.body);

    let (one, two) = (stack.quote(&inference("one")).await, stack.quote(&inference("two")).await);
    let batch = batchSettleCall { payments: vec![authorization(&one, token), authorization(&two, token)] };
    let proof = submitter.call(facilitator, batch.abi_encode().into(), Amount::ZERO).await;
    let rows = payments(&mut stack, proof).await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_pays(&rows[0], &one, token);
    assert_pays(&rows[1], &two, token);
    served_once(&stack, "one", proof).await;
    served_once(&stack, "two", proof).await;

    // The same authorization without the facilitator is none of its payments.
    let details = stack.quote(&inference("past it")).await;
    let call = salt402_tests::signing::wrapped_salt_call(&details, token);
    let past = submitter.call(token, call, Amount::ZERO).await;
    assert_eq!(payments(&mut stack, past).await, Vec::<Value>::new());
    assert_eq!(stack.status().await["chains"][0]["payments"], 3);
    // The money is with the payee all the same: nobody is told to pay it again.
    not_asked_again(&stack, "past it", past).await;
    // The operator is told what is missing, until it is there.
    assert!(checked(&stack).contains("it has no /metrics"), "no token is set");
    assert!(checked(&stack).contains("follow the token too"), "{}", checked(&stack));
    let both = source("citrate-facilitator", facilitator) + &source("eip3009-token", token);
    stack.configure(&options(&both));
    assert!(!checked(&stack).contains("follow the token too"), "{}", checked(&stack));
}

#[tokio::test(flavor = "multi_thread")]
async fn citrates_paywall_brings_what_gave_access_and_pays_no_quote() {
    let mut stack = idle().await;
    let token = stack.deployment.wrapped_salt;
    let paywall = stack.anvil.create("CitratePaywall", &(token, U256::from(500)).abi_encode()).await;
    let submitter = up(&mut stack, &source("citrate-paywall", paywall)).await;
    let enter = |resource: u8, value: u64| {
        let (resource, salt) = (B256::repeat_byte(resource), B256::repeat_byte(7));
        let nonce = alloy_primitives::keccak256((resource, salt).abi_encode());
        let value = U256::from(value);
        let (v, r, s) = wrapped_salt_signature(token, paywall, value, nonce);
        let call = verifyAndGrantCall {
            resourceId: resource,
            from: PAYER.parse().unwrap(),
            value,
            validAfter: U256::ZERO,
            validBefore: U256::MAX,
            nonce,
            salt,
            v,
            r,
            s,
        };
        (nonce, Bytes::from(call.abi_encode()))
    };
    let (nonce, call) = enter(1, 600);
    let proof = submitter.call(paywall, call.clone(), Amount::ZERO).await;
    let rows = payments(&mut stack, proof).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["payee"], json!(paywall.to_string()));
    assert_eq!((&rows[0]["payer"], &rows[0]["amount"]), (&json!(PAYER), &json!("600")));
    assert_eq!(rows[0]["reference"], json!(nonce.to_string()));
    // Whoever paid the paywall was given access there.
    let refused = stack.infer_with(&inference("not for this"), proof).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED, "{}", refused.body);
    assert_eq!(stack.upstream.asked(), 0);

    // Too little, and once more: both reverted.
    for call in [enter(2, 499).1, call] {
        let reverted = submitter.call(paywall, call, Amount::ZERO).await;
        assert_eq!(payments(&mut stack, reverted).await, Vec::<Value>::new());
    }
    // Two at once, of different amounts.
    let calls = [enter(3, 700).1, enter(4, 800).1].map(|call| Call3 {
        target: paywall,
        allowFailure: false,
        callData: call,
    });
    let both = aggregate3Call { calls: calls.to_vec() }.abi_encode();
    let both = submitter.call(MULTICALL3, both.into(), Amount::ZERO).await;
    let amounts: Vec<Value> =
        payments(&mut stack, both).await.iter().map(|row| row["amount"].clone()).collect();
    assert_eq!(amounts, [json!("700"), json!("800")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn x402s_batch_settlement_is_a_channel_of_its_receiver_and_follows_reorganizations() {
    let mut stack = idle().await;
    let token = stack.deployment.wrapped_salt;
    let arguments: &[u8] = &[];
    let contract = stack.anvil.create("BatchSettlement", arguments).await;
    up(&mut stack, &source("x402-batch-settlement", contract)).await;
    let payer = stack.payer();
    payer.call(token, approve_call(contract), Amount::ZERO).await;
    let receiver: Address = PAYEE.parse().unwrap();
    let config = ChannelConfig {
        payer: PAYER.parse().unwrap(),
        payerAuthorizer: PAYER.parse().unwrap(),
        receiver,
        receiverAuthorizer: receiver,
        token,
        withdrawDelay: 900u64.try_into().unwrap(),
        salt: B256::repeat_byte(9),
    };
    let send = async |data: Vec<u8>| payer.call(contract, data.into(), Amount::ZERO).await;
    let put = |amount: u128| depositCall {
        config: config.clone(),
        amount,
        collector: Address::ZERO,
        collectorData: Bytes::new(),
    };
    let take = |total: u128| claimCall {
        claims: vec![VoucherClaim {
            voucher: Voucher { channel: config.clone(), maxClaimableAmount: total },
            signature: Bytes::new(),
            totalClaimed: total,
        }],
    };
    send(put(500).abi_encode()).await;
    send(put(250).abi_encode()).await;
    send(take(300).abi_encode()).await;
    // Once more changes nothing, and says nothing.
    send(take(300).abi_encode()).await;
    send(settleCall { receiver, token }.abi_encode()).await;
    send(refundCall { config: config.clone(), amount: 50 }.abi_encode()).await;
    send(initiateWithdrawCall { config: config.clone(), amount: 100 }.abi_encode()).await;
    let height = stack.anvil.height().await;
    stack.indexed(height).await;

    let store = Store::open(Options::new(stack.folder().join("data/salt402.db"))).await.unwrap();
    let chain = ChainId::CITRATE;
    let channels = store.channels_of(chain, ChannelsOf::Payee(receiver), 10).await.unwrap();
    assert_eq!(channels.len(), 1);
    let state = &channels[0].state;
    let descriptor = state.descriptor.unwrap();
    assert_eq!((descriptor.payer, descriptor.payee), (config.payer, receiver));
    assert_eq!(descriptor.asset.address(), token);
    let amounts = |state: &salt402_protocol::ChannelState| [state.deposit, state.claimed, state.refunded];
    assert_eq!(amounts(state), [750, 300, 50].map(|amount| Amount(U256::from(amount))));
    assert!(state.exit_at.is_some(), "{state:?}");

    // The withdrawal and the refund leave the chain.
    stack.anvil.reorg(2).await;
    stack.anvil.mine(1).await;
    let height = stack.anvil.height().await;
    stack.indexed(height).await;
    let state = store.channel(chain, contract, channels[0].id).await.unwrap().unwrap();
    assert_eq!(amounts(&state), [750, 300, 0].map(|amount| Amount(U256::from(amount))));
    assert_eq!(state.exit_at, None);
    store.close().await;
}
