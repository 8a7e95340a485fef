//! Several nodes of a chain: one is asked at a time, and what fails or is elsewhere is left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use crate::common;

use std::sync::Arc;

use common::shown::{Fake, SECOND, Shown, gone, pin, pool_of, profile, query, state, watch};
use salt402_chain::{At, Node, NodeError, NodeState, Pool, PoolOptions, Role, Span};

#[tokio::test(start_paused = true)]
async fn a_unit_of_work_stays_with_its_node_and_the_next_goes_to_another_after_a_failure() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    let step = pin(&pool).await.unwrap();
    one.asked();
    two.asked();
    step.header(At::Latest).await.unwrap();
    step.logs(&query(), Span::Blocks { from: 1, to: 2 }).await.unwrap();
    assert_eq!((one.asked(), two.asked()), (2, 0));
    one.set(|shown| shown.error = Some(gone()));
    assert_eq!(step.header(At::Latest).await, Err(gone()));
    one.set(|shown| shown.error = None);
    // A step that is under way never changes over.
    step.header(At::Latest).await.unwrap();
    assert_eq!(two.asked(), 0);

    one.set(|shown| shown.error = Some(gone()));
    assert_eq!(step.header(At::Latest).await, Err(gone()));
    let next = pin(&pool).await.unwrap();
    assert_eq!(next.header(At::Latest).await.unwrap().unwrap().number, 100);
    assert!(two.asked() > 0);
    assert_eq!((state(&pool, 0), state(&pool, 1)), (NodeState::Resting, NodeState::Ready));
    assert!(pool.reports()[0].reason.as_ref().unwrap().contains("gone"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_recovers_is_found_out_by_a_look_and_asked_when_the_other_fails() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    one.set(|shown| shown.error = Some(gone()));
    pin(&pool).await.unwrap();
    watch(&pool, 60 * SECOND).await;
    assert!(pool.reports()[1].serving);
    one.set(|shown| shown.error = None);
    watch(&pool, 200 * SECOND).await;
    two.set(|shown| shown.error = Some(gone()));
    let step = pin(&pool).await.unwrap();
    let _ = step.header(At::Latest).await;
    pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
    assert!(pool.reports()[0].serving, "{:?}", pool.reports());
}

#[tokio::test(start_paused = true)]
async fn a_node_on_another_chain_is_put_out_until_it_is_back_and_the_others_serve() {
    type Change = fn(&mut Shown);
    let wrong: [(Change, Change, &str); 2] = [
        (|shown| shown.chain_id = 1, |shown| shown.chain_id = 40204, "eip155:1,"),
        (|shown| shown.genesis = 9, |shown| shown.genesis = 0, "block 0"),
    ];
    for (spoil, mend, about) in wrong {
        let (one, two) = (Fake::new(), Fake::new());
        let pool = pool_of(&[&one, &two], 1);
        pool.expect_genesis(two.shown.lock().unwrap().hash(0));
        one.set(spoil);
        for _ in 0..3 {
            pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
        }
        let report = &pool.reports()[0];
        assert_eq!((report.state, report.serving), (NodeState::Ejected, false));
        assert!(report.reason.as_ref().unwrap().contains(about), "{report:?}");
        watch(&pool, 60 * SECOND).await;
        assert_eq!(state(&pool, 0), NodeState::Ejected);
        one.set(mend);
        watch(&pool, 60 * SECOND).await;
        assert_eq!(state(&pool, 0), NodeState::Ready);
    }
}

#[tokio::test(start_paused = true)]
async fn with_all_nodes_on_another_chain_the_error_is_that() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    one.set(|shown| shown.chain_id = 1);
    two.set(|shown| shown.chain_id = 1);
    for _ in 0..3 {
        let error = pin(&pool).await.err().unwrap();
        assert!(matches!(error, NodeError::WrongChain { found: 1, .. }), "{error:?}");
    }
    // One that is merely down is no proof of anything.
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    one.set(|shown| shown.genesis = 1);
    pool.expect_genesis(two.shown.lock().unwrap().hash(0));
    two.set(|shown| shown.error = Some(gone()));
    for _ in 0..2 {
        assert_eq!(pin(&pool).await.err(), Some(gone()));
    }
}

#[tokio::test(start_paused = true)]
async fn at_first_contact_nodes_that_differ_about_block_0_are_not_chosen_between() {
    let (one, two) = (Fake::new(), Fake::new());
    two.set(|shown| shown.genesis = 1);
    let pool = pool_of(&[&one, &two], 1);
    let error = pin(&pool).await.err().unwrap();
    assert!(matches!(&error, NodeError::Disagreed { what } if what.contains("node-1")), "{error:?}");
    // A word of the operator settles it.
    pool.expect_genesis(two.shown.lock().unwrap().hash(0));
    pin(&pool).await.unwrap();
    assert!(pool.reports()[1].serving);
}

