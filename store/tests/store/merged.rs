//! Transactions of merged blocks: they stand in the block that merged theirs until they are found in one of their own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

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
        operator: None,
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
    batch.extras.channels = vec![place(opened(payment), merging)];
    batch.extras.settlements = vec![movement(payment, payment)];
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
    batch.extras.channels = vec![place(opened(5), two.block)];
    batch.extras.settlements = vec![movement(5, 5)];
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
    batch.extras.settlements = vec![movement(5, 6)];
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
        extras: Default::default(),
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

/// The blocks in which a payment is on the chain.
async fn stands(fixture: &Fixture, payment: u64) -> Vec<B256> {
    fixture.rows(payment).await.iter().filter(|row| row.0).map(|row| row.1).collect()
}

/// Transactions that are known to be of merged blocks, with the heights where they were placed.
fn marks(fixture: &Fixture) -> Vec<(B256, u64)> {
    let database = rusqlite::Connection::open(fixture.directory.path().join("salt402.db")).unwrap();
    let mut select = database
        .prepare("SELECT transaction_hash, block_number FROM merged_transactions ORDER BY 1, 2")
        .unwrap();
    let marks = select.query_map([], |row| {
        Ok((B256::from(row.get::<_, [u8; 32]>(0)?), u64::try_from(row.get::<_, i64>(1)?).unwrap()))
    });
    marks.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Applies a block of its own of a transaction that pays and opens a channel.
async fn mine(fixture: &Fixture, payment: u64, block: &support::TestBlock) {
    let mut batch = fixture.batch(None, std::slice::from_ref(block)).await;
    batch.extras.channels = vec![place(opened(payment), block.block)];
    batch.extras.settlements = vec![movement(payment, payment)];
    fixture.store.apply(batch).await.unwrap();
}

#[tokio::test]
async fn what_was_placed_in_two_blocks_is_back_in_one_of_them() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let two = child(one.block, 1, &[]);
    fixture.apply(None, &[one.clone(), two.clone()]).await.unwrap();
    assert_eq!(merge(&fixture, 5, one.block).await, 1);
    assert_eq!(merge(&fixture, 5, two.block).await, 1);
    assert_eq!((stands(&fixture, 5).await, marks(&fixture).len()), (vec![two.block.hash], 2));
    assert!(matches!(fixture.claim(5, 1).await, ClaimResult::First { .. }));
    for branch in [1, 3] {
        let own = child(two.block, branch, &[5]);
        mine(&fixture, 5, &own).await;
        assert_eq!(stands(&fixture, 5).await, [own.block.hash]);
        assert_eq!(opened_in(&fixture, 5).await, [own.block.hash]);
        // Both blocks are still there, and neither has it.
        let applied = fixture.apply(Some(2), &[child(two.block, branch + 1, &[])]).await.unwrap();
        assert_eq!((applied.restored, applied.incidents), (1, 0));
        assert_eq!(stands(&fixture, 5).await, [one.block.hash]);
        assert_eq!(opened_in(&fixture, 5).await, [one.block.hash]);
        assert_eq!(counted(&fixture).await, 1);
        // Its own block is to be one upon the kept two again.
        fixture.apply(Some(1), std::slice::from_ref(&two)).await.unwrap();
    }
    // All leaves and comes back, each block with what was seen in it.
    fixture.apply(Some(0), &[child(genesis(), 9, &[])]).await.unwrap();
    fixture.apply(Some(0), &[one, two.clone()]).await.unwrap();
    assert_eq!((stands(&fixture, 5).await.len(), counted(&fixture).await), (1, 1));
    let own = child(two.block, 5, &[5]);
    mine(&fixture, 5, &own).await;
    assert_eq!(stands(&fixture, 5).await, [own.block.hash]);
    assert!(fixture.open_incidents().await.is_empty());
}

/// A mark without a header puts nothing back. What stands in its block may be mined again however much later.
#[tokio::test]
async fn marks_go_with_the_headers_unless_something_still_stands_there() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let two = child(one.block, 1, &[5]);
    let three = child(two.block, 1, &[]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    merge(&fixture, 5, one.block).await;
    merge(&fixture, 6, one.block).await;
    mine(&fixture, 5, &two).await;
    merge(&fixture, 7, two.block).await;
    fixture.apply(None, std::slice::from_ref(&three)).await.unwrap();
    mine(&fixture, 7, &child(three.block, 1, &[7])).await;
    let sorted = |mut marks: Vec<(B256, u64)>| {
        marks.sort();
        marks
    };
    let (five, six, seven) = ((transaction(5), 1), (transaction(6), 1), (transaction(7), 2));
    assert_eq!(marks(&fixture), sorted(vec![five, six, seven]));

    let five_high = child(child(three.block, 1, &[7]).block, 1, &[]);
    let mut batch = fixture.batch(None, std::slice::from_ref(&five_high)).await;
    batch.prune_below = Some(2);
    fixture.store.apply(batch).await.unwrap();
    assert_eq!(marks(&fixture), sorted(vec![six, seven]), "the header of 2 is there, and 6 stands in 1");

    // Long after, the transaction is mined again.
    assert_eq!(stands(&fixture, 6).await, [one.block.hash]);
    assert!(matches!(fixture.claim(6, 1).await, ClaimResult::First { .. }));
    let again = child(five_high.block, 1, &[6]);
    mine(&fixture, 6, &again).await;
    assert_eq!(stands(&fixture, 6).await, [again.block.hash]);
    assert_eq!(marks(&fixture), [seven], "nothing can be put back into a block without a header");
    assert!(fixture.open_incidents().await.is_empty());
    assert_eq!(counted(&fixture).await, 3);
}

