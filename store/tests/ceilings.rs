//! What is remembered of nodes from one life of a process to the next.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use salt402_protocol::ChainId;
use support::{CHAIN, Fixture, open};

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn the_widths_that_nodes_refuse_are_kept_for_each_and_replaced_and_forgotten() {
    let mut fixture = Fixture::new().await;
    let store = fixture.store.clone();
    assert!(store.range_ceilings(CHAIN).await.unwrap().is_empty());
    store.note_range_ceiling(CHAIN, "one:8545", Some(2001)).await.unwrap();
    store.note_range_ceiling(CHAIN, "two", Some(u64::MAX)).await.unwrap();
    store.note_range_ceiling(CHAIN, "one:8545", Some(501)).await.unwrap();
    let other = ChainId::new(CHAIN.get() + 1).unwrap();
    assert!(store.range_ceilings(other).await.unwrap().is_empty(), "chains have nothing in common");

    drop(store);
    fixture.store = open(&fixture.directory).await;
    let known = fixture.store.range_ceilings(CHAIN).await.unwrap();
    assert_eq!(known.get("one:8545"), Some(&501));
    assert_eq!(known.len(), 2);
    fixture.store.note_range_ceiling(CHAIN, "one:8545", None).await.unwrap();
    let known = fixture.store.range_ceilings(CHAIN).await.unwrap();
    assert_eq!(known.keys().collect::<Vec<_>>(), ["two"]);
}

#[tokio::test]
async fn a_ceiling_that_was_not_noted_for_long_says_nothing_any_more() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    let fixture = Fixture::new().await;
    let note = async |node: &str, days: u64| {
        fixture.store.note_range_ceiling_at(CHAIN, node, Some(7), now_ms() - days * DAY).await.unwrap();
    };
    note("old", 8).await;
    assert!(fixture.store.range_ceilings(CHAIN).await.unwrap().is_empty());
    note("young", 6).await;
    let known = fixture.store.range_ceilings(CHAIN).await.unwrap();
    assert_eq!(known.keys().collect::<Vec<_>>(), ["young"]);
}
