//! What payees give back: it follows the chain, nothing is granted on it, and none is sent twice.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use salt402_protocol::{
    Amount, B256, ChannelChange, ChannelEvent, ChannelEventId, OperatorRight, Refund, U256,
};
use salt402_store::{
    Block, ClaimResult, IncidentFilter, IncidentKind, NewUse, Placed, RefundOrder, RefundState, Refunded,
    Refunds,
};
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
        mined_in: None,
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

/// Writes down how an order of payment 1 stands.
async fn note(fixture: &Fixture, number: u64, state: RefundState, overtaken_at: Option<u64>) {
    let order = RefundOrder { state, overtaken_at, ..order(of(1), number, 5) };
    fixture.store.note_refund(order).await.unwrap();
}

/// The incidents of refunds that left the chain: whether each is open, and its detail.
async fn lost(fixture: &Fixture) -> Vec<(bool, String)> {
    let filter = IncidentFilter { kind: Some(IncidentKind::RefundLost), ..IncidentFilter::default() };
    let mut found = fixture.store.incidents_where(&filter, 10).await.unwrap();
    found.reverse();
    found.into_iter().map(|incident| (incident.resolved_at_ms.is_none(), incident.detail)).collect()
}

async fn open(fixture: &Fixture) -> Vec<bool> {
    lost(fixture).await.into_iter().map(|(open, _)| open).collect()
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

    note(&fixture, 1, RefundState::Open, Some(4)).await;
    assert_eq!(known(&fixture, 1).await.open().unwrap().overtaken_at, Some(4));
    note(&fixture, 1, RefundState::Mined, None).await;
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
    note(&fixture, 1, RefundState::Void, None).await;
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
    note(&fixture, 1, RefundState::Mined, None).await;
    let other = block(&fixture, one, 2, Some(1), &[]).await;
    assert_eq!(
        (refunded(&fixture, 1).await, known(&fixture, 1).await.committed().0.to::<u64>()),
        (Some(0), 5)
    );
    note(&fixture, 1, RefundState::Void, None).await;
    assert_eq!((refunded(&fixture, 1).await, known(&fixture, 1).await), (None, Refunds::default()));
    // The money can be given back anew.
    assert!(fixture.store.order_refund(order(of(1), 2, 5), Refunds::default()).await.unwrap());
    note(&fixture, 2, RefundState::Void, None).await;
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
    note(&fixture, 1, RefundState::Mined, None).await;
    assert_eq!(nonces(payee).await, [2]);
}

/// An order of payment 1 that was mined in a block.
async fn mined(fixture: &Fixture, number: u64, height: u64) {
    let order = RefundOrder { state: RefundState::Mined, mined_in: Some(height), ..order(of(1), number, 5) };
    fixture.store.note_refund(order).await.unwrap();
}

#[tokio::test]
async fn a_refund_whose_block_leaves_the_chain_is_an_incident_until_it_is_back() {
    let (mut fixture, one) = paid().await;
    assert!(fixture.store.order_refund(order(of(1), 1, 5), Refunds::default()).await.unwrap());
    let two = block(&fixture, one, 1, None, &[refund(1, 1, 5)]).await;
    mined(&fixture, 1, two.number).await;
    assert_eq!(open(&fixture).await, [false; 0]);
    let other = block(&fixture, one, 2, Some(1), &[]).await;
    let told = lost(&fixture).await;
    assert!(told[0].0 && told[0].1.contains(&format!("salt402 refund {}", of(1).reference)), "{told:?}");
    assert!(fixture.store.due_notices(u64::MAX >> 1, 10).await.unwrap().len() == 1, "it is told");
    // Its payer is limited by nothing, and later blocks and starts open no second one.
    fixture.reopen().await;
    let third = block(&fixture, other, 2, None, &[]).await;
    assert_eq!(open(&fixture).await, [true]);
    assert!(matches!(fixture.claim(2, 7).await, ClaimResult::First { .. }));
    // It is mined in a higher block, and leaves that one too.
    block(&fixture, third, 2, None, &[refund(1, 1, 5)]).await;
    assert_eq!(open(&fixture).await, [false]);
    block(&fixture, third, 3, Some(third.number), &[]).await;
    assert_eq!(open(&fixture).await, [false, true]);
    // Another transaction used its nonce for good: it never will be.
    note(&fixture, 1, RefundState::Void, None).await;
    assert_eq!(open(&fixture).await, [false, false]);
}

/// A node showed it in a block that the index never read.
#[tokio::test]
async fn a_refund_in_a_block_that_the_index_does_not_have_is_an_incident_once_the_index_is_past_it() {
    let (fixture, one) = paid().await;
    for number in [1, 2] {
        let known = known(&fixture, number).await;
        assert!(fixture.store.order_refund(order(of(number), number, 5), known).await.unwrap());
    }
    mined(&fixture, 1, one.number + 1).await;
    assert_eq!(open(&fixture).await, [false; 0], "it may be there");
    let two = block(&fixture, one, 1, None, &[]).await;
    assert_eq!(open(&fixture).await, [true]);
    // The command ends after the index has read the block.
    let second = RefundOrder { state: RefundState::Mined, mined_in: Some(two.number), ..order(of(2), 2, 5) };
    fixture.store.note_refund(second).await.unwrap();
    assert_eq!(open(&fixture).await, [true, true]);
    // Whoever settles one is not told of it again.
    let filter = IncidentFilter { open: Some(true), ..IncidentFilter::default() };
    for incident in fixture.store.incidents_where(&filter, 10).await.unwrap() {
        assert!(fixture.store.settle_incident(incident.id, "by hand".into()).await.unwrap());
    }
    block(&fixture, one, 2, Some(one.number), &[]).await;
    assert_eq!(open(&fixture).await, [false, false]);
}

