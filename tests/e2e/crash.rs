//! kill -9 between any two lines.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use salt402_protocol::B256;
use salt402_tests::{Stack, StackOptions, inference};

use crate::SALT402;

#[tokio::test(flavor = "multi_thread")]
async fn a_back_fill_that_is_killed_goes_on_and_ends_with_exact_rows() {
    const PAYMENTS: u64 = 120;
    // Ranges of two blocks, so that the back-fill takes many steps to be killed between.
    let chain = "[chains.local.overrides]\nlogs_range = 2".to_owned();
    let mut stack =
        Stack::start_with(SALT402, StackOptions { chain, idle: true, ..Default::default() }).await;
    let payer = stack.payer();
    let payee = salt402_tests::PAYEE.parse().unwrap();
    let mut transactions = Vec::new();
    for index in 0..PAYMENTS {
        let reference = B256::left_padding_from(&(index + 1).to_be_bytes());
        let amount = (index + 1).to_string().parse().unwrap();
        let prepared = payer.prepare(stack.deployment.salt_pay, reference, payee, amount).await;
        transactions.push(payer.send(&prepared).await);
    }
    // Anywhere between a start that has opened nothing and an index that is nearly done.
    let seed: u64 = match std::env::var("CRASH_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("CRASH_SEED={seed}");
    const KILLS: u64 = 20;
    let mut drawn = seed;
    for _ in 0..KILLS {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pause = 40 + (drawn >> 33) % 260;
        let process = stack.role("up");
        tokio::time::sleep(Duration::from_millis(pause)).await;
        process.kill();
    }
    stack.up().await;
    stack.indexed(stack.anvil.height().await).await;
    let status = stack.status().await;
    assert_eq!(status["chains"][0]["payments"], PAYMENTS, "after {KILLS} kills, seed {seed}: {status}");
    for (index, transaction) in transactions.iter().enumerate() {
        let url = format!("{}/v1/payments/{transaction}?chain=eip155:40204", stack.verifier);
        let known = stack.get(&url).await.json();
        let payments = known["payments"].as_array().unwrap();
        assert_eq!(payments.len(), 1, "{index}: {known}");
        assert_eq!(payments[0]["amount"], (index + 1).to_string());
        assert_eq!(payments[0]["block_number"].as_u64(), stack.anvil.block_of(*transaction).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_claimed_and_not_answered_is_run_again_for_its_payer() {
    let mut stack = Stack::start(SALT402).await;
    stack.upstream.delay(Duration::from_secs(30));
    let body = inference("interrupted");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let request = stack
        .client
        .post(format!("{}/v1/inference", stack.gateway))
        .header("x-payment-proof", proof.to_string())
        .json(&body);
    let broken = tokio::spawn(async move { request.send().await.is_err() });
    while stack.upstream.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stack.kill();
    assert!(broken.await.unwrap(), "nobody was answered");

    stack.upstream.delay(Duration::ZERO);
    stack.up().await;
    assert_eq!(stack.status().await["claims"], 1, "the claim was on disk before the run");
    let other = stack.infer_with(&inference("somebody else's"), proof).await;
    assert_eq!(other.code(), "reference_mismatch");
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.json()["output"], "answer 2");
    assert_eq!(stack.infer_with(&body, proof).await.body, answer.body);
    assert_eq!(stack.status().await["claims"], 1);
}
