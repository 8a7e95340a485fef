//! What payees give back: it follows the chain, nothing is granted on it, and none is sent twice.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use salt402_protocol::{Amount, B256, Refund, U256};
use salt402_store::{Block, ClaimResult, NewUse, Placed, RefundOrder, RefundState, Refunded, Refunds};
use support::{CHAIN, Fixture, child, genesis, new_claim, numbered, payment, placed, transaction};

/// What was given back of a payment, in a transaction of its own.
fn refund(of: u64, number: u64, amount: u64) -> Refund {
    let paid = payment(of);
    Refund {
        id: numbered(0x4e, number),
        chain: CHAIN,
        contract: paid.contract,
        transaction: numbered(0x4f, number),
        reference: paid.reference,
        payee: paid.payee,
        payer: paid.payer,
        asset: paid.asset,
        amount: Amount(U256::from(amount)),
    }
}

fn place(what: Refund, block: Block) -> Placed<Refund> {
    Placed { what, block_number: block.number, block_hash: block.hash, block_timestamp: block.timestamp }
}

fn of(number: u64) -> Refunded {
    Refunded::of(&payment(number))
}

fn order(of: Refunded, number: u64, amount: u64) -> RefundOrder {
    RefundOrder {
        of,
        contract: payment(1).contract,
        amount: Amount(U256::from(amount)),
        transaction: numbered(0x4f, number),
        nonce: number,
        raw: vec![2, 3],
        state: RefundState::Open,
        overtaken_at: None,
    }
}

/// Puts a block with refunds upon the chain, or in the place of what is above `keep_through`.
async fn block(fixture: &Fixture, parent: Block, branch: u8, keep: Option<u64>, refunds: &[Refund]) -> Block {
    let next = child(parent, branch, &[]);
    let mut batch = fixture.batch(keep, std::slice::from_ref(&next)).await;
    batch.extras.refunds = refunds.iter().map(|refund| place(refund.clone(), next.block)).collect();
    fixture.store.apply(batch).await.unwrap();
    next.block
}

async fn known(fixture: &Fixture, payment: u64) -> Refunds {
    fixture.store.refunds(of(payment)).await.unwrap()
}

/// What every row of a payment says of it.
async fn refunded(fixture: &Fixture, payment: u64) -> Option<u64> {
    let rows = fixture.store.payments_in(CHAIN, transaction(payment)).await.unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row.refunded == rows[0].refunded));
    rows[0].refunded.map(|amount| amount.0.to())
}

/// A chain with payments 1 and 2 in its first block.
async fn paid() -> (Fixture, Block) {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1, 2]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    (fixture, one.block)
}

#[tokio::test]
async fn what_was_given_back_buys_nothing_neither_anew_nor_again() {
    let (fixture, one) = paid().await;
    assert!(matches!(fixture.claim(2, 7).await, ClaimResult::First { .. }));
    // It is in memory before.
    assert_eq!((refunded(&fixture, 1).await, refunded(&fixture, 2).await), (None, None));
    block(&fixture, one, 1, None, &[refund(1, 1, 5), refund(1, 2, 3), refund(2, 3, 1)]).await;
    assert_eq!((refunded(&fixture, 1).await, refunded(&fixture, 2).await), (Some(8), Some(1)));
    assert_eq!(fixture.claim(1, 7).await, ClaimResult::Refunded);
    assert_eq!(fixture.claim(2, 7).await, ClaimResult::Refunded, "nor what was granted before");
    assert_eq!(fixture.claim(2, 8).await, ClaimResult::Taken);
    assert_eq!(known(&fixture, 1).await.on_chain().0.to::<u64>(), 8);
}

#[tokio::test]
async fn of_a_payment_for_several_requests_none_is_served_once_some_of_it_was_given_back() {
    let (fixture, one) = paid().await;
    let claim = |request: u8| {
        let usage = NewUse { request: new_claim(1, request).request, most: 3, again_only: false };
        fixture.store.claim(salt402_store::NewClaim { usage: Some(usage), ..new_claim(1, 1) })
    };
    assert!(matches!(claim(1).await.unwrap(), ClaimResult::First { .. }));
    block(&fixture, one, 1, None, &[refund(1, 1, 5)]).await;
    for request in [1, 2] {
        assert_eq!(claim(request).await.unwrap(), ClaimResult::Refunded, "{request}");
    }
}

