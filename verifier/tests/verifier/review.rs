//! Nobody is told to pay again before the whole receipt of what is shown was read: by a verifier over a real store.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy_primitives::Bytes;
use salt402_chain::{Log, Receipt, Transaction};
use salt402_protocol::api::{QuoteRequest, QuoteResponse, VerifyRequest};
use salt402_protocol::contracts::ISaltPay;
use salt402_protocol::foreign::IToken;
use salt402_protocol::{Address, Asset, B256, Code, Payment, PaymentId, Proof, SignedNonce, U256};
use shop::{CONTRACT, PAYEE, Shop, granted, key, operator, paid, proof, question, receipt};

const TOKEN: Address = Address::repeat_byte(0xc1);
const STRANGER: u8 = 9;

fn log(contract: Address, event: &impl alloy_sol_types::SolEvent, of: &Payment) -> Log {
    Log {
        contract,
        transaction: of.transaction,
        block_hash: B256::ZERO,
        block_number: 0,
        block_timestamp: None,
        content: event.encode_log_data(),
    }
}

/// The receipt of the newest block's transaction holds these logs.
fn holds(shop: &Shop, of: &Payment, logs: Vec<Log>) {
    let newest = *shop.told.headers.lock().unwrap().last().unwrap();
    *shop.told.receipt.lock().unwrap() = Some(receipt(of.transaction, newest, logs));
}

fn salt_pay(of: &Payment) -> Log {
    let event = ISaltPay::Payment {
        paymentReference: of.reference,
        payer: of.payer,
        payee: of.payee,
        asset: of.asset.address(),
        amount: of.amount.0,
    };
    log(CONTRACT, &event, of)
}

fn transfer(token: Address, to: Address, of: &Payment) -> Log {
    log(token, &IToken::Transfer { from: Address::repeat_byte(7), to, value: U256::from(5) }, of)
}

fn quote(shop: &Shop, asset: Asset) -> QuoteResponse {
    shop.verifier.quote(&QuoteRequest { asset, ..question(1, 5, false) }).unwrap()
}

/// A stranger's payment of one unit, in the transaction that is shown.
async fn stranger_pays(shop: &Shop, transaction: u8) -> Payment {
    let payment = paid(transaction, STRANGER, 1, &shop.quote(9, 1, false));
    shop.mine(std::slice::from_ref(&payment)).await;
    payment
}

fn shows(transaction: u8, asset: Asset) -> VerifyRequest {
    let mut shown = proof(transaction, 1, 5);
    shown.requirement.asset = asset;
    shown
}

/// A hash that was looked at rests before it is looked at again.
async fn rest() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_refusal_waits_for_the_receipt_and_is_then_given_without_asking_again() {
    let shop = Shop::open(&operator()).await;
    stranger_pays(&shop, 1).await;
    shop.told.away.store(true, Ordering::SeqCst);
    assert_eq!(granted(shop.show(1, 1, 5).await), Err(Code::PaymentNotSeen));
    shop.told.away.store(false, Ordering::SeqCst);
    rest().await;
    let before = shop.told.receipts_asked.load(Ordering::SeqCst);
    for _ in 0..50 {
        assert_eq!(granted(shop.show(1, 1, 5).await), Err(Code::InsufficientPayment));
    }
    assert_eq!(shop.told.receipts_asked.load(Ordering::SeqCst), before + 1);
    // Who waits is told as soon as it is to be had.
    stranger_pays(&shop, 2).await;
    shop.told.away.store(true, Ordering::SeqCst);
    let patient = VerifyRequest { wait_ms: 20_000, ..proof(2, 1, 5) };
    let back = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        shop.told.away.store(false, Ordering::SeqCst);
    };
    let (told, ()) = tokio::join!(shop.verifier.verify(&patient), back);
    assert_eq!(granted(told), Err(Code::InsufficientPayment));
    // In another block it may hold more.
    let moved = paid(2, STRANGER, 1, &shop.quote(9, 1, false));
    shop.replace(&[]).await;
    shop.told.away.store(true, Ordering::SeqCst);
    assert_eq!(granted(shop.show(2, 1, 5).await), Err(Code::PaymentNotSeen));
    shop.mine(&[moved]).await;
    assert_eq!(granted(shop.show(2, 1, 5).await), Err(Code::PaymentNotSeen));
}

