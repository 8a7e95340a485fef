//! What a payer signed and somebody settled, shown by its nonce: by a verifier over a real store.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use salt402_protocol::api::{QuoteResponse, Usage, VerifyRequest};
use salt402_protocol::{Address, B256, Code, Payment, Proof, RequestDigest, SignedNonce, U256};
use salt402_store::{IncidentFilter, IncidentKind};
use shop::{CHAIN, Operator, Shop, granted, operator, paid, proof, units};

const TOKEN: Address = Address::repeat_byte(0xc1);
const PAYER: u8 = 7;

fn following() -> Operator {
    let mut operator = operator();
    operator.chain.other_contracts = vec![TOKEN];
    operator
}

/// What the payer signed for a quote: an authorization of the token, or a permit.
fn signed(quote: &QuoteResponse, permit: bool) -> SignedNonce {
    let payer = Address::repeat_byte(PAYER);
    if permit {
        SignedNonce::Permit2 { owner: payer, nonce: U256::from_be_bytes(quote.reference.0) }
    } else {
        SignedNonce::Eip3009 { token: TOKEN, authorizer: payer, nonce: quote.reference }
    }
}

/// The same, settled in the transaction of a number.
fn settled(transaction: u8, amount: u64, quote: &QuoteResponse, permit: bool) -> Payment {
    let id = signed(quote, permit).payment_id(CHAIN);
    Payment { id, contract: TOKEN, ..paid(transaction, PAYER, amount, quote) }
}

/// The nonce, to claim the payment for a request.
fn shown(nonce: SignedNonce, request: u8, amount: u64) -> VerifyRequest {
    VerifyRequest { proof: Proof::Nonce(nonce), ..proof(0, request, amount) }
}

#[tokio::test]
async fn hash_and_nonce_of_one_payment_are_one_grant_in_both_orders_and_at_once() {
    for permit in [false, true] {
        let shop = Shop::open(&following()).await;
        let quotes: Vec<_> = (1..=3).map(|request| shop.quote(request, 5, false)).collect();
        let payments: Vec<_> =
            (1..=3).map(|number| settled(number, 5, &quotes[usize::from(number) - 1], permit)).collect();
        let nonces: Vec<_> = quotes.iter().map(|quote| signed(quote, permit)).collect();
        assert_eq!(granted(shop.verifier.verify(&shown(nonces[0], 1, 5)).await), Err(Code::PaymentNotSeen));
        // Somebody who waits is granted as soon as it is settled.
        let patient = VerifyRequest { wait_ms: 20_000, ..shown(nonces[0], 1, 5) };
        let (verdict, ()) = tokio::join!(shop.verifier.verify(&patient), shop.mine(&payments));
        assert_eq!(granted(verdict), Ok(true));
        assert_eq!(granted(shop.show(1, 1, 5).await), Ok(false));
        assert_eq!(granted(shop.verifier.verify(&shown(nonces[0], 1, 5)).await), Ok(false));

        assert_eq!(granted(shop.show(2, 2, 5).await), Ok(true));
        assert_eq!(granted(shop.verifier.verify(&shown(nonces[1], 2, 5)).await), Ok(false));
        let again = VerifyRequest { again_only: true, ..shown(nonces[1], 2, 5) };
        assert_eq!(granted(shop.verifier.verify(&again).await), Ok(false));
        let again = VerifyRequest { again_only: true, ..shown(nonces[2], 3, 5) };
        assert_eq!(granted(shop.verifier.verify(&again).await), Err(Code::AddressLimited));

        let crowd = (0..40).map(|place| {
            let shop = &shop;
            let asked = if place % 2 == 0 { shown(nonces[2], 3, 5) } else { proof(3, 3, 5) };
            async move { granted(shop.verifier.verify(&asked).await) }
        });
        let answers = futures::future::join_all(crowd).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| **answer == Ok(true)).count(), 1);
        assert_eq!(shop.verifier.status().await.unwrap().claims, 3);
    }
}

