//! Transactions whose receipts are longer than what is read: each costs itself, nobody is led to pay again for it, and it counts
//! once it can be read.

use alloy_primitives::{Bytes, address, hex};
use reqwest::StatusCode;
use salt402_protocol::{Address, Amount, B256, SignedNonce, U256};
use salt402_tests::signing::{PAYER, wrapped_salt_call};
use salt402_tests::{Stack, StackOptions, inference};
use serde_json::{Value, json};

use crate::SALT402;

/// Calls what its calldata names first, with the rest of it, and then logs nothing, 3,000 times: 1.2 MiB of a receipt.
const MONSTER: Address = address!("0x000000000000000000000000000000000bade402");
const CODE: &[u8] =
    &hex!("60143603601460003760006000601436036000600060003560601c5af150610bb85b60006000a0600190038060215700");
/// Somebody whose transactions anvil signs.
const STRANGER: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";

/// What is paid in wrapped SALT counts by its own events, and as much is read as the nodes' bound says.
fn options(max_answer_bytes: u64) -> StackOptions {
    StackOptions {
        payment: "asset = \"WRAPPED_SALT\"\nasset_symbol = \"SALT\"\nasset_decimals = 18".into(),
        chain: "[[chains.local.sources]]\nkind = \"eip3009-token\"\n".into(),
        nodes: format!("[[chains.local.nodes]]\nrpc = \"ANVIL\"\nmax_answer_bytes = {max_answer_bytes}"),
        gateway: "wait_ms = 0".into(),
        ..StackOptions::default()
    }
}

/// Somebody submits a call through what logs so much.
async fn through_the_monster(stack: &Stack, target: Address, call: &Bytes) -> B256 {
    stack.anvil.ask("anvil_setCode", json!([MONSTER, Bytes::from_static(CODE)])).await;
    let data = Bytes::from([target.as_slice(), call.as_ref()].concat());
    let transaction = json!({ "from": STRANGER, "to": MONSTER, "data": data, "gas": "0x7a1200" });
    let hash: B256 =
        serde_json::from_value(stack.anvil.ask("eth_sendTransaction", json!([transaction])).await).unwrap();
    while stack.anvil.block_of(hash).await.is_none() {}
    let receipt = stack.anvil.ask("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!((&receipt["status"], receipt["logs"].as_array().unwrap().len() > 3000), (&json!("0x1"), true));
    assert!(receipt.to_string().len() > 1 << 20, "{} bytes", receipt.to_string().len());
    hash
}

async fn chain_of(stack: &Stack) -> Value {
    stack.status().await["chains"][0].clone()
}

async fn incidents(stack: &Stack) -> Vec<Value> {
    let url = format!("{}/v1/incidents?kind=unreadable_transaction", stack.verifier);
    stack.get(&url).await.json()["incidents"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_too_long_costs_no_other_payment_and_counts_once_it_can_be_read() {
    let mut stack = Stack::start_with(SALT402, options(1 << 20)).await;
    let token = stack.deployment.wrapped_salt;
    stack.payer().wrap(token, Amount(U256::from(1_000_000))).await;

    // What a payer signed, settled by somebody who logs a lot beside it; and a transfer of nothing to the payee, likewise.
    let (long, nonce) = (inference("settled at length"), inference("shown by its nonce"));
    let (details, other) = (stack.quote(&long).await, stack.quote(&nonce).await);
    let paid = through_the_monster(&stack, token, &wrapped_salt_call(&details, token)).await;
    let spite = through_the_monster(&stack, token, &wrapped_salt_call(&other, token)).await;

    // Everybody after them is served.
    let body = inference("after the monsters");
    let plain = stack.quote(&body).await;
    let proof = stack.payer().call(token, wrapped_salt_call(&plain, token), Amount::ZERO).await;
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    // Their proofs are answered without anything to pay.
    for _ in 0..2 {
        let refused = stack.infer_with(&long, paid).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "payment_unreadable"));
        assert!(!refused.headers.contains_key("x-payment-details"), "{:?}", refused.headers);
        assert!(refused.json()["detail"].as_str().unwrap().contains("do not pay again"), "{}", refused.body);
    }
    let by_nonce = SignedNonce::Eip3009 { token, authorizer: PAYER.parse().unwrap(), nonce: other.reference };
    let by_nonce = by_nonce.to_string();
    let pending = stack.infer(&nonce, &[("x-payment-proof", &by_nonce)]).await;
    assert_eq!(pending.code(), "payment_not_seen", "{}", pending.body);
    assert!(!pending.headers.contains_key("x-payment-details"), "{:?}", pending.headers);

    // The operator is told, once for all of them, also after a restart.
    for restarted in [false, true] {
        if restarted {
            stack.kill();
            stack.up().await;
        }
        assert_eq!(chain_of(&stack).await["unreadable"], 2);
        let told = incidents(&stack).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0]["occurrences"], &told[0]["resolved_at_ms"]), (&json!(2), &Value::Null));
        let detail = told[0]["detail"].as_str().unwrap();
        assert!(detail.contains(&spite.to_string()) && detail.contains("max_answer_bytes"), "{detail}");
        let metrics = format!("{}/metrics", stack.verifier);
        let shown = "salt402_indexer_unreadable{chain=\"eip155:40204\"} 2";
        stack.until(&metrics, |answer| answer.body.contains(shown)).await;
    }

    // With a bound that is high enough they are payments as any other, by hash and by nonce.
    stack.kill();
    stack.configure(&options(4 << 20));
    stack.up().await;
    let status = format!("{}/v1/status", stack.verifier);
    stack.until(&status, |answer| answer.json()["chains"][0]["unreadable"] == 0).await;
    let answer = stack.infer_with(&long, paid).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let answer = stack.infer(&nonce, &[("x-payment-proof", &by_nonce)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(chain_of(&stack).await["payments"], 3);
    let told = incidents(&stack).await;
    assert!(told.len() == 1 && told[0]["resolved_at_ms"].is_u64(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_read_past_transactions_that_are_too_long_and_a_reorganization_takes_them_along() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..options(1 << 20) }).await;
    let token = stack.deployment.wrapped_salt;
    stack.payer().wrap(token, Amount(U256::from(1_000_000))).await;
    let call = |to: &str, amount: u64| {
        let transfer = format!("a9059cbb{:0>64}{amount:064x}", to.trim_start_matches("0x"));
        Bytes::from(hex::decode(transfer).unwrap())
    };
    // A transfer of nothing to the payee, deep in the past and just now.
    through_the_monster(&stack, token, &call(salt402_tests::PAYEE, 0)).await;
    stack.anvil.mine(200).await;
    through_the_monster(&stack, token, &call(salt402_tests::PAYEE, 0)).await;
    stack.up().await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(chain_of(&stack).await["unreadable"], 2);

    stack.anvil.reorg(1).await;
    stack.anvil.mine(1).await;
    let status = format!("{}/v1/status", stack.verifier);
    stack.until(&status, |answer| answer.json()["chains"][0]["unreadable"] == 1).await;
    let told = incidents(&stack).await;
    assert!(told[0]["resolved_at_ms"].is_null(), "one is left: {told:?}");
}
