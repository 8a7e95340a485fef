//! Channels, settlements and ambiguities in the store: they follow the chain as payments do.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use proptest::prelude::*;
use salt402_protocol::{
    Address, Ambiguity, Amount, Asset, B256, ChannelChange, ChannelEvent, ChannelEventId, ChannelState,
    Descriptor, PaymentId, Settlement, U256,
};
use salt402_store::{Batch, Block, ChannelsOf, Placed, StoreError};
use support::{CHAIN, Fixture, TestBlock, child, genesis, id, new_claim, numbered, transaction};

const CONTRACT: Address = Address::repeat_byte(0xcc);
const CHANNEL: B256 = B256::repeat_byte(0xc1);

fn amount(value: u64) -> Amount {
    Amount(U256::from(value))
}

fn descriptor(salt: u8) -> Descriptor {
    Descriptor {
        payer: Address::repeat_byte(1),
        payee: Address::repeat_byte(2),
        asset: Asset::Native,
        signer: Some(Address::repeat_byte(3)),
        operator: None,
        exit_delay: 900,
        salt: B256::repeat_byte(salt),
    }
}

fn event(number: u64, channel: B256, change: ChannelChange) -> ChannelEvent {
    let (id, transaction) = (ChannelEventId(numbered(0x0e, number)), numbered(0x0f, number));
    ChannelEvent { id, chain: CHAIN, contract: CONTRACT, transaction, channel, change }
}

fn opened(number: u64) -> ChannelEvent {
    event(number, CHANNEL, ChannelChange::Opened { descriptor: descriptor(9), deposit: amount(100) })
}

fn claimed(number: u64, total: u64) -> ChannelEvent {
    event(number, CHANNEL, ChannelChange::Claimed { amount: amount(1), claimed: amount(total) })
}

fn place<T: Clone>(what: &T, block: Block) -> Placed<T> {
    Placed {
        what: what.clone(),
        block_number: block.number,
        block_hash: block.hash,
        block_timestamp: block.timestamp,
    }
}

/// A block and the events in it, put upon the chain or in place of what is above `keep_through`.
async fn apply(
    fixture: &Fixture,
    keep_through: Option<u64>,
    blocks: &[(TestBlock, Vec<ChannelEvent>)],
) -> Result<(), StoreError> {
    let chain: Vec<TestBlock> = blocks.iter().map(|(block, _)| block.clone()).collect();
    let mut batch = fixture.batch(keep_through, &chain).await;
    for (block, events) in blocks {
        batch.extras.channels.extend(events.iter().map(|event| place(event, block.block)));
    }
    fixture.store.apply(batch).await.map(|_| ())
}

async fn state(fixture: &Fixture) -> Option<ChannelState> {
    fixture.store.channel(CHAIN, CONTRACT, CHANNEL).await.unwrap()
}

#[tokio::test]
async fn a_channel_follows_its_block_off_the_chain_and_back() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let two = child(one.block, 1, &[]);
    let other = child(one.block, 2, &[]);
    let third = child(two.block, 1, &[]);
    apply(&fixture, None, &[(one, vec![opened(1)]), (two.clone(), vec![claimed(2, 30)])]).await.unwrap();
    let before = state(&fixture).await.unwrap();
    assert_eq!(
        (before.descriptor, before.claimed, before.available()),
        (Some(descriptor(9)), amount(30), amount(70))
    );

    // The claim's block is replaced, and the claim is in the new one no more.
    apply(&fixture, Some(1), &[(other, vec![])]).await.unwrap();
    assert_eq!(state(&fixture).await.unwrap().claimed, amount(0));
    // It returns with its block; and what was told before may be told again.
    apply(&fixture, Some(1), &[(two, vec![claimed(2, 30)]), (third, vec![])]).await.unwrap();
    assert_eq!(state(&fixture).await, Some(before));
    // Below the opening there is no channel.
    let anew = child(genesis(), 3, &[]);
    apply(&fixture, Some(0), &[(anew.clone(), vec![])]).await.unwrap();
    assert_eq!(state(&fixture).await, None);
    // The same transactions in other blocks.
    let later = child(anew.block, 3, &[]);
    apply(&fixture, None, &[(later, vec![opened(1), claimed(2, 30)])]).await.unwrap();
    assert_eq!(state(&fixture).await.unwrap().claimed, amount(30));
}

