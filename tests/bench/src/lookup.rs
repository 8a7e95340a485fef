//! B1: a payment by its transaction's hash, in process; B8: memory of a process over a million payments.

use std::time::{Duration, Instant};

use salt402_protocol::{B256, ChainId};
use salt402_store::{Options, Store};
use salt402_tests::{Anvil, free_port};

use crate::backfill::Process;
use crate::claims;
use crate::figures::{Times, at_most};

const LOOKUPS: usize = 100_000;

/// Rows of B1: a million, or as `BENCH_ROWS` says.
fn rows() -> anyhow::Result<usize> {
    match std::env::var("BENCH_ROWS") {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(1_000_000),
    }
}

pub(crate) async fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("data").join("salt402.db");
    let store = Store::open(Options::new(&path)).await?;
    let rows = rows()?;
    claims::fill(&store, rows).await?;
    let mut times = Vec::with_capacity(LOOKUPS);
    for index in 0..LOOKUPS {
        // A stride that is prime to the number of rows: every look-up is of another row, all over the table.
        let row = (index as u64).wrapping_mul(7_919) % rows as u64;
        let transaction = claims::transaction(row);
        let asked = Instant::now();
        let found = store.payments_in(ChainId::CITRATE, transaction).await?;
        times.push(asked.elapsed());
        anyhow::ensure!(found.len() == 1, "row {row} is not there");
    }
    let times = Times::new(times);
    let what = format!("look-up of a payment in SQLite, {rows} rows");
    at_most("B1", times.within(0.5) * 1000.0, "us", 60.0, &format!("p50, {what}"));
    at_most("B1", times.within(0.99) * 1000.0, "us", 250.0, &format!("p99, {what}"));
    let misses = 10_000;
    let start = Instant::now();
    for index in 0..misses {
        let unknown = B256::left_padding_from(&(index as u64).to_be_bytes());
        anyhow::ensure!(store.payments_in(ChainId::CITRATE, unknown).await?.is_empty());
    }
    let mean = start.elapsed().as_secs_f64() * 1e6 / f64::from(misses);
    at_most("B1", mean, "us", 60.0, "mean of a hash that is not there");
    store.close().await;
    memory(&folder, rows).await
}

async fn memory(folder: &tempfile::TempDir, rows: usize) -> anyhow::Result<()> {
    let anvil = Anvil::start().await;
    let (config, port) = (folder.path().join("salt402.toml"), free_port());
    let contract = alloy_primitives::Address::repeat_byte(1);
    std::fs::write(
        &config,
        format!(
            "[chains.local]\nrpc = \"{}\"\ncontract = \"{contract}\"\n[verifier]\nlisten = \"127.0.0.1:{port}\"\n",
            anvil.http()
        ),
    )?;
    let process = Process::start("verify", &config)?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let base = format!("http://127.0.0.1:{port}");
    let give_up = Instant::now() + Duration::from_secs(30);
    while client.get(format!("{base}/healthz")).send().await.is_err() {
        anyhow::ensure!(Instant::now() < give_up, "salt402 does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for index in 0..5_000 {
        let transaction = claims::transaction((index * 7_919) % rows as u64);
        let url = format!("{base}/v1/payments/{transaction}?chain=eip155:40204");
        let known: serde_json::Value = client.get(url).send().await?.json().await?;
        anyhow::ensure!(known["payments"].as_array().map(Vec::len) == Some(1), "{known}");
    }
    at_most(
        "B8",
        process.resident_mib()?,
        "MiB",
        64.0,
        &format!("resident memory of a verifier over {rows} payments, after 5,000 look-ups"),
    );
    Ok(())
}
