//! B2: `POST /v1/verify` without claim, on loopback, while the indexer follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use salt402_tests::{PAYEE, Stack};
use serde_json::json;

use crate::figures::{Times, at_least, at_most, beside, cpu_seconds};
use crate::load::{self, Requests};
use crate::lookup::receipt_question;

/// Payments that are asked about in turn.
const PAYMENTS: u64 = 500;
const TIME: Duration = Duration::from_secs(8);

pub(crate) async fn run() -> anyhow::Result<()> {
    let mut stack = Stack::start(&crate::salt402()?).await;
    let host = stack.verifier.trim_start_matches("http://").to_owned();
    let payer = stack.payer();
    let mut requests = Vec::new();
    for index in 0..PAYMENTS {
        let terms = json!({
            "chain": "eip155:40204",
            "payee": PAYEE,
            "asset": "native",
            "amount": "5",
            "request_digest": format!("0x{index:064x}"),
        });
        let quote = stack.post(&format!("{}/v1/quotes", stack.verifier), &terms, &[]).await.json();
        let reference = quote["reference"].as_str().unwrap_or_default().parse()?;
        let prepared =
            payer.prepare(stack.deployment.salt_pay, reference, PAYEE.parse()?, "5".parse()?).await;
        payer.send(&prepared).await;
        let body = json!({ "proof": prepared.hash, "quote_id": quote["quote_id"], "requirement": terms })
            .to_string();
        requests.push(load::post(&host, "/v1/verify", &body));
    }
    stack.indexed(stack.anvil.height().await).await;
    let requests: Requests = Arc::new(requests);

    // Indexing goes on: a block with a payment every 50 ms.
    let going = Arc::new(AtomicBool::new(true));
    let (still, node, contract) = (Arc::clone(&going), stack.payer(), stack.deployment.salt_pay);
    let indexing = tokio::spawn(async move {
        let mut blocks = 0u64;
        while still.load(Ordering::Relaxed) {
            let reference = alloy_primitives::B256::left_padding_from(&(1_000_000 + blocks).to_be_bytes());
            let prepared = node.prepare(contract, reference, PAYEE.parse()?, "1".parse()?).await;
            node.send(&prepared).await;
            blocks += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(blocks)
    });

    load::closed(&host, &requests, 64, Duration::from_secs(1), "accepted").await?;
    let server = stack.process.as_ref().map(salt402_tests::Salt402::id).context("salt402 runs")?.to_string();
    let cpu = cpu_seconds(&server)?;
    let start = Instant::now();
    let times = load::closed(&host, &requests, 64, TIME, "accepted").await?;
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    let cpu = (cpu_seconds(&server)? - cpu) * 1e6 / times.len() as f64;
    let times = Times::new(times);
    at_least("B2", rate, "requests/s", 15_000.0, "verify without claim, 64 connections, while indexing");
    at_most("B2", times.within(0.5), "ms", 10.0, "p50 of the same");
    at_most("B2", times.within(0.99), "ms", 10.0, "p99 of the same");
    beside(cpu, "us", "processor time of one, in salt402, its indexing included");

    let times = Times::new(load::open(&host, &requests, 1000, TIME, "accepted").await?);
    at_most("B2", times.within(0.5), "ms", 1.0, "p50 at 1,000 requests/s");
    at_most("B2", times.within(0.99), "ms", 1.0, "p99 at 1,000 requests/s");
    going.store(false, Ordering::Relaxed);
    indexing.await??;

    // What a server would do that has no index, and would still have to understand the answer.
    let (node, ask) = receipt_question(&stack.anvil).await?;
    let start = Instant::now();
    let times = load::closed(&node, &Arc::new(vec![ask]), 64, TIME / 4, "blockHash").await?;
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    beside(rate, "requests/s", "instead: eth_getTransactionReceipt of anvil, 64 connections");
    let times = Times::new(times);
    beside(times.within(0.99), "ms", "instead: eth_getTransactionReceipt of anvil, p99");
    Ok(())
}
