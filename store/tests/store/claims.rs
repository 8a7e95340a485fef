//! Claims: one payment, one grant, whatever happens at the same time.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use std::collections::HashSet;

use salt402_protocol::B256;
use salt402_store::{ClaimResult, NewClaim, Store, StoreError};
use support::{CHAIN, Fixture, child, genesis, id, new_claim, transaction};

#[tokio::test]
async fn a_claim_is_seen_with_the_payment() {
    let mut fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1, 2])]).await.unwrap();
    assert_eq!(fixture.claim(1, 9).await, ClaimResult::First { claimed_at_ms: 1_700_000_000_009 });
    fixture.reopen().await;
    let rows = fixture.store.payments_in(CHAIN, transaction(1)).await.unwrap();
    let claim = rows[0].claim.clone().unwrap();
    assert_eq!((claim.request.0, claim.claimant.as_str()), (B256::repeat_byte(9), "gateway"));
    assert_eq!(claim.claimed_at_ms, 1_700_000_000_009);
    assert_eq!(fixture.store.payments_in(CHAIN, transaction(2)).await.unwrap()[0].claim, None);
    assert_eq!(fixture.store.counts().await.unwrap().claims, 1);
}

#[tokio::test]
async fn the_same_claimant_and_request_find_their_claim_again_and_nobody_else_does() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1])]).await.unwrap();
    fixture.claim(1, 1).await;
    let again = NewClaim { now_ms: 1_800_000_000_000, ..new_claim(1, 1) };
    let found = fixture.store.claim(again).await.unwrap();
    assert_eq!(found, ClaimResult::Again { claimed_at_ms: 1_700_000_000_001 });
    assert_eq!(fixture.claim(1, 2).await, ClaimResult::Taken);
    let other = NewClaim { claimant: "another".into(), ..new_claim(1, 1) };
    assert_eq!(fixture.store.claim(other).await.unwrap(), ClaimResult::Taken);
    assert_eq!(fixture.store.counts().await.unwrap().claims, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_claimed_by_two_hundred_at_once_is_granted_once() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1])]).await.unwrap();
    let results = rush(&[&fixture.store], 200).await;
    assert_eq!(results.iter().filter(|result| matches!(result, ClaimResult::First { .. })).count(), 1);
    assert_eq!(results.iter().filter(|result| **result == ClaimResult::Taken).count(), 199);
    assert_eq!(fixture.store.counts().await.unwrap().claims, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_database_grant_a_payment_once() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1])]).await.unwrap();
    let other = support::open(&fixture.directory).await;
    let results = rush(&[&fixture.store, &other], 200).await;
    assert_eq!(results.iter().filter(|result| matches!(result, ClaimResult::First { .. })).count(), 1);
    assert_eq!(results.iter().filter(|result| **result == ClaimResult::Taken).count(), 199);
    assert_eq!(other.counts().await.unwrap().claims, 1);
}

/// Claims payment 1 `count` times at once, each for a request of its own.
async fn rush(stores: &[&Store], count: u16) -> Vec<ClaimResult> {
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let store = stores[usize::from(number) % stores.len()].clone();
            let mut claim = new_claim(1, 0);
            claim.request.0[..2].copy_from_slice(&number.to_be_bytes());
            tokio::spawn(async move { store.claim(claim).await.unwrap() })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

#[tokio::test]
async fn the_same_claim_twice_in_one_group_is_first_once() {
    // On one thread all senders run before the writer, so that both are in its first group.
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1])]).await.unwrap();
    let (one, two) = tokio::join!(fixture.claim(1, 1), fixture.claim(1, 1));
    assert_eq!(one, ClaimResult::First { claimed_at_ms: 1_700_000_000_001 });
    assert_eq!(two, ClaimResult::Again { claimed_at_ms: 1_700_000_000_001 });
}

#[tokio::test]
async fn a_crowd_of_claims_is_answered_each_with_its_own_result() {
    let fixture = Fixture::new().await;
    let payments: Vec<u64> = (0..150).collect();
    fixture.apply(None, &[child(genesis(), 1, &payments)]).await.unwrap();
    let claims = (0..200u64).map(|payment| {
        let store = &fixture.store;
        async move { store.claim(new_claim(payment, 1)).await.unwrap() }
    });
    let mut pending: Vec<_> = claims.map(Box::pin).collect();
    let mut results = Vec::new();
    // Polled in turn, so that all of them wait together.
    std::future::poll_fn(|context| {
        pending.iter_mut().for_each(|claim| assert!(claim.as_mut().poll(context).is_pending()));
        std::task::Poll::Ready(())
    })
    .await;
    for claim in pending {
        results.push(claim.await);
    }
    for (payment, result) in results.iter().enumerate() {
        let expected = if payment < 150 {
            ClaimResult::First { claimed_at_ms: 1_700_000_000_001 }
        } else {
            ClaimResult::NotCanonical
        };
        assert_eq!(*result, expected, "payment {payment}");
    }
    assert_eq!(fixture.store.counts().await.unwrap().claims, 150);
}

