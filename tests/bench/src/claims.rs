//! B3: durable claims, 64 at once, straight at the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Payment, PaymentId, RequestDigest, U256};
use salt402_store::{Batch, Block, ClaimResult, Cursor, NewClaim, Options, PlacedPayment, Store};

use crate::figures::{Times, at_least, at_most, beside, processor};

const CLAIMS: usize = 100_000;
/// Claims that are made one at a time.
const ALONE: usize = 2_000;
const AT_ONCE: usize = 64;

pub(crate) async fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(Options::new(folder.path().join("claims.db"))).await?;
    let mut payments = fill(&store, CLAIMS + ALONE).await?;
    let alone = payments.split_off(CLAIMS);
    let (rate, times, cpu) = claim_all(&store, payments, AT_ONCE).await?;
    at_least("B3", rate, "claims/s", 10_000.0, "durable claims, 64 at once");
    at_most("B3", times.within(0.5), "ms", 20.0, "p50 of the same");
    at_most("B3", times.within(0.99), "ms", 20.0, "p99 of the same");
    beside(cpu, "us", "processor time of one");
    let (rate, times, cpu) = claim_all(&store, alone, 1).await?;
    beside(rate, "claims/s", "instead: one fsync a claim, the same store");
    beside(times.within(0.99), "ms", "instead: one fsync a claim, p99");
    beside(cpu, "us", "instead: one fsync a claim, processor time of one");
    store.close().await;
    Ok(())
}

/// Claims payments, so many at once. Returns how many a second, their times, and microseconds of the processor for one.
async fn claim_all(
    store: &Store,
    payments: Vec<Payment>,
    at_once: usize,
) -> anyhow::Result<(f64, Times, f64)> {
    let (next, payments) = (Arc::new(AtomicUsize::new(0)), Arc::new(payments));
    let (start, before) = (Instant::now(), processor());
    let mut tasks = Vec::new();
    for _ in 0..at_once {
        let (store, next, payments) = (store.clone(), Arc::clone(&next), Arc::clone(&payments));
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while let Some(payment) = payments.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = Instant::now();
                let claim = NewClaim {
                    payment: payment.id,
                    chain: payment.chain,
                    transaction: payment.transaction,
                    request: RequestDigest(payment.transaction),
                    claimant: "bench".into(),
                    holder: Default::default(),
                    confirmations: 1,
                    limits: Default::default(),
                    usage: None,
                    now_ms: 1,
                    credit: None,
                };
                let claimed = store.claim(claim).await?;
                anyhow::ensure!(matches!(claimed, ClaimResult::First { .. }), "{claimed:?}");
                times.push(asked.elapsed());
            }
            Ok(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    let cpu = processor().saturating_sub(before).as_secs_f64() * 1e6 / times.len() as f64;
    Ok((rate, Times::new(times), cpu))
}

/// The transaction of a row that [`fill`] makes.
pub(crate) fn transaction(row: u64) -> B256 {
    alloy_primitives::keccak256((row + (1 << 40)).to_be_bytes())
}

/// Payments in each block that [`fill`] makes.
const IN_A_BLOCK: u64 = 5000;

/// Puts so many payments into a store, in blocks that no node has.
pub(crate) async fn fill(store: &Store, rows: usize) -> anyhow::Result<Vec<Payment>> {
    let blocks: Vec<_> = (1..=blocks_for(rows)).map(made_up).collect();
    fill_blocks(store, rows, B256::ZERO, &blocks).await
}

/// How many blocks so many payments take.
pub(crate) fn blocks_for(rows: usize) -> u64 {
    (rows as u64).div_ceil(IN_A_BLOCK)
}

/// Puts so many payments into a store, in these blocks, the first of which is 1, on top of this genesis.
pub(crate) async fn fill_blocks(
    store: &Store,
    rows: usize,
    genesis: B256,
    blocks: &[Block],
) -> anyhow::Result<Vec<Payment>> {
    store.pin_chain(ChainId::CITRATE, genesis).await?;
    let rows = rows as u64;
    let mut payments = Vec::new();
    for (block, from) in blocks.iter().zip((0..rows).step_by(IN_A_BLOCK as usize)) {
        let chunk: Vec<_> = (from..rows.min(from + IN_A_BLOCK)).map(payment).collect();
        add(store, block, &chunk).await?;
        // Of those that are claimed later; ten million would be gigabytes.
        if rows <= 1_000_000 {
            payments.extend(chunk);
        }
    }
    Ok(payments)
}

/// Puts so many blocks of 500 payments each on top, and returns their transactions.
pub(crate) async fn recent(store: &Store, rows: usize, blocks: u64) -> anyhow::Result<Vec<B256>> {
    let below = blocks_for(rows);
    let mut transactions = Vec::new();
    for block in 0..blocks {
        let from = rows as u64 + block * 500;
        let chunk: Vec<_> = (from..from + 500).map(payment).collect();
        add(store, &made_up(below + block + 1), &chunk).await?;
        transactions.extend(chunk.iter().map(|payment| payment.transaction));
    }
    Ok(transactions)
}

fn payment(row: u64) -> Payment {
    Payment {
        id: PaymentId(alloy_primitives::keccak256(row.to_be_bytes())),
        chain: ChainId::CITRATE,
        contract: Address::repeat_byte(1),
        transaction: transaction(row),
        reference: B256::left_padding_from(&row.to_be_bytes()),
        payer: Address::repeat_byte(2),
        payee: Address::repeat_byte(3),
        asset: Asset::Native,
        amount: Amount(U256::from(5)),
    }
}

/// A block that no node has.
fn made_up(number: u64) -> Block {
    let hash_at = |number: u64| B256::left_padding_from(&number.to_be_bytes());
    Block { number, hash: hash_at(number), parent_hash: hash_at(number - 1), timestamp: number }
}

/// The next block, the first of which is 1, with payments in it.
async fn add(store: &Store, block: &Block, payments: &[Payment]) -> anyhow::Result<()> {
    let number = block.number;
    let place = |payment: &Payment| PlacedPayment {
        payment: payment.clone(),
        position: 0,
        block_number: number,
        block_hash: block.hash,
        block_timestamp: block.timestamp,
    };
    let batch = Batch {
        chain: ChainId::CITRATE,
        expected: (number > 1).then(|| Cursor { number: number - 1, hash: block.parent_hash }),
        keep_through: None,
        blocks: vec![*block],
        payments: payments.iter().map(place).collect(),
        cursor: Cursor { number, hash: block.hash },
        head: Some(number),
        extras: Default::default(),
        undecoded: Vec::new(),
        prune_below: None,
    };
    store.apply(batch).await?;
    Ok(())
}
