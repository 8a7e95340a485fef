//! Payments from memory: always what the database says, whoever writes to it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use salt402_protocol::{B256, RequestDigest};
use salt402_store::{
    Batch, Block, ClaimResult, Cursor, HaltKind, IndexedPayment, MemoryUse, NewClaim, Options, PlacedPayment,
    Store,
};
use support::{CHAIN, Fixture, TestBlock, batch, child, genesis, new_claim, numbered, options, transaction};

/// Another store over the same database, as another process has it; with `memory` bytes of memory.
async fn other(fixture: &Fixture, memory: usize) -> Store {
    Store::open(Options { memory, ..options(&fixture.directory) }).await.unwrap()
}

/// What the memory was good for since.
fn since(store: &Store, before: MemoryUse) -> (u64, u64) {
    let now = store.memory_use();
    (now.hits - before.hits, now.misses - before.misses)
}

async fn look(store: &Store, number: u64) -> Vec<IndexedPayment> {
    store.payments_in(CHAIN, transaction(number)).await.unwrap()
}

#[tokio::test]
async fn a_payment_is_in_memory_as_soon_as_it_is_stored_and_gets_deeper_there() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1, 2]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    let before = fixture.store.memory_use();
    assert_eq!(before.transactions, 2);
    assert_eq!(look(&fixture.store, 1).await[0].confirmations, 1);
    fixture.apply(None, &[child(one.block, 1, &[3])]).await.unwrap();
    assert_eq!(look(&fixture.store, 1).await[0].confirmations, 2);
    assert_eq!(look(&fixture.store, 3).await[0].confirmations, 1);
    assert_eq!(since(&fixture.store, before), (3, 0));
}

#[tokio::test]
async fn what_was_read_once_is_in_memory_and_what_is_not_there_is_not() {
    let mut fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1])]).await.unwrap();
    fixture.reopen().await;
    let before = fixture.store.memory_use();
    let found = look(&fixture.store, 1).await;
    assert_eq!(look(&fixture.store, 1).await, found);
    assert_eq!(since(&fixture.store, before), (1, 1));
    for unknown in 100..200 {
        assert_eq!(look(&fixture.store, unknown).await, []);
        assert_eq!(look(&fixture.store, unknown).await, []);
    }
    assert_eq!(since(&fixture.store, before), (1, 201));
    assert_eq!(fixture.store.memory_use().transactions, 1);
}

#[tokio::test]
async fn a_claim_is_seen_by_the_next_look_and_leaves_the_others_in_memory() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1, 2])]).await.unwrap();
    let before = fixture.store.memory_use();
    assert!(matches!(fixture.claim(1, 7).await, ClaimResult::First { .. }));
    let claimed = look(&fixture.store, 1).await;
    assert_eq!(claimed[0].claim.as_ref().unwrap().request, new_claim(1, 7).request);
    assert_eq!(look(&fixture.store, 1).await, claimed);
    assert!(look(&fixture.store, 2).await[0].claim.is_none());
    assert_eq!(since(&fixture.store, before), (2, 1));
}

#[tokio::test]
async fn what_another_process_commits_is_seen_by_the_next_look() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    let other = other(&fixture, 1 << 20).await;
    assert!(look(&other, 1).await[0].claim.is_none());
    assert!(matches!(fixture.claim(1, 7).await, ClaimResult::First { .. }));
    assert!(look(&other, 1).await[0].claim.is_some());
    let cursor = fixture.cursor().await;
    other.apply(batch(cursor, Some(0), &[child(genesis(), 2, &[])])).await.unwrap();
    let lost = look(&fixture.store, 1).await;
    assert!(!lost[0].canonical);
    assert_eq!(look(&other, 1).await, lost);
}

#[tokio::test]
async fn work_that_changes_no_payment_leaves_memory_as_it_is() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1])]).await.unwrap();
    let before = fixture.store.memory_use();
    fixture.store.note_head(CHAIN, 9).await.unwrap();
    fixture.store.sweep_exposures(CHAIN, 3, true).await.unwrap();
    // A second start, and a halt that comes and goes.
    fixture.store.pin_chain(CHAIN, genesis().hash).await.unwrap();
    fixture.store.halt(CHAIN, HaltKind::Fork, 9).await.unwrap();
    fixture.store.end_halt(CHAIN, HaltKind::Fork).await.unwrap();
    // The log is begun anew by the first commit after a checkpoint.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    fixture.store.note_head(CHAIN, 10).await.unwrap();
    look(&fixture.store, 1).await;
    assert_eq!(since(&fixture.store, before), (1, 0));
}