#[tokio::test]
async fn a_payment_that_the_node_left_out_beside_a_strangers_is_found() {
    let shop = Shop::open(&operator()).await;
    let quote = quote(&shop, Asset::Native);
    let stranger = stranger_pays(&shop, 1).await;
    let own = paid(1, 7, 5, &quote);
    holds(&shop, &own, vec![salt_pay(&own)]);
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(false));
    assert_eq!(stranger.transaction, own.transaction);
}

#[tokio::test]
async fn money_that_reached_the_payee_by_an_unknown_way_beside_a_strangers_payment_is_not_asked_for_again() {
    let asset = Asset::Token(TOKEN);
    for (moved, to, code) in [
        (TOKEN, PAYEE, Code::AmbiguousPayment),
        (TOKEN, Address::repeat_byte(0x55), Code::WrongAsset),
        (Address::repeat_byte(0xc2), PAYEE, Code::WrongAsset),
    ] {
        let shop = Shop::open(&operator()).await;
        let stranger = stranger_pays(&shop, 1).await;
        holds(&shop, &stranger, vec![transfer(moved, to, &stranger), salt_pay(&stranger)]);
        assert_eq!(granted(shop.verifier.verify(&shows(1, asset)).await), Err(code), "{moved} to {to}");
        // And where nothing is indexed of it.
        let other = Payment { transaction: B256::repeat_byte(2), ..stranger };
        holds(&shop, &other, vec![transfer(moved, to, &other)]);
        let code = if code == Code::WrongAsset { Code::NoPayment } else { code };
        assert_eq!(granted(shop.verifier.verify(&shows(2, asset)).await), Err(code), "{moved} to {to}");
    }
}

/// The transfer of a payment that is known is no other one.
#[tokio::test]
async fn a_payment_that_does_not_fit_is_refused_with_all_its_own_traces() {
    let shop = Shop::open(&operator()).await;
    let asset = Asset::Token(TOKEN);
    let quoted = quote(&shop, asset);
    let other = B256::repeat_byte(0x99);
    let unfit = Payment { asset, reference: other, ..paid(1, 7, 5, &quoted) };
    shop.mine(&[]).await;
    holds(&shop, &unfit, vec![transfer(TOKEN, PAYEE, &unfit), salt_pay(&unfit)]);
    assert_eq!(granted(shop.verifier.verify(&shows(1, asset)).await), Err(Code::ReferenceMismatch));
}

#[tokio::test]
async fn what_was_used_is_told_also_while_no_receipt_is_to_be_had() {
    let shop = Shop::open(&operator()).await;
    let quote = quote(&shop, Asset::Native);
    shop.mine(&[paid(1, 7, 5, &quote)]).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    shop.told.away.store(true, Ordering::SeqCst);
    let another = VerifyRequest { claimant: "another shop".into(), ..proof(1, 1, 5) };
    assert_eq!(granted(shop.verifier.verify(&another).await), Err(Code::AlreadyClaimed));
}

/// A nonce of the token that is asked for may have moved it, although nobody follows the token's authorizations.
#[tokio::test]
async fn a_nonce_of_the_token_that_is_asked_for_and_not_followed_is_no_reason_to_pay_again() {
    let shop = Shop::open(&operator()).await;
    let nonce = |token| {
        let signed = SignedNonce::Eip3009 { token, authorizer: PAYEE, nonce: B256::repeat_byte(1) };
        VerifyRequest { proof: Proof::Nonce(signed), ..shows(1, Asset::Token(TOKEN)) }
    };
    assert_eq!(granted(shop.verifier.verify(&nonce(TOKEN)).await), Err(Code::AmbiguousPayment));
    let other = Address::repeat_byte(0xc2);
    assert_eq!(granted(shop.verifier.verify(&nonce(other)).await), Err(Code::NoPayment));
}

