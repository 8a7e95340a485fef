//! When a price is told, and when the end of a quote is a refusal.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use std::time::Duration;

use salt402_protocol::api::{QuoteResponse, VerifyRequest};
use salt402_protocol::{Address, Code};
use salt402_store::{Options, Store, backup, restore};
use salt402_verifier::ChainPolicy;
use shop::{CHAIN, Operator, Shop, granted, now, operator, paid, proof, question};

/// An operator on a chain where a block comes every second, whatever is in it.
fn steady() -> Operator {
    let quiet = operator();
    Operator { chain: ChainPolicy { steady_blocks: true, ..quiet.chain.clone() }, ..quiet }
}

async fn offer(shop: &Shop) -> Result<QuoteResponse, Code> {
    let offered = shop.verifier.offer(&question(1, 5, true)).await;
    offered.map_err(|problem| {
        assert!(problem.retry_after_ms.is_some() && problem.status == 503, "{problem:?}");
        problem.code
    })
}

/// The indexer was last heard of a minute ago.
async fn goes_silent(shop: &Shop) {
    let height = shop.store.chain_state(CHAIN).await.unwrap().unwrap().head.unwrap();
    shop.store.note_head_at(CHAIN, height, (now() - 60) * 1000).await.unwrap();
}

#[tokio::test]
async fn c18_nothing_is_sold_before_the_head_was_reached_nor_once_it_is_not_heard_of() {
    let shop = Shop::open(&operator()).await;
    assert_eq!(offer(&shop).await.unwrap_err(), Code::NotReady);
    shop.mine(&[]).await;
    let quote = offer(&shop).await.unwrap();
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    goes_silent(&shop).await;
    assert_eq!(offer(&shop).await.unwrap_err(), Code::NotReady);
    assert!(!shop.verifier.readiness().await.unwrap().ready, "and readiness says the same");
    // What it left is granted on.
    let shown = VerifyRequest { quote_id: Some(quote.quote_id), ..proof(1, 1, 5) };
    assert_eq!(granted(shop.verifier.verify(&shown).await), Ok(true));
    shop.mine(&[]).await;
    assert!(offer(&shop).await.is_ok() && shop.verifier.readiness().await.unwrap().ready);
}

#[tokio::test]
async fn c19_where_blocks_come_steadily_nothing_is_sold_while_the_newest_one_is_old_or_ahead() {
    for (operator, by, sold) in [
        (steady(), 0_i64, true),
        (steady(), -20, true),
        (steady(), -120, false),
        (steady(), 120, false),
        (operator(), -120, true),
        (operator(), -86_400, true),
        (operator(), 3600, false),
    ] {
        let shop = Shop::open(&operator).await;
        shop.put(0, now().saturating_add_signed(by), &[]).await;
        assert_eq!(offer(&shop).await.err(), (!sold).then_some(Code::NotReady), "{by} s");
        assert_eq!(shop.verifier.readiness().await.unwrap().ready, sold, "{by} s");
    }
}

/// What is mined a moment later may be dated a moment earlier, by a chain whose clock is behind, and would be refused.
#[tokio::test]
async fn after_a_restore_nothing_is_sold_that_the_chain_may_date_before_it() {
    for (mut operator, skew) in [(operator(), 30), (operator(), 0), (steady(), 0)] {
        operator.policy.clock_skew = Duration::from_secs(skew);
        let mut shop = Shop::open(&operator).await;
        shop.put(0, now() - 5, &[]).await;
        let (copy, place) = (shop.folder.path().join("copy.db"), shop.folder.path().join("new/shop.db"));
        backup(&shop.folder.path().join("shop.db"), &copy, |_, _| {}).await.unwrap();
        restore(&copy, &place, Duration::ZERO).await.unwrap();
        shop.store = Store::open(Options::new(place)).await.unwrap();
        shop.verifier = shop::verifier(&operator, &shop.store, &shop.told).await;
        let restored = shop.store.refuse_before();
        assert!(restored <= now());
        let height = shop.store.chain_state(CHAIN).await.unwrap().unwrap().head.unwrap();
        shop.store.note_head(CHAIN, height).await.unwrap();
        // Without steady blocks the newest one says nothing, and only the clocks' difference counts.
        let sold = skew == 0 && !operator.chain.steady_blocks;
        assert_eq!(
            offer(&shop).await.err(),
            (!sold).then_some(Code::NotReady),
            "{skew} s, steady: {}",
            operator.chain.steady_blocks
        );
        shop.put(1, restored, &[]).await;
        assert_eq!(
            offer(&shop).await.err(),
            (skew > 0).then_some(Code::NotReady),
            "{skew} s, steady: {}",
            operator.chain.steady_blocks
        );
    }
}