#[tokio::test]
async fn a_payment_that_is_not_on_the_chain_cannot_be_claimed() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1, 2]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(fixture.claim(3, 1).await, ClaimResult::NotCanonical);
    fixture.claim(1, 1).await;
    fixture.apply(Some(0), &[child(genesis(), 2, &[])]).await.unwrap();
    assert_eq!(fixture.claim(2, 1).await, ClaimResult::NotCanonical);
    assert_eq!(fixture.claim(1, 1).await, ClaimResult::NotCanonical, "not even again by its own claimant");
    fixture.apply(Some(0), &[one]).await.unwrap();
    assert!(matches!(fixture.claim(1, 1).await, ClaimResult::Again { .. }));
    assert!(matches!(fixture.claim(2, 1).await, ClaimResult::First { .. }));
}

#[tokio::test]
async fn a_claim_names_the_payments_own_transaction_and_chain() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1, 2])]).await.unwrap();
    let elsewhere = [
        NewClaim { transaction: transaction(2), ..new_claim(1, 1) },
        NewClaim { payment: id(2), ..new_claim(1, 1) },
        NewClaim { chain: salt402_protocol::ChainId::new(1).unwrap(), ..new_claim(1, 1) },
    ];
    for claim in elsewhere {
        assert_eq!(fixture.store.claim(claim).await.unwrap(), ClaimResult::NotCanonical);
    }
}

#[tokio::test]
async fn a_payment_that_is_not_deep_enough_is_not_claimed() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    let two = child(one.block, 1, &[]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    let deep = |confirmations| NewClaim { confirmations, ..new_claim(1, 1) };
    let shallow = ClaimResult::TooShallow { confirmations: 1 };
    assert_eq!(fixture.store.claim(deep(2)).await.unwrap(), shallow);
    assert_eq!(fixture.store.claim(deep(u64::MAX)).await.unwrap(), shallow);
    fixture.apply(None, &[two]).await.unwrap();
    assert_eq!(
        fixture.store.claim(deep(3)).await.unwrap(),
        ClaimResult::TooShallow { confirmations: 2 },
        "nothing had been stored by the refusals"
    );
    assert!(matches!(fixture.store.claim(deep(2)).await.unwrap(), ClaimResult::First { .. }));
    assert!(matches!(fixture.store.claim(deep(9)).await.unwrap(), ClaimResult::Again { .. }));
}

#[tokio::test]
async fn a_command_that_fails_takes_none_of_its_group_with_it() {
    let fixture = Fixture::new().await;
    let payments: Vec<u64> = (0..64).collect();
    let one = child(genesis(), 1, &payments);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    // All are sent before the writer runs: one group. The batch fails after it has written rows of its own, and one
    // claim carries a time that no database holds.
    let bad_batch = fixture.batch(None, &[child(one.block, 1, &[100, 101, 5])]).await;
    let bad_claim = NewClaim { now_ms: u64::MAX, ..new_claim(1, 1) };
    let store = &fixture.store;
    let (two, three, applied, refused, identity) = tokio::join!(
        store.claim(new_claim(2, 1)),
        store.claim(new_claim(3, 1)),
        store.apply(bad_batch),
        store.claim(bad_claim),
        store.get_or_create_identity(),
    );
    assert!(matches!(two, Ok(ClaimResult::First { .. })), "{two:?}");
    assert!(matches!(three, Ok(ClaimResult::First { .. })), "{three:?}");
    assert!(
        matches!(applied, Err(StoreError::PaymentTwice { payment, .. }) if payment == id(5)),
        "{applied:?}"
    );
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    assert_eq!(identity.unwrap().len(), 32);
    assert_eq!(fixture.rows(100).await, []);
    assert_eq!(fixture.store.counts().await.unwrap().claims, 2);
}

