//! Batches: what is on the chain, what left it, and what that opens and resolves.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use salt402_protocol::B256;
use salt402_store::{Applied, ClaimResult, Cursor, StoreError};
use support::{CHAIN, Fixture, batch, child, genesis, id, numbered, payment, placed, transaction};

#[tokio::test]
async fn a_payment_is_read_as_it_was_written() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[7]);
    let applied = fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(applied, Applied { inserted: 1, ..Applied::default() });

    let rows = fixture.store.payments_in(CHAIN, transaction(7)).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].placed, placed(7, one.block));
    assert_eq!((rows[0].canonical, rows[0].confirmations, &rows[0].claim), (true, 1, &None));
    assert!(fixture.store.payments_in(CHAIN, transaction(8)).await.unwrap().is_empty());

    assert_eq!(fixture.store.canonical_block(CHAIN, 1).await.unwrap(), Some(one.block));
    assert_eq!(fixture.store.block_by_hash(CHAIN, one.block.hash).await.unwrap(), Some((one.block, true)));
    assert_eq!(fixture.store.canonical_block(CHAIN, 2).await.unwrap(), None);
    assert_eq!(fixture.store.canonical_block(CHAIN, u64::MAX).await.unwrap(), None);
}

#[tokio::test]
async fn the_payments_of_a_transaction_come_in_the_order_of_their_logs_and_the_orphaned_last() {
    let fixture = Fixture::new().await;
    let shared = |number: u64, position, block| {
        let mut placed = placed(number, block);
        placed.payment.transaction = transaction(0);
        placed.position = position;
        placed
    };
    let old = child(genesis(), 1, &[]);
    let mut first = fixture.batch(None, std::slice::from_ref(&old)).await;
    first.payments = vec![shared(1, 2, old.block), shared(2, 0, old.block), shared(3, 1, old.block)];
    fixture.store.apply(first).await.unwrap();
    let new = child(genesis(), 2, &[]);
    let mut second = fixture.batch(Some(0), std::slice::from_ref(&new)).await;
    second.payments = vec![shared(1, 1, new.block), shared(2, 0, new.block)];
    fixture.store.apply(second).await.unwrap();

    let rows = fixture.store.payments_in(CHAIN, transaction(0)).await.unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (row.canonical, row.placed.payment.id)).collect();
    assert_eq!(seen, [(true, id(2)), (true, id(1)), (false, id(2)), (false, id(3)), (false, id(1))]);
}

#[tokio::test]
async fn confirmations_count_the_payments_own_block_and_those_above() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    let two = child(one.block, 1, &[2]);
    let three = child(two.block, 1, &[]);
    fixture.apply(None, &[one.clone(), two.clone(), three]).await.unwrap();
    assert_eq!(fixture.rows(1).await, [(true, one.block.hash, 3)]);
    assert_eq!(fixture.rows(2).await, [(true, two.block.hash, 2)]);
}

#[tokio::test]
async fn a_batch_computed_from_another_cursor_changes_nothing() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    let first = fixture.batch(None, std::slice::from_ref(&one)).await;
    fixture.store.apply(first.clone()).await.unwrap();

    let stored = fixture.cursor().await;
    let again = fixture.store.apply(first).await.unwrap_err();
    assert!(
        matches!(&again, StoreError::CursorMoved { expected: None, stored: s, .. } if *s == stored),
        "{again}"
    );
    assert!(again.is_transient());

    let stale = batch(None, None, &[child(genesis(), 2, &[2])]);
    assert!(matches!(fixture.store.apply(stale).await, Err(StoreError::CursorMoved { .. })));
    assert_eq!(fixture.cursor().await, stored);
    assert_eq!(fixture.rows(2).await, []);
    assert_eq!(fixture.store.counts().await.unwrap().payments[&CHAIN], 1);
}

#[tokio::test]
async fn applying_the_same_blocks_again_changes_nothing() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1, 2, 3]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    let before = fixture.rows(1).await;
    let again = fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(again, Applied::default());
    let undone_and_redone = fixture.apply(Some(0), std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(undone_and_redone, Applied { orphaned: 3, restored: 3, ..Applied::default() });
    assert_eq!(fixture.rows(1).await, before);
    assert_eq!(fixture.store.counts().await.unwrap().payments[&CHAIN], 3);
}