#[tokio::test]
async fn a_step_that_fails_changes_nothing_in_memory_either() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    let stale = batch(None, Some(0), &[child(genesis(), 2, &[2])]);
    fixture.store.apply(stale).await.unwrap_err();
    assert!(look(&fixture.store, 1).await[0].canonical);
    assert_eq!(look(&fixture.store, 2).await, []);
}

#[tokio::test]
async fn memory_keeps_within_its_bytes_and_forgets_the_oldest_first() {
    let fixture = Fixture::new().await;
    let small = other(&fixture, 16 << 10).await;
    let payments: Vec<u64> = (0..100).collect();
    small.apply(batch(None, None, &[child(genesis(), 1, &payments)])).await.unwrap();
    let full = small.memory_use();
    assert!(full.bytes <= 16 << 10 && full.transactions > 10 && full.transactions < 100, "{full:?}");
    // Sorted by their hashes, the last of them are the newest.
    look(&small, 99).await;
    look(&small, 0).await;
    assert_eq!(since(&small, full), (1, 1));
    let none = other(&fixture, 0).await;
    look(&none, 1).await;
    look(&none, 1).await;
    assert_eq!(none.memory_use(), MemoryUse { misses: 2, ..MemoryUse::default() });
}

#[tokio::test]
async fn a_closed_store_answers_nothing_from_memory() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1])]).await.unwrap();
    look(&fixture.store, 1).await;
    fixture.store.clone().close().await;
    assert!(fixture.store.payments_in(CHAIN, transaction(1)).await.is_err());
}

#[tokio::test]
async fn a_claim_of_a_payment_is_seen_in_every_transaction_that_it_ever_was_in() {
    let fixture = Fixture::new().await;
    let (one, two) = (child(genesis(), 1, &[1]), child(genesis(), 2, &[1]));
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    // The same payment, settled anew by another transaction.
    let mut again = fixture.batch(Some(0), std::slice::from_ref(&two)).await;
    again.payments[0].payment.transaction = transaction(50);
    fixture.store.apply(again).await.unwrap();
    let plain = other(&fixture, 0).await;
    for number in [1, 50, 1, 50] {
        assert_eq!(look(&fixture.store, number).await, look(&plain, number).await);
    }
    look(&fixture.store, 1).await;
    fixture.store.claim(NewClaim { transaction: transaction(50), ..new_claim(1, 7) }).await.unwrap();
    for number in [1, 50] {
        let found = look(&fixture.store, number).await;
        assert!(found[0].claim.is_some(), "in transaction {number}");
        assert_eq!(found, look(&plain, number).await);
    }
}

/// Transactions of the property, with two payments each.
const TRANSACTIONS: u64 = 4;

#[derive(Clone, Debug)]
enum Op {
    /// A block on top, with the payments of a mask.
    Extend(u8),
    /// Another block in the place of some.
    Fork(usize, u8),
    /// A block that left the chain comes back, if its parent is there.
    Return(usize),
    /// A step from a place where the index is not.
    Stale,
    Claim(u64, u8),
    NoteHead,
    /// Looks at some, so that memory has some and others not.
    Look(u8),
    Reopen,
}

/// Who does it: the first store, or the other.
fn ops() -> impl Strategy<Value = Vec<(bool, Op)>> {
    let op = prop_oneof![
        4 => any::<u8>().prop_map(Op::Extend),
        3 => (0usize..4, any::<u8>()).prop_map(|(back, mask)| Op::Fork(back, mask)),
        2 => any::<usize>().prop_map(Op::Return),
        1 => Just(Op::Stale),
        5 => (0..2 * TRANSACTIONS, 1u8..3).prop_map(|(payment, request)| Op::Claim(payment, request)),
        1 => Just(Op::NoteHead),
        4 => any::<u8>().prop_map(Op::Look),
        1 => Just(Op::Reopen),
    ];
    // Mostly the first: what memory keeps is kept through its own commits alone.
    prop::collection::vec((prop::bool::weighted(0.8), op), 1..25)
}

/// A payment that shares its transaction with another.
fn shared(number: u64, block: Block) -> PlacedPayment {
    let mut placed = support::placed(number, block);
    placed.payment.transaction = transaction(number % TRANSACTIONS);
    placed.position = u32::try_from(number / TRANSACTIONS).unwrap();
    placed
}

