//! B1: a payment by its transaction's hash, in process.

use std::time::{Duration, Instant};

use salt402_protocol::{B256, ChainId};
use salt402_store::{Options, Store};
use salt402_tests::Anvil;
use serde_json::json;

use crate::figures::{Times, at_most, beside, processor};
use crate::load::{self, Connection};
use crate::{claims, rows};

const LOOKUPS: usize = 100_000;
/// Blocks whose payments are recent, 500 in each.
const RECENT_BLOCKS: u64 = 20;

pub(crate) async fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("data").join("salt402.db");
    let store = Store::open(Options::new(&path)).await?;
    let rows = rows()?;
    claims::fill(&store, rows).await?;
    from_memory(&store, rows).await?;
    from_sqlite(&store, rows).await?;
    from_node().await?;
    store.close().await;
    Ok(())
}

/// A payment that the writer of this process stored a moment ago.
async fn from_memory(store: &Store, rows: usize) -> anyhow::Result<()> {
    let recent = claims::recent(store, rows, RECENT_BLOCKS).await?;
    let before = store.memory_use();
    let measured = measure(LOOKUPS, |index| {
        let transaction = recent[index.wrapping_mul(7_919) % recent.len()];
        async move { Ok(store.payments_in(ChainId::CITRATE, transaction).await?.len()) }
    })
    .await?;
    let from_memory = store.memory_use().hits - before.hits;
    anyhow::ensure!(from_memory == LOOKUPS as u64, "only {from_memory} of {LOOKUPS} came from memory");
    let what = format!("memory: look-up of a recent payment, {rows} rows in the database");
    at_most("B1", measured.times.within(0.99) * 1000.0, "us", 5.0, &format!("p99, {what}"));
    beside(measured.times.within(0.5) * 1000.0, "us", "p50 of the same");
    beside(measured.cpu_us, "us", "processor time of one");
    Ok(())
}

/// A payment that is not in memory.
async fn from_sqlite(store: &Store, rows: usize) -> anyhow::Result<()> {
    let before = store.memory_use();
    let measured = measure(LOOKUPS, |index| {
        let transaction = scattered(index, rows);
        async move { Ok(store.payments_in(ChainId::CITRATE, transaction).await?.len()) }
    })
    .await?;
    let misses = store.memory_use().misses - before.misses;
    let what = format!("sqlite: look-up of any payment, {rows} rows, {misses} of {LOOKUPS} not in memory");
    at_most("B1", measured.times.within(0.5) * 1000.0, "us", 60.0, &format!("p50, {what}"));
    at_most("B1", measured.times.within(0.99) * 1000.0, "us", 250.0, "p99 of the same");
    beside(measured.cpu_us, "us", "processor time of one");
    let misses = 10_000;
    let start = Instant::now();
    for index in 0..misses {
        let unknown = B256::left_padding_from(&(index as u64).to_be_bytes());
        anyhow::ensure!(store.payments_in(ChainId::CITRATE, unknown).await?.is_empty());
    }
    let mean = start.elapsed().as_secs_f64() * 1e6 / f64::from(misses);
    beside(mean, "us", "mean of a hash that is not there");
    Ok(())
}

/// What a server would do that has no index: ask its node for the receipt.
async fn from_node() -> anyhow::Result<()> {
    let anvil = Anvil::start().await;
    let (host, ask) = receipt_question(&anvil).await?;
    let mut connection = Connection::open(&host).await?;
    let mut times = Vec::new();
    for _ in 0..LOOKUPS / 20 {
        let asked = Instant::now();
        connection.ask(&ask, "blockHash").await?;
        times.push(asked.elapsed());
    }
    let times = Times::new(times);
    beside(times.within(0.5) * 1000.0, "us", "instead: eth_getTransactionReceipt of anvil on loopback, p50");
    beside(times.within(0.99) * 1000.0, "us", "instead: eth_getTransactionReceipt of anvil on loopback, p99");
    Ok(())
}

/// A chain's host, and a request for a receipt that it has, as bytes on the wire.
pub(crate) async fn receipt_question(anvil: &Anvil) -> anyhow::Result<(String, Vec<u8>)> {
    let accounts = anvil.ask("eth_accounts", json!([])).await;
    let sent = json!([{ "from": accounts[0], "to": accounts[1], "value": "0x1" }]);
    let transaction = anvil.ask("eth_sendTransaction", sent).await;
    let give_up = Instant::now() + Duration::from_secs(10);
    while anvil.ask("eth_getTransactionReceipt", json!([transaction])).await.is_null() {
        anyhow::ensure!(Instant::now() < give_up, "anvil does not mine");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let host = anvil.http().trim_start_matches("http://").to_owned();
    let ask =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionReceipt", "params": [transaction] });
    let ask = load::post(&host, "/", &ask.to_string());
    Ok((host, ask))
}

/// A stride that is prime to the number of rows: every look-up is of another row, all over the table.
fn scattered(index: usize, rows: usize) -> B256 {
    claims::transaction((index as u64).wrapping_mul(7_919) % rows as u64)
}

struct Measured {
    times: Times,
    /// Microseconds of the processor for one, other threads of this process included.
    cpu_us: f64,
}

/// Looks up one after the other; each must find one payment.
async fn measure<F: Future<Output = anyhow::Result<usize>>>(
    count: usize,
    look: impl Fn(usize) -> F,
) -> anyhow::Result<Measured> {
    let mut times = Vec::with_capacity(count);
    let before = processor();
    for index in 0..count {
        let asked = Instant::now();
        let found = look(index).await?;
        times.push(asked.elapsed());
        anyhow::ensure!(found == 1, "look-up {index} found {found}");
    }
    let cpu_us = (processor().saturating_sub(before)).as_secs_f64() * 1e6 / count as f64;
    Ok(Measured { times: Times::new(times), cpu_us })
}
