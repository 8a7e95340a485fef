//! Orphaned transactions: those that matter are found, the newest first, and all of them.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::collections::BTreeSet;

use salt402_protocol::B256;
use salt402_store::OrphanedTransaction;
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

/// All pages above a height, of so many each.
async fn pages(fixture: &Fixture, above: u64, limit: u32) -> Vec<Vec<OrphanedTransaction>> {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = fixture.store.orphaned_transactions(CHAIN, above, after, limit).await.unwrap();
        after = page.last().copied();
        if page.is_empty() {
            return pages;
        }
        pages.push(page);
    }
}

#[tokio::test]
async fn those_that_stay_unresolved_hide_no_older_ones() {
    let fixture = orphaned().await;
    let all: BTreeSet<B256> = (1..=40).map(transaction).collect();
    for limit in [1, 3, 7, 32, 40, 100] {
        let pages = pages(&fixture, 0, limit).await;
        assert!(pages.iter().all(|page| page.len() <= limit as usize));
        let found: Vec<OrphanedTransaction> = pages.into_iter().flatten().collect();
        assert!(found.windows(2).all(|pair| pair[0].block_number >= pair[1].block_number), "{found:?}");
        assert_eq!(found.len(), 40, "each once, in pages of {limit}");
        assert_eq!(found.iter().map(|known| known.transaction).collect::<BTreeSet<_>>(), all);
    }
    let above: usize = pages(&fixture, 8, 3).await.iter().map(Vec::len).sum();
    assert_eq!(above, 8, "of the two highest blocks");
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
    let found = fixture.store.orphaned_transactions(CHAIN, 0, None, 9).await.unwrap();
    let lost = OrphanedTransaction { transaction: transaction(1), block_number: one.block.number };
    assert_eq!(found, [lost]);
    assert_eq!(fixture.store.orphaned_transactions(CHAIN, 0, Some(lost), 9).await.unwrap(), []);
    fixture.apply(Some(0), &[one]).await.unwrap();
    assert_eq!(fixture.store.orphaned_transactions(CHAIN, 0, None, 9).await.unwrap(), []);
}