#[tokio::test]
async fn a_reorganization_that_drops_a_payment_keeps_its_row_and_says_so() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    let two = child(one.block, 1, &[2]);
    fixture.apply(None, &[one.clone(), two.clone()]).await.unwrap();
    let other = child(one.block, 2, &[]);
    let applied = fixture.apply(Some(1), std::slice::from_ref(&other)).await.unwrap();

    assert_eq!(applied, Applied { orphaned: 1, ..Applied::default() });
    assert_eq!(fixture.rows(1).await, [(true, one.block.hash, 2)]);
    assert_eq!(fixture.rows(2).await, [(false, two.block.hash, 0)]);
    assert_eq!(fixture.store.block_by_hash(CHAIN, two.block.hash).await.unwrap(), Some((two.block, false)));
    assert_eq!(fixture.store.canonical_block(CHAIN, 2).await.unwrap(), Some(other.block));
    assert_eq!(fixture.store.counts().await.unwrap().payments[&CHAIN], 1);
    assert!(fixture.open_incidents().await.is_empty(), "nothing had been granted");
}

#[tokio::test]
async fn a_reorganization_that_moves_a_payment_shows_it_once_on_the_chain() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(fixture.claim(1, 1).await, ClaimResult::First { claimed_at_ms: 1_700_000_000_001 });

    let other = child(genesis(), 2, &[]);
    let moved = child(other.block, 2, &[1]);
    let applied = fixture.apply(Some(0), &[other, moved.clone()]).await.unwrap();
    assert_eq!(applied, Applied { inserted: 1, orphaned: 1, ..Applied::default() });
    assert_eq!(fixture.rows(1).await, [(true, moved.block.hash, 1), (false, one.block.hash, 0)]);
    assert!(fixture.open_incidents().await.is_empty(), "it never left the chain as a reader sees it");
    assert!(matches!(fixture.claim(1, 1).await, ClaimResult::Again { .. }));
    assert_eq!(fixture.claim(1, 2).await, ClaimResult::Taken);
}

#[tokio::test]
async fn a_claimed_payment_that_leaves_the_chain_opens_an_incident_and_its_return_resolves_it() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1, 2]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    fixture.claim(1, 1).await;

    let other = child(genesis(), 2, &[]);
    let applied = fixture.apply(Some(0), std::slice::from_ref(&other)).await.unwrap();
    assert_eq!(applied, Applied { orphaned: 2, incidents: 1, ..Applied::default() });
    assert_eq!(fixture.open_incidents().await, [id(1)]);
    let incident = fixture.store.incidents(true, 9).await.unwrap().remove(0);
    assert_eq!(incident.kind.name(), "payment_lost");
    assert_eq!((incident.transaction, incident.resolved_at_ms), (transaction(1), None));
    assert!(incident.detail.contains("gateway") && incident.detail.contains(&one.block.hash.to_string()));

    // A further reorganization while it is gone opens no second one.
    let third = child(genesis(), 3, &[]);
    assert_eq!(fixture.apply(Some(0), std::slice::from_ref(&third)).await.unwrap().incidents, 0);
    assert_eq!(fixture.store.counts().await.unwrap().open_incidents, 1);

    let back = child(third.block, 3, &[1]);
    fixture.apply(None, std::slice::from_ref(&back)).await.unwrap();
    assert!(fixture.open_incidents().await.is_empty());
    let all = fixture.store.incidents(false, 9).await.unwrap();
    assert!(matches!(&all[..], [one] if one.resolved_at_ms.is_some()), "{all:?}");

    // Gone again is a new incident, and the newest is told first.
    let fourth = child(genesis(), 4, &[]);
    fixture.apply(Some(0), std::slice::from_ref(&fourth)).await.unwrap();
    let all = fixture.store.incidents(false, 9).await.unwrap();
    assert!(all.len() == 2 && all[0].resolved_at_ms.is_none() && all[1].resolved_at_ms.is_some(), "{all:?}");
}

#[tokio::test]
async fn a_block_that_comes_back_is_the_same_block() {
    let fixture = Fixture::new().await;
    let a = child(genesis(), 1, &[1]);
    let b = child(genesis(), 2, &[2]);
    fixture.apply(None, std::slice::from_ref(&a)).await.unwrap();
    fixture.claim(1, 1).await;
    fixture.apply(Some(0), std::slice::from_ref(&b)).await.unwrap();
    assert_eq!(fixture.open_incidents().await, [id(1)]);
    let applied = fixture.apply(Some(0), std::slice::from_ref(&a)).await.unwrap();

    assert_eq!(applied, Applied { orphaned: 1, restored: 1, ..Applied::default() });
    assert_eq!(fixture.rows(1).await, [(true, a.block.hash, 1)]);
    assert_eq!(fixture.rows(2).await, [(false, b.block.hash, 0)]);
    assert!(fixture.open_incidents().await.is_empty());
    assert_eq!(fixture.cursor().await, Some(Cursor { number: 1, hash: a.block.hash }));
}

