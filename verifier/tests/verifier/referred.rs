//! A payment that is shown with its quote id and a hash that is not its transaction's: it is found by its reference.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use std::time::Duration;

use salt402_protocol::api::{QuoteResponse, Verdict, VerifyRequest};
use salt402_protocol::quote::QuoteClock;
use salt402_protocol::{B256, Code, Payment, PaymentId, Problem, Proof};
use salt402_store::{IncidentFilter, IncidentKind};
use salt402_verifier::Policy;
use shop::{Operator, Shop, granted, now, operator, paid, proof, units};

/// A hash of nothing that is on the chain.
const MADE_UP: u8 = 0xee;

fn shown(hash: u8, request: u8, quote: &QuoteResponse) -> VerifyRequest {
    VerifyRequest { quote_id: Some(quote.quote_id.clone()), ..proof(hash, request, 5) }
}

fn transaction(verdict: Result<Verdict, Problem>) -> B256 {
    match verdict {
        Ok(Verdict::Accepted { payment, .. }) => payment.transaction,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn c20_with_a_secret_quote_the_payment_is_found_whatever_hash_is_shown_and_serves_once() {
    let mut shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    let other = shop.quote(2, 5, true);
    let asked = shown(MADE_UP, 1, &quote);
    assert_eq!(granted(shop.verifier.verify(&asked).await), Err(Code::PaymentNotSeen));
    shop.mine(&[paid(1, 1, 5, &quote), paid(2, 1, 5, &other)]).await;
    assert_eq!(granted(shop.verifier.verify(&asked).await), Ok(true));
    assert_eq!(
        granted(shop.verifier.verify(&asked).await),
        Ok(false),
        "the same request finds its claim again"
    );
    assert_eq!(granted(shop.verifier.verify(&shown(1, 1, &quote)).await), Ok(false));
    assert_eq!(
        transaction(shop.verifier.verify(&asked).await),
        B256::repeat_byte(1),
        "it is told which it was"
    );
    let elsewhere = VerifyRequest { claimant: "another".into(), ..asked.clone() };
    assert_eq!(
        granted(shop.verifier.verify(&elsewhere).await),
        Err(Code::PaymentNotSeen),
        "and to nobody else"
    );
    // What another process indexed while this one was down is found as well.
    shop.restart(&operator()).await;
    assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 2, &other)).await), Ok(true));
}

/// Everybody who asks for the same has the same derived quote.
#[tokio::test]
async fn c20_a_derived_quote_takes_nobodys_payment_without_its_hash_and_leads_nobody_to_pay_again() {
    let shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, false);
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    let stranger = shown(MADE_UP, 1, &quote);
    for _ in 0..2 {
        match shop.verifier.verify(&stranger).await.unwrap() {
            Verdict::Pending { code: Code::PaymentNotSeen, detail, .. } => {
                assert!(detail.contains("do not pay again") && detail.contains("hash"), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
    // Its receipt says that it paid nothing, which would be a new price.
    shop.reverts(MADE_UP);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(granted(shop.verifier.verify(&stranger).await), Err(Code::PaymentNotSeen));
    assert_eq!(
        granted(shop.verifier.verify(&shown(1, 1, &quote)).await),
        Ok(true),
        "who knows the hash is served"
    );
}

#[tokio::test]
async fn c20_a_hash_of_another_payment_is_two_readings_and_refused_without_details() {
    let shop = Shop::open(&operator()).await;
    let (quote, other) = (shop.quote(1, 5, true), shop.quote(2, 5, true));
    shop.mine(&[paid(1, 1, 5, &quote), paid(2, 1, 5, &other)]).await;
    assert_eq!(granted(shop.verifier.verify(&shown(2, 1, &quote)).await), Err(Code::AmbiguousPayment));
    // So is a place in its own transaction where it is not.
    let misplaced = VerifyRequest {
        proof: Proof::Transaction { hash: B256::repeat_byte(1), ordinal: Some(7) },
        ..shown(1, 1, &quote)
    };
    assert_eq!(granted(shop.verifier.verify(&misplaced).await), Err(Code::AmbiguousPayment));
    assert_eq!(granted(shop.verifier.verify(&shown(1, 1, &quote)).await), Ok(true));
    assert_eq!(granted(shop.verifier.verify(&shown(2, 2, &other)).await), Ok(true));
    // What was not paid is refused as it always was.
    let unpaid = shop.quote(3, 5, true);
    assert_eq!(granted(shop.verifier.verify(&shown(2, 3, &unpaid)).await), Err(Code::ReferenceMismatch));
}

/// The approval that went before, a transfer that was cancelled, the first try that was reverted.
#[tokio::test]
async fn c20_a_hash_that_paid_nothing_is_no_refusal_while_its_quote_was_paid_by_another() {
    let shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    shop.mine(&[]).await;
    shop.reverts(MADE_UP);
    assert_eq!(
        granted(shop.verifier.verify(&shown(MADE_UP, 1, &quote)).await),
        Err(Code::TransactionReverted)
    );
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 1, &quote)).await), Ok(true));
}

