//! Blocks that vanish.

use reqwest::StatusCode;
use salt402_tests::{Stack, StackOptions, inference};

use crate::SALT402;

fn impatient() -> StackOptions {
    StackOptions { gateway: "wait_ms = 0".into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_dropped_before_its_claim_grants_nothing() {
    let mut stack = Stack::start_with(SALT402, impatient()).await;
    let body = inference("dropped");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let url = format!("{}/v1/payments/{proof}?chain=eip155:40204", stack.verifier);
    stack.until(&url, |answer| answer.json()["payments"][0]["canonical"] == true).await;

    stack.anvil.reorg(1).await;
    let known = stack.until(&url, |answer| answer.json()["payments"][0]["canonical"] == false).await.json();
    assert_eq!(known["payments"][0]["confirmations"], 0, "{known}");
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::PAYMENT_REQUIRED, "payment_orphaned"));
    let status = stack.status().await;
    assert_eq!(
        (
            status["claims"].as_u64(),
            status["open_incidents"].as_u64(),
            status["chains"][0]["payments"].as_u64()
        ),
        (Some(0), Some(0), Some(0))
    );
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_dropped_after_its_claim_is_an_incident_until_it_is_back_and_never_a_second_grant() {
    let mut stack = Stack::start_with(SALT402, impatient()).await;
    let body = inference("granted");
    let details = stack.quote(&body).await;
    let payer = stack.payer();
    let payment =
        payer.prepare(details.payment_contract, details.reference, details.recipient, details.amount).await;
    let proof = payer.send(&payment).await;
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    stack.anvil.reorg(1).await;
    let status = format!("{}/v1/status", stack.verifier);
    stack.until(&status, |answer| answer.json()["open_incidents"] == 1).await;
    assert_eq!(stack.infer_with(&body, proof).await.code(), "payment_orphaned");
    let open = format!("{}/v1/incidents?open=true", stack.verifier);
    let incidents = stack.get(&open).await.json();
    assert_eq!(incidents["incidents"][0]["kind"], "payment_lost", "{incidents}");
    assert_eq!(incidents["incidents"][0]["transaction"], proof.to_string());

    // The same transaction, in another block.
    let first = stack.anvil.height().await;
    stack.anvil.reorg_with(1, &payment.raw).await;
    stack.anvil.mine(2).await;
    assert!(stack.anvil.block_of(proof).await.is_some_and(|block| block >= first));
    stack.until(&status, |answer| answer.json()["open_incidents"] == 0).await;
    assert_eq!(stack.get(&open).await.json()["incidents"].as_array().map(Vec::len), Some(0));
    let all = stack.get(&format!("{}/v1/incidents", stack.verifier)).await.json();
    assert!(all["incidents"][0]["resolved_at_ms"].is_u64(), "{all}");
    assert_eq!(stack.infer_with(&body, proof).await.body, answer.body);
    assert_eq!(stack.status().await["claims"], 1);
    assert_eq!(stack.upstream.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deeper_reorganization_leaves_the_rows_of_the_final_chain() {
    let mut stack = Stack::start(SALT402).await;
    let payer = stack.payer();
    let mut proofs = Vec::new();
    for index in 0..6 {
        let details = stack.quote(&inference(&format!("request {index}"))).await;
        proofs.push(payer.pay(&details).await);
    }
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 6);
    stack.anvil.reorg(4).await;
    stack.anvil.mine(1).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 2);
    for (index, proof) in proofs.iter().enumerate() {
        let url = format!("{}/v1/payments/{proof}?chain=eip155:40204", stack.verifier);
        let known = stack.get(&url).await.json();
        assert_eq!(known["payments"][0]["canonical"], index < 2, "{index}: {known}");
    }
}
