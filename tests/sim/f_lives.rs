//! Processes that die, and chains that are not the one that was: F13, F18, F22.

use alloy_primitives::B256;
use salt402_indexer::Phase;

use crate::faults::Fate;
use crate::gate::{Ask, Said};
use crate::stage::{Scene, own};
use crate::world::World;

#[test]
fn f13_a_chain_that_was_reset_under_the_same_address_is_refused() {
    // Shorter than the index, as high within the window, higher, and much higher.
    for height in [3, 28, 31, 34, 90] {
        let scene = Scene::new();
        scene.grow(scene.genesis(), 0, 30);
        scene.play(async |stage| {
            stage.arrive().await;
            let stood = stage.cursor().await;
            let genesis = B256::repeat_byte(0xdd);
            *scene.shared.world() = World::new(genesis, 1_700_000_000);
            scene.grow(genesis, 1, height);
            stage.pass(20).await;
            assert_eq!(stage.cursor().await, stood, "reset to {height}");
            assert_eq!(stage.blocks_of(own(0, 30)).await.0.len(), 1);
            let Phase::Halted(why) = stage.phase() else {
                panic!("not halted at {height}: {:?}", stage.phase())
            };
            assert!(why.contains("genesis"), "{why}");
        });
    }
}

#[test]
fn f13_a_node_of_another_chain_is_refused_until_it_is_the_right_one() {
    let scene = Scene::new();
    scene.grow(scene.genesis(), 0, 5);
    scene.play(async |stage| {
        stage.script =
            Box::new(|_, ask| (ask == Ask::ChainId).then_some(Fate::Answered(Ok(Said::ChainId(1)))));
        stage.pass(20).await;
        assert!(matches!(stage.phase(), Phase::Failing(why) if why.contains("chain 1")));
        assert!(stage.asked.iter().all(|ask| *ask == Ask::ChainId));
        stage.script = Box::new(|_, _| None);
        stage.arrive().await;
        stage.assert_exact().await;
    });
}

#[test]
fn f13_another_first_block_in_the_database_or_the_profile_halts() {
    let scene = Scene::new();
    scene.grow(scene.genesis(), 0, 5);
    scene.play(async |stage| stage.arrive().await);
    *scene.shared.world() = World::new(B256::repeat_byte(0xdd), 1_700_000_000);
    scene.play(async |stage| {
        stage.pass(3).await;
        assert!(matches!(stage.phase(), Phase::Halted(_)));
    });
    let mut pinned = Scene::new();
    pinned.profile.genesis_hash = Some(B256::repeat_byte(1));
    pinned.play(async |stage| {
        stage.pass(3).await;
        assert!(matches!(stage.phase(), Phase::Halted(_)));
        assert_eq!(stage.cursor().await, None);
    });
}

#[test]
fn f18_killed_after_any_answer_and_begun_again_the_rows_are_the_same() {
    for by_hash in [true, false] {
        for moment in 0..45 {
            let mut scene = Scene::new();
            scene.profile.logs_by_hash = by_hash;
            let fork = scene.grow(scene.genesis(), 0, 30);
            scene.grow(fork, 1, 2);
            // Dies at the first start, dies during a reorganization, lives.
            scene.play(async |stage| {
                stage.answer(moment).await;
                stage.life.poll();
            });
            scene.grow(fork, 2, 3);
            scene.play(async |stage| {
                stage.answer(moment).await;
                stage.life.poll();
            });
            scene.play(async |stage| {
                stage.arrive().await;
                stage.assert_exact().await;
                assert!(stage.blocks_of(own(1, 31)).await.0.is_empty());
            });
        }
    }
}

#[test]
fn f22_blocks_that_are_mined_during_the_back_fill_are_neither_lost_nor_twice() {
    let scene = Scene::new();
    let mut tip = scene.grow(scene.genesis(), 0, 40);
    scene.play(async |stage| {
        for _ in 0..120 {
            if stage.answer(1).await == 0 {
                stage.pass(1).await;
            }
            tip = scene.grow(tip, 0, 1);
        }
        stage.arrive().await;
        stage.assert_exact().await;
        let ranges = stage.asked.iter().filter(|ask| matches!(ask, Ask::Logs { .. })).count();
        let single = stage.asked.iter().filter(|ask| matches!(ask, Ask::BlockLogs(_))).count();
        assert!(ranges > 0 && single > 0, "{ranges} ranges, {single} blocks");
    });
}

#[test]
fn f22_a_whole_window_that_is_not_final_is_followed_in_steps_that_end() {
    let mut scene = Scene::new();
    (scene.profile.finality_depth, scene.profile.reorg_window) = (150, 200);
    scene.grow(scene.genesis(), 0, 140);
    scene.play(async |stage| {
        // One answer in ninety is an error: a single step for all the blocks would hardly ever end.
        let mut asked = 0;
        stage.script = Box::new(move |_, _| {
            asked += 1;
            (asked % 90 == 0).then(|| Fate::Answered(Err(crate::gate::unreachable("connection reset"))))
        });
        stage.arrive().await;
        stage.assert_exact().await;
    });
}
