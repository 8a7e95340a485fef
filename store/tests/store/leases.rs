//! Names of claimants, which one instance holds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use crate::support;

use salt402_protocol::{B128, B256, RequestDigest};
use salt402_store::{ClaimResult, Holder, Lease, NewClaim, NewUse, Options, Store};
use support::{Fixture, child, genesis, new_claim};

const ONE: B128 = B128::repeat_byte(1);
const COPY: B128 = B128::repeat_byte(2);

fn by(instance: Option<B128>, claim: NewClaim) -> NewClaim {
    NewClaim { holder: Holder { instance, lapsed: None }, ..claim }
}

async fn paid() -> (Fixture, String) {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1, 2, 3])]).await.unwrap();
    (fixture, new_claim(1, 1).claimant)
}

#[tokio::test]
async fn c12_of_two_instances_with_one_name_the_one_that_holds_it_claims_and_finds_its_claims() {
    let (fixture, name) = paid().await;
    let claim = async |instance, claim| fixture.store.claim(by(instance, claim)).await.unwrap();
    // While nobody holds the name, whoever uses it may, as callers do that tell no instance.
    assert!(matches!(claim(None, new_claim(3, 1)).await, ClaimResult::First { .. }));
    assert_eq!(fixture.store.hold(name.clone(), ONE, None).await.unwrap(), None);
    assert_eq!(fixture.store.hold(name.clone(), ONE, None).await.unwrap(), None);
    let held = Lease { instance: ONE, renewals: 2 };
    assert_eq!(fixture.store.hold(name.clone(), COPY, None).await.unwrap(), Some(held));
    let used = |request| NewClaim {
        usage: Some(NewUse {
            request: RequestDigest(B256::repeat_byte(request)),
            most: 2,
            again_only: false,
        }),
        ..new_claim(2, 1)
    };
    assert!(matches!(claim(Some(ONE), used(1)).await, ClaimResult::First { .. }));
    for other in [Some(COPY), None] {
        // A new one, one that is found again, a further use, and one that is found again.
        for wanted in [new_claim(1, 1), new_claim(3, 1), used(2), used(1)] {
            assert_eq!(claim(other, wanted).await, ClaimResult::HeldElsewhere(held));
        }
    }
    assert!(matches!(claim(Some(ONE), new_claim(1, 1)).await, ClaimResult::First { .. }));
    assert!(matches!(claim(Some(ONE), new_claim(1, 1)).await, ClaimResult::Again { .. }));
    assert!(matches!(claim(Some(ONE), new_claim(3, 1)).await, ClaimResult::Again { .. }));
    // What is another's is another's, whoever asks; and other names are held by nobody.
    assert_eq!(claim(Some(COPY), new_claim(1, 2)).await, ClaimResult::Taken);
    let stranger = NewClaim { claimant: "another".into(), ..new_claim(1, 1) };
    assert_eq!(claim(None, stranger).await, ClaimResult::Taken);
    assert_eq!(fixture.store.counts().await.unwrap().claims, 3);
}

#[tokio::test]
async fn c12_a_hold_that_stood_still_is_taken_over_and_whoever_comes_back_is_shut_out() {
    let (fixture, name) = paid().await;
    let store = &fixture.store;
    assert_eq!(store.hold(name.clone(), ONE, None).await.unwrap(), None);
    let seen = store.hold(name.clone(), COPY, None).await.unwrap();
    // It is renewed before it is taken over: what was seen is no more.
    assert_eq!(store.hold(name.clone(), ONE, None).await.unwrap(), None);
    let renewed = store.hold(name.clone(), COPY, seen).await.unwrap();
    assert_eq!(renewed, Some(Lease { instance: ONE, renewals: 2 }));
    let outdated = NewClaim { holder: Holder { instance: Some(COPY), lapsed: seen }, ..new_claim(1, 1) };
    assert!(matches!(store.claim(outdated).await.unwrap(), ClaimResult::HeldElsewhere(_)));
    // Of callers that tell no instance, too, a dead hold is in nobody's way.
    let old = NewClaim { holder: Holder { instance: None, lapsed: renewed }, ..new_claim(2, 1) };
    assert!(matches!(store.claim(old).await.unwrap(), ClaimResult::First { .. }));
    assert_eq!(store.hold(name.clone(), COPY, renewed).await.unwrap(), None);
    assert!(matches!(
        store.claim(by(Some(ONE), new_claim(1, 1))).await.unwrap(),
        ClaimResult::HeldElsewhere(_)
    ));
    assert!(matches!(store.claim(by(Some(COPY), new_claim(1, 1))).await.unwrap(), ClaimResult::First { .. }));
    assert!(store.hold(name, ONE, None).await.unwrap().is_some());
}

#[tokio::test]
async fn c12_a_process_in_the_same_folder_is_the_same_instance_and_one_in_a_copy_is_another() {
    let mut fixture = Fixture::new().await;
    let (instance, identity) =
        (fixture.store.instance(), fixture.store.get_or_create_identity().await.unwrap());
    fixture.reopen().await;
    assert_eq!(fixture.store.instance(), instance);
    fixture.store.clone().close().await;
    let copy = fixture.directory.path().join("copy.db");
    std::fs::copy(fixture.directory.path().join("salt402.db"), &copy).unwrap();
    let copy = Store::open(Options::new(copy)).await.unwrap();
    assert_eq!(copy.get_or_create_identity().await.unwrap(), identity);
    assert_ne!(copy.instance(), instance);
}
