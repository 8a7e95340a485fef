//! Reorganizations deeper than what is final, and what the operator decides: F8.

use std::time::Duration;

use salt402_indexer::{Comparison, Phase, compare};
use salt402_store::{ClaimResult, HaltKind};

use crate::f_forks::{claim, open_incidents};
use crate::gate::Ask;
use crate::stage::{Scene, Stage, own};
use crate::world::CHAIN;

/// Finality is 4 and the window 12 on every stage.
const FINALITY: u64 = 4;

/// What the operator's command sees. It asks the same node, so that somebody must answer meanwhile.
async fn look(stage: &mut Stage<'_>) -> Comparison {
    let node = stage.scene.node();
    let store = stage.life.store.clone();
    let looking = compare(&node, &store, CHAIN, 0);
    tokio::pin!(looking);
    loop {
        tokio::select! {
            biased;
            seen = &mut looking => return seen.expect("the node answers").expect("something is stored"),
            () = tokio::task::yield_now() => { stage.answer_waiting(); }
        }
    }
}

/// Looks and accepts what was seen.
async fn accept(stage: &mut Stage<'_>) -> Comparison {
    let seen = look(stage).await;
    let fork = seen.fork().expect("a fork to accept");
    assert!(stage.life.store.accept_fork(CHAIN, Some(seen.cursor), fork).await.unwrap());
    seen
}

async fn assert_halted(stage: &Stage<'_>) {
    assert!(matches!(stage.phase(), Phase::Halted(_)), "{:?}", stage.phase());
    let halt = stage.life.state().await.halt.expect("the halt is stored");
    assert_eq!((halt.kind, halt.accepted), (HaltKind::Fork, None));
}

#[test]
fn f08_deeper_than_the_window_nothing_more_is_granted_and_everything_is_still_read() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let a = scene.grow(fork, 1, 13);
    scene.play(async |stage| {
        stage.arrive().await;
        assert!(matches!(claim(stage, own(1, 21)).await, ClaimResult::First { .. }));
        scene.grow(fork, 2, 20);
        stage.pass(5).await;
        assert_halted(stage).await;
        assert_eq!(stage.cursor().await.map(|cursor| cursor.hash), Some(a));
        assert_eq!(stage.blocks_of(own(1, 21)).await.0.len(), 1);
        let asked = stage.asked.len();
        stage.pass(60).await;
        assert_eq!(stage.asked.len(), asked, "a halted follower leaves the node alone");
        // Nothing new is granted, also of what lies below the fork; a retry finds its own claim.
        assert_eq!(claim(stage, own(1, 33)).await, ClaimResult::Halted);
        assert_eq!(claim(stage, own(0, 3)).await, ClaimResult::Halted);
        assert!(matches!(claim(stage, own(1, 21)).await, ClaimResult::Again { .. }));
    });
    // Nor does a restart help it, or make it forget.
    scene.play(async |stage| {
        stage.pass(5).await;
        assert_halted(stage).await;
        assert_eq!(stage.cursor().await.map(|cursor| cursor.hash), Some(a));
        assert_eq!(claim(stage, own(1, 33)).await, ClaimResult::Halted);
    });
}

#[test]
fn f08_deeper_than_final_is_not_followed_although_the_way_back_is_known() {
    // At the head, right after a back-fill, and after being away while the chain went on.
    for (before, away) in [(0, 0), (30, 0), (30, 40), (3, 30)] {
        for depth in [FINALITY, FINALITY + 1, 11, 12] {
            let scene = Scene::new();
            let fork = scene.grow(scene.genesis(), 0, before + 20);
            let old = scene.grow(fork, 1, depth);
            scene.play(async |stage| {
                stage.arrive().await;
                assert_eq!(stage.cursor().await.map(|cursor| cursor.hash), Some(old));
            });
            scene.grow(fork, 2, depth + 1 + away);
            scene.play(async |stage| {
                if depth <= FINALITY {
                    stage.arrive().await;
                    return stage.assert_exact().await;
                }
                stage.pass(8).await;
                assert_halted(stage).await;
                assert_eq!(stage.cursor().await.map(|cursor| cursor.hash), Some(old));
                let (on_chain, off) = stage.blocks_of(own(1, before + 21)).await;
                assert_eq!((on_chain.len(), off.len()), (1, 0), "{depth} deep");
            });
        }
    }
}

