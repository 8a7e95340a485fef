//! What the whole program does with many channels: its status, a page of the list, and what a claim would bring.

use std::process::Stdio;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256, hex};
use alloy_sol_types::SolCall as _;
use anyhow::Context as _;
use salt402_protocol::Asset;
use salt402_protocol::contracts::ISaltChannels;
use salt402_tests::{PAYEE, PAYEE_KEY, Stack, StackOptions, TestChannel};
use serde_json::json;

use super::Row;
use crate::figures::{at_most, cpu_seconds, told};
use crate::load::{self, Connection};

const CHANNELS: [u64; 3] = [100, 1_000, 10_000];
/// Openings in one block.
const IN_A_BLOCK: u64 = 250;
const AT_ONCE: usize = 32;
const PRICE: u64 = 5;
/// Times that the status is asked for.
const ASKED: u32 = 500;
/// Channels of a page.
const PAGE: &str = "500";

pub(crate) async fn run() -> anyhow::Result<()> {
    let (mut statuses, mut pages, mut claims) = (Row::default(), Row::default(), Row::default());
    let (mut status, mut page, mut claim) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for count in CHANNELS {
        let stack = stack(count).await?;
        status = of_status(&stack).await?;
        statuses.add(count as usize, status);
        page = of_command(&stack, &["list", "--limit", PAGE], "deposited").await?;
        pages.add(count as usize, page);
        claim = of_command(&stack, &["claim", "--all", "--dry-run"], "would be claimed").await?;
        claims.add(count as usize, claim);
        if count == CHANNELS[2] {
            let some =
                of_command(&stack, &["claim", "--all", "--dry-run", "--limit", PAGE], "would be claimed");
            at_most(
                "B14",
                some.await?.as_secs_f64(),
                "s",
                0.5,
                "`channel claim --dry-run` of 500 of 10,000 channels",
            );
        }
    }
    statuses.tell("status-request", "`GET /v1/status`, with an accepted voucher of each channel");
    at_most(
        "B14",
        status.as_secs_f64() * 1000.0,
        "ms",
        1.0,
        "processor time of one with 10,000 channels, its HTTP included",
    );
    pages.tell("list-command", "`channel list` of 500 channels");
    at_most("B14", page.as_secs_f64(), "s", 0.5, "with 10,000 channels, its start included");
    claims.tell("claim-command", "`channel claim --all --dry-run`");
    told("B14", claim.as_secs_f64(), "s", "of 10,000 channels, each asked of the contract");
    Ok(())
}

/// A stack with so many channels, a voucher of each accepted.
async fn stack(count: u64) -> anyhow::Result<Stack> {
    let options = StackOptions { chain: "vouchers = true".into(), ..StackOptions::default() };
    let mut stack = Stack::start_with(&crate::salt402()?, options).await;
    let contract = stack.deployment.salt_channels;
    let channels: Vec<_> = (1..=count)
        .map(|number| {
            let channel = TestChannel::new(&stack.deployment, Asset::Native, 0);
            channel.salted(B256::left_padding_from(&number.to_be_bytes()))
        })
        .collect();
    stack.anvil.automine(false).await;
    for some in channels.chunks(IN_A_BLOCK as usize) {
        for channel in some {
            let open =
                ISaltChannels::openCall { channel: channel.channel.clone(), amount: U256::from(1_000) };
            let sent = json!([{
                "from": channel.channel.payer, "to": contract, "value": "0x3e8", "gas": "0x186a0",
                "data": hex::encode_prefixed(open.abi_encode()),
            }]);
            stack.anvil.ask("eth_sendTransaction", sent).await;
        }
        stack.anvil.mine(1).await;
    }
    stack.anvil.automine(true).await;
    stack.indexed(stack.anvil.height().await).await;

    let host = stack.verifier.trim_start_matches("http://").to_owned();
    let asked = |(number, channel): (usize, &TestChannel)| {
        let terms = json!({
            "chain": "eip155:40204", "payee": PAYEE, "asset": "native", "amount": PRICE.to_string(),
            "request_digest": format!("0x{number:064x}"),
        });
        let body = json!({ "proof": channel.proof(PRICE), "requirement": terms, "claim": true, "claimant": "bench" });
        load::post(&host, "/v1/verify", &body.to_string())
    };
    let asked: Vec<_> = channels.iter().enumerate().map(asked).collect();
    let mut tasks = Vec::new();
    for some in asked.chunks(asked.len().div_ceil(AT_ONCE)) {
        let (some, mut connection) = (some.to_vec(), Connection::open(&host).await?);
        tasks.push(tokio::spawn(async move {
            for ask in &some {
                connection.ask(ask, "accepted").await?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(stack)
}

/// Processor time of one request for the status.
async fn of_status(stack: &Stack) -> anyhow::Result<Duration> {
    let host = stack.verifier.trim_start_matches("http://");
    let ask = format!("GET /v1/status HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes();
    let mut connection = Connection::open(host).await?;
    let process = stack.process.as_ref().context("salt402 runs")?.id().to_string();
    connection.ask(&ask, "chains").await?;
    let before = cpu_seconds(&process)?;
    for _ in 0..ASKED {
        connection.ask(&ask, "chains").await?;
    }
    Ok(Duration::from_secs_f64((cpu_seconds(&process)? - before) / f64::from(ASKED)))
}

/// How long a command of `salt402 channel` takes, which must say `expected`.
async fn of_command(stack: &Stack, arguments: &[&str], expected: &str) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let output = tokio::process::Command::new(stack.binary())
        .arg("channel")
        .args(arguments)
        .arg("--config")
        .arg(stack.config())
        .env("SALT402_KEY", PAYEE_KEY)
        .stdin(Stdio::null())
        .output()
        .await?;
    let took = begun.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(
        output.status.success() && said.contains(expected),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(took)
}
