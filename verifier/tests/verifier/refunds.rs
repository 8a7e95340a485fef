//! A payment that was given back buys nothing, and whoever made it is not told to pay again.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use std::sync::atomic::Ordering;

use salt402_protocol::api::{Verdict, VerifyRequest};
use salt402_protocol::{Amount, B256, Code, Payment, Refund, U256};
use salt402_store::{
    Batch, Cursor, Extras, Options, Placed, RefundOrder, RefundState, Refunded, Refunds, Store,
};
use shop::{CHAIN, CONTRACT, Shop, granted, operator, paid, proof, question};

/// Puts what a payee gave back into the newest block.
async fn give_back(shop: &Shop, payment: &Payment, amount: u64) {
    let state = shop.store.chain_state(CHAIN).await.unwrap().unwrap();
    let cursor: Cursor = state.cursor.unwrap();
    let block = shop.store.canonical_block(CHAIN, cursor.number).await.unwrap().unwrap();
    let what = Refund {
        id: payment.reference,
        chain: CHAIN,
        contract: CONTRACT,
        transaction: B256::repeat_byte(0x78),
        reference: payment.reference,
        payee: payment.payee,
        payer: payment.payer,
        asset: payment.asset,
        amount: Amount(U256::from(amount)),
    };
    let refunds = vec![Placed {
        what,
        block_number: block.number,
        block_hash: block.hash,
        block_timestamp: block.timestamp,
    }];
    let batch = Batch {
        chain: CHAIN,
        expected: Some(cursor),
        keep_through: None,
        blocks: Vec::new(),
        payments: Vec::new(),
        cursor,
        head: None,
        prune_below: None,
        extras: Extras { refunds, ..Extras::default() },
        undecoded: Vec::new(),
    };
    shop.store.apply(batch).await.unwrap();
}

#[tokio::test]
async fn whoever_has_the_money_back_gets_no_answer_whether_it_was_granted_before_or_not() {
    let operator = operator();
    let shop = Shop::open(&operator).await;
    shop.mine(&[]).await;
    for (request, claimed_before) in [(1_u8, false), (2, true)] {
        let quote = shop.verifier.offer(&question(request, 5, true)).await.unwrap();
        let payment = paid(request, request, 5, &quote);
        shop.mine(std::slice::from_ref(&payment)).await;
        let shown = VerifyRequest { quote_id: Some(quote.quote_id), ..proof(request, request, 5) };
        if claimed_before {
            assert_eq!(granted(shop.verifier.verify(&shown).await), Ok(true));
        }
        give_back(&shop, &Payment { ..payment.clone() }, 2).await;
        for claim in [true, false] {
            let told = shop.verifier.verify(&VerifyRequest { claim, ..shown.clone() }).await.unwrap_err();
            assert_eq!((told.code, told.status), (Code::PaymentRefunded, 410), "{told:?}");
            assert!(told.retry_after_ms.is_none(), "waiting does not help: {told:?}");
            assert!(
                told.detail.contains("2 of 5 base units") && told.detail.contains("do not pay again"),
                "{told:?}"
            );
        }
        let told = shop.verifier.payments(CHAIN, payment.transaction).await.unwrap();
        assert_eq!(told.payments[0].refunded, Some(Amount(U256::from(2))));
        assert_eq!(told.refunds.len(), 1);
        assert_eq!(told.refunds[0].reference, payment.reference);
    }
}

