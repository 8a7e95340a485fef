//! The operator's policy, by a verifier over a real store: what it accepts, from whom, how often, and how deep.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use std::time::Duration;

use salt402_chain::Receipt;
use salt402_http::Rate;
use salt402_protocol::api::{QuoteRequest, Usage, Verdict, VerifyRequest};
use salt402_protocol::quote::QuoteClock;
use salt402_protocol::{Address, Asset, B256, Code, QuoteKeys, RequestDigest};
use salt402_store::{HaltKind, IncidentFilter, Options, Store, backup, restore};
use salt402_verifier::{AccountLimits, AfterLoss, ExposureCap, Policy};
use shop::{CHAIN, Operator, PAYEE, Shop, granted, hash, key, now, operator, paid, proof, question, units};

#[tokio::test]
async fn another_asset_or_payee_is_refused_before_anything_is_looked_up() {
    let mut operator = operator();
    operator.chain.rules.assets = Some(vec![Asset::Native]);
    operator.chain.rules.payees = Some(vec![PAYEE]);
    let shop = Shop::open(&operator).await;
    let good = question(1, 5, false);
    assert!(shop.verifier.quote(&good).is_ok());
    let token = Asset::Token(Address::repeat_byte(9));
    let other = Address::repeat_byte(9);
    let refused = |question: QuoteRequest| shop.verifier.quote(&question).unwrap_err().code;
    assert_eq!(refused(QuoteRequest { asset: token, ..good.clone() }), Code::AssetNotAccepted);
    assert_eq!(refused(QuoteRequest { payee: other, ..good.clone() }), Code::PayeeNotAccepted);
    // A closed store answers nothing: it is not asked.
    shop.store.clone().close().await;
    let mut asked = proof(1, 1, 5);
    asked.requirement.asset = token;
    assert_eq!(granted(shop.verifier.verify(&asked).await), Err(Code::AssetNotAccepted));
    let mut asked = proof(1, 1, 5);
    asked.requirement.payee = other;
    assert_eq!(granted(shop.verifier.verify(&asked).await), Err(Code::PayeeNotAccepted));
    assert_eq!(granted(shop.show(1, 1, 5).await), Err(Code::Internal));
}

#[tokio::test]
async fn beyond_its_cap_a_payer_waits_for_finality_and_is_never_refused() {
    let mut operator = operator();
    let mut shop = Shop::open(&operator).await;
    let quotes: Vec<_> = (1..=3).map(|request| shop.quote(request, 60, false)).collect();
    let payments: Vec<_> =
        (1..=3).map(|number| paid(number, 7, 60, &quotes[usize::from(number) - 1])).collect();
    shop.mine(&payments[0..=0]).await;
    assert_eq!(granted(shop.show(1, 1, 60).await), Ok(true));
    // The cap is set afterwards, and counts what was granted before.
    operator.chain.rules.exposure = vec![ExposureCap { asset: Asset::Native, most: units(100) }];
    shop.restart(&operator).await;
    shop.mine(&payments[1..=1]).await;
    let refused = shop.show(2, 2, 60).await.unwrap();
    let Verdict::Pending { code: Code::ExposureExceeded, detail, .. } = &refused else {
        panic!("{refused:?}")
    };
    assert!(
        detail.contains("60 base units were granted") && detail.contains("1 of 3 confirmations"),
        "{detail}"
    );
    assert_eq!(granted(shop.show(1, 1, 60).await), Ok(false), "what was granted is answered");
    // Somebody who waits is granted as soon as the first payment is final.
    let patient = VerifyRequest { wait_ms: 20_000, ..proof(2, 2, 60) };
    let (verdict, ()) = tokio::join!(shop.verifier.verify(&patient), shop.mine(&payments[2..=2]));
    assert_eq!(granted(verdict), Ok(true));
    assert_eq!(granted(shop.show(3, 3, 60).await), Err(Code::ExposureExceeded));
    shop.mine(&[]).await;
    assert_eq!(granted(shop.show(3, 3, 60).await), Ok(true));
    shop.verifier.upkeep().await.unwrap();
}

