//! B5: the past of a chain, as fast as the node gives it.
//!
//! 2,000 blocks of 10 transactions of 10 `Payment` events each, from anvil. The bare loop, in the same run, asks the same
//! node for the same logs and throws the answers away: nothing that keeps them can be faster. Time on the processors is
//! told beside time on the clock, which depends on what else the machine does: the node needs its share of both.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alloy_primitives::hex;
use alloy_sol_types::SolEvent as _;
use anyhow::Context as _;
use salt402_protocol::contracts::ISaltPay;
use salt402_tests::{Anvil, free_port};
use serde_json::{Value, json};

use crate::figures::{at_least, at_most, cpu_seconds, told};

const BLOCKS: u64 = 2000;
pub(crate) const TRANSACTIONS: u64 = 10;
pub(crate) const EVENTS: u64 = 10;
pub(crate) const CONTRACT: &str = "0x4020000000000000000000000000000000000402";
/// anvil's first account, whose key it holds.
const SENDER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

pub(crate) async fn run() -> anyhow::Result<()> {
    let anvil = Anvil::start().await;
    fill(&anvil, BLOCKS).await?;
    let events = BLOCKS * TRANSACTIONS * EVENTS;
    let before = cpu_seconds("self")?;
    let bare = bare_loop(&anvil, events).await?;
    let bare_cpu = cpu_seconds("self")? - before;
    let folder = tempfile::tempdir()?;
    let port = free_port();
    let config = folder.path().join("salt402.toml");
    std::fs::write(
        &config,
        format!(
            "[chains.local]\nrpc = \"{}\"\ncontract = \"{CONTRACT}\"\n[verifier]\nlisten = \"127.0.0.1:{port}\"\n",
            anvil.http()
        ),
    )?;
    let start = Instant::now();
    let process = Process::start("index", &config)?;
    let rate = events as f64 / process.until(port, events, start).await?.as_secs_f64();
    at_least(
        "B5",
        rate,
        "events/s",
        150_000.0,
        "back-fill of 200,000 payments, from the start of the process",
    );
    at_least(
        "B5",
        100.0 * rate / bare,
        "%",
        60.0,
        &format!("of what a bare loop pulls ({bare:.0} events/s)"),
    );
    at_most("B5", process.peak_mib()?, "MiB", 150.0, "peak memory of the process");
    let million = events as f64 / 1e6;
    told("B5", process.cpu_seconds()? / million, "CPU seconds for a million events", "the process");
    told("B5", bare_cpu / million, "CPU seconds for a million events", "the bare loop");
    Ok(())
}

/// Code that emits ten payments for each call, each for the call's argument and a number.
fn emitter() -> String {
    let topic = hex::encode(ISaltPay::Payment::SIGNATURE_HASH);
    format!("0x600a5b8060205260aa33826000350 17f{topic}60406000a460019003806002570 0").replace(' ', "")
}

/// Mines so many blocks of payments on a chain whose first account has sent nothing.
pub(crate) async fn fill(anvil: &Anvil, blocks: u64) -> anyhow::Result<()> {
    anvil.ask("anvil_setCode", json!([CONTRACT, emitter()])).await;
    anvil.automine(false).await;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut nonce = 0;
    for block in 0..blocks {
        let mut calls: Vec<Value> = Vec::new();
        for transaction in 0..TRANSACTIONS {
            let argument = (block * TRANSACTIONS + transaction) * 1000;
            calls.push(json!({ "jsonrpc": "2.0", "id": nonce, "method": "eth_sendTransaction", "params": [{
                "from": SENDER, "to": CONTRACT, "data": format!("0x{argument:064x}"), "gas": "0x30d40",
                "nonce": format!("{nonce:#x}"),
            }] }));
            nonce += 1;
        }
        calls.push(json!({ "jsonrpc": "2.0", "id": 0, "method": "evm_mine", "params": [] }));
        let answers: Vec<Value> = client.post(anvil.http()).json(&calls).send().await?.json().await?;
        if let Some(bad) = answers.iter().find(|answer| answer.get("error").is_some()) {
            anyhow::bail!("anvil refused: {bad}");
        }
    }
    Ok(())
}

/// Events a second when ten blocks are asked for at a time and nothing is kept.
async fn bare_loop(anvil: &Anvil, events: u64) -> anyhow::Result<f64> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let (start, mut seen) = (Instant::now(), 0);
    let mut from = 0;
    while from <= BLOCKS {
        let ask = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [{
            "address": CONTRACT, "fromBlock": format!("{from:#x}"), "toBlock": format!("{:#x}", from + 9),
        }] });
        let answer = client.post(anvil.http()).json(&ask).send().await?.bytes().await?;
        seen += answer.windows(9).filter(|window| window == b"\"address\"").count() as u64;
        from += 10;
    }
    anyhow::ensure!(seen == events, "the chain has {seen} events and not {events}");
    Ok(events as f64 / start.elapsed().as_secs_f64())
}

/// A running `salt402`.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(role: &str, config: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(config.with_extension("log"))?;
        let child = Command::new(crate::salt402()?)
            .args([role, "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self(child))
    }

    /// The time from `start` until so many payments are in the index.
    pub(crate) async fn until(&self, port: u16, payments: u64, start: Instant) -> anyhow::Result<Duration> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://127.0.0.1:{port}/v1/status");
        while start.elapsed() < Duration::from_secs(300) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let Ok(response) = client.get(&url).send().await else { continue };
            let status: Value = response.json().await?;
            if status["chains"][0]["payments"].as_u64() == Some(payments) {
                return Ok(start.elapsed());
            }
        }
        anyhow::bail!("the back-fill did not end within five minutes")
    }

    /// The most memory that the process had, in MiB.
    pub(crate) fn peak_mib(&self) -> anyhow::Result<f64> {
        mib(self.0.id(), "VmHWM:")
    }

    /// The processor time that the process took so far, in seconds.
    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(&self.0.id().to_string())
    }

    /// The memory that the process has, in MiB.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        mib(self.0.id(), "VmRSS:")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Of the memory of a process, in MiB.
pub(crate) fn mib(pid: u32, field: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(field)).context("a field of /proc/PID/status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