#[tokio::test]
async fn a_payment_in_two_blocks_of_the_chain_is_refused_with_everything_beside_it() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    let before = fixture.cursor().await;

    let two = child(one.block, 1, &[5, 1, 6]);
    let error = fixture.apply(None, std::slice::from_ref(&two)).await.unwrap_err();
    let expected = (id(1), two.block.hash, one.block.hash);
    assert!(
        matches!(error, StoreError::PaymentTwice { payment, block, other, .. } if (payment, block, other) == expected),
        "{error}"
    );
    let within = [child(one.block, 1, &[8]), child(child(one.block, 1, &[]).block, 1, &[8])];
    assert!(matches!(fixture.apply(None, &within).await, Err(StoreError::PaymentTwice { .. })));

    assert_eq!(fixture.cursor().await, before);
    assert_eq!(fixture.rows(5).await, []);
    assert_eq!(fixture.store.block_by_hash(CHAIN, two.block.hash).await.unwrap(), None);
}

#[tokio::test]
async fn a_batch_that_does_not_fit_the_chain_is_refused() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    let two = child(one.block, 1, &[]);
    fixture.apply(None, &[one.clone(), two.clone()]).await.unwrap();
    let before = fixture.cursor().await;
    let three = child(two.block, 1, &[]);
    let stranger = child(child(genesis(), 9, &[]).block, 9, &[]);
    let strange_four = child(child(stranger.block, 9, &[]).block, 9, &[]);

    let good = batch(before, None, std::slice::from_ref(&three));
    let mut cases = vec![
        ("no child of the cursor", batch(before, None, &[child(stranger.block, 9, &[])])),
        ("no child of the block before it", batch(before, None, &[three.clone(), strange_four])),
        ("no child of the block that is kept", batch(before, Some(1), std::slice::from_ref(&stranger))),
        ("another block at a height", batch(before, None, &[stranger.clone(), child(two.block, 1, &[])])),
        ("descending", batch(before, Some(0), &[two.clone(), one.clone()])),
        ("backwards without undoing", batch(before, None, std::slice::from_ref(&one))),
        ("keeps more than it ends with", batch(before, Some(9), std::slice::from_ref(&three))),
    ];
    let mut changed = |name, change: &dyn Fn(&mut salt402_store::Batch)| {
        let mut batch = good.clone();
        change(&mut batch);
        cases.push((name, batch));
    };
    changed("payment above the cursor", &|b| {
        b.payments = vec![placed(1, three.block)];
        b.payments[0].block_number += 1;
    });
    changed("payment in another block", &|b| b.payments = vec![placed(1, child(two.block, 7, &[]).block)]);
    changed("payment in a block off the chain", &|b| b.payments = vec![placed(1, stranger.block)]);
    changed("payment of another chain", &|b| {
        b.payments = vec![placed(1, three.block)];
        b.payments[0].payment.chain = salt402_protocol::ChainId::new(1).unwrap();
    });
    changed("another hash than the cursor's", &|b| b.cursor.hash = B256::ZERO);
    for (name, batch) in cases {
        let result = fixture.store.apply(batch).await;
        assert!(matches!(result, Err(StoreError::BadBatch { .. })), "{name}: {result:?}");
        assert_eq!(fixture.cursor().await, before, "{name}");
    }
    let mut huge = good.clone();
    huge.head = Some(u64::MAX);
    assert!(matches!(fixture.store.apply(huge).await, Err(StoreError::TooLarge { .. })));
    fixture.store.apply(good).await.unwrap();
}

