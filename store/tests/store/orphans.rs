//! Orphaned transactions: those that matter are found, the newest first, and all of them.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use std::collections::BTreeSet;

use salt402_protocol::B256;
use support::{CHAIN, Fixture, TestBlock, child, genesis, transaction};

/// Ten blocks with four payments each, all claimed, which left the chain.
async fn orphaned() -> Fixture {
    let fixture = Fixture::new().await;
    let mut blocks: Vec<TestBlock> = Vec::new();
    for height in 0..10 {
        let parent = blocks.last().map_or_else(genesis, |block| block.block);
        let payments: Vec<u64> = (1..=4).map(|number| height * 4 + number).collect();
        blocks.push(child(parent, 1, &payments));
    }
    fixture.apply(None, &blocks).await.unwrap();
    for number in 1..=40 {
        fixture.claim(number, 1).await;
    }
    fixture.apply(Some(0), &[child(genesis(), 2, &[])]).await.unwrap();
    fixture
}

#[tokio::test]
async fn the_newest_come_first_and_all_are_found() {
    let fixture = orphaned().await;
    let found = async |above, limit| fixture.store.orphaned_transactions(CHAIN, above, limit).await.unwrap();
    let all: BTreeSet<B256> = (1..=40).map(transaction).collect();
    let complete = found(0, 100).await;
    assert_eq!((complete.len(), complete.iter().copied().collect::<BTreeSet<_>>()), (40, all));
    // Four in each of ten blocks, of which the highest has the last.
    for (number, four) in complete.chunks(4).enumerate() {
        let last = 40 - 4 * number as u64;
        let block: BTreeSet<B256> = (last - 3..=last).map(transaction).collect();
        assert_eq!(four.iter().copied().collect::<BTreeSet<_>>(), block);
    }
    for limit in [1, 3, 7, 32, 40] {
        assert_eq!(found(0, limit).await, complete[..limit as usize]);
    }
    assert_eq!(found(8, 100).await, complete[..8], "of the two highest blocks");
}

#[tokio::test]
async fn one_that_is_on_the_chain_again_or_was_granted_to_nobody_is_not_among_them() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1, 2, 3]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    fixture.claim(1, 1).await;
    fixture.claim(2, 1).await;
    let other = child(genesis(), 2, &[2]);
    fixture.apply(Some(0), std::slice::from_ref(&other)).await.unwrap();
    let found = async || fixture.store.orphaned_transactions(CHAIN, 0, 9).await.unwrap();
    assert_eq!(found().await, [transaction(1)]);
    fixture.apply(Some(0), &[one]).await.unwrap();
    assert!(found().await.is_empty());
}
