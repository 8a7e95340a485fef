//! What was read for which contract, large batches, and blocks that come back.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use rusqlite::Connection;
use salt402_protocol::{Address, B256};
use salt402_store::{Applied, ClaimResult, Coverage, Past, SourceKey, StoreError, Stretch, UndecodedLog};
use support::{CHAIN, Fixture, TestBlock, child, genesis, numbered, options, placed, transaction};

fn contract(number: u8) -> SourceKey {
    SourceKey { contract: Address::repeat_byte(number), question: B256::repeat_byte(number) }
}

/// The contract of the payments that tests make.
const PAID: u8 = 3;

/// So many blocks upon the genesis block, each with the payment of its height.
fn chain_of(blocks: u64, branch: u8) -> Vec<TestBlock> {
    let mut chain: Vec<TestBlock> = Vec::new();
    for _ in 0..blocks {
        let parent = chain.last().map_or_else(genesis, |block| block.block);
        chain.push(child(parent, branch, &[parent.number + 1]));
    }
    chain
}

async fn unread(fixture: &Fixture, source: SourceKey) -> Vec<(u64, u64)> {
    let coverage = fixture.store.coverage(CHAIN).await.unwrap();
    let known: Vec<&Coverage> = coverage.iter().filter(|known| known.source == source).collect();
    assert_eq!(known.len(), 1, "{coverage:?}");
    known[0].unread.iter().map(|stretch| (stretch.from, stretch.to)).collect()
}

async fn past(fixture: &Fixture, from: u64, to: u64, payments: &[(u64, TestBlock)]) -> Past {
    Past {
        chain: CHAIN,
        source: contract(PAID),
        stretch: Stretch { from, to },
        anchor: fixture.cursor().await.unwrap(),
        payments: payments.iter().map(|(number, block)| placed(*number, block.block)).collect(),
        extras: Default::default(),
        undecoded: Vec::new(),
    }
}

/// An index of twenty blocks for another contract, with ours added after.
async fn added() -> (Fixture, Vec<TestBlock>) {
    let fixture = Fixture::new().await;
    fixture.store.follow_sources(CHAIN, vec![(contract(9), 0)]).await.unwrap();
    let chain = chain_of(20, 1);
    let empty: Vec<_> = chain.iter().map(|block| TestBlock { payments: vec![], ..block.clone() }).collect();
    fixture.apply(None, &empty).await.unwrap();
    fixture.store.follow_sources(CHAIN, vec![(contract(9), 0), (contract(PAID), 0)]).await.unwrap();
    (fixture, chain)
}

#[tokio::test]
async fn a_contract_that_is_added_has_a_past_that_is_stored_with_what_was_found_in_it() {
    let (fixture, chain) = added().await;
    assert_eq!(unread(&fixture, contract(9)).await, []);
    assert_eq!(unread(&fixture, contract(PAID)).await, [(0, 20)]);
    let one = past(&fixture, 5, 9, &[(6, chain[5].clone()), (9, chain[8].clone())]).await;
    let applied = fixture.store.apply_past(one.clone()).await.unwrap();
    assert_eq!(applied, Applied { inserted: 2, ..Applied::default() });
    assert_eq!(unread(&fixture, contract(PAID)).await, [(0, 4), (10, 20)]);
    assert_eq!(fixture.rows(6).await, [(true, chain[5].block.hash, 15)]);
    // The same again changes nothing.
    assert_eq!(fixture.store.apply_past(one).await.unwrap(), Applied::default());
    assert_eq!(fixture.store.counts().await.unwrap().payments[&CHAIN], 2);
    for (from, to) in [(10, 20), (0, 4)] {
        fixture.store.apply_past(past(&fixture, from, to, &[]).await).await.unwrap();
    }
    assert_eq!(unread(&fixture, contract(PAID)).await, []);
    assert!(matches!(fixture.claim(6, 1).await, ClaimResult::First { .. }));
}

#[tokio::test]
async fn a_past_of_a_chain_that_was_left_is_refused() {
    let (fixture, chain) = added().await;
    let stale = past(&fixture, 0, 4, &[(2, chain[1].clone())]).await;
    let other = child(chain[18].block, 2, &[]);
    fixture.apply(Some(19), &[other]).await.unwrap();
    let error = fixture.store.apply_past(stale).await.unwrap_err();
    assert!(matches!(error, StoreError::CursorMoved { .. }), "{error}");
    assert_eq!(unread(&fixture, contract(PAID)).await, [(0, 19)], "the new block 20 was read for it");
    assert_eq!(fixture.rows(2).await, []);
    let above = past(&fixture, 3, 21, &[]).await;
    assert!(matches!(fixture.store.apply_past(above).await, Err(StoreError::BadBatch { .. })));
    let foreign = past(&fixture, 0, 4, &[(7, chain[6].clone())]).await;
    assert!(matches!(fixture.store.apply_past(foreign).await, Err(StoreError::BadBatch { .. })));
}

