//! What a request costs, as the payments of its transaction grow in number, or those who wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, hex};
use alloy_sol_types::SolEvent as _;
use anyhow::Context as _;
use salt402_protocol::contracts::ISaltPay;
use salt402_tests::{PAYEE, Stack, StackOptions, inference};
use serde_json::{Value, json};

use super::Row;
use crate::backfill::mib;
use crate::figures::{Times, at_most, cpu_seconds};
use crate::load::{self, Connection};

const WAITERS: [usize; 3] = [100, 1_000, 4_000];
const PAYMENTS: [usize; 3] = [100, 1_000, 6_000];
/// Questions of one row and size.
const QUESTIONS: u32 = 400;
const TIME: Duration = Duration::from_secs(5);

pub(crate) async fn run() -> anyhow::Result<()> {
    let (mut row, mut last) = (Row::default(), Duration::ZERO);
    for waiters in WAITERS {
        last = waiting(waiters).await?;
        row.add(waiters, last);
    }
    row.tell("waiters", "4,000 requests that wait for the payments of one transaction");
    at_most(
        "B14",
        last.as_secs_f64(),
        "s",
        1.0,
        "processor time of 4,000, from the block to the last answer",
    );

    let shop = Shop::start().await?;
    let (mut quoted, mut placed, mut bare) = (Row::default(), Row::default(), Row::default());
    let (mut of_quoted, mut of_placed) = (Duration::ZERO, Duration::ZERO);
    for payments in PAYMENTS {
        let crowd = shop.crowd(payments).await?;
        of_quoted = shop.cost(&crowd.quoted, "accepted").await?;
        quoted.add(payments, of_quoted);
        let cost = shop.cost(&crowd.placed, "rejected").await?;
        if payments == PAYMENTS[0] {
            of_placed = cost;
        }
        placed.add(payments, cost);
        bare.add(payments, shop.cost(&crowd.bare, "ordinal_required").await?);
    }
    let milliseconds = |cost: Duration| cost.as_secs_f64() * 1000.0;
    quoted.tell("quoted", "a verify by hash and quote id, one of 6,000 payments of its transaction");
    at_most("B14", milliseconds(of_quoted), "ms", 0.3, "processor time of one of them, its HTTP included");
    placed.tell("placed", "a hash and a place among 6,000, refused, `quote_lifetime_s` of a day");
    at_most("B14", milliseconds(of_placed), "ms", 1.0, "processor time of one of 100, its HTTP included");
    bare.tell("bare", "a hash alone of 6,000, refused");
    shop.beside_many().await
}

/// Code of a contract that emits a payment of 5 to the payee for each 32 bytes of what it is called with.
fn emitter() -> String {
    let topic = hex::encode(ISaltPay::Payment::SIGNATURE_HASH);
    let payee = PAYEE.trim_start_matches("0x");
    let (begin, reference, end) = ("60056020525f5b", "8235", "60405fa4602001803611600657");
    format!("0x{begin}73{payee}33{reference}7f{topic}{end}00")
}

fn terms(request: usize) -> Value {
    json!({
        "chain": "eip155:40204", "payee": PAYEE, "asset": "native", "amount": "5",
        "request_digest": format!("0x{request:064x}"),
    })
}

/// A stack whose payment contract emits as many payments as it is asked to.
async fn stack(verifier: &str) -> anyhow::Result<Stack> {
    let options = StackOptions {
        verifier: verifier.into(),
        sections: "[verifier.connections]\nmax = 20000\nmax_per_address = 20000\n".into(),
        ..StackOptions::default()
    };
    let stack = Stack::start_with(&crate::salt402()?, options).await;
    let code = json!([stack.deployment.salt_pay, emitter()]);
    stack.anvil.ask("anvil_setCode", code).await;
    Ok(stack)
}

