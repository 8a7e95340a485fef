//! Requests that wait for a payment take seats, of which there are as many as the operator allows.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use std::time::Duration;

use salt402_protocol::api::{QuoteResponse, Verdict, VerifyRequest};
use salt402_protocol::{B256, Code, Payment, PaymentId};
use salt402_verifier::Policy;
use shop::{Operator, Shop, granted, operator, paid, proof};

/// Longer than any test runs: whoever is answered did not wait for this to end.
const LONG: Duration = Duration::from_secs(3600);

fn seats(max_waiting: usize) -> Operator {
    let policy = Policy { max_waiting, max_wait: LONG, ..Policy::default() };
    Operator { policy, ..operator() }
}

/// A proof of a transaction for the request of the same number, by somebody who waits as long as it takes.
fn patient(number: u8) -> VerifyRequest {
    VerifyRequest { wait_ms: u64::MAX, ..proof(number, number, 5) }
}

async fn waiting(shop: &Shop) -> u64 {
    shop.verifier.status().await.unwrap().waiting
}

async fn until_waiting(shop: &Shop, wished: u64) {
    let asked = async {
        while waiting(shop).await != wished {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asked).await.expect("they wait");
}

#[tokio::test]
async fn one_too_many_is_answered_at_once_and_those_who_wait_are_served() {
    let shop = Shop::open(&seats(2)).await;
    let payments: Vec<_> =
        (1..=3).map(|number| paid(number, number, 5, &shop.quote(number, 5, false))).collect();
    let waiters: Vec<_> = (1..=2)
        .map(|number| {
            let verifier = shop.verifier.clone();
            tokio::spawn(async move { verifier.verify(&patient(number)).await })
        })
        .collect();
    until_waiting(&shop, 2).await;

    let asked = patient(3);
    let third = tokio::time::timeout(Duration::from_secs(60), shop.verifier.verify(&asked));
    match third.await.expect("it does not wait").unwrap() {
        Verdict::Pending { code, retry_after_ms, .. } => {
            assert_eq!(code, Code::PaymentNotSeen);
            assert!(retry_after_ms > 0, "it is told when to ask again");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(waiting(&shop).await, 2, "it took nobody's seat");

    shop.mine(&payments).await;
    for waiter in waiters {
        let served = tokio::time::timeout(Duration::from_secs(60), waiter).await.expect("it is woken");
        assert_eq!(granted(served.unwrap()), Ok(true));
    }
    assert_eq!(waiting(&shop).await, 0, "the seats are free again");
    // What was turned away has lost nothing.
    assert_eq!(granted(shop.verifier.verify(&patient(3)).await), Ok(true));
}

#[tokio::test]
async fn a_seat_is_free_again_when_its_request_is_dropped() {
    let shop = Shop::open(&seats(1)).await;
    let verifier = shop.verifier.clone();
    let gone = tokio::spawn(async move { verifier.verify(&patient(1)).await });
    until_waiting(&shop, 1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(waiting(&shop).await, 0);

    let payment = paid(2, 2, 5, &shop.quote(2, 5, false));
    let verifier = shop.verifier.clone();
    let waiter = tokio::spawn(async move { verifier.verify(&patient(2)).await });
    until_waiting(&shop, 1).await;
    shop.mine(&[payment]).await;
    let served = tokio::time::timeout(Duration::from_secs(60), waiter).await.expect("it is woken");
    assert_eq!(granted(served.unwrap()), Ok(true));
}

#[tokio::test]
async fn without_seats_nobody_waits_and_what_is_there_is_granted() {
    let shop = Shop::open(&seats(0)).await;
    let payment = paid(1, 1, 5, &shop.quote(1, 5, false));
    let asked = patient(1);
    let answered = tokio::time::timeout(Duration::from_secs(60), shop.verifier.verify(&asked));
    assert_eq!(granted(answered.await.expect("it does not wait")), Err(Code::PaymentNotSeen));
    shop.mine(&[payment]).await;
    assert_eq!(granted(shop.verifier.verify(&patient(1)).await), Ok(true));
}

/// Those who wait for payments of one transaction: each is served by its own, whoever looks first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_wait_for_payments_of_one_transaction_are_each_served_by_their_own() {
    const MANY: u8 = 200;
    let shop = Shop::open(&seats(usize::from(MANY))).await;
    let quotes: Vec<_> = (0..MANY).map(|number| shop.quote(number, 5, number % 2 == 0)).collect();
    let in_one = |(number, quote): (u8, &QuoteResponse)| Payment {
        id: PaymentId(B256::repeat_byte(number)),
        ..paid(MANY, number, 5, quote)
    };
    let payments: Vec<_> = (0..MANY).zip(&quotes).map(in_one).collect();
    let placed: Vec<_> = (0..).zip(payments.iter().cloned()).collect();
    let waiters: Vec<_> = (0..MANY)
        .zip(&quotes)
        .map(|(number, quote)| {
            let asked = VerifyRequest {
                quote_id: Some(quote.quote_id.clone()),
                wait_ms: u64::MAX,
                ..proof(MANY, number, 5)
            };
            let verifier = shop.verifier.clone();
            tokio::spawn(async move { verifier.verify(&asked).await })
        })
        .collect();
    until_waiting(&shop, u64::from(MANY)).await;
    shop.mine(&[]).await;
    shop.replace_at(&placed).await;
    for (payment, waiter) in payments.iter().zip(waiters) {
        let served = tokio::time::timeout(Duration::from_secs(60), waiter).await.expect("it is woken");
        match served.unwrap().unwrap() {
            Verdict::Accepted { payment: granted, claim: Some(claim) } => {
                assert_eq!((granted.payment_id, claim.first), (payment.id, true));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waiting(&shop).await, 0);
}

/// Thousands may wait at once, and each of them holds what this is. Whatever is needed only while the index is read is in a box.
#[tokio::test]
async fn a_request_that_waits_holds_little_memory() {
    let shop = Shop::open(&operator()).await;
    let request = proof(1, 1, 5);
    let size = std::mem::size_of_val(&shop.verifier.verify(&request));
    assert!(size <= 2048, "{size} bytes");
}