/// What one contract's past tells of a transaction says nothing of what it holds of others.
#[tokio::test]
async fn the_past_of_a_contract_moves_only_its_own() {
    let fixture = Fixture::new().await;
    let contract = Address::repeat_byte(0xc2);
    let source = |contract| SourceKey { contract, question: B256::ZERO };
    let other = source(Address::repeat_byte(0x77));
    let (first, second) = (source(placed(5, genesis()).payment.contract), source(contract));
    fixture.store.follow_sources(CHAIN, vec![(other, 0)]).await.unwrap();
    let one = child(genesis(), 1, &[]);
    let two = child(one.block, 1, &[]);
    let three = child(two.block, 1, &[]);
    fixture.apply(None, &[one.clone(), two.clone(), three.clone()]).await.unwrap();
    fixture.store.follow_sources(CHAIN, vec![(other, 0), (first, 0), (second, 0)]).await.unwrap();
    let of_second = |block| {
        let mut placed = placed(6, block);
        (placed.payment.contract, placed.payment.transaction) = (contract, transaction(5));
        placed
    };
    // One transaction of a merged block pays through two contracts, and opens a channel of a third.
    let cursor = fixture.cursor().await.unwrap();
    let mut batch = support::batch(Some(cursor), None, std::slice::from_ref(&three));
    (batch.blocks, batch.head) = (Vec::new(), None);
    batch.payments = vec![placed(5, one.block), of_second(one.block)];
    batch.extras.channels = vec![place(opened(5), one.block)];
    fixture.store.apply_merged(batch).await.unwrap();
    let mut claim = support::new_claim(6, 1);
    claim.transaction = transaction(5);
    assert!(matches!(fixture.store.claim(claim).await.unwrap(), ClaimResult::First { .. }));

    let past = |source, payment| Past {
        chain: CHAIN,
        source,
        stretch: Stretch { from: 0, to: 3 },
        anchor: cursor,
        payments: vec![payment],
        extras: Default::default(),
        undecoded: Vec::new(),
    };
    let on_chain = async || {
        let rows = fixture.store.payments_in(CHAIN, transaction(5)).await.unwrap();
        let rows = rows.iter().filter(|row| row.canonical);
        let mut rows: Vec<_> = rows.map(|row| (row.placed.payment.id, row.placed.block_hash)).collect();
        rows.sort();
        rows
    };
    let both = |five: Block, six: Block| {
        let mut rows = vec![(id(5), five.hash), (id(6), six.hash)];
        rows.sort();
        rows
    };
    let applied = fixture.store.apply_past(past(first, placed(5, three.block))).await.unwrap();
    assert_eq!((applied.inserted, applied.orphaned, applied.incidents), (1, 1, 0));
    assert_eq!(on_chain().await, both(three.block, one.block));
    assert_eq!(opened_in(&fixture, 5).await, [one.block.hash]);
    assert!(fixture.open_incidents().await.is_empty(), "it was not lost for a moment");
    // The other's is read too, and all is where it was when the block leaves.
    let applied = fixture.store.apply_past(past(second, of_second(three.block))).await.unwrap();
    assert_eq!((applied.inserted, applied.orphaned, applied.incidents), (1, 1, 0));
    assert_eq!(on_chain().await, both(three.block, three.block));
    assert_eq!(opened_in(&fixture, 5).await, [one.block.hash], "its contract's past is not read");
    fixture.apply(Some(2), &[child(two.block, 2, &[])]).await.unwrap();
    assert_eq!(on_chain().await, both(one.block, one.block));
    assert!(fixture.open_incidents().await.is_empty());
    assert_eq!(counted(&fixture).await, 2);
}

/// What stands in the merging block itself does not keep the rest of its transaction from coming back to it.
#[tokio::test]
async fn what_one_contracts_past_moved_comes_back_to_what_the_others_left() {
    let fixture = Fixture::new().await;
    let contract = Address::repeat_byte(0xc2);
    let source = |contract| SourceKey { contract, question: B256::ZERO };
    let first = source(placed(5, genesis()).payment.contract);
    fixture.store.follow_sources(CHAIN, vec![(source(contract), 0)]).await.unwrap();
    let one = child(genesis(), 1, &[]);
    let two = child(one.block, 1, &[]);
    fixture.apply(None, &[one.clone(), two.clone()]).await.unwrap();
    fixture.store.follow_sources(CHAIN, vec![(source(contract), 0), (first, 0)]).await.unwrap();
    let cursor = fixture.cursor().await.unwrap();
    let mut batch = support::batch(Some(cursor), None, std::slice::from_ref(&two));
    (batch.blocks, batch.head) = (Vec::new(), None);
    let mut of_second = placed(6, one.block);
    (of_second.payment.contract, of_second.payment.transaction) = (contract, transaction(5));
    batch.payments = vec![placed(5, one.block), of_second];
    fixture.store.apply_merged(batch).await.unwrap();
    assert!(matches!(fixture.claim(5, 1).await, ClaimResult::First { .. }));
    let past = Past {
        chain: CHAIN,
        source: first,
        stretch: Stretch { from: 0, to: 2 },
        anchor: cursor,
        payments: vec![placed(5, two.block)],
        extras: Default::default(),
        undecoded: Vec::new(),
    };
    fixture.store.apply_past(past).await.unwrap();
    let applied = fixture.apply(Some(1), &[child(one.block, 2, &[])]).await.unwrap();
    assert_eq!((applied.orphaned, applied.restored, applied.incidents), (1, 1, 0));
    let rows = fixture.store.payments_in(CHAIN, transaction(5)).await.unwrap();
    let rows: Vec<_> = rows.iter().filter(|row| row.canonical).map(|row| row.placed.block_hash).collect();
    assert_eq!((rows, counted(&fixture).await), (vec![one.block.hash; 2], 2));
}
