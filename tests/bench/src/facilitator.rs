//! B6, B7 and B7b: signed payments, verified and settled, beside x402's own facilitator and that of x402-rs where they are
//! installed.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256, address};
use anyhow::{Context as _, ensure};
use salt402_tests::x402::{SECOND_FACILITATOR_KEY, Terms, X402Payer};
use salt402_tests::{Facilitating, FacilitatorOptions, PAYEE, Salt402, free_port, root};
use serde_json::{Value, json};

use crate::figures::{Times, at_least, at_most, beside, cpu_seconds, processor};
use crate::load::{self, Requests};

/// Payments that are verified, each once.
const VERIFIED: u64 = 20_000;
/// The same of the peer, which takes longer.
const VERIFIED_BY_PEER: u64 = 1_000;
/// Payments that are settled at once, and one after the other.
const SETTLED: u64 = 640;
const ONE_BY_ONE: u64 = 50;
/// Payments that wait for each other.
const WAITING: u64 = 1_000;

/// A way to pay.
#[derive(Clone, Copy, Debug)]
enum Way {
    Eip3009,
    Permit2,
}

impl Way {
    const ALL: [Self; 2] = [Self::Eip3009, Self::Permit2];

    const fn name(self) -> &'static str {
        match self {
            Self::Eip3009 => "EIP-3009",
            Self::Permit2 => "Permit2",
        }
    }

    fn body(self, stand: &Facilitating, payer: &X402Payer, number: u64) -> anyhow::Result<Value> {
        // Each over another amount: what two of one transaction moved must be told apart by the logs.
        let terms = Terms::new(PAYEE.parse()?, u128::from(number % 10_000) + 1, number);
        Ok(match self {
            Self::Eip3009 => payer.eip3009(&stand.wrapped, &terms),
            Self::Permit2 => payer.permit2(&stand.wrapped, &terms),
        })
    }

    /// Requests for payments with the numbers from `first` on. No two benchmarks share one.
    fn requests(
        self,
        stand: &Facilitating,
        url: &str,
        path: &str,
        numbers: (u64, u64),
    ) -> anyhow::Result<Requests> {
        let (first, count) = numbers;
        let (payer, host) = (X402Payer::new(), host(url));
        let of = |number| Ok(load::post(host, path, &self.body(stand, &payer, number)?.to_string()));
        Ok(Arc::new((first..first + count).map(of).collect::<anyhow::Result<_>>()?))
    }
}

fn host(url: &str) -> &str {
    url.trim_start_matches("http://")
}

/// A stack with a facilitator that has no limit which a benchmark would reach.
async fn stand() -> anyhow::Result<Facilitating> {
    let facilitator =
        "gas_per_day = { all = 0, payer = 0 }\nmax_waiting = 10000\nsettle_wait_ms = 60000\nbatch = 200"
            .into();
    let options = FacilitatorOptions { facilitator, ..Default::default() };
    let stand = Facilitating::start_with(&crate::salt402()?, options).await;
    let payer = X402Payer::new().address;
    stand.fund(payer, 1_000_000_000).await;
    stand.approve(payer, &stand.wrapped, U256::MAX).await;
    stand.stack.anvil.mine(1).await;
    Ok(stand)
}

/// The contract that x402-rs does not start without. It asks it only about signatures of contracts that do not exist yet.
const ERC6492_VALIDATOR: Address = address!("0xdAcD51A54883eb67D95FAEb2BBfdC4a9a6BD2a3B");

/// The peer that B6 is held against.
const X402_RS: &str = "x402-rs";

/// Another facilitator, over the same chain. It ends with this value.
struct Peer {
    name: &'static str,
    child: Child,
    url: String,
}

impl Peer {
    /// Those that are installed.
    async fn all(stand: &Facilitating) -> anyhow::Result<Vec<Self>> {
        let folder: PathBuf = root().join("tests/clients");
        let mut peers = Vec::new();
        let script = folder.join("official-facilitator.mjs");
        if script.exists() && folder.join("node_modules").exists() {
            let mut command = Command::new("node");
            command.arg(&script);
            peers.push(Self::start("x402's own facilitator", command, stand).await?);
        } else {
            println!("    x402's own facilitator is not installed (make clients does): no peer");
        }
        let binary = folder.join("x402-rs/target/release/salt402-clients-x402-rs");
        if binary.exists() {
            let code = json!([ERC6492_VALIDATOR, "0x00"]);
            stand.stack.anvil.ask("anvil_setCode", code).await;
            peers.push(Self::start(X402_RS, Command::new(binary), stand).await?);
        } else {
            println!("    x402-rs is not built (make x402-rs does): no peer");
        }
        Ok(peers)
    }