/// Somebody else who asked for the same has the money back. That says nothing of what is shown.
#[tokio::test]
async fn a_refund_of_another_payer_of_the_same_quote_keeps_nobody_from_what_was_paid() {
    let shop = Shop::open(&operator()).await;
    shop.mine(&[]).await;
    let quote = shop.quote(1, 5, false);
    let others = paid(1, 1, 5, &quote);
    shop.mine(std::slice::from_ref(&others)).await;
    give_back(&shop, &others, 5).await;
    let shown = VerifyRequest { quote_id: Some(quote.quote_id.clone()), ..proof(2, 1, 5) };
    let asked = shop.told.receipts_asked.load(Ordering::SeqCst);
    assert_eq!(granted(shop.verifier.verify(&shown).await), Err(Code::PaymentNotSeen));
    assert!(shop.told.receipts_asked.load(Ordering::SeqCst) > asked, "its own receipt is looked at");
    // What paid nothing is told so, and not of another's refund.
    shop.reverts(4);
    for _ in 0..3 {
        shop.mine(&[]).await;
    }
    let reverted = VerifyRequest { proof: proof(4, 1, 5).proof, ..shown };
    assert_eq!(granted(shop.verifier.verify(&reverted).await), Err(Code::TransactionReverted));
    let own = paid(3, 2, 5, &quote);
    shop.mine(std::slice::from_ref(&own)).await;
    let shown = VerifyRequest { quote_id: Some(quote.quote_id), ..proof(3, 1, 5) };
    assert_eq!(granted(shop.verifier.verify(&shown).await), Ok(true));
}

/// Only its payer has the quote, and two transactions paid it.
#[tokio::test]
async fn a_refund_of_a_payers_own_is_told_once_the_shown_transaction_is_known_to_pay_nothing() {
    let shop = Shop::open(&operator()).await;
    shop.mine(&[]).await;
    let quote = shop.quote(1, 5, true);
    let first = paid(1, 1, 5, &quote);
    shop.mine(std::slice::from_ref(&first)).await;
    give_back(&shop, &first, 5).await;
    let shown = VerifyRequest { quote_id: Some(quote.quote_id.clone()), ..proof(2, 1, 5) };
    assert_eq!(granted(shop.verifier.verify(&shown).await), Err(Code::PaymentNotSeen));
    shop.reverts(4);
    for _ in 0..3 {
        shop.mine(&[]).await;
    }
    let reverted = VerifyRequest { proof: proof(4, 1, 5).proof, ..shown };
    assert_eq!(granted(shop.verifier.verify(&reverted).await), Err(Code::PaymentRefunded));
}

/// A request that waits for confirmations, and whose payment is about to be given back by a command, which is another process:
/// it is told when the index next changes.
#[tokio::test]
async fn a_refund_that_is_ordered_while_a_request_waits_ends_the_waiting() {
    let mut operator = operator();
    operator.chain.rules.confirmations = 3;
    let shop = Shop::open(&operator).await;
    shop.mine(&[]).await;
    let quote = shop.verifier.offer(&question(1, 5, true)).await.unwrap();
    let payment = paid(1, 1, 5, &quote);
    shop.mine(std::slice::from_ref(&payment)).await;
    let shown = VerifyRequest { quote_id: Some(quote.quote_id), ..proof(1, 1, 5) };
    let pending = shop.verifier.verify(&shown).await.unwrap();
    assert!(matches!(pending, Verdict::Pending { code: Code::AwaitingConfirmations, .. }), "{pending:?}");
    let (verifier, waits) = (shop.verifier.clone(), VerifyRequest { wait_ms: 20_000, ..shown });
    let waiter = tokio::spawn(async move { verifier.verify(&waits).await });
    while shop.verifier.status().await.unwrap().waiting != 1 {
        tokio::task::yield_now().await;
    }
    let command = Store::open(Options::new(shop.folder.path().join("shop.db"))).await.unwrap();
    let order = RefundOrder {
        of: Refunded::of(&payment),
        contract: CONTRACT,
        amount: payment.amount,
        transaction: B256::repeat_byte(0x78),
        nonce: 0,
        raw: vec![2],
        state: RefundState::Open,
        overtaken_at: None,
        mined_in: None,
    };
    assert!(command.order_refund(order, Refunds::default()).await.unwrap());
    command.close().await;
    assert!(!waiter.is_finished(), "it has begun to wait");
    // Enough for it to be granted on.
    for _ in 0..2 {
        shop.mine(&[]).await;
    }
    let told = waiter.await.unwrap().unwrap_err();
    assert_eq!((told.code, told.status), (Code::PaymentRefunded, 410), "{told:?}");
}
