//! A head that is lower than the index and on another fork: F5.

use std::time::Duration;

use alloy_primitives::B256;
use salt402_indexer::Phase;
use salt402_store::{ClaimResult, HaltKind};

use crate::f_forks::{claim, open_incidents};
use crate::faults::Fate;
use crate::stage::{Scene, Stage, own, transaction};
use crate::world::CHAIN;

/// How long a lower fork is waited for in these tests.
const WAIT_S: u64 = 30;

/// A chain whose index stands at block 24, and the head of a fork that leaves it at 20 and ends at 21.
fn scene() -> (Scene, B256, B256) {
    let mut scene = Scene::new();
    scene.profile.shorter_fork_ms = WAIT_S * 1000;
    let fork = scene.grow(scene.genesis(), 0, 20);
    let lower = scene.grow(fork, 2, 1);
    let stored = scene.grow(fork, 1, 4);
    (scene, stored, lower)
}

async fn stands(stage: &Stage<'_>) -> Option<B256> {
    stage.cursor().await.map(|cursor| cursor.hash)
}

async fn confirmations(stage: &Stage<'_>, number: u64) -> u64 {
    stage.life.store.payments_in(CHAIN, transaction(number)).await.unwrap()[0].confirmations
}

fn complaint(stage: &Stage<'_>) -> Option<String> {
    stage.life.health.borrow().complaint(Duration::from_secs(10))
}

#[test]
fn f05_while_a_lower_fork_is_shown_nothing_is_undone_and_nothing_is_granted_that_it_lacks() {
    let (scene, stored, lower) = scene();
    scene.play(async |stage| {
        stage.arrive().await;
        assert!(matches!(claim(stage, own(1, 22)).await, ClaimResult::First { .. }));
        assert_eq!(confirmations(stage, own(1, 21)).await, 4);
        scene.shared.world().set_head(lower);
        stage.pass(5).await;
        assert_eq!(stands(stage).await, Some(stored), "a node that is behind took blocks back");
        assert_eq!(open_incidents(stage).await, 0);
        assert_eq!(confirmations(stage, own(1, 21)).await, 0);
        assert_eq!(claim(stage, own(1, 21)).await, ClaimResult::TooShallow { confirmations: 0 });
        // What both forks have counts, and what was granted before stays granted.
        assert_eq!(confirmations(stage, own(0, 20)).await, 5);
        assert!(matches!(claim(stage, own(0, 20)).await, ClaimResult::First { .. }));
        assert!(matches!(claim(stage, own(1, 22)).await, ClaimResult::Again { .. }));
        // It was a replica that was behind.
        scene.shared.world().set_head(stored);
        stage.pass(2).await;
        assert_eq!(confirmations(stage, own(1, 21)).await, 4);
        assert!(matches!(claim(stage, own(1, 21)).await, ClaimResult::First { .. }));
        assert_eq!((complaint(stage), stage.life.health.borrow().blocks_above_fork), (None, 0));
        assert_eq!(stage.life.health.borrow().reorganizations, 0);
    });
}

#[test]
fn f05_a_lower_fork_that_becomes_as_high_is_followed_at_once() {
    let (scene, stored, lower) = scene();
    scene.play(async |stage| {
        stage.arrive().await;
        assert!(matches!(claim(stage, own(1, 22)).await, ClaimResult::First { .. }));
        scene.shared.world().set_head(lower);
        stage.pass(3).await;
        let lower = scene.grow(lower, 2, 2);
        stage.pass(3).await;
        assert_eq!(stands(stage).await, Some(stored), "one block is missing");
        let as_high = scene.grow(lower, 2, 1);
        stage.pass(2).await;
        assert_eq!(stands(stage).await, Some(as_high));
        assert_eq!(open_incidents(stage).await, 1, "what was granted is judged when the fork wins");
        assert_eq!(confirmations(stage, own(2, 21)).await, 4);
        stage.pass(2).await;
        assert_eq!((complaint(stage), stage.life.health.borrow().blocks_above_fork), (None, 0));
        stage.assert_exact().await;
    });
}

