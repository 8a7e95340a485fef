//! What a payer may be granted before its payments are final, and what a payment for several requests pays for.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use salt402_protocol::{Amount, B256, RequestDigest, U256};
use salt402_store::{ClaimLimits, ClaimResult, ExposureLimit, NewClaim, NewUse};
use support::{CHAIN, Fixture, TestBlock, amount, child, genesis, new_claim};

const FINAL_AT: u64 = 3;

/// A claim under a limit of so many payments' worth, all of one payer and one asset: 0, 6, 12, 18 and so on.
fn limited(payment: u64, most: U256) -> NewClaim {
    let exposure = Some(ExposureLimit { most: Amount(most), final_at: FINAL_AT });
    NewClaim { limits: ClaimLimits { exposure, ..Default::default() }, ..new_claim(payment, 1) }
}

fn used(payment: u64, request: u8, most: u32) -> NewClaim {
    let usage = Some(NewUse { request: RequestDigest(B256::repeat_byte(request)), most, again_only: false });
    NewClaim { usage, now_ms: 1000 + u64::from(request), ..new_claim(payment, 77) }
}

fn sum(payments: &[u64]) -> U256 {
    payments.iter().map(|payment| amount(*payment).0).sum()
}

fn first(result: ClaimResult) -> bool {
    matches!(result, ClaimResult::First { .. })
}

/// A chain of blocks, the first of which holds payments.
async fn chain(fixture: &Fixture, payments: &[u64], blocks: u64) -> Vec<TestBlock> {
    let mut chain = vec![child(genesis(), 1, payments)];
    for _ in 1..blocks {
        chain.push(child(chain[chain.len() - 1].block, 1, &[]));
    }
    fixture.apply(None, &chain).await.unwrap();
    chain
}

#[tokio::test]
async fn two_requests_at_once_do_not_both_slip_under_a_limit() {
    let fixture = Fixture::new().await;
    let payments = [0, 6, 12, 18, 24, 30];
    chain(&fixture, &payments, 1).await;
    let store = &fixture.store;
    // Room for the smallest three, whichever come first.
    let most = sum(&[0, 6, 12]);
    let claim = async |payment| store.claim(limited(payment, most)).await.unwrap();
    let (a, b, c, d, e, f) = tokio::join!(claim(0), claim(6), claim(12), claim(18), claim(24), claim(30));
    let results = [a, b, c, d, e, f];
    let granted: Vec<u64> = payments
        .iter()
        .zip(results)
        .filter(|(_, result)| first(*result))
        .map(|(payment, _)| *payment)
        .collect();
    assert!(!granted.is_empty() && sum(&granted) <= most, "{granted:?}");
    for (payment, result) in payments.iter().zip(results).filter(|(_, result)| !first(*result)) {
        let ClaimResult::Exposed { confirmations: 1, granted: told } = result else {
            panic!("payment {payment}: {result:?}");
        };
        assert!(told.0 + amount(*payment).0 > most, "payment {payment} would have fitted");
    }
    let exposures = store.exposures(CHAIN, FINAL_AT).await.unwrap();
    assert_eq!((exposures.len(), exposures[0].payers, exposures[0].amount.0), (1, 1, sum(&granted)));
    // Other payers and other assets have limits of their own.
    assert!(!first(claim(0).await) && !granted.contains(&30));
}

#[tokio::test]
async fn a_limit_counts_after_a_restart_and_no_longer_when_payments_are_final() {
    let mut fixture = Fixture::new().await;
    let chain = chain(&fixture, &[0, 6, 12, 18], 1).await;
    let most = sum(&[0, 6]);
    assert!(first(fixture.store.claim(limited(0, most)).await.unwrap()));
    assert!(first(fixture.store.claim(limited(6, most)).await.unwrap()));
    fixture.reopen().await;
    let exposed = fixture.store.claim(limited(12, most)).await.unwrap();
    assert_eq!(exposed, ClaimResult::Exposed { confirmations: 1, granted: Amount(most) });
    // The same request finds its grant, whatever the limit.
    assert!(matches!(fixture.store.claim(limited(0, U256::ZERO)).await.unwrap(), ClaimResult::Again { .. }));
    let two = child(chain[0].block, 1, &[24]);
    let three = child(two.block, 1, &[]);
    fixture.apply(None, &[two]).await.unwrap();
    assert!(!first(fixture.store.claim(limited(12, most)).await.unwrap()));
    fixture.apply(None, &[three]).await.unwrap();
    // Final themselves, they are no exposure, and those before are none any more.
    assert!(first(fixture.store.claim(limited(12, U256::ZERO)).await.unwrap()));
    assert!(first(fixture.store.claim(limited(24, amount(24).0)).await.unwrap()));
    assert_eq!(fixture.store.sweep_exposures(CHAIN, FINAL_AT, true).await.unwrap(), 2);
    assert_eq!(fixture.store.exposures(CHAIN, FINAL_AT).await.unwrap()[0].amount, amount(24));
}

