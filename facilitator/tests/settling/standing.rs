//! What is claimed while something stands still: a task that broke, an account without coins, a full queue, a silent node.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use salt402_chain::Account;
use salt402_facilitator::{Engine, Method, SettleChain, SettleContracts, SettleFault, Settled, Settler as _};
use salt402_store::{IndexChanges, SettlementState};

use crate::node::TestNode;
use crate::shop::{KEYS, PAYEE, Shop, approved, outcome, payer, settle};
use crate::world::{CHAIN, Faults};

fn moved(settled: &Settled) {
    assert!(matches!(settled, Settled::Done { transaction: Some(_), .. }), "{settled:?}");
}

fn is_busy(fault: SettleFault, words: &str) {
    let SettleFault::Busy { retry_after_ms, what } = fault else { panic!("{fault}") };
    assert!(retry_after_ms > 0 && what.contains(words), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_breaks_is_started_again_and_nothing_is_claimed_until_it_runs() {
    let shop = Shop::new(31).await;
    shop.world.give(payer(1), 20);
    shop.world.state().faults.panics = 1;
    let engine = shop.engine();
    while engine.complaint(CHAIN).is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let one = approved(payer(1), 1, 7);
    is_busy(engine.settle(one.clone()).await.unwrap_err(), "ended unexpectedly");
    assert_eq!(shop.store.settlement(CHAIN, one.authorization.id()).await.unwrap(), None);
    // Its accounts are nobody else's meanwhile.
    let chain = SettleChain {
        chain: CHAIN,
        node: TestNode::new(&shop.world),
        contracts: SettleContracts::default(),
        accounts: vec![Arc::new(Account::from_key(KEYS[0]).unwrap())],
    };
    let changes = IndexChanges::of_this_process(&shop.store);
    Engine::start(&shop.store, &changes, vec![chain], shop.options.clone()).unwrap_err();
    shop.until("it runs again", || async { engine.complaint(CHAIN).is_none() }).await;
    moved(&outcome(&shop, &engine, &one).await);
    assert_eq!(shop.world.held(PAYEE), U256::from(7_u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_task_had_sent_when_it_broke_is_told_by_the_next_one() {
    let shop = Shop::new(32).await;
    shop.world.give(payer(1), 20);
    let engine = shop.engine();
    let one = approved(payer(1), 1, 7);
    let asked = settle(&engine, &one);
    while !matches!(shop.store.settlement(CHAIN, one.authorization.id()).await.unwrap(),
                    Some(row) if row.state == SettlementState::Sent)
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    shop.world.state().faults.panics = 1;
    // Its account is asked about when what was sent stalls, or a block comes and something else is to be sent; not where it was asked
    // about a moment ago. So there is something else until it broke.
    let mut all = vec![(one, asked)];
    while shop.world.state().faults.panics > 0 {
        let number = all.len() as u64 + 1;
        assert!(number < 12, "the account was never asked about");
        let next = approved(payer(1), number, 1);
        let asked = settle(&engine, &next);
        all.push((next, asked));
        for _ in 0..20 {
            shop.world.block(&shop.store).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let more = all.len() as u64 - 1;
    for (one, asked) in all {
        shop.finish(asked).await;
        moved(&outcome(&shop, &engine, &one).await);
    }
    assert_eq!(shop.world.held(PAYEE), U256::from(7 + more));
    assert!(shop.world.state().slots.values().all(|slots| slots.len() == 1), "sent with two nonces");
}

/// Under `upto` the payer names who sends. Coins of another account do not help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_names_an_account_without_coins_is_refused_and_all_else_is_settled() {
    let shop = Shop::new(33).await;
    shop.world.give(payer(1), 20);
    let poor = Account::from_key(KEYS[1]).unwrap().address();
    shop.world.state().faults.poor = Some(poor);
    let engine = shop.engine_over(TestNode::new(&shop.world), 2);
    while engine.signers_report().iter().any(|signer| signer.state.is_none()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut named = approved(payer(1), 1, 7);
    named.authorization.method = Method::Permit2Upto { facilitator: poor, permit: None };
    is_busy(engine.settle(named.clone()).await.unwrap_err(), "this permit names");
    assert_eq!(shop.store.settlement(CHAIN, named.authorization.id()).await.unwrap(), None);
    moved(&outcome(&shop, &engine, &approved(payer(1), 2, 5)).await);
}

/// A server that lost an answer asks again, whatever else waits: a 503 would have it refuse whoever paid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_what_is_claimed_finds_it_where_there_is_no_room() {
    let mut shop = Shop::new(34).await;
    shop.options.queue = 1;
    shop.world.give(payer(1), 20);
    shop.world.state().faults = Faults { errors: 100, ..Faults::default() };
    let engine = shop.engine();
    let one = approved(payer(1), 1, 7);
    assert_eq!(shop.finish(settle(&engine, &one)).await, Settled::Pending { transaction: None });
    is_busy(engine.settle(approved(payer(1), 2, 5)).await.unwrap_err(), "wait on this chain");
    assert_eq!(engine.settle(one.clone()).await.unwrap(), Settled::Pending { transaction: None });
    shop.world.state().faults = Faults::default();
    moved(&outcome(&shop, &engine, &one).await);
}

/// Each that is sent again waits for the node as long as it may. What is new must not wait for all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_says_nothing_to_what_is_sent_again_holds_up_nothing_new() {
    const OPEN: u8 = 12;
    let mut shop = Shop::new(35).await;
    shop.options.wait = Duration::from_millis(1);
    shop.options.batch = 1;
    for number in 0..=OPEN {
        shop.world.give(payer(number), 10);
    }
    shop.world.state().faults = Faults { dropped: 100, ..Faults::default() };
    let engine = shop.engine();
    for number in 0..OPEN {
        settle(&engine, &approved(payer(number), u64::from(number), 7)).await.unwrap();
    }
    while shop.store.open_slots(CHAIN).await.unwrap().len() < usize::from(OPEN) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    shop.world.state().faults =
        Faults { dropped: 100, silent: Some(Duration::from_millis(50)), ..Faults::default() };
    // All of them are due to be sent again.
    tokio::time::sleep(shop.options.stall * 2).await;
    let new = approved(payer(OPEN), u64::from(OPEN), 7);
    let asked = settle(&engine, &new);
    let before = shop.world.state().submitted;
    while shop.row_of(&new).await.is_none_or(|row| row.state != SettlementState::Sent) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let between = shop.world.state().submitted - before;
    assert!(between < u64::from(OPEN) / 2, "{between} were sent again before it");
    asked.await.unwrap();
    shop.world.state().faults = Faults::default();
    moved(&outcome(&shop, &engine, &new).await);
}
