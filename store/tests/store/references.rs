//! Payments by their reference, and those of transactions that hold many: always what the database says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use crate::support;

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use salt402_protocol::{B256, PaymentId};
use salt402_store::{Batch, Block, FEW, IndexedPayment, PlacedPayment, Referred, Store, Wanted};
use support::{CHAIN, Fixture, batch, child, genesis, payment};

fn reference(number: u64) -> B256 {
    B256::left_padding_from(&number.to_be_bytes())
}

/// References that begin alike are told apart all the same.
fn near(number: u64) -> B256 {
    let mut bytes = reference(number);
    bytes[..8].copy_from_slice(&7u64.to_be_bytes());
    bytes
}

fn placed(number: u64, reference: B256, block: Block) -> PlacedPayment {
    let mut payment = payment(number);
    payment.reference = reference;
    PlacedPayment {
        payment,
        position: 0,
        block_number: block.number,
        block_hash: block.hash,
        block_timestamp: block.timestamp,
    }
}

async fn add(fixture: &Fixture, keep_through: Option<u64>, block: Block, payments: Vec<PlacedPayment>) {
    let block = support::TestBlock { block, payments: Vec::new() };
    let batch = Batch { payments, ..batch(fixture.cursor().await, keep_through, &[block]) };
    fixture.store.apply(batch).await.unwrap();
}

async fn found(store: &Store, reference: B256, mined: (u64, u64)) -> Vec<IndexedPayment> {
    match store.payments_for(CHAIN, reference, mined.0..=mined.1).await.unwrap() {
        Referred::Payments(payments) => payments,
        Referred::TooMany => panic!("there are few"),
    }
}

fn inclusions(payments: &[IndexedPayment]) -> BTreeSet<(PaymentId, B256, bool)> {
    payments.iter().map(|row| (row.placed.payment.id, row.placed.block_hash, row.canonical)).collect()
}

/// Whatever happens to the chain and whoever looks meanwhile: what is found by a reference is what a look at each transaction
/// finds of it.
#[tokio::test]
async fn payments_are_found_by_their_reference_through_reorganizations_restarts_and_the_past() {
    for seed in 0..5u64 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut fixture = Fixture::new().await;
        let mut chain = vec![genesis()];
        let mut all: Vec<PlacedPayment> = Vec::new();
        for step in 0..40u64 {
            let deep = rng.random_range(0..4).min(chain.len() as u64 - 1);
            let undone = rng.random_bool(0.25) && deep > 0;
            if undone {
                chain.truncate(chain.len() - deep as usize);
            }
            let parent = *chain.last().unwrap();
            let mut block = child(parent, (step + 1) as u8, &[]).block;
            // Far apart, so that stretches are many.
            block.number = parent.number + 1;
            block.timestamp = parent.timestamp + rng.random_range(1..400);
            let mut payments = Vec::new();
            for _ in 0..rng.random_range(0..4) {
                // Some again, as after a reorganization, and few references.
                let number = rng.random_range(0..60);
                if payments.iter().any(|known: &PlacedPayment| known.payment.id == payment(number).id) {
                    continue;
                }
                let on_chain = fixture.store.payments_in(CHAIN, payment(number).transaction).await.unwrap();
                let kept = |row: &IndexedPayment| row.canonical && row.placed.block_number <= parent.number;
                if on_chain.iter().any(kept) {
                    continue;
                }
                payments.push(placed(number, near(number % 9), block));
            }
            all.extend(payments.iter().cloned());
            add(&fixture, undone.then_some(parent.number), block, payments).await;
            chain.push(block);
            if rng.random_bool(0.1) {
                fixture.reopen().await;
            }
            if rng.random_bool(0.5) {
                continue;
            }
            for number in 0..10 {
                let mut expected = BTreeSet::new();
                for known in &all {
                    if known.payment.reference != near(number) {
                        continue;
                    }
                    let rows = fixture.store.payments_in(CHAIN, known.payment.transaction).await.unwrap();
                    expected.extend(inclusions(&rows));
                }
                let seen = inclusions(&found(&fixture.store, near(number), (0, u64::MAX)).await);
                assert_eq!(seen, expected, "seed {seed}, step {step}, reference {number}");
                // Of a time, at least those of it.
                let at = chain[rng.random_range(0..chain.len())].timestamp;
                let seen = found(&fixture.store, near(number), (at, at + 500)).await;
                for known in all.iter().filter(|known| known.payment.reference == near(number)) {
                    let mined = known.block_timestamp;
                    let on_chain = chain.iter().any(|block| block.hash == known.block_hash);
                    if on_chain && (at..=at + 500).contains(&mined) {
                        let there = seen.iter().any(|row| row.placed.block_hash == known.block_hash);
                        assert!(there, "seed {seed}, step {step}: {mined} is not in {at}");
                    }
                }
            }
        }
        fixture.store.close().await;
    }
}