#[tokio::test]
async fn a_nonce_pays_for_what_was_quoted_and_for_nothing_else() {
    let shop = Shop::open(&following()).await;
    let (quote, other) = (shop.quote(1, 5, true), shop.quote(2, 5, false));
    let (nonce, bare) = (signed(&quote, false), signed(&other, false));
    let mut elsewhere = settled(3, 5, &other, true);
    elsewhere.payee = Address::repeat_byte(0x77);
    shop.mine(&[settled(1, 5, &quote, false), settled(2, 4, &other, false), elsewhere]).await;
    let ask = |nonce, request, amount| {
        let shop = &shop;
        async move { granted(shop.verifier.verify(&shown(nonce, request, amount)).await) }
    };
    // A secret quote's id must come with it; then it is for its own request.
    assert_eq!(ask(nonce, 1, 5).await, Err(Code::ReferenceMismatch));
    assert_eq!(ask(bare, 2, 5).await, Err(Code::InsufficientPayment));
    assert_eq!(ask(signed(&other, true), 2, 5).await, Err(Code::WrongPayee));
    let with_quote =
        |request| VerifyRequest { quote_id: Some(quote.quote_id.clone()), ..shown(nonce, request, 5) };
    assert_eq!(granted(shop.verifier.verify(&with_quote(2)).await), Err(Code::QuoteNotHonoured));
    assert_eq!(granted(shop.verifier.verify(&with_quote(1)).await), Ok(true));
    // Neighbours of it name nothing.
    let SignedNonce::Eip3009 { authorizer, nonce: reference, .. } = nonce else { panic!("an authorization") };
    for near in [
        SignedNonce::Eip3009 { token: TOKEN, authorizer: Address::repeat_byte(8), nonce: reference },
        SignedNonce::Eip3009 { token: TOKEN, authorizer, nonce: B256::repeat_byte(9) },
        SignedNonce::Permit2 { owner: authorizer, nonce: U256::from_be_bytes(reference.0) },
    ] {
        assert_eq!(ask(near, 1, 5).await, Err(Code::PaymentNotSeen), "{near}");
    }
    let unknown = SignedNonce::Eip3009 { token: Address::repeat_byte(0xc9), authorizer, nonce: reference };
    assert_eq!(ask(unknown, 1, 5).await, Err(Code::NoPayment));
}

#[tokio::test]
async fn a_nonce_stays_the_same_payment_in_whatever_transaction_it_is_mined() {
    let shop = Shop::open(&following()).await;
    let (granted_on, waiting) = (shop.quote(1, 5, false), shop.quote(2, 5, false));
    let (first, second) = (signed(&granted_on, false), signed(&waiting, true));
    let verify = |nonce, request| {
        let shop = &shop;
        async move { granted(shop.verifier.verify(&shown(nonce, request, 5)).await) }
    };
    shop.mine(&[]).await;
    shop.mine(&[settled(1, 5, &granted_on, false), settled(2, 5, &waiting, true)]).await;
    assert_eq!(verify(first, 1).await, Ok(true));
    shop.replace(&[]).await;
    assert_eq!(shop.verifier.status().await.unwrap().open_incidents, 1);
    assert_eq!(verify(first, 1).await, Err(Code::PaymentOrphaned));
    assert_eq!(verify(second, 2).await, Err(Code::PaymentOrphaned));
    // Somebody else submits both. The payer need not know.
    shop.mine(&[settled(11, 5, &granted_on, false), settled(12, 5, &waiting, true)]).await;
    assert_eq!(shop.verifier.status().await.unwrap().open_incidents, 0);
    assert_eq!(verify(first, 1).await, Ok(false));
    assert_eq!(granted(shop.show(11, 1, 5).await), Ok(false));
    // It is not known of the old transaction that it is back, so its loss weighs no more.
    assert_eq!(verify(second, 2).await, Ok(true));
    assert_eq!(shop.verifier.status().await.unwrap().claims, 2);
}