#[test]
fn f05_a_chain_that_stays_shorter_is_said_and_followed_after_the_wait_of_the_profile() {
    let (scene, stored, lower) = scene();
    scene.play(async |stage| {
        stage.arrive().await;
        scene.shared.world().set_head(lower);
        stage.pass(WAIT_S - 5).await;
        assert_eq!(stands(stage).await, Some(stored));
        let said = complaint(stage).expect("the index is not current");
        assert!(said.contains("lower than the index") && said.contains("above block 20"), "{said}");
        assert_eq!(stage.life.health.borrow().blocks_above_fork, 4);
        stage.pass(8).await;
        assert_eq!(stands(stage).await, Some(lower));
        assert_eq!(complaint(stage), None);
        assert_eq!(stage.life.health.borrow().blocks_above_fork, 0);
        assert_eq!(confirmations(stage, own(2, 21)).await, 1);
        stage.assert_exact().await;
    });
}

#[test]
fn f05_nodes_that_take_turns_behind_one_address_neither_undo_anything_nor_stop_the_index() {
    let (scene, stored, lower) = scene();
    scene.play(async |stage| {
        stage.arrive().await;
        for _ in 0..2 * WAIT_S {
            scene.shared.world().set_head(lower);
            stage.pass(1).await;
            scene.shared.world().set_head(stored);
            stage.pass(1).await;
        }
        assert_eq!(
            stands(stage).await,
            Some(stored),
            "the wait begins anew with every look at the stored chain"
        );
        assert_eq!(complaint(stage), None);
        let grown = scene.grow(stored, 1, 3);
        stage.pass(2).await;
        assert_eq!(stands(stage).await, Some(grown));
        stage.assert_exact().await;
    });
}

#[test]
fn f05_a_lower_fork_is_known_to_the_next_process_until_the_node_answers_again() {
    let (scene, stored, lower) = scene();
    scene.play(async |stage| {
        stage.arrive().await;
        scene.shared.world().set_head(lower);
        stage.pass(2).await;
    });
    scene.play(async |stage| {
        stage.script = Box::new(|_, _| Some(Fate::Hung));
        stage.pass(2).await;
        assert_eq!(claim(stage, own(1, 21)).await, ClaimResult::TooShallow { confirmations: 0 });
        scene.shared.world().set_head(stored);
    });
    scene.play(async |stage| {
        stage.pass(3).await;
        assert!(matches!(claim(stage, own(1, 21)).await, ClaimResult::First { .. }));
        stage.assert_exact().await;
    });
}

#[test]
fn f05_a_chain_that_became_shorter_than_what_is_final_halts_after_the_wait_and_not_before() {
    let mut scene = Scene::new();
    scene.profile.shorter_fork_ms = WAIT_S * 1000;
    let fork = scene.grow(scene.genesis(), 0, 20);
    let lower = scene.grow(fork, 2, 1);
    let stored = scene.grow(fork, 1, 6);
    scene.play(async |stage| {
        stage.arrive().await;
        scene.shared.world().set_head(lower);
        stage.pass(WAIT_S - 5).await;
        assert!(stage.life.state().await.halt.is_none(), "a node that is behind halts nothing");
        assert_eq!(claim(stage, own(1, 21)).await, ClaimResult::TooShallow { confirmations: 0 });
        stage.pass(10).await;
        assert!(matches!(stage.phase(), Phase::Halted(_)), "{:?}", stage.phase());
        assert_eq!(stage.life.state().await.halt.map(|halt| halt.kind), Some(HaltKind::Fork));
        assert_eq!(stands(stage).await, Some(stored));
    });
}

#[test]
fn f05_with_a_wait_of_nothing_a_shorter_chain_is_followed_at_once() {
    let (mut scene, _, lower) = scene();
    scene.profile.shorter_fork_ms = 0;
    scene.play(async |stage| {
        stage.arrive().await;
        scene.shared.world().set_head(lower);
        stage.pass(2).await;
        assert_eq!(stands(stage).await, Some(lower));
        stage.assert_exact().await;
    });
}
