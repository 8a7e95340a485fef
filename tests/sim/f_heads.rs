//! Heads that come in the wrong order, late, or not at all: F5, F14, F15, F17.

use std::time::Duration;

use futures::channel::mpsc;
use salt402_chain::At;
use salt402_indexer::Phase;

use crate::faults::Fate;
use crate::gate::{Ask, Said};
use crate::life::Standing;
use crate::stage::{Scene, own};
use crate::world::World;

/// The node shows the block of its chain at a height as its head.
fn shows(height: u64) -> impl FnMut(&mut World, Ask) -> Option<Fate> {
    move |world, ask| {
        let block = world.at(world.head().hash, height)?.header;
        (ask == Ask::Header(At::Latest)).then(|| Fate::Answered(Ok(Said::Header(Some(block)))))
    }
}

#[test]
fn f05_a_lower_head_alone_is_no_reorganization_and_no_sign_of_being_current() {
    let scene = Scene::new();
    scene.grow(scene.genesis(), 0, 60);
    scene.play(async |stage| {
        stage.arrive().await;
        let stands = stage.cursor().await;
        // Within the window, at its end, below it, and the first block of all.
        for height in [59, 50, 48, 47, 30, 9, 0] {
            stage.script = Box::new(shows(height));
            stage.pass(2).await;
            assert_eq!((stage.phase(), stage.cursor().await), (Phase::Following, stands), "at {height}");
        }
        let current = |stage: &crate::stage::Stage<'_>| {
            stage.life.health.borrow().complaint(Duration::from_secs(5)).is_none()
        };
        assert!(!current(stage), "a node that is behind cannot tell where the chain stands");
        stage.script = Box::new(|_, _| None);
        stage.pass(2).await;
        assert!(current(stage));
        stage.assert_exact().await;
    });
}

#[test]
fn f05_heads_that_repeat_go_back_and_jump_lead_to_the_same_rows() {
    let scene = Scene::new();
    scene.grow(scene.genesis(), 0, 90);
    scene.play(async |stage| {
        for height in [3, 3, 1, 9, 8, 8, 40, 12, 41, 43, 42, 41, 90] {
            stage.script = Box::new(shows(height));
            stage.pass(2).await;
            stage.assert_exact().await;
        }
        assert_eq!(stage.cursor().await.map(|cursor| cursor.number), Some(90));
    });
}

#[test]
fn f14_a_question_that_hangs_is_given_up_and_asked_again() {
    // Every question of a first run, each hanging once.
    for victim in 0..12 {
        let scene = Scene::new();
        scene.grow(scene.genesis(), 0, 20);
        scene.play(async |stage| {
            let mut asked = 0;
            stage.script = Box::new(move |_, _| {
                asked += 1;
                (asked == victim + 1).then_some(Fate::Hung)
            });
            stage.pass(125).await;
            stage.arrive().await;
            stage.assert_exact().await;
        });
    }
}

#[test]
fn f14_it_stops_also_while_a_node_lets_it_wait() {
    let scene = Scene::new();
    scene.grow(scene.genesis(), 0, 5);
    scene.play(async |stage| {
        stage.script = Box::new(|_, _| Some(Fate::Hung));
        stage.answer(1).await;
        stage.life.stop.cancel();
        assert_eq!(stage.life.settle().await, Standing::Ended);
    });
}

#[test]
fn f14_without_a_word_from_the_subscription_polling_finds_the_head() {
    let mut scene = Scene::new();
    scene.profile.new_heads = true;
    let tip = scene.grow(scene.genesis(), 0, 5);
    scene.play(async |stage| {
        stage.arrive().await;
        scene.grow(tip, 0, 3);
        stage.pass(2).await;
        assert_eq!(stage.cursor().await.map(|cursor| cursor.number), Some(8));
    });
}

#[test]
fn f14_a_node_that_ends_every_subscription_at_once_is_not_asked_without_a_pause() {
    let mut scene = Scene::new();
    scene.profile.new_heads = true;
    scene.grow(scene.genesis(), 0, 5);
    scene.play(async |stage| {
        stage.script = Box::new(|_, ask| {
            // The other end is dropped here.
            let (_, ended) = mpsc::unbounded();
            (ask == Ask::Heads).then(|| Fate::Answered(Ok(Said::Heads(Some(ended)))))
        });
        stage.arrive().await;
        stage.asked.clear();
        stage.pass(10).await;
        assert!(stage.asked.len() <= 24, "{} questions in ten seconds", stage.asked.len());
    });
}

#[test]
fn f15_time_decides_nothing() {
    let scene = Scene::new();
    {
        let mut world = scene.shared.world();
        let mut tip = world.genesis();
        // Several blocks a second, a clock that goes back, and none at all.
        for (height, time) in (1..=40).zip([7, 7, 7, 3, 0, 0, 9, 8].into_iter().cycle()) {
            let inclusion = crate::world::Inclusion::new(
                crate::stage::transaction(height),
                vec![crate::stage::paid(height)],
            );
            let hash = alloy_primitives::keccak256(height.to_be_bytes());
            tip = world.add(hash, tip, time, vec![inclusion], Vec::new());
        }
        world.set_head(tip);
    }
    scene.play(async |stage| {
        stage.arrive().await;
        stage.assert_exact().await;
    });
}

#[test]
fn f17_final_is_a_matter_of_depth_and_is_never_taken_back() {
    let scene = Scene::new();
    scene.grow(scene.genesis(), 0, 30);
    scene.play(async |stage| {
        stage.arrive().await;
        // By this head, nothing is final any more; the index knows better.
        stage.script = Box::new(shows(2));
        stage.pass(5).await;
        let (on_chain, _) = stage.blocks_of(own(0, 20)).await;
        assert_eq!(on_chain.len(), 1);
        stage.assert_exact().await;
    });
}
