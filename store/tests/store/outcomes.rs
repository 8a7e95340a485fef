//! Outcomes: kept once, evicted to a tombstone.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use salt402_store::{Outcome, StoredOutcome};
use support::{Fixture, id};

fn outcome(body: &[u8]) -> Outcome {
    Outcome {
        status: 200,
        headers: vec![("content-type".into(), "application/json".into()), ("x-odd".into(), "\"é\"".into())],
        body: body.to_vec(),
    }
}

#[tokio::test]
async fn the_first_outcome_of_a_payment_stays() {
    let mut fixture = Fixture::new().await;
    assert_eq!(fixture.store.outcome(id(1)).await.unwrap(), None);
    let first = fixture.store.put_outcome(id(1), outcome(b"\x00first\xff")).await.unwrap();
    fixture.store.put_outcome(id(1), outcome(b"second")).await.unwrap();
    fixture.reopen().await;
    let kept = fixture.store.outcome(id(1)).await.unwrap();
    assert_eq!(kept, Some(StoredOutcome::Kept { outcome: outcome(b"\x00first\xff"), kept_at_ms: first }));
}

#[tokio::test]
async fn an_empty_body_is_an_outcome_and_no_tombstone() {
    let fixture = Fixture::new().await;
    let empty = Outcome { status: 204, headers: vec![], body: vec![] };
    let kept_at_ms = fixture.store.put_outcome(id(1), empty.clone()).await.unwrap();
    let kept = fixture.store.outcome(id(1)).await.unwrap();
    assert_eq!(kept, Some(StoredOutcome::Kept { outcome: empty, kept_at_ms }));
}

#[tokio::test]
async fn an_evicted_outcome_is_still_known_to_have_been_given() {
    let fixture = Fixture::new().await;
    fixture.store.put_outcome(id(1), outcome(b"body")).await.unwrap();
    assert_eq!(fixture.store.evict_outcomes(0, u64::MAX).await.unwrap(), 0);
    assert_eq!(fixture.store.evict_outcomes(u64::MAX, u64::MAX).await.unwrap(), 1);
    assert_eq!(fixture.store.outcome(id(1)).await.unwrap(), Some(StoredOutcome::Evicted));
    assert_eq!(fixture.store.evict_outcomes(u64::MAX, 0).await.unwrap(), 0);

    fixture.store.put_outcome(id(1), outcome(b"again")).await.unwrap();
    assert_eq!(fixture.store.outcome(id(1)).await.unwrap(), Some(StoredOutcome::Evicted));
}

#[tokio::test]
async fn what_was_given_and_not_kept_is_known_to_have_been_given() {
    let mut fixture = Fixture::new().await;
    fixture.store.put_outcome_unkept(id(1)).await.unwrap();
    fixture.reopen().await;
    assert_eq!(fixture.store.outcome(id(1)).await.unwrap(), Some(StoredOutcome::Evicted));
    // It takes no room, and nothing is put in its place.
    assert_eq!(fixture.store.evict_outcomes(u64::MAX, 0).await.unwrap(), 0);
    fixture.store.put_outcome(id(1), outcome(b"again")).await.unwrap();
    assert_eq!(fixture.store.outcome(id(1)).await.unwrap(), Some(StoredOutcome::Evicted));
    // What is kept stays kept.
    fixture.store.put_outcome(id(2), outcome(b"kept")).await.unwrap();
    fixture.store.put_outcome_unkept(id(2)).await.unwrap();
    fixture.store.retract_outcome_unkept(id(2)).await.unwrap();
    assert!(matches!(fixture.store.outcome(id(2)).await.unwrap(), Some(StoredOutcome::Kept { .. })));
    // What did not reach its client was not given.
    fixture.store.retract_outcome_unkept(id(1)).await.unwrap();
    assert_eq!(fixture.store.outcome(id(1)).await.unwrap(), None);
}

#[tokio::test]
async fn the_oldest_go_until_the_rest_fits() {
    let fixture = Fixture::new().await;
    for number in 0..600 {
        fixture.store.put_outcome(id(number), outcome(&[7; 1000])).await.unwrap();
        if number == 589 {
            // So that the last ten are newer by the clock too.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    // Ten bodies fit with their headers, eleven do not.
    assert_eq!(fixture.store.evict_outcomes(0, 10_900).await.unwrap(), 590);
    for number in 0..600 {
        let kept =
            matches!(fixture.store.outcome(id(number)).await.unwrap(), Some(StoredOutcome::Kept { .. }));
        assert_eq!(kept, number >= 590, "outcome {number}");
    }
    assert_eq!(fixture.store.evict_outcomes(0, 10_900).await.unwrap(), 0);
    assert_eq!(fixture.store.evict_outcomes(0, 0).await.unwrap(), 10);
}