/// A payer of two payments, the first of which was granted on and then lost.
async fn after_a_loss(operator: &Operator) -> Shop {
    let shop = Shop::open(operator).await;
    let (one, two) = (shop.quote(1, 5, false), shop.quote(2, 5, false));
    shop.mine(&[]).await;
    shop.mine(&[paid(1, 7, 5, &one)]).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    shop.replace(&[paid(2, 7, 5, &two), paid(3, 8, 5, &two)]).await;
    assert_eq!(shop.verifier.status().await.unwrap().open_incidents, 1);
    shop
}

#[tokio::test]
async fn a_payer_whose_granted_payment_was_lost_pays_by_finality_until_that_is_settled() {
    let mut operator = operator();
    let mut shop = after_a_loss(&operator).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::PayerHasLoss));
    shop.restart(&operator).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::PayerHasLoss), "a restart forgets nothing");
    assert_eq!(granted(shop.show(3, 2, 5).await), Ok(true), "others are not concerned");
    shop.mine(&[]).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::PayerHasLoss));

    operator.chain.rules.after_loss = AfterLoss::Refuse;
    shop.restart(&operator).await;
    shop.mine(&[]).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::PayerRefused), "not even when it is final");
    operator.chain.rules.after_loss = AfterLoss::RequireFinal;
    shop.restart(&operator).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Ok(true));
}

#[tokio::test]
async fn an_operator_may_settle_a_loss_or_ignore_it() {
    let mut operator = operator();
    operator.chain.rules.after_loss = AfterLoss::Refuse;
    let shop = after_a_loss(&operator).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::PayerRefused));
    let incident = shop
        .verifier
        .incidents(&IncidentFilter { open: Some(true), ..IncidentFilter::default() }, 1)
        .await
        .unwrap()
        .incidents
        .remove(0);
    assert_eq!(incident.payer, Some(Address::repeat_byte(7)));
    // Somebody who waits is granted when it is settled.
    let patient = VerifyRequest { wait_ms: 20_000, ..proof(2, 2, 5) };
    let settle = async { shop.store.settle_incident(incident.id, "paid by hand".into()).await.unwrap() };
    let (verdict, settled) = tokio::join!(shop.verifier.verify(&patient), settle);
    assert_eq!((granted(verdict), settled), (Ok(true), true));
    let incident = shop.verifier.incidents(&IncidentFilter::default(), 1).await.unwrap().incidents.remove(0);
    assert_eq!(incident.settled.as_deref(), Some("paid by hand"));

    operator.chain.rules.after_loss = AfterLoss::Ignore;
    let shop = after_a_loss(&operator).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Ok(true));
}

#[tokio::test]
async fn payments_of_an_account_are_limited_and_stay_good() {
    let mut operator = operator();
    operator.accounts =
        AccountLimits { rate: Some(Rate { per_minute: 30, burst: 2 }), cool_down: Duration::ZERO };
    let shop = Shop::open(&operator).await;
    let quotes: Vec<_> = (1..=4).map(|request| shop.quote(request, 5, false)).collect();
    let payments: Vec<_> = (1..=4)
        .map(|number| paid(number, if number == 4 { 8 } else { 7 }, 5, &quotes[usize::from(number) - 1]))
        .collect();
    shop.mine(&payments).await;
    // What is refused otherwise takes nothing from the limit.
    let deep = |number| {
        let mut asked = proof(number, number, 5);
        asked.requirement.confirmations = Some(2);
        asked
    };
    for _ in 0..5 {
        assert_eq!(granted(shop.verifier.verify(&deep(1)).await), Err(Code::AwaitingConfirmations));
    }
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    assert_eq!(granted(shop.show(2, 2, 5).await), Ok(true));
    let problem = shop.show(3, 3, 5).await.unwrap_err();
    assert_eq!((problem.code, problem.status), (Code::AccountLimited, 429));
    assert!(problem.retry_after_ms.is_some_and(|wait| (1..=2001).contains(&wait)), "{problem:?}");
    assert_eq!(
        granted(shop.show(1, 1, 5).await),
        Ok(false),
        "a retry of what was granted is always answered"
    );
    assert_eq!(granted(shop.show(4, 4, 5).await), Ok(true), "another account");
    tokio::time::sleep(Duration::from_millis(problem.retry_after_ms.unwrap())).await;
    assert_eq!(granted(shop.show(3, 3, 5).await), Ok(true));
}