#[tokio::test]
async fn a_nonce_that_was_used_is_a_replay_that_is_told() {
    let shop = Shop::open(&following()).await;
    let quote = shop.quote(1, 5, true);
    let nonce = signed(&quote, false);
    shop.mine(&[settled(1, 5, &quote, false)]).await;
    let ask = |claimant: &str| VerifyRequest {
        quote_id: Some(quote.quote_id.clone()),
        claimant: claimant.into(),
        ..shown(nonce, 1, 5)
    };
    assert_eq!(granted(shop.verifier.verify(&ask("shop")).await), Ok(true));
    for _ in 0..3 {
        assert_eq!(granted(shop.verifier.verify(&ask("another shop")).await), Err(Code::AlreadyClaimed));
    }
    let filter = IncidentFilter::default();
    let incident = loop {
        let known = shop.verifier.incidents(&filter, 10).await.unwrap().incidents;
        match known.into_iter().next() {
            Some(incident) => break incident,
            None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    assert_eq!((incident.kind.as_str(), incident.payment_id), ("replay_attempt", nonce.payment_id(CHAIN)));
    assert_eq!(incident.transaction, B256::repeat_byte(1));
}

#[tokio::test]
async fn a_nonce_pays_for_several_requests_as_its_hash_does() {
    let shop = Shop::open(&following()).await;
    let quote = shop.quote(1, 5, true);
    let nonce = signed(&quote, false);
    shop.mine(&[settled(1, 5, &quote, false)]).await;
    let ask = |place: u8, by_nonce: bool| {
        let proof = if by_nonce { Proof::Nonce(nonce) } else { Proof::transaction(B256::repeat_byte(1)) };
        let usage = Usage { request_digest: RequestDigest(B256::repeat_byte(place)), most: 3 };
        VerifyRequest {
            proof,
            quote_id: Some(quote.quote_id.clone()),
            usage: Some(usage),
            ..shown(nonce, 1, 5)
        }
    };
    let mut firsts = 0;
    for (place, by_nonce) in [(50, true), (50, false), (51, false), (51, true), (52, true)] {
        firsts += u8::from(granted(shop.verifier.verify(&ask(place, by_nonce)).await).unwrap());
    }
    assert_eq!(firsts, 3);
    assert_eq!(granted(shop.verifier.verify(&ask(53, true)).await), Err(Code::UsesExhausted));
}

/// The chain takes a nonce once. A token that lies about it has made two payments of one name.
#[tokio::test]
async fn a_nonce_that_two_transactions_used_up_is_refused_until_one_was_granted_on() {
    let shop = Shop::open(&following()).await;
    let quote = shop.quote(1, 5, false);
    let nonce = signed(&quote, false);
    shop.mine(&[settled(1, 5, &quote, false), settled(2, 5, &quote, false)]).await;
    let refused = shop.verifier.verify(&shown(nonce, 1, 5)).await.unwrap_err();
    assert_eq!((refused.code, refused.status), (Code::AmbiguousPayment, 409));
    assert_eq!(granted(shop.show(2, 1, 5).await), Ok(true));
    assert_eq!(granted(shop.verifier.verify(&shown(nonce, 1, 5)).await), Ok(false));
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(false), "one name, one grant");
    assert_eq!(shop.verifier.status().await.unwrap().claims, 1);
}

#[tokio::test]
async fn a_nonce_counts_as_deep_as_any_payment_of_its_amount() {
    let mut operator = following();
    operator.chain.rules.confirmations = 2;
    operator.chain.rules.exposure =
        vec![salt402_verifier::ExposureCap { asset: salt402_protocol::Asset::Native, most: units(5) }];
    let shop = Shop::open(&operator).await;
    let quotes = [shop.quote(1, 5, false), shop.quote(2, 5, false)];
    shop.mine(&[settled(1, 5, &quotes[0], false), settled(2, 5, &quotes[1], true)]).await;
    let ask = |place: u8| {
        let nonce = signed(&quotes[usize::from(place) - 1], place == 2);
        let shop = &shop;
        async move { granted(shop.verifier.verify(&shown(nonce, place, 5)).await) }
    };
    assert_eq!(ask(1).await, Err(Code::AwaitingConfirmations));
    shop.mine(&[]).await;
    assert_eq!(ask(1).await, Ok(true));
    assert_eq!(ask(2).await, Err(Code::ExposureExceeded));
    shop.mine(&[]).await;
    assert_eq!(ask(2).await, Ok(true));
}

/// A reorganization let somebody else's transaction settle it; the first one is mined again and is refused by the token.
#[tokio::test]
async fn the_hash_of_a_transaction_that_lost_its_payment_to_another_leads_to_the_payment() {
    let shop = Shop::open(&following()).await;
    let (granted_on, waiting) = (shop.quote(1, 5, false), shop.quote(2, 5, false));
    shop.mine(&[]).await;
    shop.mine(&[settled(1, 5, &granted_on, false), settled(2, 5, &waiting, true)]).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    shop.replace(&[settled(11, 5, &granted_on, false), settled(12, 5, &waiting, true)]).await;
    for number in [1, 2] {
        shop.reverts(number);
        let request = number;
        assert_eq!(granted(shop.show(number, request, 5).await), Ok(number == 2), "transaction {number}");
        // The same claim is found by either hash and by the nonce.
        assert_eq!(granted(shop.show(number + 10, request, 5).await), Ok(false));
    }
    let another = VerifyRequest { claimant: "another shop".into(), ..proof(2, 2, 5) };
    assert_eq!(granted(shop.verifier.verify(&another).await), Err(Code::AlreadyClaimed));
    assert_eq!(granted(shop.show(2, 1, 5).await), Err(Code::ReferenceMismatch));
    // The replay is told of, with the transaction that is on the chain.
    let filter = IncidentFilter { kind: Some(IncidentKind::ReplayAttempt), ..IncidentFilter::default() };
    let told = loop {
        let known = shop.verifier.incidents(&filter, 10).await.unwrap().incidents;
        match known.into_iter().next() {
            Some(told) => break told,
            None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    assert_eq!(told.payment_id, signed(&waiting, true).payment_id(CHAIN));
    assert_eq!(told.transaction, B256::repeat_byte(12));
    assert_eq!(shop.verifier.status().await.unwrap().claims, 2);
}

/// A place counts in the transaction that is shown, wherever the payment went from there.
#[tokio::test]
async fn a_place_in_a_transaction_that_lost_its_payment_names_the_payment_that_was_there() {
    let shop = Shop::open(&following()).await;
    let quote = shop.quote(1, 5, false);
    let at = |place| VerifyRequest {
        proof: Proof::Transaction { hash: B256::repeat_byte(1), ordinal: Some(place) },
        ..proof(1, 1, 5)
    };
    shop.mine(&[]).await;
    shop.mine(&[settled(1, 5, &quote, false)]).await;
    let other = shop.quote(2, 5, false);
    shop.replace_at(&[(0, settled(12, 5, &other, false)), (1, settled(12, 5, &quote, false))]).await;
    // While its receipt is not to be had, it may be mined again and pay.
    assert_eq!(granted(shop.verifier.verify(&at(1)).await), Err(Code::PaymentNotSeen));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    shop.reverts(1);
    assert_eq!(granted(shop.verifier.verify(&at(1)).await), Err(Code::NoPayment));
    assert_eq!(granted(shop.verifier.verify(&at(0)).await), Ok(true));
}

/// What it moved to is as shallow as any other: it is waited for, and nobody is told to pay again.
#[tokio::test]
async fn a_payment_that_moved_waits_for_its_confirmations_in_the_new_block() {
    let mut operator = following();
    operator.chain.rules.confirmations = 2;
    let shop = Shop::open(&operator).await;
    let quote = shop.quote(1, 5, false);
    shop.mine(&[]).await;
    shop.mine(&[settled(1, 5, &quote, false)]).await;
    shop.replace(&[settled(11, 5, &quote, false)]).await;
    shop.reverts(1);
    assert_eq!(granted(shop.show(1, 1, 5).await), Err(Code::AwaitingConfirmations));
    shop.mine(&[]).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
}

/// The limit holds at one confirmation too, whichever transaction the granted payment is in by now.
#[tokio::test]
async fn a_grant_whose_payment_moved_to_another_transaction_counts_against_the_payers_limit() {
    let mut operator = following();
    operator.chain.rules.exposure =
        vec![salt402_verifier::ExposureCap { asset: salt402_protocol::Asset::Native, most: units(5) }];
    let shop = Shop::open(&operator).await;
    let quotes: Vec<_> = (1..=3).map(|request| shop.quote(request, 5, false)).collect();
    shop.mine(&[]).await;
    shop.mine(&[settled(1, 5, &quotes[0], false)]).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    // In one step from one block to another, and once more with a while in between in which it was in none.
    shop.replace(&[settled(11, 5, &quotes[0], false), settled(2, 5, &quotes[1], true)]).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::ExposureExceeded));
    shop.replace(&[settled(2, 5, &quotes[1], true)]).await;
    shop.mine(&[settled(21, 5, &quotes[0], false)]).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::ExposureExceeded));
    // It is followed from there as from the first.
    shop.replace(&[settled(31, 5, &quotes[0], false)]).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::ExposureExceeded));
    for _ in 0..2 {
        shop.mine(&[]).await;
    }
    assert_eq!(granted(shop.show(2, 2, 5).await), Ok(true));
}

