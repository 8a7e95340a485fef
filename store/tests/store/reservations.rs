//! Signed payments that are kept for one request before they are settled.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use salt402_protocol::{Address, Amount, B256, PaymentId, U256};
use salt402_store::{
    Captured, GasBudgets, KeptFor, NewCapture, NewReservation, NewSettlement, Reserved, SettlementClaim,
    SettlementOutcome,
};

use crate::support::{CHAIN, Fixture};

const TOKEN: Address = Address::repeat_byte(0x70);
const PAYER: Address = Address::repeat_byte(0xaa);

fn id(payment: u8) -> PaymentId {
    PaymentId(B256::repeat_byte(payment))
}

/// The payment of a number for the request of a number, to be kept.
fn new(payment: u8, request: u8) -> NewReservation {
    NewReservation {
        payment: id(payment),
        chain: CHAIN,
        claimant: "shop".to_owned(),
        request: B256::repeat_byte(request),
        payer: PAYER,
        token: TOKEN,
        amount: Amount(U256::from(7_u64)),
        payload: Some(vec![payment]),
        since_ms: 0,
        answers_are_kept: true,
        now_ms: 1_000 + u64::from(payment),
    }
}

async fn reserve(fixture: &Fixture, new: NewReservation) -> Reserved {
    fixture.store.reserve(new).await.unwrap()
}