#[tokio::test]
async fn what_was_answered_survives_a_crash() {
    let fixture = Fixture::new().await;
    let payments: Vec<u64> = (0..40).collect();
    fixture.apply(None, &[child(genesis(), 1, &payments)]).await.unwrap();
    for payment in 0..40 {
        fixture.claim(payment, 1).await;
    }
    // The files as a killed process leaves them: a database without its last commits, and the log.
    let after = tempfile::tempdir().unwrap();
    for name in ["salt402.db", "salt402.db-wal"] {
        std::fs::copy(fixture.directory.path().join(name), after.path().join(name)).unwrap();
    }
    let store = support::open(&after).await;
    let mut claimed = HashSet::new();
    for payment in 0..40 {
        let rows = store.payments_in(CHAIN, transaction(payment)).await.unwrap();
        assert!(rows[0].claim.is_some(), "claim of payment {payment} is lost");
        claimed.insert(rows[0].placed.payment.id);
        assert!(matches!(store.claim(new_claim(payment, 2)).await.unwrap(), ClaimResult::Taken));
    }
    assert_eq!(claimed.len(), 40);
    assert_eq!(store.counts().await.unwrap().claims, 40);
}

#[tokio::test]
async fn f26_a_claim_is_one_claim_whatever_the_clock_says() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1])]).await.unwrap();
    let at = |now_ms| NewClaim { now_ms, ..new_claim(1, 1) };
    let first = fixture.store.claim(at(1_700_000_000_000)).await.unwrap();
    assert_eq!(first, ClaimResult::First { claimed_at_ms: 1_700_000_000_000 });
    // Set back to 1970, an hour ahead, and to the end of time.
    for now_ms in [0, 1_700_003_600_000, i64::MAX as u64] {
        let again = fixture.store.claim(at(now_ms)).await.unwrap();
        assert_eq!(again, ClaimResult::Again { claimed_at_ms: 1_700_000_000_000 });
        let rival = NewClaim { now_ms, ..new_claim(1, 2) };
        assert_eq!(fixture.store.claim(rival).await.unwrap(), ClaimResult::Taken);
    }
}

#[tokio::test]
async fn f05_what_is_in_doubt_is_not_granted_on_and_is_all_there_afterwards() {
    let fixture = Fixture::new().await;
    let (one, usage) = (child(genesis(), 1, &[1]), |request| {
        let request = salt402_protocol::RequestDigest(B256::repeat_byte(request));
        Some(salt402_store::NewUse { request, most: 3, again_only: false })
    });
    let two = child(one.block, 1, &[2, 3]);
    fixture.apply(None, &[one, two.clone()]).await.unwrap();
    let another_process = support::open(&fixture.directory).await;
    let used = |request| NewClaim { usage: usage(request), ..new_claim(3, 1) };
    assert!(matches!(fixture.store.claim(used(1)).await.unwrap(), ClaimResult::First { .. }));
    assert_eq!(fixture.rows(2).await, [(true, two.block.hash, 1)]);
    assert_eq!(another_process.payments_in(CHAIN, transaction(2)).await.unwrap()[0].confirmations, 1);

    fixture.store.note_lower_fork(CHAIN, Some(1)).await.unwrap();
    let shallow = ClaimResult::TooShallow { confirmations: 0 };
    for store in [&fixture.store, &another_process] {
        // Twice, of which the second is answered from memory.
        for _ in 0..2 {
            assert_eq!(store.payments_in(CHAIN, transaction(2)).await.unwrap()[0].confirmations, 0);
            assert_eq!(store.payments_in(CHAIN, transaction(1)).await.unwrap()[0].confirmations, 2);
        }
        assert_eq!(store.claim(NewClaim { confirmations: 0, ..new_claim(2, 9) }).await.unwrap(), shallow);
        assert_eq!(store.claim(used(2)).await.unwrap(), shallow, "a further use is a grant too");
        assert!(matches!(store.claim(used(1)).await.unwrap(), ClaimResult::Again { .. }));
    }
    assert!(matches!(fixture.claim(1, 9).await, ClaimResult::First { .. }), "it is below");

    fixture.store.note_lower_fork(CHAIN, None).await.unwrap();
    assert_eq!(fixture.rows(2).await, [(true, two.block.hash, 1)]);
    assert!(matches!(another_process.claim(new_claim(2, 9)).await.unwrap(), ClaimResult::First { .. }));

    // A step ends it as well.
    fixture.store.note_lower_fork(CHAIN, Some(1)).await.unwrap();
    fixture.apply(None, &[child(two.block, 1, &[])]).await.unwrap();
    assert_eq!(fixture.store.chain_state(CHAIN).await.unwrap().unwrap().lower_fork_at, None);
    assert_eq!(fixture.rows(2).await, [(true, two.block.hash, 2)]);
    assert!(matches!(fixture.store.claim(used(2)).await.unwrap(), ClaimResult::First { .. }));
}