/// A payer can sign one nonce for two sets of terms. Whichever is settled has the same name, and only what was granted on
/// makes a loss good.
#[tokio::test]
async fn a_grant_is_not_made_good_by_the_same_nonce_settled_for_other_terms() {
    let shop = Shop::open(&following()).await;
    let quote = shop.quote(1, 5, false);
    let granted_on = settled(1, 5, &quote, false);
    let open = async || {
        let filter = IncidentFilter { open: Some(true), ..IncidentFilter::default() };
        shop.verifier.incidents(&filter, 10).await.unwrap().incidents
    };
    shop.mine(&[]).await;
    shop.mine(std::slice::from_ref(&granted_on)).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    let elsewhere = Payment { payee: Address::repeat_byte(0xee), ..settled(2, 5, &quote, false) };
    for otherwise in [settled(3, 4, &quote, false), elsewhere] {
        shop.replace(std::slice::from_ref(&otherwise)).await;
        let lost = open().await;
        assert_eq!(lost.len(), 1, "{otherwise:?} is not what was granted on");
        assert_eq!((lost[0].kind.as_str(), lost[0].transaction), ("payment_lost", granted_on.transaction));
        // The same terms in another transaction are, and so is the transaction itself.
        shop.replace(&[settled(4, 5, &quote, false)]).await;
        assert_eq!(open().await, []);
        shop.replace(std::slice::from_ref(&otherwise)).await;
        assert_eq!(open().await.len(), 1);
        shop.replace(std::slice::from_ref(&granted_on)).await;
        assert_eq!(open().await, []);
    }
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(false));
}
