//! A payment that was given back buys nothing, and whoever made it is not told to pay again.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod shop;

use salt402_protocol::api::{Verdict, VerifyRequest};
use salt402_protocol::{Address, Amount, B256, Code, Payment, Refund, U256};
use salt402_store::{Batch, Cursor, Extras, Placed};
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

/// A request that waits for confirmations is told as soon as the money is on its way back.
#[tokio::test]
async fn a_refund_that_is_mined_while_a_request_waits_ends_the_waiting() {
    let mut operator = operator();
    operator.chain.rules.confirmations = 3;
    let shop = Shop::open(&operator).await;
    shop.mine(&[]).await;
    let quote = shop.verifier.offer(&question(1, 5, true)).await.unwrap();
    let payment = paid(1, 1, 5, &quote);
    shop.mine(std::slice::from_ref(&payment)).await;
    let shown = VerifyRequest { quote_id: Some(quote.quote_id), ..proof(1, 1, 5) };
    let pending = shop.verifier.verify(&VerifyRequest { wait_ms: 0, ..shown.clone() }).await.unwrap();
    assert!(matches!(pending, Verdict::Pending { code: Code::AwaitingConfirmations, .. }), "{pending:?}");
    let waits = VerifyRequest { wait_ms: 20_000, ..shown };
    let (told, ()) = tokio::join!(shop.verifier.verify(&waits), async {
        // It has begun to wait by then, or looks afterwards: either way it is told.
        tokio::task::yield_now().await;
        give_back(&shop, &payment, 5).await;
    });
    assert_eq!(told.unwrap_err().code, Code::PaymentRefunded);
    assert_ne!(payment.payer, Address::ZERO);
}