/// What is added up in memory is what the rows say, whoever changes them: another process, a step of the follower, a sweep.
#[tokio::test]
async fn a_limit_counts_what_others_granted_moved_and_swept_meanwhile() {
    let fixture = Fixture::new().await;
    chain(&fixture, &[0, 6, 12, 18, 24, 30], 1).await;
    let other = support::open(&fixture.directory).await;
    let store = &fixture.store;
    let all = sum(&[0, 6, 12]);
    let exposed = |granted: &[u64]| ClaimResult::Exposed { confirmations: 1, granted: Amount(sum(granted)) };
    assert!(first(store.claim(limited(0, all)).await.unwrap()));
    assert!(first(other.claim(limited(6, all)).await.unwrap()));
    assert_eq!(store.claim(limited(12, sum(&[0, 12]))).await.unwrap(), exposed(&[0, 6]));
    assert!(first(store.claim(limited(12, all)).await.unwrap()));
    assert_eq!(other.claim(limited(18, all)).await.unwrap(), exposed(&[0, 6, 12]));

    // The block is replaced by one that holds two of them: the third is in no block, and weighs as an incident instead.
    let replaced = child(genesis(), 2, &[0, 6, 18, 24]);
    fixture.apply(Some(0), std::slice::from_ref(&replaced)).await.unwrap();
    for store in [store, &other] {
        assert_eq!(store.claim(limited(18, all)).await.unwrap(), exposed(&[0, 6]));
    }
    // It comes back in the next block, and stays when the others are final and swept.
    let back = child(replaced.block, 2, &[12]);
    fixture.apply(None, std::slice::from_ref(&back)).await.unwrap();
    let exposed = |granted: &[u64]| ClaimResult::Exposed { confirmations: 2, granted: Amount(sum(granted)) };
    assert_eq!(store.claim(limited(18, all)).await.unwrap(), exposed(&[0, 6, 12]));
    let above = child(back.block, 2, &[30]);
    fixture.apply(None, std::slice::from_ref(&above)).await.unwrap();
    assert_eq!(other.sweep_exposures(CHAIN, FINAL_AT, true).await.unwrap(), 2);
    for store in [store, &other] {
        let exposed = ClaimResult::Exposed { confirmations: 1, granted: amount(12) };
        assert_eq!(store.claim(limited(30, amount(30).0)).await.unwrap(), exposed);
    }
    assert!(first(store.claim(limited(30, sum(&[12, 30]))).await.unwrap()));
    other.close().await;
}

#[tokio::test]
async fn grants_from_before_a_limit_was_set_count_once_they_are_noted() {
    let fixture = Fixture::new().await;
    chain(&fixture, &[0, 6], 1).await;
    assert!(first(fixture.claim(0, 1).await));
    assert_eq!(fixture.store.note_exposures(CHAIN, FINAL_AT).await.unwrap(), 1);
    assert_eq!(fixture.store.note_exposures(CHAIN, FINAL_AT).await.unwrap(), 0);
    let exposed = fixture.store.claim(limited(6, sum(&[6]))).await.unwrap();
    assert_eq!(exposed, ClaimResult::Exposed { confirmations: 1, granted: amount(0) });
}

#[tokio::test]
async fn a_payer_with_an_open_incident_is_granted_by_depth_until_it_is_resolved() {
    let fixture = Fixture::new().await;
    let lost = child(genesis(), 1, &[0]);
    fixture.apply(None, std::slice::from_ref(&lost)).await.unwrap();
    assert!(first(fixture.claim(0, 1).await));
    let after_loss = |payment, depth| NewClaim {
        limits: ClaimLimits { after_loss: depth, exposure: None },
        ..new_claim(payment, 1)
    };
    let replaced = child(genesis(), 2, &[3, 1]);
    fixture.apply(Some(0), std::slice::from_ref(&replaced)).await.unwrap();
    let refused = ClaimResult::AfterLoss { confirmations: 1 };
    assert_eq!(fixture.store.claim(after_loss(3, 2)).await.unwrap(), refused);
    assert_eq!(fixture.store.claim(after_loss(3, u64::MAX)).await.unwrap(), refused);
    assert!(first(fixture.store.claim(after_loss(1, u64::MAX)).await.unwrap()), "another payer's");
    let two = child(replaced.block, 2, &[6]);
    fixture.apply(None, &[two]).await.unwrap();
    assert!(first(fixture.store.claim(after_loss(3, 2)).await.unwrap()), "deep enough");
    assert_eq!(fixture.store.claim(after_loss(6, 2)).await.unwrap(), refused);
    let incident = fixture.store.incidents(true, 1).await.unwrap()[0].clone();
    assert!(fixture.store.settle_incident(incident.id, "paid again".into()).await.unwrap());
    assert!(first(fixture.store.claim(after_loss(6, u64::MAX)).await.unwrap()));
    let settled = fixture.store.incidents(false, 1).await.unwrap()[0].clone();
    assert_eq!(settled.settled.as_deref(), Some("paid again"));
    assert!(settled.resolved_at_ms.is_some());
}