#[test]
fn f08_what_the_operator_accepts_is_applied_at_once_with_an_incident_for_every_grant() {
    // Within the headers that are kept, and far below them, where only blocks of payments are known.
    for (depth, away) in [(5, 1), (12, 0), (13, 7), (60, 30)] {
        for restart in [false, true] {
            let scene = Scene::new();
            let fork = scene.grow(scene.genesis(), 0, 20);
            scene.grow(fork, 1, depth);
            scene.play(async |stage| {
                stage.arrive().await;
                assert!(matches!(claim(stage, own(1, 21)).await, ClaimResult::First { .. }));
                assert!(matches!(claim(stage, own(0, 20)).await, ClaimResult::First { .. }));
                scene.grow(fork, 2, depth + away);
                stage.pass(8).await;
                assert_halted(stage).await;
                let seen = accept(stage).await;
                assert_eq!((seen.keep_through, seen.depth()), (20, depth));
                let above = stage.life.store.above(CHAIN, seen.keep_through, 10).await.unwrap();
                assert_eq!((above.payments, above.claimed), (depth, 1));
                assert_eq!(above.grants[0].transaction, crate::stage::transaction(own(1, 21)));
                if !restart {
                    stage.pass(8).await;
                    stage.arrive().await;
                    stage.assert_exact().await;
                }
            });
            scene.play(async |stage| {
                stage.arrive().await;
                stage.assert_exact().await;
                assert_eq!(stage.life.state().await.halt, None);
                assert_eq!(stage.phase(), Phase::Following);
                assert_eq!(open_incidents(stage).await, 1);
                assert!(stage.blocks_of(own(1, 21)).await.0.is_empty());
                assert!(matches!(claim(stage, own(2, 21)).await, ClaimResult::First { .. }));
            });
        }
    }
}

#[test]
fn f08_a_fork_that_is_no_longer_the_one_that_was_accepted_halts_again() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let a = scene.grow(fork, 1, 8);
    scene.play(async |stage| {
        stage.arrive().await;
        scene.grow(fork, 2, 9);
        stage.pass(5).await;
        accept(stage).await;
        // Before it is applied, the chain changes once more.
        scene.grow(fork, 3, 10);
        stage.pass(10).await;
        assert_halted(stage).await;
        assert_eq!(stage.cursor().await.map(|cursor| cursor.hash), Some(a));
        accept(stage).await;
        stage.pass(5).await;
        stage.arrive().await;
        stage.assert_exact().await;
        assert!(stage.blocks_of(own(2, 21)).await.0.is_empty());
    });
}

#[test]
fn f08_an_accepted_fork_is_applied_whole_or_not_at_all_whatever_the_node_does_meanwhile() {
    for moment in 0..24 {
        let scene = Scene::new();
        let fork = scene.grow(scene.genesis(), 0, 20);
        scene.grow(fork, 1, 6);
        scene.play(async |stage| {
            stage.arrive().await;
            let b = scene.grow(fork, 2, 7);
            stage.pass(5).await;
            accept(stage).await;
            stage.life.advance(Duration::from_secs(1)).await;
            stage.answer(moment).await;
            // A shallow reorganization of the accepted fork, in the middle of its being read.
            let b_parent = scene.shared.world().header(b).parent_hash;
            scene.grow(b_parent, 3, 2);
            stage.pass(10).await;
            stage.arrive().await;
            stage.assert_exact().await;
        });
    }
}

#[test]
fn f08_when_the_node_is_back_on_the_stored_chain_the_operator_ends_the_halt_and_nothing_is_lost() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let a = scene.grow(fork, 1, 8);
    scene.play(async |stage| {
        stage.arrive().await;
        scene.grow(fork, 2, 9);
        stage.pass(5).await;
        assert_halted(stage).await;
        scene.grow(a, 1, 1);
        stage.pass(5).await;
        assert_halted(stage).await;
        let seen = look(stage).await;
        assert_eq!((seen.depth(), seen.fork()), (0, None));
        assert!(stage.life.store.end_halt(CHAIN, HaltKind::Fork).await.unwrap());
        stage.pass(3).await;
        stage.arrive().await;
        stage.assert_exact().await;
        assert_eq!(stage.blocks_of(own(1, 21)).await.0.len(), 1);
    });
}

#[test]
fn f08_an_acceptance_from_where_the_index_no_longer_stands_is_refused() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    scene.grow(fork, 1, 8);
    scene.play(async |stage| {
        stage.arrive().await;
        let genesis = stage.life.state().await.genesis;
        let accepted = salt402_store::AcceptedFork { keep_through: 20, block: genesis };
        let stands = stage.cursor().await;
        assert!(!stage.life.store.accept_fork(CHAIN, stands, accepted).await.unwrap(), "no halt is open");
        scene.grow(fork, 2, 9);
        stage.pass(5).await;
        assert_halted(stage).await;
        assert!(!stage.life.store.accept_fork(CHAIN, None, accepted).await.unwrap());
        let asked = stage.asked.iter().filter(|ask| matches!(ask, Ask::BlockLogs(_))).count();
        stage.pass(5).await;
        assert_eq!(stage.asked.iter().filter(|ask| matches!(ask, Ask::BlockLogs(_))).count(), asked);
        assert_halted(stage).await;
    });
}