#[tokio::test]
async fn an_event_in_two_blocks_is_refused_whole() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let two = child(one.block, 1, &[7]);
    apply(&fixture, None, &[(one, vec![opened(1)])]).await.unwrap();
    let refused = apply(&fixture, None, &[(two, vec![opened(1)])]).await;
    assert!(matches!(refused, Err(StoreError::BadBatch { .. })), "{refused:?}");
    assert!(fixture.rows(7).await.is_empty(), "a part of the batch was stored");
}

#[tokio::test]
async fn channels_are_found_by_payee_and_payer_and_credits_add_up() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let (payer, payee) = (descriptor(0).payer, descriptor(0).payee);
    let open = |number: u64| {
        let change = ChannelChange::Opened { descriptor: descriptor(number as u8), deposit: amount(number) };
        event(number, B256::repeat_byte(number as u8), change)
    };
    let asset = Asset::Native;
    let events = vec![
        open(1),
        open(2),
        open(3),
        event(4, B256::ZERO, ChannelChange::Credited { account: payee, asset, amount: amount(5) }),
        event(5, B256::ZERO, ChannelChange::Credited { account: payee, asset, amount: amount(6) }),
        event(6, B256::ZERO, ChannelChange::CreditWithdrawn { account: payee, asset, amount: amount(5) }),
        event(7, B256::ZERO, ChannelChange::Credited { account: payer, asset, amount: amount(9) }),
        event(8, B256::ZERO, ChannelChange::Swept { payee, asset, amount: amount(9) }),
    ];
    apply(&fixture, None, &[(one, events)]).await.unwrap();
    for account in [ChannelsOf::Payee(payee), ChannelsOf::Payer(payer)] {
        let channels = fixture.store.channels_of(CHAIN, account, 2).await.unwrap();
        let found: Vec<_> = channels.iter().map(|row| (row.id, row.state.deposit)).collect();
        assert_eq!(found, [(B256::repeat_byte(3), amount(3)), (B256::repeat_byte(2), amount(2))]);
    }
    assert!(fixture.store.channels_of(CHAIN, ChannelsOf::Payee(payer), 9).await.unwrap().is_empty());
    let credit = fixture.store.channel_credit(CHAIN, CONTRACT, payee, asset).await.unwrap();
    assert_eq!(credit, amount(6));
}

/// A payment of the fixture's, as one that counts a movement.
fn settles(batch: &mut Batch, payment: u64, movement: u8) {
    batch.extras.settlements.push(Settlement {
        payment: id(payment),
        transaction: transaction(payment),
        movement: B256::repeat_byte(movement),
    });
}

#[tokio::test]
async fn a_movement_that_a_payment_of_the_chain_counts_is_no_second_payment() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    let two = child(one.block, 1, &[2, 3]);
    let mut batch = fixture.batch(None, &[one]).await;
    settles(&mut batch, 1, 0xaa);
    fixture.store.apply(batch).await.unwrap();
    // The same again changes nothing; another payment of the same movement is left out, and its neighbour is not.
    let mut batch = fixture.batch(None, std::slice::from_ref(&two)).await;
    settles(&mut batch, 2, 0xaa);
    settles(&mut batch, 3, 0xbb);
    let applied = fixture.store.apply(batch).await.unwrap();
    assert_eq!((applied.inserted, fixture.rows(2).await.len(), fixture.rows(3).await.len()), (1, 0, 1));
    assert_eq!(fixture.store.counts().await.unwrap().payments[&CHAIN], 2);
    // When the first leaves the chain, the movement is the other's.
    let anew = child(genesis(), 2, &[2]);
    let mut batch = fixture.batch(Some(0), &[anew]).await;
    settles(&mut batch, 2, 0xaa);
    fixture.store.apply(batch).await.unwrap();
    assert_eq!(fixture.rows(2).await.len(), 1);
    assert!(fixture.rows(1).await.iter().all(|(canonical, ..)| !canonical));
}