#[tokio::test(start_paused = true)]
async fn a_pruned_node_is_let_in_if_it_shows_a_block_that_the_others_show() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
    watch(&pool, 25 * SECOND).await;
    two.set(|shown| (shown.pruned, shown.fork, shown.error) = (true, Some(60), Some(gone())));
    watch(&pool, 25 * SECOND).await;
    two.set(|shown| shown.error = None);
    watch(&pool, 120 * SECOND).await;
    assert_eq!(state(&pool, 1), NodeState::Ejected, "{:?}", pool.reports());
    two.set(|shown| shown.fork = None);
    watch(&pool, 120 * SECOND).await;
    assert_eq!(state(&pool, 1), NodeState::Ready, "{:?}", pool.reports());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_proves_its_logs_is_asked_before_one_that_cannot() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    pin(&pool).await.unwrap();
    assert!(pool.reports()[0].serving);
    one.set(|shown| shown.unproved = true);
    pin(&pool).await.unwrap();
    let reports = pool.reports();
    assert!(reports[1].serving && reports[0].logs_unproved && !reports[1].logs_unproved, "{reports:?}");
    // Logs without proof are better than none.
    two.set(|shown| shown.error = Some(gone()));
    let _ = pin(&pool).await.unwrap().header(At::Latest).await;
    pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
    assert!(pool.reports()[0].serving, "{:?}", pool.reports());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_stands_still_or_lags_makes_another_node_be_asked() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    let look = async || pin(&pool).await.unwrap().header(At::Latest).await.unwrap().unwrap().number;
    assert_eq!(look().await, 100);
    watch(&pool, 30 * SECOND).await;
    assert_eq!(look().await, 100);
    assert!(pool.reports()[0].serving, "a chain without blocks is no reason to change");
    two.set(|shown| shown.head = 105);
    watch(&pool, 25 * SECOND).await;
    assert_eq!(state(&pool, 0), NodeState::Suspect, "its head stands still, and the other's does not");
    assert_eq!(look().await, 105);
    two.set(|shown| shown.head = 120);
    assert_eq!(look().await, 120);
    watch(&pool, SECOND).await;
    assert_eq!(state(&pool, 0), NodeState::Lagging);
    one.set(|shown| shown.head = 120);
    watch(&pool, 15 * SECOND).await;
    assert_ne!(state(&pool, 0), NodeState::Lagging);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_asked_only_while_no_primary_is_ready() {
    let (primary, fallback) = (Fake::new(), Fake::new());
    let nodes: Vec<(String, Role, Arc<dyn Node>)> = vec![
        ("fallback".into(), Role::Fallback, fallback.clone()),
        ("primary".into(), Role::Primary, primary.clone()),
    ];
    let pool = Pool::new(nodes, PoolOptions::of(&profile())).unwrap();
    let look = async || pin(&pool).await.unwrap().header(At::Latest).await;
    look().await.unwrap();
    assert!(pool.reports()[1].serving);
    primary.set(|shown| shown.error = Some(gone()));
    look().await.unwrap_err();
    look().await.unwrap();
    assert!(pool.reports()[0].serving);
    primary.set(|shown| shown.error = None);
    watch(&pool, 120 * SECOND).await;
    look().await.unwrap();
    assert!(pool.reports()[1].serving, "{:?}", pool.reports());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_is_left_after_the_limit() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    let step = pin(&pool).await.unwrap();
    one.set(|shown| shown.hangs = true);
    let error = step.header(At::Latest).await.unwrap_err();
    assert!(matches!(error, NodeError::Timeout { .. }), "{error:?}");
    pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
    assert!(pool.reports()[1].serving);
}

#[tokio::test(start_paused = true)]
async fn every_answer_comes_within_the_limit_and_so_do_ticks() {
    let node = Fake::new();
    let pool = pool_of(&[&node], 1);
    let pinned = pin(&pool).await.unwrap();
    node.set(|shown| shown.hangs = true);
    let limit = PoolOptions::of(&profile()).limit;
    let began = tokio::time::Instant::now();
    let late =
        |error: Option<NodeError>| matches!(error, Some(NodeError::Timeout { after, .. }) if after == limit);
    assert!(late(pinned.header(At::Latest).await.err()));
    assert!(late(pinned.heads().await.err()));
    assert!(late(pool.heads().await.err()));
    assert!(began.elapsed() <= limit * 3 + SECOND);
}

#[tokio::test(start_paused = true)]
async fn ticks_come_from_any_node_that_gives_them() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    one.set(|shown| shown.error = Some(gone()));
    assert!(pool.heads().await.unwrap().is_some());
    two.set(|shown| shown.error = Some(gone()));
    assert_eq!(pool.heads().await.err(), Some(gone()));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_node_is_out_until_it_shows_the_others_blocks_and_the_last_one_stays() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    let step = pin(&pool).await.unwrap();
    assert!(step.reject("reorganized too deep"));
    assert_eq!(state(&pool, 0), NodeState::Ejected);
    let other = pin(&pool).await.unwrap();
    other.header(At::Latest).await.unwrap();
    assert!(!other.reject("so is this"), "the last node was put out");
    assert_eq!(state(&pool, 1), NodeState::Ready);
    one.set(|shown| shown.fork = Some(50));
    watch(&pool, 60 * SECOND).await;
    assert_eq!(state(&pool, 0), NodeState::Ejected);
    one.set(|shown| shown.fork = None);
    watch(&pool, 60 * SECOND).await;
    assert_ne!(state(&pool, 0), NodeState::Ejected);
}

#[tokio::test(start_paused = true)]
async fn most_nodes_decide_who_is_on_a_fork_where_blocks_are_final_and_two_do_not() {
    let nodes = [Fake::new(), Fake::new(), Fake::new()];
    let pool = pool_of(&[&nodes[0], &nodes[1], &nodes[2]], 1);
    nodes[0].set(|shown| shown.fork = Some(95));
    pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
    watch(&pool, 60 * SECOND).await;
    assert_eq!(state(&pool, 0), NodeState::Ready, "a fork near the head is no crime");
    nodes[0].set(|shown| shown.fork = Some(50));
    watch(&pool, 15 * SECOND).await;
    assert_ne!(state(&pool, 0), NodeState::Ejected, "once may be chance");
    watch(&pool, 60 * SECOND).await;
    assert_eq!(state(&pool, 0), NodeState::Ejected);

    let pool = pool_of(&[&nodes[0], &nodes[1]], 1);
    pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
    watch(&pool, 120 * SECOND).await;
    for index in 0..2 {
        assert_ne!(state(&pool, index), NodeState::Ejected, "one word against another");
    }
}
