//! Transactions of merged blocks: they stand in the block that merged theirs until they are found in one of their own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use salt402_protocol::{
    Address, Amount, Asset, B256, ChannelChange, ChannelEvent, ChannelEventId, Descriptor, Settlement, U256,
};
use salt402_store::{Block, ClaimResult, Past, Placed, SourceKey, StoreError, Stretch};
use support::{CHAIN, CHANNELS, Fixture, child, genesis, id, numbered, placed, transaction};

const CHANNEL: B256 = B256::repeat_byte(0xc1);

/// A channel's opening, in the same transaction as a payment.
fn opened(payment: u64) -> ChannelEvent {
    let descriptor = Descriptor {
        payer: Address::repeat_byte(1),
        payee: Address::repeat_byte(2),
        asset: Asset::Native,
        signer: None,
        claimer: None,
        exit_delay: 900,
        salt: B256::repeat_byte(9),
    };
    ChannelEvent {
        id: ChannelEventId(numbered(0x0e, payment)),
        chain: CHAIN,
        contract: CHANNELS,
        transaction: transaction(payment),
        channel: CHANNEL,
        change: ChannelChange::Opened { descriptor, deposit: Amount(U256::from(100)) },
    }
}

fn place(event: ChannelEvent, block: Block) -> Placed<ChannelEvent> {
    Placed {
        what: event,
        block_number: block.number,
        block_hash: block.hash,
        block_timestamp: block.timestamp,
    }
}

/// Places a payment, and a channel that its transaction opens, in a block that merged theirs.
async fn merge(fixture: &Fixture, payment: u64, merging: Block) -> u64 {
    let cursor = fixture.cursor().await.unwrap();
    let mut batch = support::batch(Some(cursor), None, &[child(genesis(), 1, &[])]);
    (batch.blocks, batch.cursor, batch.head) = (Vec::new(), cursor, None);
    batch.payments = vec![placed(payment, merging)];
    batch.beside.channels = vec![place(opened(payment), merging)];
    batch.beside.settlements = vec![movement(payment, payment)];
    fixture.store.apply_merged(batch).await.unwrap().inserted
}

/// That a payment counts a movement of a transaction.
fn movement(of: u64, payment: u64) -> Settlement {
    Settlement { movement: numbered(0x33, of), payment: id(payment), transaction: transaction(of) }
}

async fn counted(fixture: &Fixture) -> u64 {
    fixture.store.counts().await.unwrap().payments[&CHAIN]
}

async fn opened_in(fixture: &Fixture, payment: u64) -> Vec<B256> {
    let events =
        fixture.store.channel_events_in(CHAIN, CHANNELS, CHANNEL, transaction(payment)).await.unwrap();
    events.iter().map(|placed| placed.block_hash).collect()
}