#[tokio::test]
async fn beside_a_new_database_no_channel_is_offered_that_the_chain_may_date_before_it() {
    let mut operator = operator();
    operator.chain.channels = Some(Address::repeat_byte(0xcc));
    operator.chain.least_exit_delay = Some(Duration::from_secs(3600));
    let shop = Shop::begin(&operator).await;
    shop.mine(&[]).await;
    let quote = offer(&shop).await.unwrap();
    assert_eq!((quote.channels_contract, quote.channels_exit_delay), (None, None));
    let shop = Shop::open(&operator).await;
    shop.mine(&[]).await;
    let quote = offer(&shop).await.unwrap();
    assert_eq!((quote.channels_contract, quote.channels_exit_delay), (operator.chain.channels, Some(3600)));
}

/// Until what a look showed is no longer what everybody is told.
async fn rested() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn c18_nobody_is_told_that_a_quote_ended_before_the_node_was_asked_and_the_index_is_past_its_end() {
    let operator = steady();
    let shop = Shop::open(&operator).await;
    let shown = VerifyRequest { quote_id: Some(shop.given(&operator, 1000)), ..proof(9, 1, 5) };
    let answer = async || granted(shop.verifier.verify(&shown).await).unwrap_err();
    // Nothing is indexed; then the chain is where it was before the quote ended, as after a halt.
    assert_eq!(answer().await, Code::PaymentNotSeen);
    shop.put(0, now() - 800, &[]).await;
    rested().await;
    assert_eq!(answer().await, Code::PaymentNotSeen);
    // The index is past it, and the node that is asked does not have what the index has.
    shop.mine(&[]).await;
    let headers = std::mem::take(&mut *shop.told.headers.lock().unwrap());
    rested().await;
    assert_eq!(answer().await, Code::PaymentNotSeen);
    *shop.told.headers.lock().unwrap() = headers;
    rested().await;
    assert_eq!(answer().await, Code::QuoteExpired);
    // The indexer is not heard of any more: what it did not read may hold it.
    goes_silent(&shop).await;
    assert_eq!(answer().await, Code::PaymentNotSeen);
}

#[tokio::test]
async fn c19_a_payment_for_a_secret_quote_that_the_chain_dates_before_it_is_good() {
    let mut strict = operator();
    strict.chain.rules.max_age = Some(Duration::from_secs(60));
    for (operator, behind) in [(operator(), 31), (operator(), 120), (operator(), 3600), (strict, 3600)] {
        let shop = Shop::open(&operator).await;
        let quote = shop.quote(1, 5, true);
        shop.put(0, now() - behind, &[paid(1, 1, 5, &quote)]).await;
        let shown = VerifyRequest { quote_id: Some(quote.quote_id.clone()), ..proof(1, 1, 5) };
        assert_eq!(granted(shop.verifier.verify(&shown).await), Ok(true), "{behind} s");
    }
}

#[tokio::test]
async fn c19_a_payment_by_its_hash_alone_that_the_chain_dates_two_minutes_before_its_quote_is_good() {
    let shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, false);
    shop.put(0, now() - 120, &[paid(1, 1, 5, &quote)]).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
}
