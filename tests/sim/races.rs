//! What only real threads show: readers in the middle of a commit, and a process that dies there. No seed repeats it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use salt402_store::{Options, Store};

use crate::stage::{Scene, own, transaction};
use crate::world::CHAIN;

/// A transaction that no block has of its own.
const MOVED: u64 = u64::MAX;

#[test]
fn no_reader_finds_a_payment_gone_or_twice_while_it_moves() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let one = scene.block(scene.block(fork, 1, &[MOVED - 1, MOVED - 2, MOVED - 3]), 1, &[MOVED]);
    // As high: a fork that is lower would be waited for.
    let other = scene.block(scene.block(fork, 2, &[MOVED, MOVED - 2, MOVED - 4]), 2, &[]);
    scene.shared.world().set_head(one);
    let (ready, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !ready.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let store = Store::open(Options::new(scene.database())).await.unwrap();
                let mut blocks = Vec::new();
                while !done.load(Ordering::Acquire) {
                    let rows = store.payments_in(CHAIN, transaction(MOVED)).await.unwrap();
                    let on_chain: Vec<_> = rows.iter().filter(|row| row.canonical).collect();
                    assert_eq!(on_chain.len(), 1, "{rows:?}");
                    blocks.push(on_chain[0].placed.block_hash);
                }
                store.close().await;
                blocks.dedup();
                blocks.len()
            })
        });
        // Whatever happens here, the reader must end.
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            scene.play(async |stage| {
                stage.arrive().await;
                ready.store(true, Ordering::Release);
                for turn in 0..150 {
                    scene.shared.world().set_head(if turn % 2 == 0 { other } else { one });
                    stage.pass(1).await;
                }
            });
        }));
        ready.store(true, Ordering::Release);
        done.store(true, Ordering::Release);
        played.expect("the follower's side goes well");
        reader.join().unwrap()
    });
    assert!(reads > 10, "the reader saw {reads} changes only");
}

#[test]
fn a_process_that_dies_inside_a_transaction_leaves_all_of_it_or_nothing() {
    for moment in 0..60 {
        let scene = Scene::new();
        let fork = scene.grow(scene.genesis(), 0, 12);
        let old = scene.grow(fork, 1, 2);
        scene.play(async |stage| stage.arrive().await);
        scene.grow(fork, 2, 3);
        scene.play(async |stage| {
            // As far as the last answer that the step needs, and then somewhere into the commit.
            while stage.asked.iter().filter(|ask| matches!(ask, crate::gate::Ask::BlockLogs(_))).count() < 3 {
                stage.answer(1).await;
            }
            stage.life.poll();
            for _ in 0..moment {
                tokio::task::yield_now().await;
                stage.life.poll();
            }
        });
        scene.play(async |stage| {
            stage.assert_exact().await;
            let stands = stage.cursor().await.map(|cursor| cursor.hash);
            let lost = stage.blocks_of(own(1, 13)).await.0.is_empty();
            assert_eq!(lost, stands != Some(old));
            stage.arrive().await;
            stage.assert_exact().await;
        });
    }
}
