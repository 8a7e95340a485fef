//! Nodes without block 0, one at a time.

use salt402_chain::At;
use salt402_indexer::Phase;

use crate::faults::Fate;
use crate::gate::{Ask, Said};
use crate::stage::{Scene, Script};

/// A node whose history is pruned: it has no block 0.
fn pruned() -> Script {
    Box::new(|_, ask| (ask == Ask::Header(At::Number(0))).then(|| Fate::Answered(Ok(Said::Header(None)))))
}

#[test]
fn f13_a_pruned_node_is_followed_where_the_genesis_is_pinned() {
    let mut scene = Scene::new();
    scene.profile.genesis_hash = Some(scene.genesis());
    let tip = scene.grow(scene.genesis(), 1, 20);
    scene.play(async |stage| {
        stage.script = pruned();
        stage.arrive().await;
        stage.assert_exact().await;
    });
    // The second time, the oldest stored header stands in for block 0.
    scene.grow(tip, 1, 5);
    scene.play(async |stage| {
        stage.script = pruned();
        stage.arrive().await;
        stage.assert_exact().await;
        assert!(stage.asked.contains(&Ask::Header(At::Number(8))), "no stored header was compared");
    });
}

#[test]
fn f13_a_pruned_node_makes_no_first_contact_where_nothing_is_pinned_and_says_why() {
    let scene = Scene::new();
    scene.grow(scene.genesis(), 1, 20);
    scene.play(async |stage| {
        stage.script = pruned();
        stage.pass(20).await;
        assert_eq!(stage.cursor().await, None);
        let Phase::Failing(why) = stage.phase() else { panic!("{:?}", stage.phase()) };
        assert!(why.contains("genesis_hash") && why.contains("block 0"), "{why}");
        // It is not final: another node may be behind the address, or the operator finds one.
        stage.script = Box::new(|_, _| None);
        stage.arrive().await;
        stage.assert_exact().await;
    });
}

#[test]
fn f13_nothing_is_undone_for_a_pruned_node_on_another_chain() {
    let mut scene = Scene::new();
    scene.profile.genesis_hash = Some(scene.genesis());
    let ours = scene.grow(scene.genesis(), 1, 30);
    scene.play(async |stage| stage.arrive().await);
    // Another chain of the same id, which leaves ours at its very first block.
    scene.grow(scene.genesis(), 2, 35);
    scene.play(async |stage| {
        stage.script = pruned();
        stage.pass(30).await;
        assert_eq!(stage.cursor().await.map(|cursor| cursor.hash), Some(ours));
        let Phase::Failing(why) = stage.phase() else { panic!("{:?}", stage.phase()) };
        assert!(why.contains("no block 0") || why.contains("is pruned"), "{why}");
    });
}