/// Sends a transaction that pays for references.
async fn pay(stack: &Stack, references: &[B256]) -> anyhow::Result<B256> {
    let data: Vec<u8> = references.iter().flat_map(|reference| reference.0).collect();
    let accounts = stack.anvil.ask("eth_accounts", json!([])).await;
    let sent = json!([{
        "from": accounts[5], "to": stack.deployment.salt_pay, "data": hex::encode_prefixed(data), "gas": "0xffffff",
    }]);
    let hash = stack.anvil.ask("eth_sendTransaction", sent).await;
    Ok(hash.as_str().context("a hash")?.parse()?)
}

async fn quote(stack: &Stack, request: usize) -> anyhow::Result<(String, B256)> {
    let mut asked = terms(request);
    asked["secret"] = true.into();
    let quote = stack.post(&format!("{}/v1/quotes", stack.verifier), &asked, &[]).await.json();
    let id = quote["quote_id"].as_str().context("a quote")?.to_owned();
    Ok((id, quote["reference"].as_str().context("a reference")?.parse()?))
}

fn host(stack: &Stack) -> String {
    stack.verifier.trim_start_matches("http://").to_owned()
}

fn process(stack: &Stack) -> anyhow::Result<u32> {
    Ok(stack.process.as_ref().context("salt402 runs")?.id())
}