#[tokio::test]
async fn what_leaves_the_chain_is_read_no_more_and_what_replaces_it_is_read_for_who_is_followed() {
    let (fixture, chain) = added().await;
    fixture.store.apply_past(past(&fixture, 0, 17, &[(17, chain[16].clone())]).await).await.unwrap();
    // The first is no longer followed when the chain is left at block 15.
    fixture.store.follow_sources(CHAIN, vec![(contract(PAID), 0)]).await.unwrap();
    assert_eq!(unread(&fixture, contract(PAID)).await, [(18, 20)]);
    let mut other = vec![child(chain[14].block, 2, &[])];
    for _ in 0..6 {
        other.push(child(other[other.len() - 1].block, 2, &[]));
    }
    fixture.apply(Some(15), &other).await.unwrap();
    assert_eq!(unread(&fixture, contract(PAID)).await, []);
    assert_eq!(fixture.rows(17).await, [(false, chain[16].block.hash, 0)]);
    fixture.store.follow_sources(CHAIN, vec![(contract(PAID), 0), (contract(9), 0)]).await.unwrap();
    assert_eq!(unread(&fixture, contract(9)).await, [(16, 22)], "the new blocks were not read for it");
}

#[tokio::test]
async fn first_blocks_that_are_raised_and_lowered_are_what_is_read_from() {
    let (fixture, _) = added().await;
    for (start, left) in [(12, vec![(12, 20)]), (30, vec![]), (8, vec![(8, 20)])] {
        let first = fixture.store.follow_sources(CHAIN, vec![(contract(PAID), start)]).await.unwrap();
        assert_eq!(first, 0, "the header chain begins where it began");
        assert_eq!(unread(&fixture, contract(PAID)).await, left, "from {start}");
    }
    let other_events = SourceKey { question: B256::repeat_byte(0x77), ..contract(9) };
    fixture.store.follow_sources(CHAIN, vec![(other_events, 0)]).await.unwrap();
    assert_eq!(unread(&fixture, other_events).await, [(0, 20)], "they were not asked for before");
}

#[tokio::test]
async fn a_database_from_before_counts_as_read_for_the_contract_that_it_holds() {
    for holds in [true, false] {
        let mut fixture = Fixture::new().await;
        let chain = chain_of(20, 1);
        let payments = if holds { chain } else { vec![child(genesis(), 1, &[])] };
        fixture.apply(None, &payments).await.unwrap();
        fixture.store.clone().close().await;
        let path = options(&fixture.directory).path;
        let raw = Connection::open(&path).unwrap();
        for sql in support::FORMER_NAMES.into_iter().chain([
            "DROP TABLE sources",
            "DROP TABLE covered",
            "DROP TABLE undecoded_logs",
            "ALTER TABLE chains DROP COLUMN first_block",
            "ALTER TABLE chains DROP COLUMN undecoded",
            "DELETE FROM _sqlx_migrations WHERE version = 4",
        ]) {
            raw.execute_batch(sql).unwrap();
        }
        raw.close().unwrap();
        fixture.reopen().await;
        let sources = vec![(contract(9), 0), (contract(PAID), 1)];
        assert_eq!(fixture.store.follow_sources(CHAIN, sources).await.unwrap(), u64::from(holds));
        let top = if holds { 20 } else { 1 };
        assert_eq!(unread(&fixture, contract(9)).await, [(0, top)]);
        let left = if holds { vec![] } else { vec![(1, 1)] };
        assert_eq!(
            unread(&fixture, contract(PAID)).await,
            left,
            "without a payment nobody knows whose it is"
        );
    }
}

#[tokio::test]
async fn a_block_that_comes_back_brings_its_payments_also_where_no_log_names_them() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1, 2]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    assert!(matches!(fixture.claim(1, 1).await, ClaimResult::First { .. }));
    let other = child(genesis(), 2, &[]);
    fixture.apply(Some(0), &[other]).await.unwrap();
    assert_eq!(fixture.open_incidents().await.len(), 1);
    // The node leaves out one log, and then both.
    for named in [vec![2], vec![]] {
        let back = TestBlock { payments: named, ..one.clone() };
        let applied = fixture.apply(Some(0), &[back]).await.unwrap();
        assert_eq!((applied.inserted, applied.restored), (0, 2));
        assert_eq!(fixture.rows(1).await, [(true, one.block.hash, 1)]);
        assert_eq!(fixture.rows(2).await, [(true, one.block.hash, 1)]);
        assert!(fixture.open_incidents().await.is_empty());
        assert_eq!(fixture.store.counts().await.unwrap().payments[&CHAIN], 2);
    }
}