struct Chain {
    blocks: Vec<TestBlock>,
    gone: Vec<TestBlock>,
    made: u64,
}

impl Chain {
    fn tip(&self) -> Block {
        self.blocks.last().map_or_else(genesis, |block| block.block)
    }

    fn cursor(&self) -> Option<Cursor> {
        self.blocks.last().map(|tip| Cursor { number: tip.block.number, hash: tip.block.hash })
    }

    fn mine(&mut self, mask: u8) -> TestBlock {
        self.made += 1;
        let parent = self.tip();
        let paid: Vec<u64> = self.blocks.iter().flat_map(|block| block.payments.clone()).collect();
        let payments = (0..2 * TRANSACTIONS)
            .filter(|number| mask & (1 << number) != 0 && !paid.contains(number))
            .collect();
        let block = Block {
            number: parent.number + 1,
            hash: numbered(0xb0, self.made),
            parent_hash: parent.hash,
            timestamp: parent.timestamp + 1,
        };
        TestBlock { block, payments }
    }

    fn cut(&mut self, height: usize) {
        self.gone.extend(self.blocks.drain(height..));
    }

    fn batch(&self, expected: Option<Cursor>, keep: Option<u64>, block: &TestBlock) -> Batch {
        let mut batch = batch(expected, keep, std::slice::from_ref(block));
        batch.payments = block.payments.iter().map(|number| shared(*number, block.block)).collect();
        batch
    }
}

