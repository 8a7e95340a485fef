//! What cannot be read is not said to have paid nothing: by a verifier over a real store.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use std::time::Duration;

use salt402_protocol::api::VerifyRequest;
use salt402_protocol::{B256, Code};
use salt402_store::{Batch, Extras, Placed, UnreadableTransaction};
use shop::{CHAIN, Shop, granted, now, operator, paid, proof};

/// The node does not give the receipt of a transaction.
fn too_long(shop: &Shop, transaction: u8) {
    shop.told.too_long.lock().unwrap().push(B256::repeat_byte(transaction));
}

/// The follower could not read a transaction of the newest block.
async fn given_up(shop: &Shop, transaction: u8) {
    too_long(shop, transaction);
    let cursor = shop.store.chain_state(CHAIN).await.unwrap().unwrap().cursor.unwrap();
    let what = UnreadableTransaction {
        transaction: B256::repeat_byte(transaction),
        position: None,
        bytes: 2 << 20,
        bound: Some(1 << 20),
        reason: "it is long".into(),
    };
    let block_timestamp = now();
    let unreadable =
        vec![Placed { what, block_number: cursor.number, block_hash: cursor.hash, block_timestamp }];
    let batch = Batch {
        chain: CHAIN,
        expected: Some(cursor),
        keep_through: None,
        blocks: Vec::new(),
        payments: Vec::new(),
        extras: Extras { unreadable, ..Extras::default() },
        undecoded: Vec::new(),
        cursor,
        head: None,
        prune_below: None,
    };
    shop.store.apply(batch).await.unwrap();
}

/// A hash that was looked at rests before it is looked at again.
async fn rest() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn whoever_shows_what_cannot_be_read_is_not_told_to_pay_again_and_served_once_it_can() {
    let shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    let payment = paid(1, 7, 5, &quote);
    shop.mine(&[]).await;
    too_long(&shop, 1);
    let quoted = VerifyRequest { quote_id: Some(quote.quote_id.clone()), ..proof(1, 1, 5) };
    // Whether or not the follower came across it.
    for follower in [false, true] {
        if follower {
            given_up(&shop, 1).await;
        }
        for shown in [&quoted, &proof(1, 1, 5)] {
            let refused = shop.verifier.verify(shown).await.unwrap_err();
            assert_eq!((refused.code, refused.status), (Code::PaymentUnreadable, 409));
            assert!(refused.detail.contains("do not pay again"), "{refused:?}");
        }
        rest().await;
    }
    assert_eq!(shop.verifier.readiness().await.unwrap().chains[0].unreadable, 1);
    shop.told.too_long.lock().unwrap().clear();
    let cursor = shop.store.chain_state(CHAIN).await.unwrap().unwrap().cursor.unwrap();
    shop.replace(&[payment]).await;
    assert_ne!(shop.store.chain_state(CHAIN).await.unwrap().unwrap().cursor.unwrap(), cursor);
    assert_eq!(granted(shop.verifier.verify(&quoted).await), Ok(true));
    assert_eq!(shop.verifier.readiness().await.unwrap().chains[0].unreadable, 0, "it left with its block");
}

#[tokio::test]
async fn a_strangers_payment_in_a_transaction_that_cannot_be_read_whole_is_no_refusal() {
    let shop = Shop::open(&operator()).await;
    let stranger = paid(1, 9, 1, &shop.quote(9, 1, false));
    shop.mine(&[stranger]).await;
    too_long(&shop, 1);
    assert_eq!(granted(shop.show(1, 1, 5).await), Err(Code::PaymentUnreadable));
    // What was used is known to be used.
    assert_eq!(granted(shop.show(1, 9, 1).await), Ok(true));
    let another = VerifyRequest { claimant: "another shop".into(), ..proof(1, 9, 1) };
    assert_eq!(granted(shop.verifier.verify(&another).await), Err(Code::AlreadyClaimed));
}

#[tokio::test]
async fn a_quote_that_has_ended_is_not_refused_while_its_payment_may_be_in_what_cannot_be_read() {
    let operator = operator();
    let shop = Shop::open(&operator).await;
    shop.mine(&[]).await;
    let quote = shop.given(&operator, 1000);
    // Another transaction is shown than the one that paid.
    let shown = |transaction| VerifyRequest { quote_id: Some(quote.clone()), ..proof(transaction, 1, 5) };
    assert_eq!(granted(shop.verifier.verify(&shown(20)).await), Err(Code::QuoteExpired));
    given_up(&shop, 1).await;
    assert_eq!(granted(shop.verifier.verify(&shown(21)).await), Err(Code::PaymentUnreadable));
    shop.replace(&[]).await;
    assert_eq!(granted(shop.verifier.verify(&shown(22)).await), Err(Code::QuoteExpired));
}
