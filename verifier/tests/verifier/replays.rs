//! A used proof that is shown again is an incident, whichever way it is refused.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use std::time::Duration;

use salt402_protocol::api::VerifyRequest;
use salt402_protocol::{Code, Proof, SignedNonce};
use salt402_store::{IncidentFilter, IncidentKind};
use salt402_verifier::ChainPolicy;
use shop::{CHAIN, CONTRACT, Operator, Shop, granted, key, operator, paid, proof};

/// How often replays were noted of the shop's one payment, once there are `wished`.
async fn noted(shop: &Shop, wished: u64) -> u64 {
    let filter = IncidentFilter { kind: Some(IncidentKind::ReplayAttempt), ..IncidentFilter::default() };
    let asked = async {
        loop {
            let found = shop.verifier.incidents(&filter, 10).await.unwrap().incidents;
            let count = found.iter().map(|incident| incident.occurrences).sum();
            if count >= wished {
                return count;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("replays are noted")
}

#[tokio::test]
async fn c24_a_spent_proof_for_another_request_is_an_incident_by_whichever_way_it_is_refused() {
    let operator = operator();
    let shop = Shop::open(&operator).await;
    let quote = shop.quote(1, 5, false);
    let own = shop.quote(2, 5, false).quote_id;
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    let other = proof(1, 2, 5);
    let forged = key(9).seal(&operator.keys.open(&quote.quote_id).unwrap());
    let ordinal = Some(0);
    let place = Proof::Transaction { hash: other.proof.hash().unwrap(), ordinal };
    let with = |quote_id: &_| VerifyRequest { quote_id: Some(Clone::clone(quote_id)), ..other.clone() };
    let ways = [
        (other.clone(), Code::ReferenceMismatch),
        (VerifyRequest { proof: place, ..other.clone() }, Code::ReferenceMismatch),
        (proof(1, 2, 50), Code::InsufficientPayment),
        (with(&quote.quote_id), Code::QuoteMismatch),
        (with(&own), Code::ReferenceMismatch),
        (with(&forged), Code::QuoteForged),
        (VerifyRequest { claim: false, ..other.clone() }, Code::ReferenceMismatch),
        (VerifyRequest { claimant: "another".into(), ..proof(1, 1, 5) }, Code::AlreadyClaimed),
    ];
    for (count, (asked, code)) in (1..).zip(&ways) {
        assert_eq!(granted(shop.verifier.verify(asked).await), Err(*code));
        assert_eq!(noted(&shop, count).await, count, "{code}");
    }

    // Its own request again, a place where nothing stands, and a proof of nothing are no replays.
    let count = ways.len() as u64;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(false));
    let nowhere = Proof::Transaction { hash: other.proof.hash().unwrap(), ordinal: Some(7) };
    let refused = shop.verifier.verify(&VerifyRequest { proof: nowhere, ..other.clone() }).await;
    assert_eq!(granted(refused), Err(Code::NoPayment));
    assert!(granted(shop.show(3, 3, 5).await).is_err());
    assert_eq!(granted(shop.verifier.verify(&other).await), Err(Code::ReferenceMismatch));
    assert_eq!(noted(&shop, count + 1).await, count + 1);
}

#[tokio::test]
async fn c24_a_spent_nonce_for_another_request_is_an_incident() {
    let quiet = operator();
    let token = shop::PAYEE;
    let following =
        Operator { chain: ChainPolicy { other_contracts: vec![token], ..quiet.chain.clone() }, ..quiet };
    let shop = Shop::open(&following).await;
    let quote = shop.quote(1, 5, false);
    let mut payment = paid(1, 1, 5, &quote);
    let nonce = SignedNonce::Eip3009 { token, authorizer: payment.payer, nonce: quote.reference };
    (payment.id, payment.contract) = (nonce.payment_id(CHAIN), token);
    assert_ne!(token, CONTRACT);
    shop.mine(&[payment]).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    let spent = VerifyRequest { proof: Proof::Nonce(nonce), ..proof(1, 2, 5) };
    assert_eq!(granted(shop.verifier.verify(&spent).await), Err(Code::ReferenceMismatch));
    assert_eq!(noted(&shop, 1).await, 1);
}
