//! Where so many nodes must agree, nothing is believed that they do not all say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use crate::common;

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use common::shown::{CONTRACT, Fake, SECOND, Shown, gone, pin, pool_of, profile, query, state, watch};
use salt402_chain::{At, Node, NodeError, NodeState, Pool, PoolOptions, Role, Span};

#[tokio::test(start_paused = true)]
async fn a_head_counts_when_enough_nodes_show_it_and_the_one_below_until_then() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 2);
    let look = async || pin(&pool).await.unwrap().header(At::Latest).await;
    one.set(|shown| shown.head = 103);
    assert_eq!(look().await.unwrap().unwrap().number, 100, "the other lags a little");
    two.set(|shown| shown.head = 103);
    assert_eq!(look().await.unwrap().unwrap().number, 103);
    // A fork of the newest block: the last one in common counts.
    one.set(|shown| shown.fork = Some(103));
    assert_eq!(look().await.unwrap().unwrap().number, 102);
    // A deep one: nothing does.
    one.set(|shown| shown.fork = Some(20));
    assert!(matches!(look().await, Err(NodeError::Disagreed { .. })));
    tokio::time::sleep(60 * SECOND).await;
    one.set(|shown| shown.fork = None);
    look().await.unwrap();
    // A node that is far behind does not hold the index back in silence.
    two.set(|shown| shown.head = 50);
    watch(&pool, 25 * SECOND).await;
    let error = look().await.unwrap_err();
    assert!(matches!(&error, NodeError::Disagreed { what } if what.contains("103")), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn no_log_that_one_node_makes_up_or_leaves_out_passes_where_two_must_agree() {
    for spoil in [|shown: &mut Shown| shown.invents = true, |shown: &mut Shown| shown.omits = true] {
        for liar in 0..2 {
            let nodes = [Fake::new(), Fake::new()];
            let pool = pool_of(&[&nodes[0], &nodes[1]], 2);
            let hash = nodes[0].shown.lock().unwrap().hash(90);
            nodes[liar].set(spoil);
            for span in [Span::Block(hash), Span::Blocks { from: 80, to: 90 }] {
                let answer = pin(&pool).await.unwrap().logs(&query(), span).await;
                assert!(matches!(answer, Err(NodeError::Disagreed { .. })), "{answer:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_third_node_tells_who_lies_and_the_liar_is_left() {
    let nodes = [Fake::new(), Fake::new(), Fake::new()];
    let pool = pool_of(&[&nodes[0], &nodes[1], &nodes[2]], 2);
    let hash = nodes[0].shown.lock().unwrap().hash(90);
    nodes[0].set(|shown| shown.invents = true);
    let answer = pin(&pool).await.unwrap().logs(&query(), Span::Block(hash)).await;
    assert!(matches!(&answer, Err(NodeError::Lied { what }) if what.contains("node-0")), "{answer:?}");
    for _ in 0..3 {
        let logs = pin(&pool).await.unwrap().logs(&query(), Span::Block(hash)).await.unwrap();
        assert_eq!(logs.len(), 1);
    }
    assert_eq!(state(&pool, 0), NodeState::Resting);
    // It is outvoted as a second node too.
    let nodes = [Fake::new(), Fake::new(), Fake::new()];
    let pool = pool_of(&[&nodes[0], &nodes[1], &nodes[2]], 2);
    nodes[1].set(|shown| shown.omits = true);
    assert_eq!(pin(&pool).await.unwrap().logs(&query(), Span::Block(hash)).await.unwrap().len(), 1);
    assert_eq!(state(&pool, 1), NodeState::Resting);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_counts_when_two_nodes_give_it() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 2);
    let hash = B256::repeat_byte(1);
    let look = async || pin(&pool).await.unwrap().receipt(hash).await;
    assert!(look().await.unwrap().is_some());
    two.set(|shown| shown.knows_receipts = false);
    assert_eq!(look().await, Ok(None), "the other may not have it yet");
    two.set(|shown| (shown.knows_receipts, shown.invents) = (true, true));
    assert!(matches!(look().await, Err(NodeError::Disagreed { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_a_contract_returns_counts_when_two_nodes_say_it() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 2);
    let asked = Bytes::from_static(&[1, 2]);
    let look = async || pin(&pool).await.unwrap().view(CONTRACT, asked.clone()).await;
    assert_eq!(look().await.unwrap()[..], [1, 2, 0]);
    assert_eq!(pool.view(CONTRACT, asked.clone()).await.unwrap()[..], [1, 2, 0]);
    two.set(|shown| shown.invents = true);
    assert!(matches!(look().await, Err(NodeError::Disagreed { .. })));
    // They may stand at different heads: none is left alone for it.
    assert_eq!([state(&pool, 0), state(&pool, 1)], [NodeState::Ready; 2]);
    two.set(|shown| shown.error = Some(gone()));
    assert!(matches!(look().await, Err(NodeError::Disagreed { .. })));
    let alone = pool_of(&[&one, &two], 1);
    assert_eq!(alone.view(CONTRACT, asked.clone()).await.unwrap()[..], [1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_code_of_a_contract_counts_when_two_nodes_show_it() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 2);
    let look = async || pin(&pool).await.unwrap().code(CONTRACT).await;
    assert_eq!(look().await.unwrap()[..], [0]);
    assert_eq!(pool.code(CONTRACT).await.unwrap()[..], [0]);
    two.set(|shown| shown.invents = true);
    assert!(matches!(look().await, Err(NodeError::Disagreed { .. })));
    assert_eq!([state(&pool, 0), state(&pool, 1)], [NodeState::Ready; 2]);
    assert_eq!(pool_of(&[&one, &two], 1).code(CONTRACT).await.unwrap()[..], [0]);
}

#[test]
fn more_nodes_cannot_agree_than_there_are() {
    let one = Fake::new();
    let nodes = || -> Vec<(String, Role, Arc<dyn Node>)> { vec![("one".into(), Role::Primary, one.clone())] };
    for agree in [0, 2] {
        let error = Pool::new(nodes(), PoolOptions { agree, ..PoolOptions::of(&profile()) }).err().unwrap();
        assert!(error.to_string().contains("it must be 1 to 1"), "{error}");
    }
    assert!(Pool::new(Vec::new(), PoolOptions::of(&profile())).is_err());
}