async fn run(ops: Vec<(bool, Op)>) -> TestCaseResult {
    let mut fixture = Fixture::new().await;
    let mut second = other(&fixture, 1 << 20).await;
    let plain = other(&fixture, 0).await;
    let mut chain = Chain { blocks: Vec::new(), gone: Vec::new(), made: 0 };
    for (first, op) in ops {
        let store = if first { fixture.store.clone() } else { second.clone() };
        let expected = chain.cursor();
        match &op {
            Op::Extend(mask) => {
                let block = chain.mine(*mask);
                store.apply(chain.batch(expected, None, &block)).await.unwrap();
                chain.blocks.push(block);
            }
            Op::Fork(back, mask) => {
                let height = chain.blocks.len().saturating_sub(*back);
                chain.cut(height);
                let block = chain.mine(*mask);
                store.apply(chain.batch(expected, Some(height as u64), &block)).await.unwrap();
                chain.blocks.push(block);
            }
            Op::Return(pick) if !chain.gone.is_empty() => {
                let block = chain.gone.swap_remove(pick % chain.gone.len());
                let height = usize::try_from(block.block.number - 1).unwrap();
                let parent = match height.checked_sub(1) {
                    None => Some(genesis().hash),
                    Some(place) => chain.blocks.get(place).map(|parent| parent.block.hash),
                };
                if parent == Some(block.block.parent_hash) {
                    chain.cut(height);
                    // The node names nothing of it: it was seen in it.
                    let mut batch = chain.batch(expected, Some(height as u64), &block);
                    batch.payments.clear();
                    store.apply(batch).await.unwrap();
                    chain.blocks.push(block);
                } else {
                    chain.gone.push(block);
                }
            }
            Op::Return(_) => {}
            Op::Stale => {
                let nowhere = Some(Cursor { number: 900, hash: B256::repeat_byte(9) });
                let block = child(genesis(), 9, &[]);
                store.apply(chain.batch(nowhere, Some(0), &block)).await.unwrap_err();
            }
            Op::Claim(number, request) => {
                let claim = NewClaim {
                    transaction: transaction(number % TRANSACTIONS),
                    ..new_claim(*number, *request)
                };
                store.claim(claim).await.unwrap();
            }
            Op::NoteHead => store.note_head(CHAIN, 5).await.unwrap(),
            Op::Look(mask) => {
                for number in (0..TRANSACTIONS).filter(|number| mask & (1 << number) != 0) {
                    look(&store, number).await;
                }
                continue;
            }
            Op::Reopen => match first {
                true => fixture.reopen().await,
                false => {
                    second.close().await;
                    second = other(&fixture, 1 << 20).await;
                }
            },
        }
        for number in 0..TRANSACTIONS {
            let stored = look(&plain, number).await;
            prop_assert_eq!(&look(&fixture.store, number).await, &stored, "after {:?}", &op);
            if number % 2 == 0 {
                prop_assert_eq!(&look(&second, number).await, &stored, "elsewhere, after {:?}", &op);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_database_say_the_same_after_every_step(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(ops))?;
    }
}

/// What a look saw that only ever grows: in which of the blocks that the payment was in one after the other, how deep,
/// and whether it was claimed.
fn age(found: &[IndexedPayment]) -> ((u64, u64), bool) {
    let row = found.iter().find(|row| row.canonical).unwrap();
    ((row.placed.block_timestamp, row.confirmations), row.claim.is_some())
}

/// Steps of the crowd.
const STEPS: u64 = 80;
/// Payments that move from block to block in it.
const MOVING: u64 = 6;

/// One who writes and one who claims in the first store, one who claims in another, and six who look: at memory, then at
/// the database, then at memory again, and never see an earlier state after a later one.
async fn crowd(seed: u64) {
    let fixture = Fixture::new().await;
    let (second, plain) = (other(&fixture, 1 << 20).await, other(&fixture, 0).await);
    let all: Vec<u64> = (0..MOVING + STEPS).collect();
    let first = child(genesis(), 1, &all);
    fixture.apply(None, std::slice::from_ref(&first)).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for task in 0..6u64 {
        let stores =
            [fixture.store.clone(), plain.clone(), second.clone(), fixture.store.clone(), plain.clone()];
        let (over, mut random) = (Arc::clone(&over), StdRng::seed_from_u64(seed + task));
        tasks.push(tokio::spawn(async move {
            let mut seen = vec![((0, 0), false); usize::try_from(MOVING).unwrap()];
            while !over.load(Ordering::Relaxed) {
                let number = random.random_range(0..MOVING);
                let known = &mut seen[usize::try_from(number).unwrap()];
                for (place, store) in stores.iter().enumerate() {
                    let (stands, claimed) = age(&look(store, number).await);
                    assert!(
                        stands >= known.0 && claimed >= known.1,
                        "seed {seed}: payment {number} went back from {known:?} to {stands:?} {claimed} at look {place}"
                    );
                    *known = (stands, claimed);
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    for (store, from) in [(fixture.store.clone(), 0u64), (second.clone(), 1)] {
        let (over, mut random) = (Arc::clone(&over), StdRng::seed_from_u64(seed + 100 + from));
        tasks.push(tokio::spawn(async move {
            for number in (from..MOVING).step_by(2).chain((MOVING + from..MOVING + STEPS).step_by(2)) {
                let request = RequestDigest(B256::repeat_byte(1));
                let claimed = store.claim(NewClaim { request, ..new_claim(number, 1) }).await.unwrap();
                assert!(matches!(claimed, ClaimResult::First { .. }), "seed {seed}: {claimed:?}");
                let found = look(&store, number).await;
                assert!(found[0].claim.is_some(), "seed {seed}: acknowledged, and not seen");
                for _ in 0..random.random_range(0..40) {
                    tokio::task::yield_now().await;
                }
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        }));
    }
    let mut random = StdRng::seed_from_u64(seed + 200);
    let (mut tip, mut cursor) = (first.block, Some(Cursor { number: 1, hash: first.block.hash }));
    for step in 1..=STEPS {
        let moves = random.random_bool(0.3);
        let parent = if moves { genesis() } else { tip };
        tip = Block {
            number: parent.number + 1,
            hash: numbered(0xc0, step),
            parent_hash: parent.hash,
            timestamp: first.block.timestamp + step,
        };
        let payments = if moves { all.clone() } else { Vec::new() };
        let keep = moves.then_some(0);
        fixture.store.apply(batch(cursor, keep, &[TestBlock { block: tip, payments }])).await.unwrap();
        cursor = Some(Cursor { number: tip.number, hash: tip.hash });
        for _ in 0..random.random_range(0..60) {
            tokio::task::yield_now().await;
        }
    }
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let used = fixture.store.memory_use();
    assert!(used.hits > 0 && used.misses > 0, "seed {seed}: {used:?}");
    for number in all {
        assert_eq!(look(&fixture.store, number).await, look(&plain, number).await, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_sees_an_earlier_state_after_a_later_one() {
    let first: u64 = match std::env::var("SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::random_range(0..1_000_000),
    };
    for seed in first..first + 2 {
        println!("seed {seed}");
        crowd(seed).await;
    }
}