#[tokio::test]
async fn what_is_found_in_a_block_of_its_own_moves_there_and_stays_granted() {
    let mut fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let two = child(one.block, 1, &[5]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(merge(&fixture, 5, one.block).await, 1);
    assert_eq!(fixture.rows(5).await, [(true, one.block.hash, 1)]);
    assert!(matches!(fixture.claim(5, 1).await, ClaimResult::First { .. }));

    let mut batch = fixture.batch(None, std::slice::from_ref(&two)).await;
    batch.beside.channels = vec![place(opened(5), two.block)];
    batch.beside.settlements = vec![movement(5, 5)];
    let applied = fixture.store.apply(batch).await.unwrap();
    assert_eq!((applied.inserted, applied.orphaned, applied.incidents), (1, 1, 0));
    assert_eq!(
        fixture.rows(5).await.iter().filter(|row| row.0).collect::<Vec<_>>(),
        [&(true, two.block.hash, 1)]
    );
    assert_eq!(opened_in(&fixture, 5).await, [two.block.hash]);
    assert_eq!(counted(&fixture).await, 1);
    assert!(matches!(fixture.claim(5, 1).await, ClaimResult::Again { .. }));
    assert_eq!(fixture.claim(5, 2).await, ClaimResult::Taken);

    // The block of its own leaves: what merged the other is still there.
    let other = child(one.block, 2, &[]);
    let applied = fixture.apply(Some(1), &[other]).await.unwrap();
    assert_eq!((applied.orphaned, applied.restored, applied.incidents), (1, 1, 0));
    assert_eq!(
        fixture.rows(5).await.iter().filter(|row| row.0).collect::<Vec<_>>(),
        [&(true, one.block.hash, 2)]
    );
    assert_eq!(opened_in(&fixture, 5).await, [one.block.hash]);

    // And back again, told or not, with a restart between.
    fixture.reopen().await;
    let applied = fixture.apply(Some(1), &[two.clone(), child(two.block, 1, &[])]).await.unwrap();
    assert_eq!(applied.incidents, 0);
    assert_eq!(
        fixture.rows(5).await.iter().filter(|row| row.0).collect::<Vec<_>>(),
        [&(true, two.block.hash, 2)]
    );
    assert_eq!(counted(&fixture).await, 1);

    // All of it leaves, and comes back as it was.
    let away = child(genesis(), 3, &[]);
    let applied = fixture.apply(Some(0), &[away]).await.unwrap();
    assert_eq!((applied.incidents, counted(&fixture).await), (1, 0));
    fixture.apply(Some(0), &[one, two.clone()]).await.unwrap();
    assert_eq!(
        fixture.rows(5).await.iter().filter(|row| row.0).collect::<Vec<_>>(),
        [&(true, two.block.hash, 1)]
    );
    assert_eq!((fixture.open_incidents().await.len(), counted(&fixture).await), (0, 1));
}

/// A transaction is executed anew where it is mined, and may pay something else there, or count its money otherwise.
#[tokio::test]
async fn what_the_transaction_does_not_do_in_its_own_block_is_a_lost_payment() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let two = child(one.block, 1, &[]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    merge(&fixture, 5, one.block).await;
    assert!(matches!(fixture.claim(5, 1).await, ClaimResult::First { .. }));
    let mut batch = fixture.batch(None, std::slice::from_ref(&two)).await;
    let mut instead = placed(6, two.block);
    instead.payment.transaction = transaction(5);
    batch.payments = vec![instead];
    // The movement that the first counted is the second's now.
    batch.beside.settlements = vec![movement(5, 6)];
    let applied = fixture.store.apply(batch).await.unwrap();
    assert_eq!((applied.inserted, applied.orphaned, applied.incidents), (1, 1, 1));
    assert_eq!(fixture.open_incidents().await, [id(5)]);
    assert_eq!(opened_in(&fixture, 5).await, Vec::<B256>::new());
    assert_eq!(fixture.store.channel(CHAIN, CHANNELS, CHANNEL).await.unwrap(), None);
}

#[tokio::test]
async fn the_past_of_a_contract_moves_it_too() {
    let fixture = Fixture::new().await;
    let source = SourceKey { contract: placed(5, genesis()).payment.contract, question: B256::ZERO };
    let other = SourceKey { contract: Address::repeat_byte(0x77), question: B256::ZERO };
    fixture.store.follow_sources(CHAIN, vec![(other, 0)]).await.unwrap();
    let one = child(genesis(), 1, &[]);
    let two = child(one.block, 1, &[]);
    let three = child(two.block, 1, &[]);
    fixture.apply(None, &[one.clone(), two.clone(), three.clone()]).await.unwrap();
    fixture.store.follow_sources(CHAIN, vec![(other, 0), (source, 0)]).await.unwrap();
    merge(&fixture, 5, three.block).await;
    let past = Past {
        chain: CHAIN,
        source,
        stretch: Stretch { from: 0, to: 2 },
        anchor: fixture.cursor().await.unwrap(),
        payments: vec![placed(5, two.block)],
        beside: Default::default(),
        undecoded: Vec::new(),
    };
    fixture.store.apply_past(past).await.unwrap();
    assert_eq!(
        fixture.rows(5).await.iter().filter(|row| row.0).collect::<Vec<_>>(),
        [&(true, two.block.hash, 2)]
    );
    assert_eq!(counted(&fixture).await, 1);
}

/// Only what was placed moves: a block's own transaction that is shown in another one is a contradiction.
#[tokio::test]
async fn what_was_not_placed_does_not_move() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[5]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    let merged = child(one.block, 1, &[]);
    fixture.apply(None, std::slice::from_ref(&merged)).await.unwrap();
    merge(&fixture, 6, merged.block).await;
    let twice = child(merged.block, 1, &[5, 6]);
    let refused = fixture.apply(None, &[twice]).await;
    assert!(matches!(refused, Err(StoreError::PaymentTwice { .. })), "{refused:?}");
    assert_eq!(fixture.rows(6).await, [(true, merged.block.hash, 1)], "all of a step or nothing");
}

/// A step of a back-fill goes through what was placed, and not through all that it has.
#[tokio::test]
async fn a_step_of_many_transactions_moves_it_too() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    merge(&fixture, 5, one.block).await;
    let many: Vec<u64> = (1..1000).collect();
    let two = child(one.block, 1, &many);
    let applied = fixture.apply(None, std::slice::from_ref(&two)).await.unwrap();
    assert_eq!((applied.inserted, applied.orphaned), (999, 1));
    assert_eq!(counted(&fixture).await, 999);
}