/// Anybody can name any reference, and give money of its own to anybody.
#[tokio::test]
async fn nobody_but_the_payee_ends_a_payment() {
    let (fixture, one) = paid().await;
    let good = refund(1, 1, 5);
    let strangers = [
        Refund { payee: good.payer, ..good.clone() },
        Refund { payer: good.payee, id: numbered(0x4e, 2), ..good.clone() },
        Refund { asset: payment(2).asset, id: numbered(0x4e, 3), ..good.clone() },
        Refund { reference: B256::ZERO, id: numbered(0x4e, 4), ..good.clone() },
    ];
    let two = block(&fixture, one, 1, None, &strangers).await;
    assert_eq!(refunded(&fixture, 1).await, None);
    assert!(matches!(fixture.claim(1, 7).await, ClaimResult::First { .. }));
    // Through whichever contract it was sent.
    let elsewhere = Refund { contract: salt402_protocol::Address::repeat_byte(0x99), ..good };
    block(&fixture, two, 1, None, &[Refund { id: numbered(0x4e, 9), ..elsewhere }]).await;
    assert_eq!(fixture.claim(1, 7).await, ClaimResult::Refunded);
}

#[tokio::test]
async fn a_refund_leaves_the_chain_with_its_block_and_comes_back_with_it_and_nothing_is_granted_meanwhile() {
    let (mut fixture, one) = paid().await;
    let two = block(&fixture, one, 1, None, &[refund(1, 1, 5)]).await;
    assert_eq!(refunded(&fixture, 1).await, Some(5));
    let other = block(&fixture, one, 2, Some(1), &[]).await;
    assert_eq!(refunded(&fixture, 1).await, Some(0), "it may be mined again");
    assert_eq!(fixture.claim(1, 7).await, ClaimResult::Refunded);
    assert_eq!(known(&fixture, 1).await.committed().0.to::<u64>(), 5);
    // In another block.
    block(&fixture, other, 2, None, &[refund(1, 1, 5)]).await;
    assert_eq!(refunded(&fixture, 1).await, Some(5));
    assert_eq!(known(&fixture, 1).await.committed().0.to::<u64>(), 5, "one refund in two blocks is one");
    fixture.reopen().await;
    // Back to the first, without a word of what is in it.
    let back = child(one, 1, &[]);
    assert_eq!(back.block, two);
    let three = child(two, 3, &[]);
    let four = child(three.block, 3, &[]);
    fixture.apply(Some(1), &[back, three, four]).await.unwrap();
    let rows = known(&fixture, 1).await.indexed;
    let on_chain: Vec<_> = rows.iter().filter(|row| row.canonical).map(|row| row.block_hash).collect();
    assert_eq!((rows.len(), on_chain), (2, vec![two.hash]));
    assert_eq!(
        fixture.store.refund_on_chain(CHAIN, numbered(0x4e, 1)).await.unwrap().unwrap().block_hash,
        two.hash
    );
    assert_eq!(refunded(&fixture, 1).await, Some(5));
}

#[tokio::test]
async fn a_refund_that_is_in_two_blocks_of_a_chain_is_refused_with_its_step() {
    let (fixture, one) = paid().await;
    let two = block(&fixture, one, 1, None, &[refund(1, 1, 5)]).await;
    let next = child(two, 1, &[]);
    let mut batch = fixture.batch(None, std::slice::from_ref(&next)).await;
    batch.extras.refunds = vec![place(refund(1, 1, 5), next.block)];
    assert!(fixture.store.apply(batch).await.is_err());
    assert_eq!(fixture.cursor().await.unwrap().number, 2);
}

