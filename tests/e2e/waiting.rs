//! A proof may come before its block.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use salt402_tests::{Stack, StackOptions, inference};
use serde_json::json;

use crate::SALT402;

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_sent_before_its_block_waits_for_it() {
    let stack = Stack::start(SALT402).await;
    let body = inference("early");
    let details = stack.quote(&body).await;
    stack.anvil.automine(false).await;
    let proof = stack.payer().pay(&details).await;
    let mine = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(stack.upstream.asked(), 0);
        stack.anvil.mine(1).await;
    };
    let (answer, ()) = tokio::join!(stack.infer_with(&body, proof), mine);
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_is_bounded_and_asks_for_no_second_payment() {
    let options = StackOptions { gateway: "wait_ms = 300".into(), ..Default::default() };
    let stack = Stack::start_with(SALT402, options).await;
    let body = inference("never");
    stack.anvil.automine(false).await;
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let started = Instant::now();
    let answer = stack.infer_with(&body, proof).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::PAYMENT_REQUIRED, "payment_not_seen"));
    assert!(!answer.headers.contains_key("x-payment-details"), "whoever has paid is not asked to pay again");
    assert!(answer.headers.contains_key("retry-after"));
    stack.anvil.mine(1).await;
    assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_waits_until_it_is_deep_enough() {
    let options = StackOptions {
        chain: "confirmations = 3".into(),
        gateway: "wait_ms = 0".into(),
        ..Default::default()
    };
    let mut stack = Stack::start_with(SALT402, options).await;
    let body = inference("deep");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.code(), "awaiting_confirmations", "{}", answer.body);
    assert!(answer.json()["detail"].as_str().unwrap().contains("1 of 3"), "{}", answer.body);
    stack.anvil.mine(1).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.infer_with(&body, proof).await.code(), "awaiting_confirmations");
    assert_eq!(stack.upstream.asked(), 0);
    stack.anvil.mine(1).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_payment_waits_longer() {
    let chain = "[[chains.local.depths]]\nfrom = \"2000\"\nconfirmations = 2".to_owned();
    let mut stack = Stack::start_with(
        SALT402,
        StackOptions { chain, gateway: "wait_ms = 0".into(), ..Default::default() },
    )
    .await;
    let (small, large) =
        (inference("small"), json!({ "model": "counted", "prompt": "large", "max_tokens": 1000 }));
    let (cheap, dear) = (stack.quote(&small).await, stack.quote(&large).await);
    let payer = stack.payer();
    payer.pay(&cheap).await;
    let proof = payer.pay(&dear).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.infer_with(&large, proof).await.code(), "awaiting_confirmations");
    stack.anvil.mine(1).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.infer_with(&large, proof).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verifier_answers_pending_accepted_and_rejected() {
    let mut stack = Stack::start(SALT402).await;
    let digest = format!("0x{}", "77".repeat(32));
    let terms = json!({
        "chain": "eip155:40204",
        "payee": salt402_tests::PAYEE,
        "asset": "native",
        "amount": "5",
        "request_digest": digest,
    });
    let quote = stack.post(&format!("{}/v1/quotes", stack.verifier), &terms, &[]).await.json();
    let verify = format!("{}/v1/verify", stack.verifier);
    let payer = stack.payer();
    let reference = quote["reference"].as_str().unwrap().parse().unwrap();
    let payee = salt402_tests::PAYEE.parse().unwrap();
    let amount = "5".parse().unwrap();
    let prepared = payer.prepare(stack.deployment.salt_pay, reference, payee, amount).await;
    let ask = |claim: bool, claimant: &str| json!({ "proof": prepared.hash, "requirement": terms, "claim": claim, "claimant": claimant });
    let verdict = stack.post(&verify, &ask(false, ""), &[]).await.json();
    assert_eq!((&verdict["status"], &verdict["code"]), (&json!("pending"), &json!("payment_not_seen")));

    payer.send(&prepared).await;
    stack.indexed(stack.anvil.height().await).await;
    let verdict = stack.post(&verify, &ask(false, ""), &[]).await.json();
    assert_eq!((&verdict["status"], &verdict["payment"]["claimed"]), (&json!("accepted"), &json!(false)));
    let verdict = stack.post(&verify, &ask(true, "one"), &[]).await.json();
    assert_eq!(verdict["claim"]["first"], true, "{verdict}");
    let verdict = stack.post(&verify, &ask(true, "one"), &[]).await.json();
    assert_eq!(verdict["claim"]["first"], false, "{verdict}");
    let verdict = stack.post(&verify, &ask(true, "two"), &[]).await.json();
    assert_eq!((&verdict["status"], &verdict["code"]), (&json!("rejected"), &json!("already_claimed")));
}