#[tokio::test]
async fn between_two_payments_of_an_account_passes_the_cool_down() {
    let mut operator = operator();
    operator.accounts = AccountLimits { rate: None, cool_down: Duration::from_secs(3600) };
    let shop = Shop::open(&operator).await;
    let (one, two) = (shop.quote(1, 5, false), shop.quote(2, 5, false));
    shop.mine(&[paid(1, 7, 5, &one), paid(2, 7, 5, &two)]).await;
    // Copies of one proof are one payment: one is first, and none is refused.
    let copies = futures::future::join_all((0..20).map(|_| shop.show(1, 1, 5))).await;
    let firsts = copies.into_iter().filter(|copy| granted(copy.clone()).unwrap()).count();
    assert_eq!(firsts, 1);
    let problem = shop.show(2, 2, 5).await.unwrap_err();
    assert_eq!(problem.code, Code::CoolDown);
    assert!(problem.retry_after_ms.is_some_and(|wait| wait > 3_000_000), "{problem:?}");
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(false));
}

#[tokio::test]
async fn where_only_claims_are_given_again_none_is_made() {
    let shop = Shop::open(&operator()).await;
    shop.mine(&[paid(1, 7, 5, &shop.quote(1, 5, false))]).await;
    let again = VerifyRequest { again_only: true, wait_ms: 20_000, ..proof(1, 1, 5) };
    assert_eq!(granted(shop.verifier.verify(&again).await), Err(Code::AddressLimited));
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    assert_eq!(granted(shop.verifier.verify(&again).await), Ok(false));
}

#[tokio::test]
async fn a_key_is_replaced_and_what_was_quoted_before_is_still_accepted() {
    let mut shop = Shop::open(&operator()).await;
    let (bare, secret) = (shop.quote(1, 5, false), shop.quote(2, 5, true));
    let rotated = Operator { keys: QuoteKeys::new(key(2), vec![key(1)]), ..operator() };
    shop.restart(&rotated).await;
    shop.mine(&[paid(1, 7, 5, &bare), paid(2, 7, 5, &secret)]).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    let presented = VerifyRequest { quote_id: Some(secret.quote_id.clone()), ..proof(2, 2, 5) };
    assert_eq!(granted(shop.verifier.verify(&presented).await), Ok(true));
    let new = shop.quote(1, 5, false);
    assert_ne!(new.quote_id, bare.quote_id);
    assert!(
        key(2).open(&new.quote_id).is_ok() && key(1).open(&new.quote_id).is_err(),
        "new quotes use the new key"
    );
    let forgotten = Operator { keys: key(2).into(), ..operator() };
    shop.restart(&forgotten).await;
    assert_eq!(granted(shop.verifier.verify(&presented).await), Err(Code::QuoteForged));
}

/// A bare hash brings no quote: it is derived with the life that quotes had when it was given.
#[tokio::test]
async fn a_life_of_quotes_that_changed_after_the_quote_spoils_no_bare_payment() {
    for (before, after) in [(300, 3600), (3600, 60), (300, 301)] {
        let living = |clock| Policy { clock: QuoteClock::living(clock), ..Policy::default() };
        let mut shop = Shop::open(&Operator { policy: living(before), ..operator() }).await;
        let quotes: Vec<_> = (1..=3).map(|request| shop.quote(request, 5, false)).collect();
        shop.mine(&[paid(1, 7, 5, &quotes[0]), paid(2, 7, 5, &quotes[1])]).await;
        let old_clocks = vec![(QuoteClock::living(before), now())];
        shop.restart(&Operator { policy: Policy { old_clocks, ..living(after) }, ..operator() }).await;
        assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true), "{before} to {after}");
        // For its own request alone, and only while such quotes may be paid.
        assert_eq!(granted(shop.show(2, 1, 5).await), Err(Code::ReferenceMismatch));
        let late = now() + before + QuoteClock::living(before).window + 31;
        shop.put(0, late, &[paid(3, 7, 5, &quotes[2])]).await;
        assert_eq!(granted(shop.show(3, 3, 5).await), Err(Code::ReferenceMismatch));
        assert_eq!(granted(shop.show(2, 2, 5).await), Ok(true));
    }
}