/// The payment that a request is served for.
fn kept(reserved: Reserved) -> (PaymentId, bool) {
    match reserved {
        Reserved::Kept(kept) => (kept.payment, false),
        Reserved::Earlier(kept) => (kept.payment, true),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_signature_is_kept_for_the_request_that_it_came_with_first() {
    let fixture = Fixture::new().await;
    let look = NewReservation { payload: None, ..new(1, 1) };
    assert_eq!(reserve(&fixture, look.clone()).await, Reserved::Unknown, "a look writes nothing");
    assert_eq!(kept(reserve(&fixture, new(1, 1)).await), (id(1), false));
    assert_eq!(kept(reserve(&fixture, look).await), (id(1), false));
    assert_eq!(reserve(&fixture, new(1, 2)).await, Reserved::Taken);
    let other = NewReservation { claimant: "other".to_owned(), ..new(1, 1) };
    assert_eq!(reserve(&fixture, other).await, Reserved::Taken);
    // What came with the first counts, whatever comes later.
    let later = NewReservation { payload: Some(vec![9]), amount: Amount(U256::from(1_u64)), ..new(1, 1) };
    let Reserved::Kept(kept) = reserve(&fixture, later).await else { panic!() };
    assert_eq!((kept.payload, kept.settled), (vec![1], false));
}

#[tokio::test]
async fn another_signature_of_the_same_payer_for_the_same_request_stands_behind_the_first() {
    let fixture = Fixture::new().await;
    assert_eq!(kept(reserve(&fixture, new(1, 1)).await), (id(1), false));
    assert_eq!(kept(reserve(&fixture, new(2, 1)).await), (id(1), true));
    // Of another payer, another request, or another time it is its own.
    let payer = NewReservation { payer: TOKEN, ..new(3, 1) };
    assert_eq!(kept(reserve(&fixture, payer).await), (id(3), false));
    assert_eq!(kept(reserve(&fixture, new(4, 2)).await), (id(4), false));
    let later = NewReservation { since_ms: 2_000, ..new(5, 1) };
    assert_eq!(kept(reserve(&fixture, later).await), (id(5), false));
    // One that moved no money stands in for nothing, and may be tried again.
    assert!(fixture.store.conclude_reservation(id(4), "shop".to_owned(), false).await.unwrap());
    let look = NewReservation { payload: None, ..new(4, 2) };
    assert!(matches!(reserve(&fixture, look).await, Reserved::Released(kept) if kept.payload == [4]));
    assert_eq!(kept(reserve(&fixture, new(6, 2)).await), (id(6), false));
    assert_eq!(kept(reserve(&fixture, new(4, 2)).await), (id(4), false));
}

/// A ceiling of which nothing is charged pays for nothing, so that its payer can sign another.
#[tokio::test]
async fn one_of_which_nothing_was_charged_stands_in_for_none() {
    let fixture = Fixture::new().await;
    let capture = |payment, units: u64| {
        let capture = NewCapture {
            payment: id(payment),
            claimant: "shop".to_owned(),
            amount: Amount(U256::from(units)),
        };
        fixture.store.capture(capture)
    };
    for (payment, units, stands_in) in [(1, 0, false), (2, 3, true)] {
        assert_eq!(kept(reserve(&fixture, new(payment, payment)).await), (id(payment), false));
        assert_eq!(kept(reserve(&fixture, new(10 + payment, payment)).await), (id(payment), true), "not yet");
        let done = Captured::Done { amount: Amount(U256::from(units)), settled: false };
        assert_eq!(capture(payment, units).await.unwrap(), done);
        let (first, other) = (id(payment), id(10 + payment));
        let expected = if stands_in { (first, true) } else { (other, false) };
        assert_eq!(kept(reserve(&fixture, new(10 + payment, payment)).await), expected, "{units} charged");
        // The first stays what it is. What the chain shows under its name is no payment for it.
        assert_eq!(kept(reserve(&fixture, new(payment, payment)).await), (first, false));
        assert!(fixture.store.conclude_reservation(first, "shop".to_owned(), true).await.unwrap());
        let terms = fixture.store.settled_reservation(first).await.unwrap();
        assert_eq!(terms.map(|terms| terms.amount), stands_in.then_some(Amount(U256::from(units))));
    }
}

#[tokio::test]
async fn only_what_was_settled_here_is_granted_on_and_it_stays_settled() {
    let fixture = Fixture::new().await;
    reserve(&fixture, new(1, 1)).await;
    assert_eq!(fixture.store.settled_reservation(id(1)).await.unwrap(), None);
    assert!(!fixture.store.conclude_reservation(id(1), "other".to_owned(), true).await.unwrap());
    assert!(fixture.store.conclude_reservation(id(1), "shop".to_owned(), true).await.unwrap());
    assert!(fixture.store.conclude_reservation(id(1), "shop".to_owned(), false).await.unwrap());
    let terms = fixture.store.settled_reservation(id(1)).await.unwrap().unwrap();
    assert_eq!((terms.claimant.as_str(), terms.request, terms.token), ("shop", B256::repeat_byte(1), TOKEN));
    assert_eq!(terms.amount, Amount(U256::from(7_u64)));
    // It is forgotten with time.
    assert!(!fixture.store.prune_reservations(1_001).await.unwrap());
    assert!(fixture.store.settled_reservation(id(1)).await.unwrap().is_some());
    assert!(!fixture.store.prune_reservations(1_002).await.unwrap());
    assert_eq!(fixture.store.settled_reservation(id(1)).await.unwrap(), None);
}

/// What moved no money was cheap once. Another amount that is signed in its place, with the same nonce, was judged by the price of now.
#[tokio::test]
async fn what_moved_no_money_is_kept_again_over_the_amount_that_is_shown_now() {
    let fixture = Fixture::new().await;
    reserve(&fixture, new(1, 1)).await;
    assert!(fixture.store.conclude_reservation(id(1), "shop".to_owned(), false).await.unwrap());
    let dearer = NewReservation { payload: Some(vec![9]), amount: Amount(U256::from(9_u64)), ..new(1, 1) };
    let Reserved::Kept(now) = reserve(&fixture, dearer).await else { panic!() };
    assert_eq!((now.payload, now.settled), (vec![9], false));
    // Neither is the cheap one settled now, nor is it granted on for less.
    let Reserved::Kept(kept) = reserve(&fixture, new(1, 1)).await else { panic!() };
    assert_eq!(kept.payload, [9]);
    assert!(fixture.store.conclude_reservation(id(1), "shop".to_owned(), true).await.unwrap());
    let terms = fixture.store.settled_reservation(id(1)).await.unwrap().unwrap();
    assert_eq!(terms.amount, Amount(U256::from(9_u64)));
}

#[tokio::test]
async fn what_is_settled_for_somebody_else_is_taken() {
    let fixture = Fixture::new().await;
    let order = NewSettlement {
        chain: CHAIN,
        payment: id(1),
        token: TOKEN,
        payer: PAYER,
        payee: Address::repeat_byte(0xbb),
        amount: Amount(U256::from(7_u64)),
        charge: Amount(U256::from(7_u64)),
        method: "eip3009".to_owned(),
        payload: vec![1],
        sender: None,
        caller: None,
        since_block: 3,
        gas: 100,
    };
    let claim = async |order: NewSettlement, key: Option<String>| {
        fixture.store.claim_settlement(order, GasBudgets::default(), key).await.unwrap()
    };
    let SettlementClaim::New(row) = claim(order.clone(), None).await else { panic!() };
    assert_eq!(reserve(&fixture, new(1, 1)).await, Reserved::Taken);
    // What failed moved no money.
    let failed = SettlementOutcome::Failed {
        reason: "reason".to_owned(),
        detail: "detail".to_owned(),
        again: true,
        cost: salt402_store::GasCost::default(),
    };
    fixture.store.conclude_settlement(CHAIN, row.number, failed).await.unwrap();
    assert_eq!(kept(reserve(&fixture, new(1, 1)).await), (id(1), false));

    // From then on it is settled for the request that it is kept for, and for no other. Whoever reads it in the mempool has no key.
    let key = |claimant: &str, request: u8| id(1).settlement_key(claimant, B256::repeat_byte(request));
    let own = key("shop", 1);
    for other in [None, Some(key("shop", 2)), Some(key("other", 1)), Some("key".to_owned())] {
        let kept = fixture.store.kept_for(CHAIN, id(1), other.as_deref()).await.unwrap();
        assert_eq!(kept, KeptFor::Another, "{other:?}");
        assert_eq!(claim(order.clone(), other).await, SettlementClaim::OfAnother);
    }
    assert_eq!(fixture.store.kept_for(CHAIN, id(1), Some(&own)).await.unwrap(), KeptFor::Key);
    assert_eq!(fixture.store.kept_for(CHAIN, id(2), None).await.unwrap(), KeptFor::Nobody);
    assert!(matches!(claim(order.clone(), Some(own.clone())).await, SettlementClaim::New(_)));
    assert_eq!(claim(order.clone(), None).await, SettlementClaim::OfAnother);
    assert!(matches!(claim(order.clone(), Some(own)).await, SettlementClaim::Known(_)));
    // What moved no money is kept for nobody.
    fixture.store.conclude_reservation(id(1), "shop".to_owned(), false).await.unwrap();
    assert_eq!(fixture.store.kept_for(CHAIN, id(1), None).await.unwrap(), KeptFor::Nobody);
    assert!(matches!(claim(order, None).await, SettlementClaim::Known(_)));
}
