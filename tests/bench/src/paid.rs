//! B10: what a paid request adds to its model server, and how many of them by voucher there are a second.
//!
//! Every request is another, and its answer is kept on disk before it is given, as an operator's are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256, hex};
use alloy_sol_types::SolCall as _;
use anyhow::Context as _;
use salt402_protocol::Asset;
use salt402_protocol::contracts::{ISaltChannels, ISaltPay};
use salt402_tests::{Salt402, Stack, StackOptions, TestChannel, payment_details};
use serde_json::{Value, json};

use crate::figures::{Times, at_least, at_most, beside, cpu_seconds};
use crate::load::{self, Requests};
use crate::model_server::ModelServer;

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const PRICE: u64 = 5;
const RATE: u32 = 1_000;
const TIME: Duration = Duration::from_secs(5);
/// Requests of [`TIME`] at [`RATE`].
const AT_RATE: usize = 5_000;
/// Requests before the first that is measured.
const FIRST: usize = 500;
/// Connections of [`load::open`], each with a channel of its own: the vouchers of one come in their order.
const STEADY: usize = 16;
const AT_ONCE: usize = 64;
const VOUCHERS: usize = 25_600;
const IN_A_BLOCK: usize = 250;
/// What one event of an answer holds.
const EXPECTED: &str = "Four words";

pub(crate) async fn run() -> anyhow::Result<()> {
    let model = ModelServer::start(0).await?;
    let mut stack = shop(&model).await?;
    let host = stack.gateway.trim_start_matches("http://").to_owned();
    let server = stack.process.as_ref().map(Salt402::id).context("salt402 runs")?.to_string();

    let asked = |number| load::post(&model.address, CHAT, &chat(number, false).to_string());
    let direct: Requests = Arc::new((0..AT_RATE).map(asked).collect());
    let hashes = paid_hashes(&mut stack, &host, FIRST + AT_RATE).await?;
    let (first, hashes) = hashes.split_at(FIRST);
    let channels = open_channels(&mut stack, STEADY + AT_ONCE).await?;
    let (steady, closed) = channels.split_at(STEADY);
    let steady = vouchers(&host, steady, AT_RATE, false);
    let closed = vouchers(&host, closed, VOUCHERS, false);

    let alone = Times::new(load::open(&model.address, &direct, RATE, TIME, EXPECTED).await?);
    load::once(&host, &Arc::new(first.to_vec()), STEADY, EXPECTED).await?;
    let ways = [("a bare hash", Arc::new(hashes.to_vec())), ("a voucher", steady)];
    for (way, requests) in ways {
        let before = cpu_seconds(&server)?;
        let times = load::open(&host, &requests, RATE, TIME, EXPECTED).await?;
        let cpu = (cpu_seconds(&server)? - before) / times.len() as f64;
        let times = Times::new(times);
        let what =
            format!("added to the model server's p50 by {way}, {RATE} requests/s, claimed on disk before");
        at_most("B10", times.within(0.5) - alone.within(0.5), "ms", 1.5, &what);
        beside(times.within(0.99) - alone.within(0.99), "ms", "added to its p99");
        beside(cpu * 1000.0, "s", "processor time of 1,000, in salt402");
    }
    beside(alone.within(0.5), "ms", "the model server alone, p50");
    beside(alone.within(0.99), "ms", "the model server alone, p99");

    let (start, before) = (Instant::now(), cpu_seconds(&server)?);
    let times = load::once(&host, &closed, AT_ONCE, EXPECTED).await?;
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    let cpu = (cpu_seconds(&server)? - before) / times.len() as f64;
    at_least("B10", rate, "requests/s", 5_000.0, "paid by voucher, 64 connections and as many channels");
    beside(Times::new(times).within(0.5), "ms", "p50 of the same");
    beside(cpu * 1000.0, "s", "processor time of 1,000, in salt402");
    Ok(())
}

