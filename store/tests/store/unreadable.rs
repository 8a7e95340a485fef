//! Transactions that could not be read: they go and come with their blocks, are told once, and are gone once they are read.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use std::time::Duration;

use salt402_protocol::B256;
use salt402_store::{Batch, IncidentKind, NoticeEvent, Placed, UnreadableTransaction};
use support::{CHAIN, Fixture, TestBlock, child, genesis, transaction};

fn unread(number: u64, block: &TestBlock) -> Placed<UnreadableTransaction> {
    let what = UnreadableTransaction {
        transaction: transaction(number),
        position: Some(3),
        bytes: 40 << 20,
        bound: Some(32 << 20),
        reason: "the answer is longer than 33554432 bytes".into(),
    };
    let block = block.block;
    Placed { what, block_number: block.number, block_hash: block.hash, block_timestamp: block.timestamp }
}

async fn with(
    fixture: &Fixture,
    keep: Option<u64>,
    blocks: &[TestBlock],
    unreadable: &[(u64, usize)],
) -> Batch {
    let mut batch = fixture.batch(keep, blocks).await;
    batch.extras.unreadable = unreadable.iter().map(|(number, at)| unread(*number, &blocks[*at])).collect();
    batch
}

/// How many are counted, and how often the incidents of the kind happened, and whether they are open.
async fn told(fixture: &Fixture) -> (u64, Vec<(u64, bool)>) {
    let incidents = fixture.store.incidents(false, 100).await.unwrap();
    let of_kind = incidents.iter().filter(|incident| incident.kind == IncidentKind::UnreadableTransaction);
    let told = of_kind.map(|incident| (incident.occurrences, incident.resolved_at_ms.is_none())).collect();
    (fixture.store.counts().await.unwrap().unreadable[&CHAIN], told)
}

async fn due(fixture: &Fixture, longest: u64) -> Vec<B256> {
    fixture.store.unreadable_due(CHAIN, longest, Duration::MAX, 8).await.unwrap()
}

#[tokio::test]
async fn what_cannot_be_read_is_one_open_incident_of_its_chain_until_all_of_it_is_read() {
    let mut fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    let two = child(one.block, 1, &[]);
    let blocks = [one.clone(), two.clone()];
    fixture.store.apply(with(&fixture, None, &blocks, &[(70, 0), (71, 0), (72, 1)]).await).await.unwrap();
    assert_eq!(told(&fixture).await, (3, vec![(3, true)]));
    fixture.reopen().await;
    let three = child(two.block, 1, &[]);
    let again = with(&fixture, None, std::slice::from_ref(&three), &[(73, 0)]).await;
    fixture.store.apply(again).await.unwrap();
    assert_eq!(told(&fixture).await, (4, vec![(4, true)]));
    let known = fixture.store.unreadable(CHAIN, transaction(72)).await.unwrap().unwrap();
    assert_eq!(known, unread(72, &two));
    assert_eq!(fixture.store.unreadable(CHAIN, transaction(1)).await.unwrap(), None);

    // What a quote that was given later waits for is in none of them.
    assert!(fixture.store.is_unreadable_since(CHAIN, three.block.timestamp).await.unwrap());
    assert!(!fixture.store.is_unreadable_since(CHAIN, three.block.timestamp + 1).await.unwrap());

    // One that holds a payment and others that hold nothing.
    let cursor = fixture.cursor().await.unwrap();
    for number in [70, 71, 72, 73] {
        let mut read = with(&fixture, None, std::slice::from_ref(&three), &[]).await;
        (read.blocks, read.head, read.cursor) = (Vec::new(), None, cursor);
        if number == 70 {
            read.payments = vec![support::placed(70, one.block)];
        }
        fixture.store.apply_read(read, transaction(number)).await.unwrap();
        assert_eq!(fixture.store.unreadable(CHAIN, transaction(number)).await.unwrap(), None);
    }
    assert_eq!(fixture.rows(70).await.len(), 1);
    assert_eq!(told(&fixture).await, (0, vec![(4, false)]));
    let notices = fixture.store.due_notices(u64::MAX, 9).await.unwrap();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(notices[0].event, NoticeEvent::Opened);
    fixture.store.notice_delivered(notices[0].id, 1).await.unwrap();
    assert_eq!(fixture.store.due_notices(u64::MAX, 9).await.unwrap()[0].event, NoticeEvent::Resolved);
}

#[tokio::test]
async fn a_reorganization_takes_what_cannot_be_read_along_and_brings_it_back_with_its_block() {
    let fixture = Fixture::new().await;
    let (one, other) = (child(genesis(), 1, &[]), child(genesis(), 2, &[]));
    fixture.store.apply(with(&fixture, None, std::slice::from_ref(&one), &[(70, 0)]).await).await.unwrap();
    fixture.apply(Some(0), std::slice::from_ref(&other)).await.unwrap();
    assert_eq!(told(&fixture).await, (0, vec![(1, false)]));
    assert_eq!(fixture.store.unreadable(CHAIN, transaction(70)).await.unwrap(), None);
    assert_eq!(due(&fixture, u64::MAX).await, Vec::<B256>::new());

    // Its block is back, whether or not it is said again; and in another block, it is another row.
    fixture.apply(Some(0), std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(fixture.store.unreadable(CHAIN, transaction(70)).await.unwrap(), Some(unread(70, &one)));
    assert_eq!(told(&fixture).await.0, 1);
    let moved = with(&fixture, Some(0), std::slice::from_ref(&other), &[(70, 0)]).await;
    fixture.store.apply(moved).await.unwrap();
    assert_eq!(fixture.store.unreadable(CHAIN, transaction(70)).await.unwrap(), Some(unread(70, &other)));
    assert_eq!(told(&fixture).await.0, 1);
}

#[tokio::test]
async fn it_is_due_when_more_is_taken_than_was_and_rests_after_each_try() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let batch = with(&fixture, None, std::slice::from_ref(&one), &[(70, 0)]).await;
    fixture.store.apply(batch).await.unwrap();
    assert_eq!(due(&fixture, 32 << 20).await, Vec::<B256>::new());
    assert_eq!(due(&fixture, 33 << 20).await, [transaction(70)]);
    // Nothing was learned: it is tried again.
    fixture.store.note_unreadable(CHAIN, transaction(70), None).await.unwrap();
    assert_eq!(due(&fixture, 33 << 20).await, [transaction(70)]);
    // It is longer than that too, or the node does not give it.
    fixture.store.note_unreadable(CHAIN, transaction(70), Some((50 << 20, Some(33 << 20)))).await.unwrap();
    assert_eq!(due(&fixture, 33 << 20).await, Vec::<B256>::new());
    assert_eq!(due(&fixture, 34 << 20).await, [transaction(70)]);
    fixture.store.note_unreadable(CHAIN, transaction(70), Some((0, None))).await.unwrap();
    assert_eq!(due(&fixture, u64::MAX).await, Vec::<B256>::new());
    let known = fixture.store.unreadable(CHAIN, transaction(70)).await.unwrap().unwrap().what;
    assert_eq!((known.bytes, known.bound), (50 << 20, None));
    // After a while it is tried in any case.
    let rested = fixture.store.unreadable_due(CHAIN, 0, Duration::ZERO, 8).await.unwrap();
    assert_eq!(rested, [transaction(70)]);
}