#[tokio::test]
async fn a_payment_that_moved_is_not_doubled_when_its_old_block_comes_back_under_its_new_one() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    // A node that contradicts itself: the old block again, and above it a block with the same payment.
    let again = child(one.block, 1, &[1]);
    let both = [TestBlock { payments: vec![], ..one.clone() }, again];
    let error = fixture.apply(Some(0), &both).await.unwrap_err();
    assert!(matches!(error, StoreError::PaymentTwice { .. }), "{error}");
    assert_eq!(fixture.rows(1).await, [(true, one.block.hash, 1)], "nothing of the batch is stored");
}

/// The payments of a large batch, in blocks of a hundred.
fn large(blocks: u64) -> Vec<TestBlock> {
    let mut chain: Vec<TestBlock> = Vec::new();
    for _ in 0..blocks {
        let parent = chain.last().map_or_else(genesis, |block| block.block);
        let numbers: Vec<u64> = (0..100).map(|n| (parent.number + 1) * 1000 + n).collect();
        chain.push(child(parent, 1, &numbers));
    }
    chain
}

#[tokio::test]
async fn large_batches_are_orphaned_restored_and_claimed_like_small_ones() {
    let mut fixture = Fixture::new().await;
    let chain = large(60);
    let applied = fixture.apply(None, &chain).await.unwrap();
    assert_eq!(applied.inserted, 6000);
    assert!(matches!(fixture.claim(59_099, 1).await, ClaimResult::First { .. }));
    fixture.reopen().await;
    // Fifty blocks leave, with a grant among them; forty of them come back.
    let other = child(chain[9].block, 2, &[10_500]);
    let applied = fixture.apply(Some(10), &[other]).await.unwrap();
    assert_eq!(applied, Applied { inserted: 1, orphaned: 5000, incidents: 1, restored: 0 });
    let empty: Vec<_> =
        chain[10..].iter().map(|block| TestBlock { payments: vec![], ..block.clone() }).collect();
    let applied = fixture.apply(Some(10), &empty).await.unwrap();
    assert_eq!(applied, Applied { inserted: 0, orphaned: 1, incidents: 0, restored: 5000 });
    assert!(fixture.open_incidents().await.is_empty());
    assert_eq!(fixture.store.counts().await.unwrap().payments[&CHAIN], 6000);
    assert_eq!(fixture.claim(59_099, 2).await, ClaimResult::Taken);
    let twice = child(chain[59].block, 1, &[11_007]);
    assert!(matches!(fixture.apply(None, &[twice]).await, Err(StoreError::PaymentTwice { .. })));
}

#[tokio::test]
async fn a_step_and_claims_that_wait_together_are_each_done() {
    let fixture = Fixture::new().await;
    let chain = large(20);
    fixture.apply(None, &chain[..10]).await.unwrap();
    let batch = fixture.batch(None, &chain[10..]).await;
    let claims = (0..40).map(|n| {
        let (store, claim) = (fixture.store.clone(), support::new_claim(1000 + n, 1));
        tokio::spawn(async move { store.claim(claim).await.unwrap() })
    });
    let claims: Vec<_> = claims.collect();
    assert_eq!(fixture.store.apply(batch).await.unwrap().inserted, 1000);
    for claim in claims {
        assert!(matches!(claim.await.unwrap(), ClaimResult::First { .. }));
    }
    assert_eq!(fixture.store.counts().await.unwrap().claims, 40);
}

#[tokio::test]
async fn of_logs_that_do_not_decode_the_newest_are_kept_and_all_are_counted() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let log = |number: u64| UndecodedLog {
        contract: Address::repeat_byte(PAID),
        transaction: transaction(number),
        block_hash: one.block.hash,
        block_number: 1,
        position: 0,
        topics: vec![numbered(8, number), numbered(9, number)],
        data: vec![7; 5000],
    };
    let mut batch = fixture.batch(None, std::slice::from_ref(&one)).await;
    batch.undecoded = (0..1200).map(log).collect();
    fixture.store.apply(batch).await.unwrap();
    let kept = fixture.store.undecoded_logs(CHAIN, u32::MAX).await.unwrap();
    assert_eq!(kept.len(), 1000);
    assert_eq!(kept[0], UndecodedLog { data: vec![7; 4096], ..log(1199) });
    assert_eq!(kept[999].transaction, transaction(200));
    assert_eq!(fixture.store.counts().await.unwrap().undecoded, 1200);
}