#[tokio::test]
async fn a_payment_for_several_requests_serves_each_once_and_no_more_of_them() {
    let mut fixture = Fixture::new().await;
    chain(&fixture, &[1], 1).await;
    let store = &fixture.store;
    let claim = async |request| store.claim(used(1, request, 3)).await.unwrap();
    let (a, b, c, d, again) = tokio::join!(claim(1), claim(2), claim(3), claim(4), claim(1));
    let firsts = [a, b, c, d].into_iter().filter(|result| first(*result)).count();
    assert_eq!((firsts, a), (3, ClaimResult::First { claimed_at_ms: 1001 }));
    assert_eq!(d, ClaimResult::UsedUp { uses: 3 });
    assert_eq!(again, ClaimResult::Again { claimed_at_ms: 1001 });
    fixture.reopen().await;
    // What was sold counts, whatever is asked later.
    assert_eq!(fixture.store.claim(used(1, 5, 100)).await.unwrap(), ClaimResult::UsedUp { uses: 3 });
    assert_eq!(fixture.store.claim(used(1, 2, 1)).await.unwrap(), ClaimResult::Again { claimed_at_ms: 1002 });
    let other = NewClaim { claimant: "another".into(), ..used(1, 1, 3) };
    assert_eq!(fixture.store.claim(other).await.unwrap(), ClaimResult::Taken);
    assert_eq!(fixture.store.counts().await.unwrap().claims, 1);
}

#[tokio::test]
async fn a_payment_that_left_the_chain_serves_no_further_request() {
    let fixture = Fixture::new().await;
    let one = chain(&fixture, &[1], 1).await;
    assert!(first(fixture.store.claim(used(1, 1, 3)).await.unwrap()));
    fixture.apply(Some(0), &[child(genesis(), 2, &[])]).await.unwrap();
    assert_eq!(fixture.store.claim(used(1, 2, 3)).await.unwrap(), ClaimResult::NotCanonical);
    fixture.apply(Some(0), &one).await.unwrap();
    assert!(first(fixture.store.claim(used(1, 2, 3)).await.unwrap()));
}

#[tokio::test]
async fn what_was_final_and_is_mined_again_counts_against_a_limit() {
    let fixture = Fixture::new().await;
    chain(&fixture, &[0], FINAL_AT).await;
    fixture.store.note_exposures(CHAIN, FINAL_AT).await.unwrap();
    let most = sum(&[0]);
    assert!(first(fixture.store.claim(limited(0, U256::ZERO)).await.unwrap()), "it is final");
    let again = child(genesis(), 77, &[0, 6]);
    fixture.apply(Some(0), &[again]).await.unwrap();
    let exposed = fixture.store.claim(limited(6, most)).await.unwrap();
    assert_eq!(exposed, ClaimResult::Exposed { confirmations: 1, granted: amount(0) });
}

#[tokio::test]
async fn what_was_final_counts_against_a_limit_when_the_chain_became_shorter() {
    let fixture = Fixture::new().await;
    let blocks = chain(&fixture, &[0], FINAL_AT + 1).await;
    fixture.store.note_exposures(CHAIN, FINAL_AT).await.unwrap();
    assert!(first(fixture.store.claim(limited(0, U256::ZERO)).await.unwrap()), "it is final");
    fixture.apply(Some(1), &[child(blocks[0].block, 77, &[6])]).await.unwrap();
    let exposed = fixture.store.claim(limited(6, sum(&[6]))).await.unwrap();
    assert_eq!(exposed, ClaimResult::Exposed { confirmations: 1, granted: amount(0) });
}

