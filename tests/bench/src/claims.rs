//! B3: durable claims, 64 at once, straight at the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Payment, PaymentId, RequestDigest, U256};
use salt402_store::{Batch, Block, ClaimResult, Cursor, NewClaim, Options, PlacedPayment, Store};

use crate::figures::{Times, at_least, at_most};

const CLAIMS: usize = 100_000;
const AT_ONCE: usize = 64;

pub(crate) async fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(Options::new(folder.path().join("claims.db"))).await?;
    let payments = fill(&store, CLAIMS).await?;
    let (next, payments) = (Arc::new(AtomicUsize::new(0)), Arc::new(payments));
    let start = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..AT_ONCE {
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
                    confirmations: 1,
                    limits: Default::default(),
                    usage: None,
                    now_ms: 1,
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
    let times = Times::new(times);
    at_least("B3", rate, "claims/s", 10_000.0, "durable claims, 64 at once");
    at_most("B3", times.within(0.5), "ms", 20.0, "p50 of the same");
    at_most("B3", times.within(0.99), "ms", 20.0, "p99 of the same");
    store.close().await;
    Ok(())
}

/// The transaction of a row that [`fill`] makes.
pub(crate) fn transaction(row: u64) -> B256 {
    alloy_primitives::keccak256((row + (1 << 40)).to_be_bytes())
}

/// Puts so many payments into a store.
pub(crate) async fn fill(store: &Store, rows: usize) -> anyhow::Result<Vec<Payment>> {
    let chain = ChainId::CITRATE;
    store.pin_chain(chain, B256::ZERO).await?;
    let payments: Vec<_> = (0..rows as u64)
        .map(|index| Payment {
            id: PaymentId(alloy_primitives::keccak256(index.to_be_bytes())),
            chain,
            contract: Address::repeat_byte(1),
            transaction: transaction(index),
            reference: B256::left_padding_from(&index.to_be_bytes()),
            payer: Address::repeat_byte(2),
            payee: Address::repeat_byte(3),
            asset: Asset::Native,
            amount: Amount(U256::from(5)),
        })
        .collect();
    let mut expected = None;
    for (index, chunk) in payments.chunks(5000).enumerate() {
        let number = index as u64 + 1;
        let hash_at = |number: u64| B256::left_padding_from(&number.to_be_bytes());
        let hash = hash_at(number);
        let cursor = Cursor { number, hash };
        let block = Block { number, hash, parent_hash: hash_at(number - 1), timestamp: number };
        let placed = chunk
            .iter()
            .map(|payment| PlacedPayment {
                payment: payment.clone(),
                position: 0,
                block_number: number,
                block_hash: hash,
                block_timestamp: number,
            })
            .collect();
        let batch = Batch {
            chain,
            expected,
            keep_through: None,
            blocks: vec![block],
            payments: placed,
            cursor,
            head: number,
            beside: Default::default(),
            undecoded: Vec::new(),
            prune_below: None,
        };
        store.apply(batch).await?;
        expected = Some(cursor);
    }
    Ok(payments)
}