    async fn start(name: &'static str, mut command: Command, stand: &Facilitating) -> anyhow::Result<Self> {
        let port = free_port();
        let chains = json!([{ "id": 40204, "rpc": stand.stack.anvil.http() }]);
        let child = command
            .arg(port.to_string())
            .env("FACILITATOR_CHAINS", chains.to_string())
            .env("FACILITATOR_KEY", SECOND_FACILITATOR_KEY)
            .stdout(Stdio::null())
            .spawn()
            .context(name)?;
        let peer = Self { name, child, url: format!("http://127.0.0.1:{port}") };
        let health = format!("{}/health", peer.url);
        for _ in 0..300 {
            if stand.stack.client.get(&health).send().await.is_ok() {
                return Ok(peer);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("{name} does not start")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of those who take part, in seconds.
struct Spent {
    server: f64,
    node: f64,
    load: f64,
}

impl Spent {
    fn until_now(server: u32, stand: &Facilitating) -> anyhow::Result<Self> {
        let of = |process: u32| cpu_seconds(&process.to_string());
        Ok(Self {
            server: of(server)?,
            node: of(stand.stack.anvil.process())?,
            load: processor().as_secs_f64(),
        })
    }

    /// Prints what each of so many requests took since.
    fn print(&self, before: &Self, requests: u64, who: &str) {
        let each = |now: f64, before: f64| (now - before) * 1e6 / requests as f64;
        beside(each(self.server, before.server), "us", &format!("processor time of one, in {who}"));
        beside(each(self.node, before.node), "us", "the same in the node");
        beside(each(self.load, before.load), "us", "the same in the load");
    }
}

/// B6: `POST /verify`.
pub(crate) async fn verify() -> anyhow::Result<()> {
    let stand = stand().await?;
    let peers = Peer::all(&stand).await?;
    let server = stand.stack.process.as_ref().map(Salt402::id).context("salt402 runs")?;
    for (index, way) in Way::ALL.into_iter().enumerate() {
        let first = index as u64 * 10 * VERIFIED;
        let requests = way.requests(&stand, &stand.url, "/verify", (first, VERIFIED))?;
        let (before, start) = (Spent::until_now(server, &stand)?, Instant::now());
        let times = load::once(host(&stand.url), &requests, 64, "\"isValid\":true").await?;
        let rate = VERIFIED as f64 / start.elapsed().as_secs_f64();
        let spent = Spent::until_now(server, &stand)?;
        let times = Times::new(times);
        at_least(
            "B6",
            rate,
            "requests/s",
            20_000.0,
            &format!("verify {}, each for the first time", way.name()),
        );
        beside(times.within(0.5), "ms", "p50 of the same, 64 connections");
        beside(times.within(0.99), "ms", "p99 of the same");
        spent.print(&before, VERIFIED, "salt402");
        let start = Instant::now();
        load::once(host(&stand.url), &requests, 64, "\"isValid\":true").await?;
        let again = VERIFIED as f64 / start.elapsed().as_secs_f64();
        beside(again, "requests/s", "the same payments again");
        let alone = way.requests(&stand, &stand.url, "/verify", (first + VERIFIED, 200))?;
        let times = Times::new(load::once(host(&stand.url), &alone, 1, "\"isValid\":true").await?);
        beside(times.within(0.5), "ms", "p50 one at a time, each for the first time");
        for (place, peer) in peers.iter().enumerate() {
            let numbers = first + (2 + place as u64) * VERIFIED;
            let requests = way.requests(&stand, &peer.url, "/verify", (numbers, VERIFIED_BY_PEER))?;
            let (before, start) = (Spent::until_now(peer.child.id(), &stand)?, Instant::now());
            let times = load::once(host(&peer.url), &requests, 64, "\"isValid\":true").await?;
            let of_peer = VERIFIED_BY_PEER as f64 / start.elapsed().as_secs_f64();
            let spent = Spent::until_now(peer.child.id(), &stand)?;
            beside(of_peer, "requests/s", &format!("{}, 64 connections", peer.name));
            beside(Times::new(times).within(0.5), "ms", "p50 of the same");
            spent.print(&before, VERIFIED_BY_PEER, peer.name);
            if peer.name == X402_RS {
                let what = format!("verify {}, of the rate of x402-rs", way.name());
                at_least("B6", rate / of_peer, "times", 10.0, &what);
            }
        }
    }
    Ok(())
}

/// B7: `POST /settle`, the receipt included.
pub(crate) async fn settle() -> anyhow::Result<()> {
    let stand = stand().await?;
    // x402-rs looks for receipts each seven seconds, which would last for minutes.
    let peers = Peer::all(&stand).await?;
    let peer = peers.iter().find(|peer| peer.name != X402_RS);
    for (index, way) in Way::ALL.into_iter().enumerate() {
        let first = (index as u64 + 1) * 1_000_000;
        let many = way.requests(&stand, &stand.url, "/settle", (first, SETTLED))?;
        let start = Instant::now();
        let times = load::once(host(&stand.url), &many, 32, "\"success\":true").await?;
        let rate = SETTLED as f64 / start.elapsed().as_secs_f64();
        let what = format!("settle {}, 32 at once, anvil mining at once", way.name());
        at_least("B7", rate, "settled/s", 300.0, &what);
        let times = Times::new(times);
        beside(times.within(0.5), "ms", "p50 of the same");
        beside(times.within(0.99), "ms", "p99 of the same");
        let alone = way.requests(&stand, &stand.url, "/settle", (first + SETTLED, ONE_BY_ONE))?;
        let times = Times::new(load::once(host(&stand.url), &alone, 1, "\"success\":true").await?);
        let what = format!("settle {}, one at a time, blocks without a delay: p50", way.name());
        at_most("B7", times.within(0.5), "ms", 20.0, &what);
        let Some(peer) = peer else { continue };
        let many = way.requests(&stand, &peer.url, "/settle", (first + 10_000, SETTLED / 4))?;
        let start = Instant::now();
        load::once(host(&peer.url), &many, 32, "\"success\":true").await?;
        let rate = (SETTLED / 4) as f64 / start.elapsed().as_secs_f64();
        beside(rate, "settled/s", "x402's own facilitator, 32 at once");
        let alone = way.requests(&stand, &peer.url, "/settle", (first + 20_000, ONE_BY_ONE))?;
        let times = Times::new(load::once(host(&peer.url), &alone, 1, "\"success\":true").await?);
        beside(times.within(0.5), "ms", "x402's own facilitator, one at a time: p50");
    }
    Ok(())
}

/// B7b: many that wait, settled together.
pub(crate) async fn together() -> anyhow::Result<()> {
    for way in Way::ALL {
        let stand = stand().await?;
        let floor = transfer_gas(&stand).await?;
        // The first payment in a fresh slot of the payee's balance costs more; it is not counted.
        let warm = way.requests(&stand, &stand.url, "/settle", (0, 1))?;
        load::once(host(&stand.url), &warm, 1, "\"success\":true").await?;
        let alone = way.requests(&stand, &stand.url, "/settle", (1, 5))?;
        load::once(host(&stand.url), &alone, 1, "\"success\":true").await?;
        let gas_alone = median(&gas(&stand, 5)?);
        stand.stack.anvil.automine(false).await;
        let requests = way.requests(&stand, &stand.url, "/settle", (100, WAITING))?;
        let (url, count) = (stand.url.clone(), WAITING as usize);
        let asked =
            tokio::spawn(async move { load::once(host(&url), &requests, count, "\"success\":true").await });
        let start = Instant::now();
        // All of them are claimed: as many as may be on their way are sent, the others wait.
        while open(&stand, "queued")? + open(&stand, "sent")? < count {
            ensure!(start.elapsed() < Duration::from_secs(120), "they are not claimed");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let start = Instant::now();
        while !asked.is_finished() {
            stand.stack.anvil.mine(1).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        asked.await??;
        let took = start.elapsed().as_secs_f64();
        let all = gas(&stand, WAITING as u32)?;
        let mean = all.iter().sum::<u64>() as f64 / all.len() as f64;
        let what = format!("{} each, {WAITING} that wait, settled together", way.name());
        at_most("B7b", mean, "gas", gas_alone as f64, &what);
        beside(median(&all) as f64, "gas", "median of the same");
        beside(gas_alone as f64, "gas", "settled alone");
        beside(floor as f64, "gas", "the token's plain transfer, as a transaction of its own");
        beside(took, "s", "until all were answered, a block each 50 ms");
    }
    Ok(())
}

/// The gas of a plain transfer to the payee, who has some already.
async fn transfer_gas(stand: &Facilitating) -> anyhow::Result<u64> {
    use alloy_sol_types::{SolCall as _, sol};
    sol! {
        function transfer(address to, uint256 amount) external returns (bool);
    }
    let data = transferCall { to: PAYEE.parse()?, amount: U256::from(1) }.abi_encode();
    let payer = X402Payer::new().address;
    let mut used = 0;
    for _ in 0..2 {
        let hash = stand.call_as(payer, stand.wrapped.address, data.clone(), 0).await;
        let receipt = stand.stack.anvil.ask("eth_getTransactionReceipt", json!([hash])).await;
        let text = receipt["gasUsed"].as_str().context("gas")?;
        used = u64::from_str_radix(text.trim_start_matches("0x"), 16)?;
    }
    Ok(used)
}

/// What each of the newest settlements used, its share of a transaction of many.
fn gas(stand: &Facilitating, count: u32) -> anyhow::Result<Vec<u64>> {
    let rows = gas_rows(stand, "settled", count)?;
    ensure!(rows.len() == count as usize, "{} settlements of {count}", rows.len());
    Ok(rows)
}

/// How many settlements are in a state.
fn open(stand: &Facilitating, state: &str) -> anyhow::Result<usize> {
    Ok(gas_rows(stand, state, WAITING as u32)?.len())
}

fn gas_rows(stand: &Facilitating, state: &str, count: u32) -> anyhow::Result<Vec<u64>> {
    let count = count.to_string();
    let (code, text) = stand.command(&["settlements", "list", "--state", state, "--limit", &count, "--json"]);
    ensure!(code == 0, "{text}");
    let rows: Vec<Value> = serde_json::from_str(&text)?;
    rows.iter().map(|row| row["gas_used"].as_u64().context("gas")).collect()
}

fn median(all: &[u64]) -> u64 {
    let mut all = all.to_vec();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}