/// What is given back out of a channel is ordered in the same way, and ends no payment.
#[tokio::test]
async fn an_order_for_a_channel_is_another_than_one_for_a_payment_with_the_same_reference() {
    let (fixture, one) = paid().await;
    let contract = salt402_protocol::Address::repeat_byte(0xcc);
    let channel = Refunded { channels: Some(contract), reference: B256::repeat_byte(0xc1), ..of(1) };
    let ordered = RefundOrder { contract, ..order(channel, 1, 5) };
    let none = Refunds::default();
    assert!(fixture.store.order_refund(ordered.clone(), none.clone()).await.unwrap());
    let now = fixture.store.refunds(channel).await.unwrap();
    assert_eq!(now.open(), Some(&ordered));
    assert!(
        !fixture.store.order_refund(RefundOrder { contract, ..order(channel, 2, 5) }, none).await.unwrap()
    );
    assert_eq!(known(&fixture, 1).await, Refunds::default());
    assert!(matches!(fixture.claim(1, 7).await, ClaimResult::First { .. }));
    // Its event is its block's, and so is the incident.
    let given = Placed {
        what: ChannelEvent {
            id: ChannelEventId(numbered(0x4e, 1)),
            chain: CHAIN,
            contract,
            channel: channel.reference,
            transaction: ordered.transaction,
            change: ChannelChange::GivenBack { amount: ordered.amount },
        },
        block_number: one.number + 1,
        block_hash: child(one, 1, &[]).block.hash,
        block_timestamp: child(one, 1, &[]).block.timestamp,
    };
    let mut batch = fixture.batch(None, &[child(one, 1, &[])]).await;
    batch.extras.channels = vec![given];
    fixture.store.apply(batch).await.unwrap();
    let mined = RefundOrder { state: RefundState::Mined, mined_in: Some(one.number + 1), ..ordered };
    fixture.store.note_refund(mined).await.unwrap();
    let now = fixture.store.refunds(channel).await.unwrap();
    assert_eq!(
        (now.on_chain(), now.committed(), open(&fixture).await),
        (now.committed(), now.on_chain(), vec![])
    );
    block(&fixture, one, 2, Some(one.number), &[]).await;
    let told = lost(&fixture).await;
    let command = format!("salt402 channel refund {} 5", channel.reference);
    assert!(told[0].0 && told[0].1.contains(&command), "{told:?}");
    let now = fixture.store.refunds(channel).await.unwrap();
    assert_eq!((now.on_chain().0.to::<u64>(), now.committed().0.to::<u64>()), (0, 5));
}

#[tokio::test]
async fn an_operator_that_is_not_named_is_an_incident_once_and_one_that_is_named_is_none() {
    let (mut fixture, mut last) = paid().await;
    let address = salt402_protocol::Address::repeat_byte;
    let (payee, ours, strange) = (address(1), address(2), address(3));
    let kinds = async |fixture: &Fixture| {
        let filter = IncidentFilter { kind: Some(IncidentKind::OperatorSet), ..IncidentFilter::default() };
        let found = fixture.store.incidents_where(&filter, 10).await.unwrap();
        found.into_iter().map(|incident| incident.detail).collect::<Vec<_>>()
    };
    let set = |last: Block, number: u64, payee, operator, right| {
        let next = child(last, 1, &[]);
        let what = ChannelEvent {
            id: ChannelEventId(numbered(0x5e, number)),
            chain: CHAIN,
            contract: address(0xcc),
            channel: B256::ZERO,
            transaction: numbered(0x5f, number),
            change: ChannelChange::OperatorSet { payee, operator, right },
        };
        let Block { number: block_number, hash: block_hash, timestamp: block_timestamp, .. } = next.block;
        (next, Placed { what, block_number, block_hash, block_timestamp })
    };
    // Before anybody says whose are looked at.
    let sets = [
        (payee, strange, OperatorRight::All, 0),
        (payee, address(9), OperatorRight::All, 0),
        (payee, address(9), OperatorRight::Revoked, 0),
    ];
    for (number, (payee, operator, right, count)) in (1_u64..).zip(sets) {
        let (next, event) = set(last, number, payee, operator, right);
        let mut batch = fixture.batch(None, std::slice::from_ref(&next)).await;
        batch.extras.channels = vec![event];
        fixture.store.apply(batch).await.unwrap();
        assert_eq!(kinds(&fixture).await.len(), count);
        last = next.block;
    }
    for _ in 0..2 {
        fixture.store.watch_operators(CHAIN, vec![payee], vec![ours]).await.unwrap();
        let told = kinds(&fixture).await;
        assert!(
            told.len() == 1 && told[0].contains(&strange.to_string()),
            "what was revoked is not told: {told:?}"
        );
        fixture.reopen().await;
    }
    let sets = [
        (payee, ours, OperatorRight::All, 1),
        (address(8), strange, OperatorRight::All, 1),
        (payee, strange, OperatorRight::Revoked, 1),
        (payee, strange, OperatorRight::Named, 2),
    ];
    for (number, (payee, operator, right, count)) in (10_u64..).zip(sets) {
        let (next, event) = set(last, number, payee, operator, right);
        let mut batch = fixture.batch(None, std::slice::from_ref(&next)).await;
        batch.extras.channels = vec![event];
        fixture.store.apply(batch).await.unwrap();
        assert_eq!(kinds(&fixture).await.len(), count, "{number}");
        last = next.block;
    }
}