#[tokio::test]
async fn a_refund_of_a_merged_block_moves_to_a_block_of_its_own_and_back() {
    let (fixture, one) = paid().await;
    let two = block(&fixture, one, 1, None, &[]).await;
    let cursor = fixture.cursor().await.unwrap();
    let mut merged = support::batch(Some(cursor), None, &[child(genesis(), 1, &[])]);
    (merged.blocks, merged.cursor, merged.head, merged.payments) = (Vec::new(), cursor, None, Vec::new());
    merged.extras.refunds = vec![place(refund(1, 1, 5), one)];
    fixture.store.apply_merged(merged).await.unwrap();
    assert_eq!(refunded(&fixture, 1).await, Some(5));
    let stands = async || {
        let rows = known(&fixture, 1).await.indexed;
        rows.iter().filter(|row| row.canonical).map(|row| row.block_number).collect::<Vec<_>>()
    };
    assert_eq!(stands().await, [1]);
    block(&fixture, two, 1, None, &[refund(1, 1, 5)]).await;
    assert_eq!(stands().await, [3]);
    block(&fixture, two, 2, Some(2), &[]).await;
    assert_eq!(stands().await, [1], "what merged it is still there");
    assert_eq!(refunded(&fixture, 1).await, Some(5));
}

#[tokio::test]
async fn a_refund_is_written_down_before_it_is_sent_and_once() {
    let (mut fixture, one) = paid().await;
    let none = Refunds::default();
    assert_eq!(refunded(&fixture, 1).await, None);
    assert!(fixture.store.order_refund(order(of(1), 1, 5), none.clone()).await.unwrap());
    // From here on nothing is granted, in this life and the next.
    assert_eq!(refunded(&fixture, 1).await, Some(0));
    fixture.reopen().await;
    assert_eq!(fixture.claim(1, 7).await, ClaimResult::Refunded);
    let open = known(&fixture, 1).await;
    assert_eq!(open.open(), Some(&order(of(1), 1, 5)));
    // Neither by whoever knew nothing of it, nor by whoever does.
    for known in [none.clone(), open.clone()] {
        assert!(!fixture.store.order_refund(order(of(1), 2, 5), known).await.unwrap());
    }
    // That of another payment is another.
    assert!(fixture.store.order_refund(order(of(2), 3, 5), none.clone()).await.unwrap());

    fixture.store.note_refund(CHAIN, numbered(0x4f, 1), RefundState::Open, Some(4)).await.unwrap();
    assert_eq!(known(&fixture, 1).await.open().unwrap().overtaken_at, Some(4));
    fixture.store.note_refund(CHAIN, numbered(0x4f, 1), RefundState::Mined, None).await.unwrap();
    let mined = known(&fixture, 1).await;
    assert_eq!((mined.open(), mined.committed().0.to::<u64>()), (None, 5));
    // It is indexed since: what was known is known no more.
    block(&fixture, one, 1, None, &[refund(1, 1, 5)]).await;
    assert!(!fixture.store.order_refund(order(of(1), 4, 1), mined).await.unwrap());
    let now = known(&fixture, 1).await;
    assert_eq!(now.committed().0.to::<u64>(), 5, "sent and indexed is one");
    assert!(fixture.store.order_refund(order(of(1), 4, 1), now).await.unwrap());
}

#[tokio::test]
async fn a_refund_that_moved_nothing_ends_nothing() {
    let (fixture, _) = paid().await;
    assert!(fixture.store.order_refund(order(of(1), 1, 5), Refunds::default()).await.unwrap());
    assert_eq!(fixture.claim(1, 7).await, ClaimResult::Refunded);
    fixture.store.note_refund(CHAIN, numbered(0x4f, 1), RefundState::Void, None).await.unwrap();
    assert_eq!((refunded(&fixture, 1).await, known(&fixture, 1).await), (None, Refunds::default()));
    assert!(matches!(fixture.claim(1, 7).await, ClaimResult::First { .. }));
    assert_eq!(placed(1, genesis()).payment, payment(1));
}