#[tokio::test]
async fn a_back_fill_remembers_only_the_headers_it_is_given() {
    let fixture = Fixture::new().await;
    let mut end = child(genesis(), 1, &[]).block;
    end.number = 5000;
    let mut payments = Vec::new();
    for number in 0..3000 {
        let mut placed = placed(number, end);
        placed.block_number = 1 + number;
        placed.block_hash = numbered(9, number);
        payments.push(placed);
    }
    let mut first = batch(None, None, &[support::TestBlock { block: end, payments: vec![] }]);
    first.payments = payments;
    let applied = fixture.store.apply(first.clone()).await.unwrap();
    assert_eq!(applied.inserted, 3000);
    assert_eq!(fixture.rows(0).await, [(true, numbered(9, 0), 5000)]);
    assert_eq!(fixture.store.canonical_block(CHAIN, 1).await.unwrap(), None);

    // A payment that the node had left out is put in its place later.
    let mut late = first;
    late.expected = Some(late.cursor);
    late.payments = vec![placed(4000, end)];
    late.payments[0].block_number = 17;
    assert_eq!(fixture.store.apply(late).await.unwrap().inserted, 1);
    assert_eq!(fixture.store.counts().await.unwrap().payments[&CHAIN], 3001);
}

#[tokio::test]
async fn headers_below_the_window_are_forgotten_but_those_that_left_the_chain() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    let other = child(genesis(), 2, &[]);
    fixture.apply(Some(0), std::slice::from_ref(&other)).await.unwrap();
    let two = child(other.block, 2, &[]);
    let mut batch = fixture.batch(None, std::slice::from_ref(&two)).await;
    batch.prune_below = Some(2);
    fixture.store.apply(batch).await.unwrap();

    assert_eq!(fixture.store.canonical_block(CHAIN, 1).await.unwrap(), None);
    assert_eq!(fixture.store.canonical_block(CHAIN, 2).await.unwrap(), Some(two.block));
    assert_eq!(fixture.store.block_by_hash(CHAIN, one.block.hash).await.unwrap(), Some((one.block, false)));
}

#[tokio::test]
async fn going_back_without_new_blocks_is_a_step_too() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    let two = child(one.block, 1, &[2]);
    fixture.apply(None, &[one.clone(), two.clone()]).await.unwrap();
    let mut back = fixture.batch(Some(1), std::slice::from_ref(&one)).await;
    back.blocks.clear();
    back.payments.clear();
    let applied = fixture.store.apply(back).await.unwrap();
    assert_eq!(applied.orphaned, 1);
    assert_eq!(fixture.cursor().await, Some(Cursor { number: 1, hash: one.block.hash }));
    assert_eq!(fixture.rows(1).await, [(true, one.block.hash, 1)]);
    assert_eq!(fixture.rows(2).await, [(false, two.block.hash, 0)]);
}

#[tokio::test]
async fn chains_do_not_mix() {
    let fixture = Fixture::new().await;
    let base = salt402_protocol::ChainId::new(8453).unwrap();
    let unknown = fixture.store.note_head(base, 1).await;
    assert!(matches!(unknown, Err(StoreError::UnknownChain { chain }) if chain == base));
    let mut elsewhere = batch(None, None, &[child(genesis(), 1, &[])]);
    elsewhere.chain = base;
    assert!(matches!(fixture.store.apply(elsewhere.clone()).await, Err(StoreError::UnknownChain { .. })));

    fixture.store.pin_chain(base, B256::ZERO).await.unwrap();
    let mut foreign = payment(1);
    foreign.chain = base;
    elsewhere.payments =
        vec![salt402_store::PlacedPayment { payment: foreign, ..placed(1, elsewhere.blocks[0]) }];
    fixture.store.apply(elsewhere).await.unwrap();
    assert_eq!(fixture.cursor().await, None);
    assert!(fixture.store.payments_in(CHAIN, transaction(1)).await.unwrap().is_empty());
    assert_eq!(fixture.store.payments_in(base, transaction(1)).await.unwrap().len(), 1);
    let counts = fixture.store.counts().await.unwrap();
    assert_eq!(counts.payments.into_iter().collect::<Vec<_>>(), [(base, 1), (CHAIN, 0)]);
}

