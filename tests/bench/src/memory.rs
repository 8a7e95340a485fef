//! B8: memory of the processes over a million payments: the indexer that follows a chain, and the verifier beside it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use salt402_store::{Block, Options, Store};
use salt402_tests::{Anvil, free_port};
use serde_json::{Value, json};

use crate::backfill::{self, Process};
use crate::figures::{at_most, told};
use crate::{claims, rows};

/// What both are promised to stay within, in MiB.
const LIMIT: f64 = 64.0;
/// Blocks of payments that are mined while the indexer follows.
const NEW_BLOCKS: u64 = 100;
const LOOKUPS: u64 = 5_000;

pub(crate) async fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (anvil, rows) = (Anvil::start().await, rows()?);
    fill(&folder.path().join("data").join("salt402.db"), &anvil, rows).await?;
    index(folder.path(), &anvil, rows).await?;
    verify(folder.path(), &anvil, rows).await
}

/// Puts the payments into blocks that the chain has: an indexer goes on from there, as after any restart.
async fn fill(database: &Path, anvil: &Anvil, rows: usize) -> anyhow::Result<()> {
    let count = claims::blocks_for(rows);
    anvil.ask("anvil_mine", json!([format!("{count:#x}")])).await;
    let mut blocks = Vec::new();
    for number in 0..=count {
        blocks.push(block(anvil, number).await?);
    }
    let genesis = blocks.remove(0).hash;
    let store = Store::open(Options::new(database)).await?;
    claims::fill_blocks(&store, rows, genesis, &blocks).await?;
    store.close().await;
    Ok(())
}

async fn block(anvil: &Anvil, number: u64) -> anyhow::Result<Block> {
    let header = anvil.ask("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await;
    let text = |field: &str| header[field].as_str().with_context(|| format!("{field} of block {number}"));
    let timestamp = u64::from_str_radix(text("timestamp")?.trim_start_matches("0x"), 16)?;
    Ok(Block { number, hash: text("hash")?.parse()?, parent_hash: text("parentHash")?.parse()?, timestamp })
}

/// Follows the head for a while: its memory has seen steps that store payments, and not the start alone.
async fn index(folder: &Path, anvil: &Anvil, rows: usize) -> anyhow::Result<()> {
    let (config, port) = configuration(folder, "index", anvil)?;
    let process = Process::start("index", &config)?;
    // Whatever is mined before it follows would be back-filled.
    process.until(port, rows as u64, Instant::now()).await?;
    backfill::fill(anvil, NEW_BLOCKS).await?;
    let new = NEW_BLOCKS * backfill::TRANSACTIONS * backfill::EVENTS;
    process.until(port, rows as u64 + new, Instant::now()).await?;
    let what = format!(
        "resident memory of an indexer over {rows} payments, after {new} more in {NEW_BLOCKS} blocks"
    );
    at_most("B8", process.resident_mib()?, "MiB", LIMIT, &what);
    told("B8", process.peak_mib()?, "MiB", "peak of the same");
    Ok(())
}

/// Looks payments up all over the table.
async fn verify(folder: &Path, anvil: &Anvil, rows: usize) -> anyhow::Result<()> {
    let (config, port) = configuration(folder, "verify", anvil)?;
    let process = Process::start("verify", &config)?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let base = format!("http://127.0.0.1:{port}");
    let give_up = Instant::now() + Duration::from_secs(30);
    while client.get(format!("{base}/healthz")).send().await.is_err() {
        anyhow::ensure!(Instant::now() < give_up, "salt402 does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for index in 0..LOOKUPS {
        let transaction = claims::transaction((index * 7_919) % rows as u64);
        let url = format!("{base}/v1/payments/{transaction}?chain=eip155:40204");
        let known: Value = client.get(url).send().await?.json().await?;
        anyhow::ensure!(known["payments"].as_array().map(Vec::len) == Some(1), "{known}");
    }
    let what = format!("resident memory of a verifier over {rows} payments, after {LOOKUPS} look-ups");
    at_most("B8", process.resident_mib()?, "MiB", LIMIT, &what);
    told("B8", process.peak_mib()?, "MiB", "peak of the same");
    Ok(())
}

/// The configuration of a process of its own over the database in this folder, and the port that it listens on.
fn configuration(folder: &Path, role: &str, anvil: &Anvil) -> anyhow::Result<(std::path::PathBuf, u16)> {
    let (path, port) = (folder.join(format!("{role}.toml")), free_port());
    let text = format!(
        "[chains.local]\nrpc = \"{}\"\ncontract = \"{}\"\n[verifier]\nlisten = \"127.0.0.1:{port}\"\n",
        anvil.http(),
        backfill::CONTRACT
    );
    std::fs::write(&path, text)?;
    Ok((path, port))
}
