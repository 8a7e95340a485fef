//! B4: from a block's production to a payment that can be verified.

use std::time::{Duration, Instant};

use salt402_tests::{PAYEE, Stack, StackOptions};
use serde_json::json;

use crate::figures::{Times, at_most};

const BLOCKS: u64 = 200;
const POLL: u64 = 50;

pub(crate) async fn run() -> anyhow::Result<()> {
    let times = measure(StackOptions::default()).await?;
    at_most(
        "B4",
        times.within(0.5),
        "ms",
        5.0,
        "p50, block asked for to verified, newHeads (anvil's own mining included)",
    );
    at_most("B4", times.within(0.99), "ms", 25.0, "p99 of the same");
    let chain = format!("[chains.local.overrides]\nnew_heads = false\npoll_ms = {POLL}");
    let times = measure(StackOptions { chain, ..Default::default() }).await?;
    let bound = POLL as f64 + 10.0;
    at_most("B4", times.within(0.5), "ms", bound, "p50, polling alone every 50 ms");
    at_most("B4", times.within(0.99), "ms", bound, "p99 of the same");
    Ok(())
}

/// Times from the moment a block is asked for to the answer of a request that waits for a payment in it.
async fn measure(options: StackOptions) -> anyhow::Result<Times> {
    let stack = Stack::start_with(&crate::salt402()?, options).await;
    let (verify, quotes) = (format!("{}/v1/verify", stack.verifier), format!("{}/v1/quotes", stack.verifier));
    let payer = stack.payer();
    stack.anvil.automine(false).await;
    let mut times = Vec::new();
    for index in 0..BLOCKS {
        let terms = json!({
            "chain": "eip155:40204",
            "payee": PAYEE,
            "asset": "native",
            "amount": "5",
            "request_digest": format!("0x{index:064x}"),
        });
        let quote = stack.post(&quotes, &terms, &[]).await.json();
        let reference = quote["reference"].as_str().unwrap_or_default().parse()?;
        let prepared =
            payer.prepare(stack.deployment.salt_pay, reference, PAYEE.parse()?, "5".parse()?).await;
        payer.send(&prepared).await;
        let ask = json!({
            "proof": prepared.hash, "quote_id": quote["quote_id"], "requirement": terms, "wait_ms": 10_000,
        });
        let mine = async {
            // The request is waiting by then.
            tokio::time::sleep(Duration::from_millis(20 + index % 50)).await;
            let asked = Instant::now();
            stack.anvil.mine(1).await;
            asked
        };
        let verified = async {
            let answer = stack.post(&verify, &ask, &[]).await.json();
            (Instant::now(), answer)
        };
        let (asked, (verified, answer)) = tokio::join!(mine, verified);
        anyhow::ensure!(answer["status"] == "accepted", "{answer}");
        times.push(verified - asked);
    }
    Ok(Times::new(times))
}