#[tokio::test]
async fn a_chain_has_one_genesis() {
    let fixture = Fixture::new().await;
    fixture.store.pin_chain(CHAIN, genesis().hash).await.unwrap();
    let error = fixture.store.pin_chain(CHAIN, B256::ZERO).await.unwrap_err();
    let (stored, given) = (genesis().hash, B256::ZERO);
    assert!(
        matches!(error, StoreError::OtherGenesis { chain: CHAIN, stored: s, given: g } if (s, g) == (stored, given)),
        "{error}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn readers_see_a_reorganization_whole_or_not_at_all() {
    let fixture = Fixture::new().await;
    let branches = [child(genesis(), 1, &[1]), child(genesis(), 2, &[1])];
    fixture.apply(None, &branches[..1]).await.unwrap();
    let store = fixture.store.clone();
    let reader = tokio::spawn(async move {
        let mut reads = 0;
        while store.progress().borrow().lt(&400) {
            let rows = store.payments_in(CHAIN, transaction(1)).await.unwrap();
            assert_eq!(rows.iter().filter(|row| row.canonical).count(), 1, "{rows:?}");
            reads += 1;
        }
        reads
    });
    for turn in 1..400 {
        fixture.apply(Some(0), &branches[turn % 2..=turn % 2]).await.unwrap();
    }
    assert!(reader.await.unwrap() > 100);
}

/// Who looks for one payment knows nothing of where the chain stands: a dead index is not made to look alive by it, and what
/// is in doubt stays so.
#[tokio::test]
async fn a_look_up_tells_nothing_of_the_nodes_head_nor_of_what_is_in_doubt() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    let two = child(one.block, 1, &[]);
    fixture.apply(None, &[one.clone(), two.clone()]).await.unwrap();
    fixture.store.note_head_at(CHAIN, 9, 1000).await.unwrap();
    fixture.store.note_lower_fork(CHAIN, Some(0)).await.unwrap();
    let look_up = async |number| {
        let mut batch = fixture.batch(None, std::slice::from_ref(&two)).await;
        batch.blocks.clear();
        batch.payments = vec![placed(number, one.block)];
        batch.head = None;
        batch
    };
    assert_eq!(fixture.store.apply_omitted(look_up(2).await).await.unwrap().inserted, 1);
    assert_eq!(fixture.store.apply(look_up(3).await).await.unwrap().inserted, 1);
    let state = fixture.store.chain_state(CHAIN).await.unwrap().unwrap();
    let counted = fixture.store.counts().await.unwrap().payments[&CHAIN];
    assert_eq!((state.head, state.noted_at_ms, counted), (Some(9), Some(1000), 3));
    for number in 1..=3 {
        let doubted = fixture.claim(number, 1).await;
        assert_eq!(doubted, ClaimResult::TooShallow { confirmations: 0 }, "{number}");
    }
    // And it moves nothing.
    let mut moving = fixture.batch(None, &[child(two.block, 3, &[])]).await;
    moving.head = None;
    assert!(matches!(fixture.store.apply(moving).await, Err(StoreError::BadBatch { .. })));
}

/// What a token does that takes a nonce twice. It must not keep the index from going on.
#[tokio::test]
async fn one_name_in_two_transactions_is_stored_in_both() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    let two = child(one.block, 1, &[]);
    let mut batch = fixture.batch(None, &[one.clone(), two.clone()]).await;
    let mut again = placed(2, two.block);
    again.payment.id = id(1);
    batch.payments.push(again);
    assert_eq!(fixture.store.apply(batch).await.unwrap().inserted, 2);
    for number in [1, 2] {
        let rows = fixture.store.payments_in(CHAIN, transaction(number)).await.unwrap();
        assert_eq!((rows.len(), rows[0].placed.payment.id), (1, id(1)));
    }
}

/// Whoever waits for the index looks at it again when it is current again, or out of doubt; and not at each sign of life.
#[tokio::test]
async fn a_sign_of_life_wakes_those_who_wait_when_it_ends_a_silence_or_a_doubt_and_only_then() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[]);
    fixture.apply(None, &[one]).await.unwrap();
    let store = &fixture.store;
    let mut progress = store.progress();
    let now = store.chain_state(CHAIN).await.unwrap().unwrap().noted_at_ms.unwrap();
    let mut woken = async |head, at| {
        progress.borrow_and_update();
        store.note_head_at(CHAIN, head, at).await.unwrap();
        progress.has_changed().unwrap()
    };
    for (head, at, wakes) in [
        (1, now + 2_000, false),
        (1, now + 4_000, false),
        (1, now + 300_000, true),
        (1, now + 302_000, false),
        (9, now + 304_000, false),
        (1, now + 306_000, true),
        (1, now + 308_000, false),
        // The clock was set back.
        (1, now, true),
    ] {
        assert_eq!(woken(head, at).await, wakes, "head {head} at {at}");
    }
    let mut progress = store.progress();
    progress.borrow_and_update();
    store.note_lower_fork(CHAIN, Some(0)).await.unwrap();
    assert!(!progress.has_changed().unwrap(), "what is in doubt grants nothing");
    store.note_lower_fork(CHAIN, None).await.unwrap();
    assert!(progress.has_changed().unwrap());
}