/// An authorization that is mined again in another transaction is the same payment: it cannot be granted on twice, and
/// a grant on it is not lost.
#[tokio::test]
async fn a_payment_that_moves_to_another_transaction_keeps_its_claim() {
    let fixture = Fixture::new().await;
    let settled_in = |batch: &mut Batch, transaction: B256, movement: u8| {
        batch.payments[0].payment.transaction = transaction;
        let movement = B256::repeat_byte(movement);
        batch.extras.settlements.push(Settlement { payment: id(1), transaction, movement });
    };
    let one = child(genesis(), 1, &[1]);
    let mut batch = fixture.batch(None, &[one]).await;
    settled_in(&mut batch, transaction(1), 0xaa);
    fixture.store.apply(batch).await.unwrap();
    fixture.claim(1, 1).await;

    let gone = child(genesis(), 2, &[]);
    fixture.apply(Some(0), std::slice::from_ref(&gone)).await.unwrap();
    assert_eq!(fixture.open_incidents().await, [id(1)]);
    let back = child(gone.block, 2, &[1]);
    let mut batch = fixture.batch(None, &[back]).await;
    settled_in(&mut batch, transaction(77), 0xab);
    fixture.store.apply(batch).await.unwrap();
    assert_eq!(fixture.open_incidents().await, [] as [PaymentId; 0]);
    let rows = fixture.store.payments_in(CHAIN, transaction(77)).await.unwrap();
    assert!(rows[0].canonical && rows[0].claim.is_some(), "{rows:?}");
    let mut again = new_claim(1, 2);
    again.transaction = transaction(77);
    assert_eq!(fixture.store.claim(again).await.unwrap(), salt402_store::ClaimResult::Taken);
}

#[tokio::test]
async fn what_cannot_be_told_apart_is_kept_while_it_is_on_the_chain() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let doubt = Ambiguity {
        id: B256::repeat_byte(1),
        transaction: B256::repeat_byte(2),
        contract: CONTRACT,
        reason: "it cannot be told which",
    };
    let mut batch = fixture.batch(None, std::slice::from_ref(&one)).await;
    batch.extras.ambiguities.push(place(&doubt, one.block));
    fixture.store.apply(batch).await.unwrap();
    let rows = fixture.store.ambiguities(CHAIN, None, 10).await.unwrap();
    assert_eq!((rows.len(), rows[0].transaction, rows[0].block_number), (1, doubt.transaction, 1));
    fixture.apply(Some(0), &[child(genesis(), 2, &[])]).await.unwrap();
    assert!(fixture.store.ambiguities(CHAIN, None, 10).await.unwrap().is_empty());
    // It comes back with its block, told or not.
    fixture.apply(Some(0), &[one]).await.unwrap();
    assert_eq!(fixture.store.ambiguities(CHAIN, None, 10).await.unwrap(), rows);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Random reorganizations of random events: the state is the fold of the events on the chain, at every step.
    #[test]
    fn after_any_reorganization_a_channel_is_what_the_chain_says(
        steps in prop::collection::vec((0u64..4, prop::collection::vec((any::<bool>(), 0u64..6), 1..4), any::<u8>()), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new().await;
            let mut chain: Vec<(TestBlock, Vec<ChannelEvent>)> = Vec::new();
            for (branch, (back, blocks, _)) in steps.iter().enumerate() {
                let keep = chain.len().saturating_sub(*back as usize);
                let keep_through = (keep < chain.len()).then_some(keep as u64);
                chain.truncate(keep);
                let mut fresh = Vec::new();
                for (with_event, number) in blocks {
                    let parent = fresh.last().or(chain.last()).map_or(genesis(), |(b, _): &(TestBlock, _)| b.block);
                    let taken = |chain: &[(TestBlock, Vec<ChannelEvent>)]| {
                        chain.iter().any(|(_, events)| events.iter().any(|e| e.id.0 == numbered(0x0e, *number)))
                    };
                    let events = if *with_event && !taken(&chain) && !taken(&fresh) {
                        vec![if *number == 0 { opened(0) } else { claimed(*number, number * 10) }]
                    } else {
                        Vec::new()
                    };
                    fresh.push((child(parent, branch as u8, &[]), events));
                }
                apply(&fixture, keep_through, &fresh).await.unwrap();
                chain.extend(fresh);
                let events = chain.iter().flat_map(|(block, events)| {
                    events.iter().map(|event| (block.block.number, event.change))
                });
                assert_eq!(state(&fixture).await, ChannelState::fold(events));
            }
        });
    }
}

/// A channel with many claims is read as quickly as one with few: `cargo test -p salt402-store --test channels -- \
/// --ignored --nocapture`.
#[tokio::test]
#[ignore = "prints a measurement"]
#[allow(clippy::print_stdout, reason = "it is what the test is for")]
async fn measure_reading_a_channel() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let mut events = vec![opened(0)];
    events.extend((1..10_000).map(|number| claimed(number, number)));
    apply(&fixture, None, &[(one, events)]).await.unwrap();
    let mut times: Vec<_> = Vec::new();
    for _ in 0..2_000 {
        let began = std::time::Instant::now();
        assert_eq!(state(&fixture).await.unwrap().claimed, amount(9_999));
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!("10,000 events: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
}
