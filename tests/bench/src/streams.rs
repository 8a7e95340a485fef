//! B11: what the gateway adds to each token of a stream, with a thousand streams at once.
//!
//! The same streams are read straight from the model server in the same run, and what that takes is taken off.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use salt402_tests::Salt402;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::backfill::mib;
use crate::figures::{Times, at_most, beside, cpu_seconds};
use crate::load;
use crate::model_server::{BEFORE_MOMENT, MOMENT_DIGITS, ModelServer, find};
use crate::paid::{CHAT, chat, open_channels, shop, vouchers};

const STREAMS: usize = 1_000;
/// Ten seconds of them.
const TOKENS: usize = 200;
/// Vouchers of one channel come in their order, and streams in any: each has a channel of its own.
const CHANNELS: usize = STREAMS;

pub(crate) async fn run() -> anyhow::Result<()> {
    let model = ModelServer::start(TOKENS).await?;
    let mut stack = shop(&model).await?;
    let host = stack.gateway.trim_start_matches("http://").to_owned();
    let process = stack.process.as_ref().map(Salt402::id).context("salt402 runs")?;
    let channels = open_channels(&mut stack, CHANNELS).await?;
    let paid = vouchers(&host, &channels, STREAMS, true);
    let asked = |number| load::post(&model.address, CHAT, &chat(number, true).to_string());
    let direct: Vec<_> = (0..STREAMS).map(asked).collect();

    let alone = Times::new(follow(&model, &model.address, &direct).await?);
    let (memory, before) = (mib(process, "VmRSS:")?, cpu_seconds(&process.to_string())?);
    let through = Times::new(follow(&model, &host, &paid).await?);
    let cpu = cpu_seconds(&process.to_string())? - before;
    let memory = (mib(process, "VmHWM:")? - memory).max(0.0) * 1024.0 / STREAMS as f64;
    let added = |share| through.within(share) - alone.within(share);
    at_most("B11", added(0.5), "ms", 0.15, "added to a token, p50 of 1,000 streams of 20 a second");
    at_most("B11", added(0.99), "ms", 5.0, "p99 of the same");
    at_most("B11", memory, "KiB", 40.0, "memory of one stream, at the most");
    beside(alone.within(0.5), "ms", "straight from the model server, p50");
    beside(alone.within(0.99), "ms", "straight from the model server, p99");
    beside(cpu * 1e6 / (STREAMS * TOKENS) as f64, "us", "processor time of a token, in salt402");
    Ok(())
}

/// Follows a stream of each request. Returns how long each token took to come.
async fn follow(model: &ModelServer, host: &str, requests: &[Vec<u8>]) -> anyhow::Result<Vec<Duration>> {
    let mut tasks = Vec::with_capacity(requests.len());
    for request in requests {
        let mut stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        stream.write_all(request).await?;
        tasks.push(tokio::spawn(tokens(stream, model.begun)));
        // They begin within two seconds, not at once.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut times = Vec::with_capacity(requests.len() * TOKENS);
    for task in tasks {
        times.extend(task.await??);
    }
    Ok(times)
}

async fn tokens(mut stream: TcpStream, begun: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(TOKENS);
    let mut raw = Vec::with_capacity(16 * 1024);
    while find(&raw, b"\r\n\r\n").is_none() {
        ensure!(stream.read_buf(&mut raw).await? > 0, "there is no answer");
    }
    let head: Vec<u8> = raw.drain(..find(&raw, b"\r\n\r\n").unwrap_or_default() + 4).collect();
    ensure!(head.starts_with(b"HTTP/1.1 200"), "refused: {}", String::from_utf8_lossy(&head));
    let mut text = Vec::with_capacity(16 * 1024);
    loop {
        while let Some(chunk) = chunk(&mut raw)? {
            text.extend_from_slice(&chunk);
        }
        let now = begun.elapsed();
        while let Some(at) = find(&text, BEFORE_MOMENT) {
            let from = at + BEFORE_MOMENT.len();
            let Some(digits) = text.get(from..from + MOMENT_DIGITS) else { break };
            let sent: u64 = std::str::from_utf8(digits)?.parse().context("the moment of a token")?;
            times.push(now.saturating_sub(Duration::from_nanos(sent)));
            text.drain(..from + MOMENT_DIGITS);
        }
        if find(&text, b"[DONE]").is_some() {
            ensure!(times.len() == TOKENS, "{} of {TOKENS} tokens came", times.len());
            return Ok(times);
        }
        ensure!(
            stream.read_buf(&mut raw).await? > 0,
            "the stream broke off: {}",
            String::from_utf8_lossy(&text)
        );
    }
}

/// Takes the next whole chunk of a chunked body; `None` where not all of it is there.
fn chunk(raw: &mut Vec<u8>) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(end) = find(raw, b"\r\n") else { return Ok(None) };
    let size = usize::from_str_radix(std::str::from_utf8(&raw[..end])?, 16).context("the size of a chunk")?;
    let (from, to) = (end + 2, end + 2 + size);
    if raw.len() < to + 2 {
        return Ok(None);
    }
    let chunk = raw[from..to].to_vec();
    raw.drain(..to + 2);
    Ok(Some(chunk))
}