/// A back-fill beyond what is taken in, and rows below those that were looked at.
#[tokio::test]
async fn what_is_added_in_whatever_order_is_found() {
    let fixture = Fixture::new().await;
    let mut block = genesis();
    block.number = 5_000_000;
    let mut first = child(block, 1, &[]).block;
    first.timestamp = 1_700_010_000;
    add(&fixture, None, first, vec![placed(1, reference(1), first)]).await;
    let times = (1_700_009_000, 1_700_010_500);
    assert_eq!(found(&fixture.store, reference(1), times).await.len(), 1);
    assert_eq!(found(&fixture.store, reference(2), times).await.len(), 0);
    // What was left out, of a lower block.
    let lower = Block { number: 4_000_000, timestamp: 1_700_009_500, ..genesis() };
    let cursor = fixture.cursor().await.unwrap();
    let omitted = Batch {
        blocks: Vec::new(),
        payments: vec![placed(2, reference(2), lower)],
        head: None,
        cursor,
        ..batch(Some(cursor), None, &[support::TestBlock { block: first, payments: Vec::new() }])
    };
    fixture.store.apply_omitted(omitted).await.unwrap();
    assert_eq!(found(&fixture.store, reference(2), times).await.len(), 1);
    // Many at once, as a back-fill stores them.
    let mut next = child(first, 1, &[]).block;
    next.timestamp = 1_700_010_100;
    let many = (1_000..4_000).map(|number| placed(number, reference(number), next)).collect();
    add(&fixture, None, next, many).await;
    for number in [1, 2, 1_000, 2_500, 3_999] {
        assert_eq!(found(&fixture.store, reference(number), times).await.len(), 1, "{number}");
    }
    assert_eq!(found(&fixture.store, reference(4_000), times).await.len(), 0);
    assert_eq!(found(&fixture.store, reference(1), (0, 1_600_000_000)).await.len(), 0, "another time");
}

fn of_crowd(number: u64, place: u32, block: Block) -> PlacedPayment {
    let mut placed = placed(number, reference(number), block);
    placed.payment.transaction = B256::repeat_byte(0x77);
    placed.position = place;
    placed
}

/// One of many is found by its reference or its place, wherever it is by now; of what is not there, some others are told.
#[tokio::test]
async fn one_of_many_is_found_by_its_reference_or_place_and_no_others_are_read() {
    let fixture = Fixture::new().await;
    let transaction = B256::repeat_byte(0x77);
    let wanted = |wanted| fixture.store.payments_wanted(CHAIN, transaction, wanted);
    let crowd = FEW as u64 + 24;
    let one = child(genesis(), 1, &[]).block;
    let few = |count: u64, block| (0..count).map(|at| of_crowd(at, at as u32, block)).collect::<Vec<_>>();
    add(&fixture, None, one, few(FEW as u64, one)).await;
    for which in [Wanted::Any, Wanted::Position(3), Wanted::Reference(reference(99))] {
        assert_eq!(wanted(which).await.unwrap().len(), FEW, "few are told whatever is wanted");
    }
    // It is mined anew with many, then once more.
    let two = child(genesis(), 2, &[]).block;
    add(&fixture, Some(0), two, few(crowd, two)).await;
    for number in [0, 7, crowd - 1] {
        for which in [Wanted::Reference(reference(number)), Wanted::Position(number as u32)] {
            let rows = wanted(which).await.unwrap();
            assert!(rows.iter().all(|row| row.placed.payment.reference == reference(number)), "{rows:?}");
            assert_eq!(rows.iter().filter(|row| row.canonical).count(), 1);
            assert_eq!(rows.len(), if number < FEW as u64 { 2 } else { 1 });
        }
    }
    for which in [Wanted::Any, Wanted::Position(1000), Wanted::Reference(reference(1000))] {
        assert_eq!(wanted(which).await.unwrap().len(), FEW + 1);
    }
    let three = child(genesis(), 3, &[]).block;
    add(&fixture, Some(0), three, few(crowd, three)).await;
    let rows = wanted(Wanted::Reference(reference(crowd - 1))).await.unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (row.canonical, row.placed.block_hash)).collect();
    assert_eq!(seen, [(true, three.hash), (false, two.hash)]);
    // A claim of one is seen by the next look, as all that is read is.
    let claim = salt402_store::NewClaim { transaction, ..support::new_claim(crowd - 1, 5) };
    fixture.store.claim(claim).await.unwrap();
    let rows = wanted(Wanted::Position(crowd as u32 - 1)).await.unwrap();
    assert!(rows.iter().all(|row| row.claim.is_some()));
    assert!(wanted(Wanted::Position(0)).await.unwrap().iter().all(|row| row.claim.is_none()));
    assert_eq!(fixture.store.payments_in(CHAIN, transaction).await.unwrap().len(), FEW + 2 * crowd as usize);
}
