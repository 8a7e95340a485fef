//! Disks that fill under the running binary, clocks that jump beside it, kills at the head.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use salt402_protocol::B256;
use salt402_tests::{Salt402, Stack, StackOptions, inference};

use crate::SALT402;

#[tokio::test(flavor = "multi_thread")]
async fn f20_on_a_full_disk_it_says_so_reads_on_and_recovers_by_itself_with_every_claim() {
    let options = StackOptions { gateway: "wait_ms = 0".into(), idle: true, ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    stack.process = Some(Salt402::start_limitable(stack.binary(), "up", &stack.config()));
    stack.ready().await;
    let payer = stack.payer();
    let mut paid = Vec::new();
    for index in 0..6 {
        let body = inference(&format!("request {index}"));
        let details = stack.quote(&body).await;
        paid.push((payer.pay(&details).await, body));
    }
    stack.indexed(stack.anvil.height().await).await;
    let mut answers = Vec::new();
    for (proof, body) in &paid[..3] {
        answers.push(stack.infer_with(body, *proof).await);
    }
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));

    stack.process.as_ref().unwrap().limit_files(Some(0));
    stack.anvil.mine(3).await;
    let ready = format!("{}/readyz", stack.verifier);
    let answer = stack.until(&ready, |answer| answer.status == StatusCode::SERVICE_UNAVAILABLE).await;
    let answer = if answer.body.contains("disk") {
        answer
    } else {
        stack.until(&ready, |a| a.body.contains("disk")).await
    };
    assert!(answer.body.contains("goes on by itself"), "{}", answer.body);
    for (proof, body) in &paid[3..5] {
        let refused = stack.infer_with(body, *proof).await;
        assert_eq!((refused.code().as_str(), refused.status.as_u16()), ("storage_unavailable", 503));
    }
    let unpaid = stack.infer(&inference("not sold"), &[]).await;
    assert_eq!((unpaid.code().as_str(), unpaid.status.as_u16()), ("storage_unavailable", 503));
    assert!(!unpaid.headers.contains_key("x-payment-details"), "{}", unpaid.body);
    // What is known is read and answered.
    let url = format!("{}/v1/payments/{}?chain=eip155:40204", stack.verifier, paid[4].0);
    assert_eq!(stack.get(&url).await.json()["payments"][0]["claimed"], false);
    assert_eq!(stack.infer_with(&paid[0].1, paid[0].0).await.body, answers[0].body);
    assert_eq!(stack.upstream.asked(), 3, "what could not be claimed was not run");
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    assert!(metrics.contains("salt402_store_failures_total{reason=\"disk_f"), "{metrics}");

    stack.process.as_ref().unwrap().limit_files(None);
    stack.ready().await;
    for (proof, body) in &paid[3..] {
        let answer = stack.infer_with(body, *proof).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    for ((proof, body), answer) in paid.iter().zip(&answers) {
        assert_eq!(stack.infer_with(body, *proof).await.body, answer.body);
    }
    stack.kill();
    stack.up().await;
    let status = stack.status().await;
    assert_eq!((status["claims"].as_u64(), status["chains"][0]["payments"].as_u64()), (Some(6), Some(6)));
    assert_eq!(stack.upstream.asked(), 6);
}

/// Numbers from a seed, which is printed and can be given by `SEED`.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(now);
        eprintln!("SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Of the twenty kills, how many must meet the indexer at the head at least. The others meet it while it starts.
const AT_HEAD: u32 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn f18_killed_twenty_times_at_the_head_while_payments_are_made_the_rows_are_exact() {
    let mut dice = Dice::new();
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let payer = stack.payer();
    let payee = salt402_tests::PAYEE.parse().unwrap();
    let (stop, contract) =
        (std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)), stack.deployment.salt_pay);
    let stopped = stop.clone();
    let paying = tokio::spawn(async move {
        let mut made = Vec::new();
        while !stopped.load(std::sync::atomic::Ordering::SeqCst) {
            let number = made.len() as u64 + 1;
            let reference = B256::left_padding_from(&number.to_be_bytes());
            let prepared =
                payer.prepare(contract, reference, payee, number.to_string().parse().unwrap()).await;
            made.push(payer.send(&prepared).await);
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        made
    });
    let mut at_head = 0;
    for round in 0..20 {
        let process = stack.role("up");
        // Every second one is let come to the head first, however slow the machine; the others are killed wherever they are.
        if round % 2 == 0 {
            stack.ready().await;
        }
        tokio::time::sleep(Duration::from_millis(20 + dice.below(900))).await;
        let ready = stack.client.get(format!("{}/readyz", stack.verifier)).send().await;
        at_head += u32::from(ready.is_ok_and(|answer| answer.status() == StatusCode::OK));
        process.kill();
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let made = paying.await.unwrap();
    stack.up().await;
    stack.indexed(stack.anvil.height().await).await;
    eprintln!("{} payments, {at_head} of 20 kills at the head", made.len());
    assert!(at_head >= AT_HEAD, "only {at_head} of 20 kills met it at the head");
    assert_eq!(stack.status().await["chains"][0]["payments"].as_u64(), Some(made.len() as u64));
    for (index, transaction) in made.iter().enumerate() {
        let url = format!("{}/v1/payments/{transaction}?chain=eip155:40204", stack.verifier);
        let known = stack.get(&url).await.json();
        let payments = known["payments"].as_array().unwrap();
        assert_eq!(payments.len(), 1, "{index}: {known}");
        assert_eq!(payments[0]["amount"], (index + 1).to_string());
        assert_eq!(payments[0]["block_number"].as_u64(), stack.anvil.block_of(*transaction).await);
    }
}