/// What was sent left the chain, and another transaction then used its nonce for good: the payment is as it was before.
#[tokio::test]
async fn a_refund_that_left_the_chain_and_is_void_ends_nothing_until_it_is_on_the_chain_again() {
    let (fixture, one) = paid().await;
    assert!(fixture.store.order_refund(order(of(1), 1, 5), Refunds::default()).await.unwrap());
    block(&fixture, one, 1, None, &[refund(1, 1, 5)]).await;
    fixture.store.note_refund(CHAIN, numbered(0x4f, 1), RefundState::Mined, None).await.unwrap();
    let other = block(&fixture, one, 2, Some(1), &[]).await;
    assert_eq!(
        (refunded(&fixture, 1).await, known(&fixture, 1).await.committed().0.to::<u64>()),
        (Some(0), 5)
    );
    fixture.store.note_refund(CHAIN, numbered(0x4f, 1), RefundState::Void, None).await.unwrap();
    assert_eq!((refunded(&fixture, 1).await, known(&fixture, 1).await), (None, Refunds::default()));
    // The money can be given back anew.
    assert!(fixture.store.order_refund(order(of(1), 2, 5), Refunds::default()).await.unwrap());
    fixture.store.note_refund(CHAIN, numbered(0x4f, 2), RefundState::Void, None).await.unwrap();
    assert!(matches!(fixture.claim(1, 7).await, ClaimResult::First { .. }));
    // Whatever is written of it, what is on the chain counts.
    block(&fixture, other, 2, None, &[refund(1, 1, 5)]).await;
    assert_eq!(
        (refunded(&fixture, 1).await, known(&fixture, 1).await.committed().0.to::<u64>()),
        (Some(5), 5)
    );
    assert_eq!(fixture.claim(1, 7).await, ClaimResult::Refunded);
}

/// Another machine of the payee sent it, so that nothing here sees what became of its nonce.
#[tokio::test]
async fn a_refund_of_elsewhere_is_voided_by_its_name_and_only_where_it_left_the_chain() {
    let (mut fixture, one) = paid().await;
    let void = async |fixture: &Fixture, payment, number| {
        fixture.store.void_refund(of(payment), numbered(0x4f, number)).await.unwrap()
    };
    assert!(!void(&fixture, 1, 1).await, "it is not known");
    block(&fixture, one, 1, None, &[refund(1, 1, 5)]).await;
    assert!(!void(&fixture, 1, 1).await, "it is on the chain");
    block(&fixture, one, 2, Some(1), &[]).await;
    assert!(!void(&fixture, 2, 1).await, "it is of another payment");
    assert_eq!(refunded(&fixture, 1).await, Some(0));
    assert!(void(&fixture, 1, 1).await);
    fixture.reopen().await;
    assert_eq!((refunded(&fixture, 1).await, known(&fixture, 1).await), (None, Refunds::default()));
    assert!(matches!(fixture.claim(1, 7).await, ClaimResult::First { .. }));
    // What was ordered here is seen to its end.
    assert!(fixture.store.order_refund(order(of(2), 2, 5), Refunds::default()).await.unwrap());
    assert!(!void(&fixture, 2, 2).await);
    assert_eq!(known(&fixture, 2).await.open().unwrap().nonce, 2);
}

#[tokio::test]
async fn the_nonces_of_refunds_on_their_way_are_known_by_their_account() {
    let (fixture, _) = paid().await;
    let payee = payment(1).payee;
    let nonces = async |payee| fixture.store.open_refund_nonces(CHAIN, payee).await.unwrap();
    for number in [1, 2] {
        assert!(fixture.store.order_refund(order(of(number), number, 5), Refunds::default()).await.unwrap());
    }
    assert_eq!(nonces(salt402_protocol::Address::repeat_byte(0x99)).await, Vec::<u64>::new());
    assert_eq!(nonces(payee).await.len(), 2);
    fixture.store.note_refund(CHAIN, numbered(0x4f, 1), RefundState::Mined, None).await.unwrap();
    assert_eq!(nonces(payee).await, [2]);
}
