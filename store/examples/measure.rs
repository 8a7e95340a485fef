//! What the store does in a second, on this machine: `cargo run --release -p salt402-store --example measure -- [rows]`.
//!
//! Back-fills `rows` payments (200,000 if not told otherwise), one a transaction and hashes at random, which is the
//! hardest case; then claims, reads and follows a head.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::float_arithmetic,
    reason = "a tool that prints a table"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Payment, PaymentId, RequestDigest, U256};
use salt402_store::{Batch, Block, ClaimResult, Cursor, NewClaim, Options, PlacedPayment, Store};

const CHAIN: ChainId = ChainId::CITRATE;
const BATCH: u64 = 5_000;
const AT_ONCE: u64 = 64;

#[tokio::main]
async fn main() {
    let rows: u64 = std::env::args().nth(1).map_or(200_000, |rows| rows.parse().unwrap());
    let path = std::env::args().nth(2).map(std::path::PathBuf::from);
    let directory = tempfile::tempdir().unwrap();
    let store =
        Store::open(Options::new(path.unwrap_or_else(|| directory.path().join("measure.db")))).await.unwrap();
    store.pin_chain(CHAIN, B256::ZERO).await.unwrap();

    let cursor = back_fill(&store, rows).await;
    println!("memory after the back-fill          {} MiB resident", resident_mib());
    claims(&store, rows, 40_000.min(rows / 2)).await;
    reads(&store, rows, 1).await;
    reads(&store, rows, AT_ONCE).await;
    follow(&store, rows, cursor).await;
    println!("memory at the end                   {} MiB resident", resident_mib());
    let closing = Instant::now();
    store.close().await;
    println!("closing                             {:?}", closing.elapsed());
}

async fn back_fill(store: &Store, rows: u64) -> Cursor {
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let mut expected = None;
    let mut times = Vec::new();
    for from in (0..rows).step_by(usize::try_from(BATCH).unwrap()) {
        let payments: Vec<_> =
            (from..rows.min(from + BATCH)).map(|number| placed(number, number / 10)).collect();
        let top = block(payments.last().unwrap().block_number);
        let cursor = Cursor { number: top.number, hash: top.hash };
        let head = top.number;
        let batch = Batch {
            chain: CHAIN,
            expected,
            keep_through: None,
            blocks: vec![top],
            payments,
            cursor,
            head: Some(head),
            extras: Default::default(),
            undecoded: Vec::new(),
            prune_below: None,
        };
        let one = Instant::now();
        store.apply(batch).await.unwrap();
        times.push(one.elapsed());
        expected = Some(cursor);
    }
    let rate = rows as f64 / begun.elapsed().as_secs_f64();
    let cpu = (cpu_seconds() - cpu) / rows as f64 * 1e6;
    println!(
        "back-fill, {rows} rows, {BATCH} a batch  {rate:.0} rows/s   {cpu:.1} µs CPU   {}",
        spread(&mut times)
    );
    expected.unwrap()
}

async fn claims(store: &Store, rows: u64, claims: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let mut tasks = Vec::new();
    for _ in 0..AT_ONCE {
        let (store, next) = (store.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= claims {
                    return times;
                }
                let number = number * 7919 % rows;
                let claim = NewClaim {
                    payment: PaymentId(hash(2, number)),
                    chain: CHAIN,
                    transaction: hash(1, number),
                    request: RequestDigest(hash(5, number)),
                    claimant: "gateway-0123456789abcdef".into(),
                    holder: Default::default(),
                    confirmations: 1,
                    limits: Default::default(),
                    usage: None,
                    now_ms: number,
                    credit: None,
                };
                let one = Instant::now();
                assert!(matches!(store.claim(claim).await.unwrap(), ClaimResult::First { .. }));
                times.push(one.elapsed());
            }
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let rate = claims as f64 / begun.elapsed().as_secs_f64();
    let cpu = (cpu_seconds() - cpu) / claims as f64 * 1e6;
    println!(
        "claims, {AT_ONCE} at once                  {rate:.0}/s   {cpu:.1} µs CPU   {}",
        spread(&mut times)
    );
}

async fn reads(store: &Store, rows: u64, at_once: u64) {
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let each = 40_000 / at_once;
    let mut tasks = Vec::new();
    for task in 0..at_once {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            for turn in 0..each {
                let number = (task * each + turn) * 7907 % rows;
                let one = Instant::now();
                assert_eq!(store.payments_in(CHAIN, hash(1, number)).await.unwrap().len(), 1);
                times.push(one.elapsed());
            }
            times
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    let cpu = (cpu_seconds() - cpu) / times.len() as f64 * 1e6;
    println!(
        "payments_in, {at_once:2} at once             {rate:.0}/s   {cpu:.1} µs CPU   {}",
        spread(&mut times)
    );
}

async fn follow(store: &Store, rows: u64, mut cursor: Cursor) {
    let mut times = Vec::new();
    for turn in 0..1_000 {
        let top = block(cursor.number + 1);
        let mut top_linked = top;
        top_linked.parent_hash = cursor.hash;
        let to = Cursor { number: top.number, hash: top.hash };
        let payments = (0..10).map(|n| placed(rows + turn * 10 + n, top.number)).collect();
        let batch = Batch {
            chain: CHAIN,
            expected: Some(cursor),
            keep_through: None,
            blocks: vec![top_linked],
            payments,
            cursor: to,
            head: Some(to.number),
            extras: Default::default(),
            undecoded: Vec::new(),
            prune_below: to.number.checked_sub(1_000),
        };
        let one = Instant::now();
        store.apply(batch).await.unwrap();
        times.push(one.elapsed());
        cursor = to;
    }
    println!("a block of 10 payments              {}", spread(&mut times));
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 1000];
    format!("p50 {:?}  p99 {:?}  p99.9 {:?}  max {:?}", at(500), at(990), at(999), at(1000))
}

fn block(number: u64) -> Block {
    Block { number, hash: hash(3, number), parent_hash: hash(3, number.wrapping_sub(1)), timestamp: number }
}

fn placed(number: u64, height: u64) -> PlacedPayment {
    PlacedPayment {
        payment: Payment {
            id: PaymentId(hash(2, number)),
            chain: CHAIN,
            contract: Address::repeat_byte(1),
            transaction: hash(1, number),
            reference: hash(4, number),
            payer: Address::from_word(hash(6, number % 1000)),
            payee: Address::repeat_byte(2),
            asset: Asset::Native,
            amount: Amount(U256::from(1_000_000_000_000_000_u64)),
        },
        position: 0,
        block_number: height,
        block_hash: hash(3, height),
        block_timestamp: height,
    }
}

/// Random to look at, the same each time.
fn hash(kind: u64, number: u64) -> B256 {
    let mut state = kind.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_exact_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
    }
    B256::new(bytes)
}

/// Processor time of this process so far; its unit is a hundredth of a second on Linux.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