#[tokio::test]
async fn c20_who_waits_with_another_hash_is_woken_by_the_payment_of_its_quote() {
    let policy = Policy { max_wait: Duration::from_secs(3600), ..Policy::default() };
    let shop = Shop::open(&Operator { policy, ..operator() }).await;
    let quote = shop.quote(1, 5, true);
    let verifier = shop.verifier.clone();
    let asked = VerifyRequest { wait_ms: u64::MAX, ..shown(MADE_UP, 1, &quote) };
    let waiter = tokio::spawn(async move { verifier.verify(&asked).await });
    while shop.verifier.status().await.unwrap().waiting == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    let served = tokio::time::timeout(Duration::from_secs(60), waiter).await.expect("it is woken");
    assert_eq!(granted(served.unwrap()), Ok(true));
}

/// Both transactions of a payer who replaced one too late.
#[tokio::test]
async fn c20_of_two_payments_for_one_quote_one_is_used_and_the_other_is_not_lost() {
    let shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    shop.mine(&[paid(2, 1, 5, &quote)]).await;
    let used = transaction(shop.verifier.verify(&shown(MADE_UP, 1, &quote)).await);
    for _ in 0..3 {
        assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 1, &quote)).await), Ok(false));
    }
    let other = if used == B256::repeat_byte(1) { 2 } else { 1 };
    assert_eq!(granted(shop.verifier.verify(&shown(other, 1, &quote)).await), Ok(true), "by its own hash");
}

/// The reference is on the chain for everybody to pay for.
#[tokio::test]
async fn c20_dust_for_the_same_reference_neither_serves_nor_hides_the_payment() {
    let shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    let dust = |number: u8| Payment { amount: units(1), ..paid(number, 9, 5, &quote) };
    shop.mine(&(100..140).map(dust).collect::<Vec<_>>()).await;
    assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 1, &quote)).await), Err(Code::PaymentNotSeen));
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 1, &quote)).await), Ok(true));
}

/// Of so much that not all is looked at, nobody is told that it is all there is.
#[tokio::test]
async fn c20_more_dust_than_is_looked_at_leads_nobody_to_pay_again_and_the_payments_own_hash_counts() {
    let shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    let dust = |number: u8| Payment { amount: units(1), ..paid(number, 9, 5, &quote) };
    shop.mine(&(100..180).map(dust).collect::<Vec<_>>()).await;
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 1, &quote)).await), Err(Code::PaymentNotSeen));
    assert_eq!(granted(shop.verifier.verify(&shown(1, 1, &quote)).await), Ok(true));
}

#[tokio::test]
async fn c20_a_reorganization_takes_what_was_found_by_its_reference_and_gives_it_back() {
    let shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    shop.mine(&[]).await;
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    shop.replace(&[]).await;
    let asked = shown(MADE_UP, 1, &quote);
    assert_eq!(granted(shop.verifier.verify(&asked).await), Err(Code::PaymentOrphaned));
    // The payer has replaced it meanwhile; the hash shown is of the one that left.
    let again = Payment { id: PaymentId(B256::repeat_byte(8)), ..paid(8, 1, 5, &quote) };
    shop.mine(&[again]).await;
    assert_eq!(transaction(shop.verifier.verify(&shown(1, 1, &quote)).await), B256::repeat_byte(8));
    assert_eq!(granted(shop.verifier.verify(&asked).await), Ok(false));
}

#[tokio::test]
async fn c20_who_was_mined_in_time_and_shows_it_late_is_found() {
    let policy = Policy { clock: QuoteClock::living(1), clock_skew: Duration::ZERO, ..Policy::default() };
    let shop = Shop::open(&Operator { policy, ..operator() }).await;
    let (quote, unpaid) = (shop.quote(1, 5, true), shop.quote(2, 5, true));
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    while now() <= quote.expires_at.max(unpaid.expires_at) + 1 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shop.mine(&[]).await;
    assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 2, &unpaid)).await), Err(Code::QuoteExpired));
    assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 1, &quote)).await), Ok(true));
}

/// It is a replay by whatever hash it is shown.
#[tokio::test]
async fn c20_a_spent_quote_shown_for_another_request_with_a_hash_that_paid_nothing_is_a_replay() {
    let shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    shop.reverts(MADE_UP);
    assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 1, &quote)).await), Ok(true));
    assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 2, &quote)).await), Err(Code::QuoteMismatch));
    let filter = IncidentFilter { kind: Some(IncidentKind::ReplayAttempt), ..IncidentFilter::default() };
    let noted = async {
        loop {
            let incidents = shop.verifier.incidents(&filter, 10).await.unwrap().incidents;
            if let Some(incident) = incidents.first() {
                return incident.transaction;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let noted = tokio::time::timeout(Duration::from_secs(60), noted).await.expect("it is written down");
    assert_eq!(noted, B256::repeat_byte(1));
}

/// It was paid, and by whom the hash does not say.
#[tokio::test]
async fn c20_a_paid_quote_shown_for_another_request_with_a_made_up_hash_leads_nobody_to_pay_again() {
    let shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    shop.reverts(MADE_UP);
    assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 2, &quote)).await), Err(Code::QuoteNotHonoured));
    assert_eq!(granted(shop.verifier.verify(&shown(MADE_UP, 1, &quote)).await), Ok(true));
}
