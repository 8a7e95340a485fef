//! Processes that end at any await of a node, over nodes that fail: nothing is sent twice, and no result is lost.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use salt402_facilitator::{Settled, Settler as _};
use salt402_store::SettlementState;

use crate::node::TestNode;
use crate::shop::{PAYEE, Shop, approved, payer, settle};
use crate::world::{CHAIN, Faults};

/// How many runs, each with its own seed.
const RUNS: u64 = 100;
const PAYMENTS: u8 = 6;

async fn run(seed: u64, faults: Faults, reorganizes: bool) {
    let mut shop = Shop::with_finality(seed, 5).await;
    shop.options.stall = Duration::from_millis(5);
    shop.options.wait = Duration::from_millis(20);
    let mut rng = SmallRng::seed_from_u64(seed);
    let all: Vec<_> = (0..PAYMENTS).map(|number| approved(payer(number), u64::from(number), 5)).collect();
    for number in 0..PAYMENTS {
        shop.world.give(payer(number), 5);
    }
    // No reorganization reaches what they were given.
    for _ in 0..4 {
        shop.world.block(&shop.store).await;
    }
    shop.world.state().faults = faults;
    let mut told = vec![None; all.len()];
    for _ in 0..rng.random_range(2..6) {
        let node = TestNode::ending(&shop.world, rng.random_range(0..25));
        let engine = shop.engine_over(Arc::clone(&node), 1);
        let tasks: Vec<_> = all.iter().map(|one| settle(&engine, one)).collect();
        // Blocks come until the process ends.
        for _ in 0..40 {
            if tokio::time::timeout(Duration::from_millis(2), node.ended.notified()).await.is_ok() {
                break;
            }
            shop.world.block(&shop.store).await;
            if reorganizes && rng.random_range(0..8) == 0 {
                let kept = rng.random_bool(0.5);
                shop.world.reorganize(&shop.store, rng.random_range(1..4), kept).await;
            }
        }
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        let Some(engine) = Arc::into_inner(engine) else { panic!("the engine is still asked") };
        // Whoever was told an outcome keeps it.
        for (one, told) in all.iter().zip(&mut told) {
            if let Some(known) = engine.known(CHAIN, one.authorization.id()).await.unwrap()
                && matches!(known.settled, Settled::Done { .. })
            {
                *told = Some(known.settled);
            }
        }
        engine.stop().await;
    }
    shop.world.state().faults = Faults::default();
    let engine = shop.engine();
    let tasks: Vec<_> = all.iter().map(|one| settle(&engine, one)).collect();
    for task in tasks {
        shop.finish(task).await;
    }
    shop.until("all are settled and final", || async {
        let mut settled = true;
        for one in &all {
            settled &= shop.row(one).await.state == SettlementState::Settled;
        }
        settled
            && shop.store.mined_slots(CHAIN).await.unwrap().is_empty()
            && shop.store.open_slots(CHAIN).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(shop.world.held(PAYEE), U256::from(5 * u64::from(PAYMENTS)));
    for (one, told) in all.iter().zip(told) {
        let row = shop.row(one).await;
        let transaction = row.transaction.unwrap();
        let mined = shop.world.mined(transaction).expect("the told transaction is on the chain");
        assert!(mined.receipt.success);
        if let Some(Settled::Done { transaction: Some(first), .. }) = told
            && !reorganizes
        {
            assert_eq!(first, transaction, "a second result");
        }
        let slots = shop.world.state().slots.values().map(std::collections::BTreeSet::len).max();
        assert!(reorganizes || slots == Some(1), "an authorization was sent with two nonces");
    }
    let state = shop.world.state();
    assert!(state.pool.is_empty(), "something was left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_anywhere_sends_nothing_twice_and_loses_no_result() {
    for seed in 0..RUNS {
        run(seed, Faults::default(), false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_fail_forget_and_lie_change_nothing_of_that() {
    for seed in 1_000..1_000 + RUNS / 2 {
        let faults = Faults {
            errors: 10,
            taken_and_failed: 20,
            dropped: 20,
            hidden: 20,
            lies: 30,
            ..Faults::default()
        };
        run(seed, faults, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_do_blocks_that_leave_the_chain() {
    for seed in 2_000..2_000 + RUNS / 2 {
        let faults = Faults {
            errors: 5,
            taken_and_failed: 10,
            dropped: 10,
            hidden: 10,
            lies: 10,
            ..Faults::default()
        };
        run(seed, faults, true).await;
    }
}