/// No log tells of coins that were not sent through a contract that is followed.
#[tokio::test]
async fn coins_that_were_sent_plainly_to_the_payee_are_not_asked_for_again() {
    let shop = Shop::open(&operator()).await;
    shop.mine(&[]).await;
    let newest = *shop.told.headers.lock().unwrap().last().unwrap();
    let elsewhere = Address::repeat_byte(0x55);
    for (number, to, value, success, code) in [
        (1, PAYEE, 5, true, Code::AmbiguousPayment),
        (2, PAYEE, 1, true, Code::AmbiguousPayment),
        (3, PAYEE, 0, true, Code::NoPayment),
        (4, elsewhere, 5, true, Code::NoPayment),
        (5, PAYEE, 5, false, Code::TransactionReverted),
        (6, CONTRACT, 5, true, Code::NoPayment),
    ] {
        let hash = B256::repeat_byte(number);
        let receipt = Receipt { to: Some(to), success, ..receipt(hash, newest, Vec::new()) };
        *shop.told.receipt.lock().unwrap() = Some(receipt);
        *shop.told.transaction.lock().unwrap() =
            Some(Transaction { hash, to: Some(to), input: Bytes::new(), value: U256::from(value) });
        let told = shop.show(number, 1, 5).await;
        if code == Code::AmbiguousPayment {
            let problem = told.clone().unwrap_err();
            assert!(problem.detail.contains("plainly"), "{problem:?}");
        }
        assert_eq!(granted(told), Err(code), "{value} to {to}");
    }
}

/// Its key may be gone, or its request spelled in another way: whoever paid for it is not told a new price.
#[tokio::test]
async fn a_quote_is_refused_only_after_the_receipt_was_read_and_never_beside_its_own_payment() {
    let shop = Shop::open(&operator()).await;
    let opened = operator().keys.open(&quote(&shop, Asset::Native).quote_id).unwrap();
    let forged = key(9).seal(&opened);
    let other = shop.quote(2, 5, true);
    let mut number = 0;
    for (id, refusal) in [(forged, Code::QuoteForged), (other.quote_id.clone(), Code::QuoteMismatch)] {
        let asked = |number| {
            let shown = VerifyRequest { quote_id: Some(id.clone()), ..proof(number, 1, 5) };
            let shop = &shop;
            async move { granted(shop.verifier.verify(&shown).await) }
        };
        // Somebody else's payment, once its receipt was read.
        number += 1;
        stranger_pays(&shop, number).await;
        shop.told.away.store(true, Ordering::SeqCst);
        assert_eq!(asked(number).await, Err(Code::PaymentNotSeen));
        shop.told.away.store(false, Ordering::SeqCst);
        rest().await;
        assert_eq!(asked(number).await, Err(refusal));
        // Its own, which was used for nothing.
        number += 1;
        let own = Payment { reference: id.reference(), ..paid(number, 7, 5, &other) };
        shop.mine(std::slice::from_ref(&own)).await;
        assert_eq!(asked(number).await, Err(Code::QuoteNotHonoured), "{refusal}");
        // Its own, which the node left out of its logs.
        number += 1;
        shop.mine(&[]).await;
        let hash = B256::repeat_byte(number);
        let left_out = Payment { id: PaymentId(hash), transaction: hash, ..own };
        holds(&shop, &left_out, vec![salt_pay(&left_out)]);
        assert_eq!(asked(number).await, Err(Code::QuoteNotHonoured), "{refusal}");
        // A transaction that no node knows may be mined yet.
        number += 1;
        assert_eq!(asked(number).await, Err(Code::PaymentNotSeen));
    }
    let nonce = SignedNonce::Eip3009 { token: TOKEN, authorizer: PAYEE, nonce: B256::repeat_byte(1) };
    let unseen = VerifyRequest {
        proof: Proof::Nonce(nonce),
        quote_id: Some(other.quote_id),
        ..shows(1, Asset::Native)
    };
    assert_eq!(granted(shop.verifier.verify(&unseen).await), Err(Code::PaymentNotSeen));
}
