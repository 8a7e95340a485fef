//! A database that was begun anew beside an old quote key has forgotten what was granted, and grants on nothing of before.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use salt402_protocol::Code;
use salt402_protocol::api::{QuoteResponse, VerifyRequest};
use salt402_protocol::quote::QuoteClock;
use shop::{Shop, granted, now, operator, paid, proof, question};

/// The proof of a transaction with the id of its quote.
fn with(quote: &QuoteResponse, request: VerifyRequest) -> VerifyRequest {
    VerifyRequest { quote_id: Some(quote.quote_id.clone()), ..request }
}

#[tokio::test]
async fn c11_what_an_earlier_database_granted_is_not_granted_again_however_often_it_is_begun_anew() {
    let operator = operator();
    let mut shop = Shop::begin(&operator).await;
    let quotes = [shop.quote(1, 5, true), shop.quote(2, 5, false)];
    let payments = [paid(1, 1, 5, &quotes[0]), paid(2, 1, 5, &quotes[1])];
    shop.mine(&payments).await;
    let (secret, bare) = (with(&quotes[0], proof(1, 1, 5)), proof(2, 2, 5));
    for shown in [&secret, &bare] {
        assert_eq!(granted(shop.verifier.verify(shown).await), Ok(true));
    }
    for _ in 0..3 {
        shop.begin_anew(&operator).await;
        shop.mine(&payments).await;
        let derived = with(&quotes[1], bare.clone());
        for shown in [&secret, &bare, &derived] {
            let looked = VerifyRequest { claim: false, ..shown.clone() };
            for shown in [shown, &looked] {
                let problem = shop.verifier.verify(shown).await.unwrap_err();
                assert_eq!((problem.code, problem.status), (Code::BeforeDatabase, 409), "{problem:?}");
                assert!(problem.detail.contains("do not pay again"));
            }
        }
    }
    assert_eq!(shop.store.counts().await.unwrap().claims, 0);
    // What it quotes itself is sold, also in the window of a quote of before and for the same request.
    let quote = shop.quote(2, 5, false);
    assert_ne!(quote.quote_id, quotes[1].quote_id);
    shop.mine(&[paid(3, 1, 5, &quote)]).await;
    assert_eq!(granted(shop.show(3, 2, 5).await), Ok(true));
}

#[tokio::test]
async fn c11_whoever_was_quoted_by_an_earlier_database_and_pays_later_is_not_led_to_pay_again() {
    let operator = operator();
    let mut shop = Shop::begin(&operator).await;
    let quotes = [shop.quote(1, 5, true), shop.quote(2, 5, false)];
    shop.begin_anew(&operator).await;
    shop.mine(&[paid(1, 1, 5, &quotes[0]), paid(2, 1, 5, &quotes[1])]).await;
    let told = async |shown: &VerifyRequest| granted(shop.verifier.verify(shown).await);
    assert_eq!(told(&with(&quotes[0], proof(1, 1, 5))).await, Err(Code::BeforeDatabase));
    assert_eq!(told(&proof(2, 2, 5)).await, Err(Code::BeforeDatabase));
    // The price went up meanwhile: what was paid may be what was asked then.
    assert_eq!(told(&proof(2, 2, 50)).await, Err(Code::BeforeDatabase));
    // What this one has granted on is no secret to it.
    let own = shop.quote(3, 5, false);
    shop.mine(&[paid(3, 1, 5, &own)]).await;
    assert_eq!(told(&proof(3, 3, 5)).await, Ok(true));
    assert_eq!(told(&proof(3, 4, 5)).await, Err(Code::ReferenceMismatch));
}

#[tokio::test]
async fn c11_clocks_that_were_set_back_make_no_quote_of_before_good() {
    let operator = operator();
    let mut shop = Shop::begin(&operator).await;
    let quote = shop.quote(1, 5, true);
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    let shown = with(&quote, proof(1, 1, 5));
    assert_eq!(granted(shop.verifier.verify(&shown).await), Ok(true));
    // The new one believes that it was made an hour before the quote was given.
    shop.begin_anew(&operator).await;
    let earlier = format!("UPDATE meta SET value = '{}' WHERE name = 'made_at'", now() - 3600);
    shop.meddle(&operator, &earlier).await;
    shop.mine(&[paid(1, 1, 5, &quote)]).await;
    assert_eq!(granted(shop.verifier.verify(&shown).await), Err(Code::BeforeDatabase));
}

/// As it was before databases had marks.
const UNMARKED: &str = "DELETE FROM meta WHERE name IN ('mark', 'made_at', 'unmarked_until');
                        DROP TABLE leases;
                        DELETE FROM _sqlx_migrations WHERE description = 'making';";

#[tokio::test]
async fn c11_a_database_that_was_there_before_honours_what_it_quoted_before_its_update() {
    let operator = operator();
    let mut shop = Shop::begin(&operator).await;
    let unmarked = QuoteClock::living(300);
    let asked = question(1, 5, true);
    let made = operator.keys.open(&shop.quote(1, 5, true).quote_id).unwrap();
    let id = operator.keys.seal(&unmarked.random(made.terms, now() - 20, [7; 16]));
    let derived = operator.keys.seal(&unmarked.derived(made.terms, now() - 20));
    let quoted = |id: &salt402_protocol::QuoteId| QuoteResponse {
        reference: id.reference(),
        quote_id: id.clone(),
        ..shop.verifier.quote(&asked).unwrap()
    };
    let payments = [paid(1, 1, 5, &quoted(&id)), paid(2, 1, 5, &quoted(&derived))];
    let shown = [VerifyRequest { quote_id: Some(id), ..proof(1, 1, 5) }, proof(2, 1, 5)];
    shop.mine(&payments).await;
    for shown in &shown {
        let told = granted(shop.verifier.verify(shown).await);
        assert_eq!(told, Err(Code::BeforeDatabase), "by a database that never gave such quotes");
    }
    shop.meddle(&operator, UNMARKED).await;
    assert_eq!(shop.store.origin().made_at, 0);
    for shown in &shown {
        assert_eq!(granted(shop.verifier.verify(shown).await), Ok(true));
    }
    // From now on its quotes name it.
    let quote = shop.quote(3, 5, true);
    assert_eq!(operator.keys.open(&quote.quote_id).unwrap().database, Some(shop.store.origin().mark));
    shop.mine(&[paid(3, 1, 5, &quote)]).await;
    assert_eq!(granted(shop.verifier.verify(&with(&quote, proof(3, 3, 5))).await), Ok(true));
}