/// Processor seconds of `salt402` from the block on, until all who waited for its payments are answered.
async fn waiting(waiters: usize) -> anyhow::Result<Duration> {
    let mut stack = stack("max_wait_ms = 120000\n").await?;
    let host = host(&stack);
    // What another asks meanwhile.
    let (id, reference) = quote(&stack, 1_000_000).await?;
    let paid = pay(&stack, &[reference]).await?;
    stack.indexed(stack.anvil.height().await).await;
    let other = json!({ "proof": paid, "quote_id": id, "requirement": terms(1_000_000) }).to_string();
    let other = load::post(&host, "/v1/verify", &other);

    let mut quotes = Vec::with_capacity(waiters);
    for request in 0..waiters {
        quotes.push(quote(&stack, request).await?);
    }
    stack.anvil.automine(false).await;
    let references: Vec<_> = quotes.iter().map(|(_, reference)| *reference).collect();
    let hash = pay(&stack, &references).await?;
    let mut tasks = Vec::with_capacity(waiters);
    for (request, (id, _)) in quotes.iter().enumerate() {
        let body = json!({
            "proof": hash, "quote_id": id, "requirement": terms(request), "claim": true, "claimant": "bench",
            "wait_ms": 120_000,
        });
        let asked = load::post(&host, "/v1/verify", &body.to_string());
        let mut connection = Connection::open(&host).await?;
        tasks.push(tokio::spawn(async move { connection.ask(&asked, "accepted").await }));
    }
    let status = format!("{}/v1/status", stack.verifier);
    let wished = waiters as u64;
    stack.until(&status, |answer| answer.json()["waiting"].as_u64() == Some(wished)).await;
    // Those who wait have looked for the receipt by then.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let going = Arc::new(AtomicBool::new(true));
    let (still, mut connection) = (Arc::clone(&going), Connection::open(&host).await?);
    let probe = tokio::spawn(async move {
        let mut times = Vec::new();
        while still.load(Ordering::Relaxed) {
            let sent = Instant::now();
            connection.ask(&other, "accepted").await?;
            times.push(sent.elapsed());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        anyhow::Ok(times)
    });
    let process = process(&stack)?;
    let before = cpu_seconds(&process.to_string())?;
    stack.anvil.mine(1).await;
    for task in tasks {
        task.await??;
    }
    let cost = Duration::from_secs_f64(cpu_seconds(&process.to_string())? - before);
    going.store(false, Ordering::Relaxed);
    let times = Times::new(probe.await??);
    if waiters == WAITERS[2] {
        at_most("B14", times.within(0.99), "ms", 20.0, "p99 of another verify meanwhile");
        at_most("B14", mib(process, "VmHWM:")?, "MiB", 150.0, "peak memory of the same");
    }
    Ok(cost)
}

/// Questions about transactions with many payments.
struct Shop {
    stack: Stack,
    host: String,
}

/// One transaction, and questions about it.
struct Crowd {
    quoted: Vec<u8>,
    placed: Vec<u8>,
    bare: Vec<u8>,
}

impl Shop {
    async fn start() -> anyhow::Result<Self> {
        let stack = stack("quote_lifetime_s = 86400\n").await?;
        let host = host(&stack);
        Ok(Self { stack, host })
    }

    /// A transaction of so many payments, one of which was quoted.
    async fn crowd(&self, payments: usize) -> anyhow::Result<Crowd> {
        let (id, reference) = quote(&self.stack, 1).await?;
        let number = |at: usize| B256::left_padding_from(&(payments * 10_000 + at).to_be_bytes());
        let mut references: Vec<_> = (1..payments).map(number).collect();
        references.insert(references.len() / 2, reference);
        let hash = pay(&self.stack, &references).await?;
        let status = format!("{}/v1/status", self.stack.verifier);
        let give_up = Instant::now() + Duration::from_secs(60);
        // anvil answers with the hash before it mines.
        loop {
            let height = self.stack.anvil.block_of(hash).await;
            let indexed = self.stack.get(&status).await.json()["chains"][0]["indexed"].as_u64();
            if height.is_some() && indexed >= height {
                break;
            }
            anyhow::ensure!(Instant::now() < give_up, "the block is not indexed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ask = |body: Value| load::post(&self.host, "/v1/verify", &body.to_string());
        Ok(Crowd {
            quoted: ask(json!({ "proof": hash, "quote_id": id, "requirement": terms(1) })),
            placed: ask(json!({ "proof": format!("{hash}:7"), "requirement": terms(1) })),
            bare: ask(json!({ "proof": hash, "requirement": terms(1) })),
        })
    }

    /// Processor time of one question.
    async fn cost(&self, ask: &[u8], expected: &str) -> anyhow::Result<Duration> {
        let mut connection = Connection::open(&self.host).await?;
        for _ in 0..20 {
            connection.ask(ask, expected).await?;
        }
        let process = process(&self.stack)?.to_string();
        // What it does beside is in it, and the clock of processor time ticks each 10 ms: so they are many.
        let before = cpu_seconds(&process)?;
        for _ in 0..QUESTIONS {
            connection.ask(ask, expected).await?;
        }
        let all = Duration::from_secs_f64(cpu_seconds(&process)? - before);
        Ok(all / QUESTIONS)
    }

    /// An honest request for a price, beside eight clients who show hashes of many payments as fast as they are answered.
    async fn beside_many(&self) -> anyhow::Result<()> {
        let crowds = [self.crowd(16).await?, self.crowd(1_001).await?];
        let going = Arc::new(AtomicBool::new(true));
        let mut clients = Vec::new();
        for client in 0..8 {
            let crowd = &crowds[client % 2];
            let asked = [crowd.bare.clone(), crowd.placed.clone()];
            let (still, mut connection) = (Arc::clone(&going), Connection::open(&self.host).await?);
            clients.push(tokio::spawn(async move {
                let mut asked = asked.iter().cycle();
                while still.load(Ordering::Relaxed) {
                    connection.ask(asked.next().context("questions")?, "detail").await?;
                }
                anyhow::Ok(())
            }));
        }
        let gateway = self.stack.gateway.trim_start_matches("http://").to_owned();
        let unpaid = load::post(&gateway, "/v1/inference", &inference("honest").to_string());
        let times = load::open(&gateway, &Arc::new(vec![unpaid]), 100, TIME, "payment_required").await?;
        going.store(false, Ordering::Relaxed);
        for client in clients {
            client.await??;
        }
        let what = "of an honest 402 beside eight clients who show hashes of many payments, 100 a second";
        let times = Times::new(times);
        at_most("B14", times.within(0.5), "ms", 5.0, &format!("p50 {what}"));
        at_most("B14", times.within(0.99), "ms", 5.0, "p99 of the same");
        Ok(())
    }
}