/// What a claim under a limit costs beside so many open grants of its payer: `cargo test -p salt402-store --test policy --
/// --ignored --nocapture`.
#[tokio::test]
#[ignore = "prints a measurement"]
async fn a_claim_costs_the_same_however_much_of_its_payer_is_open() {
    const CLAIMS: u64 = 200;
    for open in [0, 100, 1000, 5000] {
        let fixture = Fixture::new().await;
        let payments: Vec<u64> = (0..open + 2 * CLAIMS).map(|number| number * 6).collect();
        let mut tip = chain(&fixture, &payments, 1).await[0].block;
        for number in &payments[..usize::try_from(open).unwrap()] {
            assert!(first(fixture.claim(*number, 1).await));
        }
        assert_eq!(fixture.store.note_exposures(CHAIN, FINAL_AT).await.unwrap(), open);
        let mut rest = payments[usize::try_from(open).unwrap()..].iter();
        for (what, step) in [("alone", false), ("after a block each", true)] {
            let begun = std::time::Instant::now();
            for number in rest.by_ref().take(usize::try_from(CLAIMS).unwrap()) {
                let mut claim = limited(*number, U256::MAX);
                claim.limits.exposure = Some(ExposureLimit { most: Amount(U256::MAX), final_at: 1_000_000 });
                assert!(first(fixture.store.claim(claim).await.unwrap()));
                if step {
                    let next = child(tip, 1, &[]);
                    fixture.apply(None, std::slice::from_ref(&next)).await.unwrap();
                    tip = next.block;
                }
            }
            println!(
                "{open} open, claims {what}: {} µs each",
                begun.elapsed().as_micros() / u128::from(CLAIMS)
            );
        }
    }
}

#[tokio::test]
async fn who_waits_less_for_finality_forgets_nothing_that_counts_for_another() {
    let fixture = Fixture::new().await;
    chain(&fixture, &[0], FINAL_AT).await;
    assert!(first(fixture.claim(0, 1).await));
    let longer = FINAL_AT + 1;
    assert_eq!(fixture.store.note_exposures(CHAIN, longer).await.unwrap(), 1);
    assert_eq!(fixture.store.sweep_exposures(CHAIN, FINAL_AT, true).await.unwrap(), 0);
    assert_eq!(fixture.store.exposures(CHAIN, longer).await.unwrap()[0].amount, amount(0));
    assert_eq!(fixture.store.exposures(CHAIN, FINAL_AT).await.unwrap(), []);
}

#[tokio::test]
async fn a_payment_that_moved_to_a_newer_block_serves_no_further_request_before_it_is_deep_again() {
    let fixture = Fixture::new().await;
    chain(&fixture, &[1, 4], 3).await;
    let deep = |request| NewClaim { confirmations: 3, ..used(1, request, 5) };
    assert!(first(fixture.store.claim(deep(1)).await.unwrap()));
    assert!(first(fixture.claim(4, 1).await));
    let moved = child(genesis(), 2, &[1]);
    fixture.apply(Some(0), std::slice::from_ref(&moved)).await.unwrap();
    assert_eq!(fixture.store.claim(deep(2)).await.unwrap(), ClaimResult::TooShallow { confirmations: 1 });
    assert!(matches!(fixture.store.claim(deep(1)).await.unwrap(), ClaimResult::Again { .. }));
    // Deep again; but another payment of the same payer was granted on and lost.
    let two = child(moved.block, 2, &[]);
    fixture.apply(None, &[two.clone(), child(two.block, 2, &[])]).await.unwrap();
    let limits = ClaimLimits { after_loss: 4, ..Default::default() };
    let held = fixture.store.claim(NewClaim { limits, ..deep(2) }).await.unwrap();
    assert_eq!(held, ClaimResult::AfterLoss { confirmations: 3 });
    assert!(first(fixture.store.claim(deep(2)).await.unwrap()));
}

#[tokio::test]
async fn where_only_uses_are_given_again_none_is_made() {
    let fixture = Fixture::new().await;
    chain(&fixture, &[1], 1).await;
    let again = |request| {
        let mut claim = used(1, request, 3);
        claim.usage = claim.usage.map(|usage| NewUse { again_only: true, ..usage });
        claim
    };
    assert!(first(fixture.store.claim(used(1, 1, 3)).await.unwrap()));
    assert_eq!(fixture.store.claim(again(2)).await.unwrap(), ClaimResult::NotAgain);
    assert!(first(fixture.store.claim(used(1, 2, 3)).await.unwrap()));
    assert!(matches!(fixture.store.claim(again(2)).await.unwrap(), ClaimResult::Again { .. }));
}

/// A limit is noted when the process starts, and a new database knows no chain then.
#[tokio::test]
async fn a_limit_that_was_set_before_the_chain_was_known_counts_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let store = support::open(&directory).await;
    store.note_exposures(CHAIN, FINAL_AT).await.unwrap();
    store.pin_chain(CHAIN, genesis().hash).await.unwrap();
    store.sweep_exposures(CHAIN, FINAL_AT, true).await.unwrap();
    let fixture = Fixture { directory, store };
    chain(&fixture, &[0], FINAL_AT).await;
    assert!(first(fixture.store.claim(limited(0, U256::ZERO)).await.unwrap()), "it is final");
    fixture.apply(Some(0), &[child(genesis(), 77, &[0, 6])]).await.unwrap();
    let exposed = fixture.store.claim(limited(6, sum(&[0]))).await.unwrap();
    assert_eq!(exposed, ClaimResult::Exposed { confirmations: 1, granted: amount(0) });
}