#[tokio::test]
async fn a_price_that_changed_after_the_quote_spoils_no_bare_payment() {
    let mut shop = Shop::open(&operator()).await;
    let named = |request| QuoteRequest { claimant: "shop".into(), ..question(request, 100, false) };
    let quotes: Vec<_> = (1..=3).map(|request| shop.verifier.quote(&named(request)).unwrap()).collect();
    shop.mine(&[paid(1, 7, 100, &quotes[0]), paid(2, 7, 100, &quotes[1]), paid(3, 7, 99, &quotes[2])]).await;
    shop.restart(&operator()).await;
    assert_eq!(granted(shop.show(1, 1, 150).await), Ok(true), "the price was raised");
    assert_eq!(granted(shop.show(2, 2, 50).await), Ok(true), "the price was lowered");
    assert_eq!(granted(shop.show(1, 1, 7).await), Ok(false), "and again: the retry is an answer");
    assert_eq!(granted(shop.show(3, 3, 150).await), Err(Code::InsufficientPayment), "less than was quoted");
    assert_eq!(
        granted(shop.show(3, 3, 99).await),
        Err(Code::ReferenceMismatch),
        "nor by luck of today's price"
    );
}

#[tokio::test]
async fn one_payment_for_several_requests_grants_each_once_and_no_more() {
    let mut shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    shop.mine(&[paid(1, 7, 5, &quote)]).await;
    let use_of = |request: u8| {
        let usage = Usage { request_digest: RequestDigest(B256::repeat_byte(request)), most: 2 };
        VerifyRequest { quote_id: Some(quote.quote_id.clone()), usage: Some(usage), ..proof(1, 1, 5) }
    };
    let bare = VerifyRequest { quote_id: None, ..use_of(10) };
    assert_eq!(
        granted(shop.verifier.verify(&bare).await),
        Err(Code::QuoteRequired),
        "a hash can be read off the chain"
    );
    assert_eq!(granted(shop.verifier.verify(&use_of(10)).await), Ok(true));
    assert_eq!(granted(shop.verifier.verify(&use_of(11)).await), Ok(true));
    shop.restart(&operator()).await;
    assert_eq!(granted(shop.verifier.verify(&use_of(12)).await), Err(Code::UsesExhausted));
    assert_eq!(granted(shop.verifier.verify(&use_of(11)).await), Ok(false));
}

/// A receipt of a transaction that paid nothing.
fn receipt(number: u64, made_before: u64, success: bool) -> Receipt {
    Receipt {
        transaction: B256::repeat_byte(1),
        block_number: number,
        block_hash: hash(number, made_before),
        success,
        from: Address::ZERO,
        to: None,
        logs: Vec::new(),
    }
}

#[tokio::test]
async fn a_receipt_that_shows_no_payment_is_a_refusal_only_once_it_is_deep() {
    for (success, code) in [(false, Code::TransactionReverted), (true, Code::NoPayment)] {
        let mut operator = operator();
        operator.chain.rules.confirmations = 2;
        let shop = Shop::open(&operator).await;
        shop.mine(&[]).await;
        *shop.told.receipt.lock().unwrap() = Some(receipt(1, 0, success));
        let verdict = shop.show(1, 1, 5).await.unwrap();
        let Verdict::Pending { code: Code::AwaitingConfirmations, detail, .. } = &verdict else {
            panic!("{verdict:?}");
        };
        assert!(detail.contains("with 2 confirmations and has 1"), "{detail}");
        shop.mine(&[]).await;
        // A hash that was looked up rests a while.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(granted(shop.show(1, 1, 5).await), Err(code));
    }
}