/// A stack that sells a model at a fixed price, by payments and vouchers.
pub(crate) async fn shop(model: &ModelServer) -> anyhow::Result<Stack> {
    let options = StackOptions {
        chain: "vouchers = true".into(),
        gateway: "max_body_bytes = 65536\n".into(),
        sections: format!(
            "[gateway.connections]\nmax = 20000\nmax_per_address = 20000\n\
             [gateway.models.sold]\nupstream = \"http://{}/v1\"\nprice_per_request = \"{PRICE}\"\nat_once = 0\n",
            model.address
        ),
        ..StackOptions::default()
    };
    Ok(Stack::start_with(&crate::salt402()?, options).await)
}

pub(crate) fn chat(number: usize, stream: bool) -> Value {
    let messages = json!([{ "role": "user", "content": format!("Say {number}") }]);
    json!({ "model": "sold", "messages": messages, "stream": stream })
}

fn with_proof(host: &str, body: &Value, proof: &str) -> Vec<u8> {
    load::post_with(host, CHAT, &[("x-payment-proof", proof)], &body.to_string())
}

/// Requests that were paid for by a transaction each, and show its hash alone.
async fn paid_hashes(stack: &mut Stack, host: &str, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let accounts = stack.anvil.ask("eth_accounts", json!([])).await;
    let mut requests = Vec::with_capacity(count);
    stack.anvil.automine(false).await;
    for number in 0..count {
        let body = chat(number, false);
        let unpaid = stack.post(&format!("{}{CHAT}", stack.gateway), &body, &[]).await;
        let details = payment_details(&unpaid);
        let pay = ISaltPay::payCall { paymentReference: details.reference, payee: details.recipient };
        let sent = json!([{
            "from": accounts[5], "to": details.payment_contract, "value": format!("{:#x}", details.amount.0),
            "gas": "0x186a0", "data": hex::encode_prefixed(pay.abi_encode()),
        }]);
        let hash = stack.anvil.ask("eth_sendTransaction", sent).await;
        requests.push(with_proof(host, &body, hash.as_str().context("a hash")?));
        if number % IN_A_BLOCK == IN_A_BLOCK - 1 || number == count - 1 {
            stack.anvil.mine(1).await;
        }
    }
    stack.anvil.automine(true).await;
    stack.indexed(stack.anvil.height().await).await;
    Ok(requests)
}

/// Opens so many channels with more than all vouchers of a benchmark are worth.
pub(crate) async fn open_channels(stack: &mut Stack, count: usize) -> anyhow::Result<Vec<TestChannel>> {
    let channels: Vec<_> = (1..=count as u64)
        .map(|number| {
            let channel = TestChannel::new(&stack.deployment, Asset::Native, 0);
            channel.salted(B256::left_padding_from(&number.to_be_bytes()))
        })
        .collect();
    stack.anvil.automine(false).await;
    for some in channels.chunks(IN_A_BLOCK) {
        for channel in some {
            let open = ISaltChannels::openCall {
                channel: channel.channel.clone(),
                amount: U256::from(1_000_000_000),
            };
            let sent = json!([{
                "from": channel.channel.payer, "to": stack.deployment.salt_channels, "value": "0x3b9aca00",
                "gas": "0x186a0", "data": hex::encode_prefixed(open.abi_encode()),
            }]);
            stack.anvil.ask("eth_sendTransaction", sent).await;
        }
        stack.anvil.mine(1).await;
    }
    stack.anvil.automine(true).await;
    stack.indexed(stack.anvil.height().await).await;
    Ok(channels)
}

/// So many requests, of these channels in turn, each with its channel's next voucher.
pub(crate) fn vouchers(host: &str, channels: &[TestChannel], count: usize, stream: bool) -> Requests {
    let request = |number: usize| {
        let ceiling = PRICE * (number / channels.len() + 1) as u64;
        let proof = channels[number % channels.len()].proof(ceiling);
        with_proof(host, &chat(number, stream), &proof)
    };
    Arc::new((0..count).map(request).collect())
}