#[tokio::test]
async fn a_receipt_of_another_fork_than_the_index_is_on_shows_nothing() {
    let shop = Shop::open(&operator()).await;
    for _ in 0..5 {
        shop.mine(&[]).await;
    }
    *shop.told.receipt.lock().unwrap() = Some(receipt(2, 77, false));
    assert_eq!(granted(shop.show(1, 1, 5).await), Err(Code::PaymentNotSeen));
    // Nor where the whole node is on that fork.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for header in shop.told.headers.lock().unwrap().iter_mut() {
        header.hash = hash(header.number, 77);
    }
    assert_eq!(granted(shop.show(1, 1, 5).await), Err(Code::PaymentNotSeen));
}

#[tokio::test]
async fn what_is_in_doubt_waits_and_on_a_halted_chain_nobody_is_told_to_wait_for_depth() {
    let shop = Shop::open(&operator()).await;
    let quotes = [1, 2].map(|request| shop.quote(request, 10, false));
    shop.mine(&[paid(1, 1, 10, &quotes[0]), paid(2, 2, 10, &quotes[1])]).await;
    assert_eq!(granted(shop.show(1, 1, 10).await), Ok(true));
    shop.store.note_lower_fork(CHAIN, Some(0)).await.unwrap();
    assert_eq!(granted(shop.show(1, 1, 10).await), Ok(false), "what was granted is");
    assert_eq!(granted(shop.show(2, 2, 10).await), Err(Code::AwaitingConfirmations));
    let unclaimed = VerifyRequest { claim: false, ..proof(2, 2, 10) };
    let verdict = shop.verifier.verify(&unclaimed).await.unwrap();
    assert!(matches!(verdict, Verdict::Pending { code: Code::AwaitingConfirmations, .. }), "{verdict:?}");

    shop.store.halt(CHAIN, HaltKind::Fork, 5).await.unwrap();
    assert_eq!(granted(shop.show(2, 2, 10).await), Err(Code::ChainHalted));
    let verdict = shop.verifier.verify(&unclaimed).await.unwrap();
    assert!(matches!(verdict, Verdict::Pending { code: Code::ChainHalted, .. }), "{verdict:?}");
    assert_eq!(granted(shop.show(1, 1, 10).await), Ok(false), "what was granted is");
}

/// Of whom no claim is asked, as of one that is only looked at, is told what the claim would be.
#[tokio::test]
async fn what_a_reorganization_moves_behind_a_restore_is_refused_also_where_nothing_is_claimed() {
    let operator = operator();
    let mut shop = Shop::open(&operator).await;
    let quote = shop.quote(1, 60, false);
    shop.mine(&[]).await;
    shop.put(0, shop::now() - 5, &[paid(1, 7, 60, &quote)]).await;
    let (copy, place) = (shop.folder.path().join("copy.db"), shop.folder.path().join("new/shop.db"));
    backup(&shop.folder.path().join("shop.db"), &copy, |_, _| {}).await.unwrap();
    restore(&copy, &place, Duration::ZERO).await.unwrap();
    shop.store = Store::open(Options::new(place)).await.unwrap();
    shop.verifier = shop::verifier(&operator, &shop.store, &shop.told).await;
    let asked = VerifyRequest { claim: false, ..proof(1, 1, 60) };
    let refused = async || match shop.verifier.verify(&asked).await.unwrap() {
        Verdict::Rejected { code, .. } => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused().await, Code::PaymentBeforeRestore);
    shop.put(1, shop.store.refuse_before() + 2, &[paid(1, 7, 60, &quote)]).await;
    assert_eq!(refused().await, Code::PaymentBeforeRestore);
    assert_eq!(granted(shop.show(1, 1, 60).await), Err(Code::PaymentBeforeRestore));
}
