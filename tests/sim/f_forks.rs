//! Reorganizations: F6, F7, F9.

use alloy_primitives::B256;
use salt402_indexer::Look;
use salt402_protocol::RequestDigest;
use salt402_store::{ClaimResult, NewClaim};

use crate::faults::Fate;
use crate::gate::{Ask, Said};
use crate::stage::{Scene, Stage, own, paid, transaction};
use crate::world::{CHAIN, Inclusion};

pub(crate) async fn claim(stage: &Stage<'_>, number: u64) -> ClaimResult {
    let rows = stage.life.store.payments_in(CHAIN, transaction(number)).await.unwrap();
    let claim = NewClaim {
        payment: rows[0].placed.payment.id,
        chain: CHAIN,
        transaction: transaction(number),
        request: RequestDigest(B256::repeat_byte(1)),
        claimant: "reader".into(),
        holder: Default::default(),
        confirmations: 1,
        limits: Default::default(),
        usage: None,
        now_ms: 1,
        credit: None,
    };
    stage.life.store.claim(claim).await.unwrap()
}

pub(crate) async fn open_incidents(stage: &Stage<'_>) -> usize {
    stage.life.store.incidents(true, 100).await.unwrap().len()
}

/// A transaction that no block has of its own.
const MOVED: u64 = u64::MAX;

#[test]
fn f06_a_transaction_that_moves_is_on_the_chain_once_at_every_moment() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let before = scene.block(fork, 1, &[MOVED]);
    scene.shared.world().set_head(before);
    let empty = scene.block(fork, 2, &[]);
    let after = scene.block(empty, 2, &[MOVED]);
    scene.play(async |stage| {
        stage.arrive().await;
        assert_eq!(stage.blocks_of(MOVED).await, (vec![before], vec![]));
        scene.shared.world().set_head(after);
        let mut seen = vec![before];
        for _ in 0..200 {
            stage.life.advance(std::time::Duration::from_millis(50)).await;
            stage.answer(1).await;
            let (on_chain, _) = stage.blocks_of(MOVED).await;
            assert_eq!(on_chain.len(), 1);
            seen.extend(on_chain);
        }
        seen.dedup();
        assert_eq!(seen, [before, after]);
        stage.assert_exact().await;
    });
}

#[test]
fn f06_a_grant_is_an_incident_while_its_block_is_gone_and_not_when_it_is_back() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let a = scene.grow(fork, 1, 2);
    scene.play(async |stage| {
        stage.arrive().await;
        assert!(matches!(claim(stage, own(1, 21)).await, ClaimResult::First { .. }));
        for _ in 0..3 {
            let b = scene.block(fork, stage.asked.len() as u8, &[]);
            scene.shared.world().set_head(b);
            stage.arrive().await;
            assert_eq!(open_incidents(stage).await, 1);
            assert!(stage.blocks_of(own(1, 21)).await.0.is_empty());
            scene.shared.world().set_head(a);
            stage.arrive().await;
            assert_eq!(open_incidents(stage).await, 0);
            stage.assert_exact().await;
        }
    });
}

#[test]
fn f07_a_second_reorganization_during_the_first_leaves_the_third_chain_alone() {
    for by_hash in [true, false] {
        for moment in 1..14 {
            let mut scene = Scene::new();
            scene.profile.logs_by_hash = by_hash;
            scene.profile.finality_depth = 6;
            let fork = scene.grow(scene.genesis(), 0, 20);
            let lower = scene.shared.world().at(fork, 17).unwrap().header.hash;
            let b = scene.grow(fork, 2, 3);
            let c = scene.grow(lower, 3, 5);
            let a = scene.grow(fork, 1, 2);
            scene.play(async |stage| {
                stage.arrive().await;
                assert_eq!(stage.cursor().await.map(|cursor| cursor.hash), Some(a));
                scene.shared.world().set_head(b);
                stage.life.advance(std::time::Duration::from_secs(1)).await;
                stage.answer(moment).await;
                scene.shared.world().set_head(c);
                stage.arrive().await;
                stage.assert_exact().await;
                assert!(stage.blocks_of(own(1, 21)).await.0.is_empty());
                assert!(stage.blocks_of(own(0, 18)).await.0.is_empty());
            });
        }
    }
}

#[test]
fn f09_until_the_new_blocks_are_read_the_old_ones_stay() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let old = scene.grow(fork, 1, 3);
    scene.play(async |stage| {
        stage.arrive().await;
        assert_eq!(stage.cursor().await.map(|cursor| cursor.hash), Some(old));
    });
    // Away while the chain went on by more than is followed block by block.
    scene.grow(fork, 2, 40);
    scene.play(async |stage| {
        stage.script = Box::new(|_, ask| {
            matches!(ask, Ask::Logs { .. } | Ask::BlockLogs(_)).then_some(crate::faults::Fate::Hung)
        });
        stage.pass(60).await;
        assert_eq!(stage.cursor().await.map(|cursor| cursor.hash), Some(old));
        assert_eq!(stage.blocks_of(own(1, 21)).await.0.len(), 1);
    });
}

#[test]
fn f06_a_receipt_from_before_a_reorganization_is_of_no_merged_block() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let lost = scene.block(fork, 1, &[MOVED]);
    let kept = scene.grow(fork, 2, 1);
    scene.play(async |stage| {
        stage.arrive().await;
        let mut receipts = 0;
        stage.script = Box::new(move |world, ask| {
            // The first receipt is given by the chain that is left right after it.
            receipts += u32::from(matches!(ask, Ask::Receipt(_)));
            let first = matches!(ask, Ask::Receipt(_)) && receipts == 1;
            world.set_head(if first { lost } else { kept });
            None
        });
        stage.life.look(transaction(MOVED));
        stage.pass(2).await;
        assert!(matches!(stage.life.looked, Some(Ok(Look::Unknown))), "{:?}", stage.life.looked);
        assert_eq!(stage.blocks_of(MOVED).await, (vec![], vec![]));
    });
}

#[test]
fn f06_a_payment_in_a_merged_block_is_found_by_its_receipt_and_goes_with_the_block_it_was_placed_in() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let merging = {
        let mut world = scene.shared.world();
        let beside = Inclusion::new(transaction(MOVED), vec![paid(MOVED)]);
        let hash = B256::repeat_byte(0x21);
        world.add(hash, fork, 1, Vec::new(), vec![(B256::repeat_byte(0xbe), beside)]);
        world.set_head(hash);
        hash
    };
    scene.play(async |stage| {
        stage.arrive().await;
        assert_eq!(stage.blocks_of(MOVED).await, (vec![], vec![]), "no logs name it");
        stage.life.look(transaction(MOVED));
        stage.pass(1).await;
        assert_eq!(stage.blocks_of(MOVED).await, (vec![merging], vec![]));
        scene.grow(fork, 2, 3);
        stage.arrive().await;
        assert_eq!(stage.blocks_of(MOVED).await, (vec![], vec![merging]));
    });
}

/// A node that keeps the receipts of blocks that lost, and gives them for as long as the transaction is in no other.
fn keep_receipts(stage: &mut Stage<'_>) {
    stage.script = Box::new(|world, ask| {
        let Ask::Receipt(transaction) = ask else { return None };
        let head = world.head().hash;
        let on_chain = world.chain(head).any(|block| world.receipt_in(block, transaction).is_some());
        let lost = || world.lost_receipt(head, transaction);
        (!on_chain).then(|| Fate::Answered(Ok(Said::Receipt(lost()))))
    });
}

#[test]
fn f06_the_receipt_of_a_block_that_lost_brings_no_payment_back() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    // One block that the index had and undid, one that it never saw.
    let lost = scene.block(fork, 1, &[MOVED]);
    let unseen = scene.block(fork, 3, &[MOVED - 1]);
    scene.shared.world().set_head(lost);
    scene.play(async |stage| {
        stage.arrive().await;
        assert_eq!(stage.blocks_of(MOVED).await, (vec![lost], vec![]));
        scene.grow(fork, 2, 3);
        stage.arrive().await;
        keep_receipts(stage);
        for number in [MOVED, MOVED - 1] {
            stage.life.look(transaction(number));
            stage.pass(1).await;
            assert!(matches!(stage.life.looked, Some(Ok(Look::Unknown))), "{:?}", stage.life.looked);
        }
        assert_eq!(stage.blocks_of(MOVED).await, (vec![], vec![lost]));
        assert_eq!(stage.blocks_of(MOVED - 1).await, (vec![], vec![]), "of {unseen}");
        stage.assert_exact().await;
    });
}

#[test]
fn f06_a_block_that_lost_and_was_merged_brings_its_payment_back_as_deep_as_what_merged_it() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let lost = scene.block(fork, 1, &[MOVED]);
    scene.shared.world().set_head(lost);
    scene.play(async |stage| {
        stage.arrive().await;
        let below = scene.grow(fork, 2, 1);
        // A block that was never selected merged it, and was merged itself.
        let between = B256::repeat_byte(0xb1);
        let merging = {
            let mut world = scene.shared.world();
            let beside = world.get(lost).unwrap().inclusions[0].clone();
            world.add(between, below, 1, Vec::new(), vec![(lost, beside)]);
            let hash = B256::repeat_byte(0x22);
            world.add(hash, below, 1, Vec::new(), vec![(between, Inclusion::new(transaction(7), vec![]))])
        };
        scene.grow(merging, 2, 2);
        stage.arrive().await;
        keep_receipts(stage);
        stage.life.look(transaction(MOVED));
        stage.pass(1).await;
        assert!(matches!(stage.life.looked, Some(Ok(Look::Found))), "{:?}", stage.life.looked);
        assert_eq!(stage.blocks_of(MOVED).await, (vec![merging], vec![lost]));
        let rows = stage.life.store.payments_in(CHAIN, transaction(MOVED)).await.unwrap();
        assert_eq!(rows.iter().find(|row| row.canonical).unwrap().confirmations, 3);
    });
}

/// Whoever was served shows its proof no more. The block's payment counts again, and its incident ends.
#[test]
fn f06_what_was_granted_in_a_block_that_lost_and_was_merged_is_back_without_anybody_asking() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let lost = scene.block(fork, 1, &[MOVED]);
    scene.shared.world().set_head(lost);
    scene.play(async |stage| {
        stage.arrive().await;
        assert!(matches!(claim(stage, MOVED).await, ClaimResult::First { .. }));
        keep_receipts(stage);
        let below = scene.grow(fork, 2, 1);
        stage.arrive().await;
        assert_eq!(open_incidents(stage).await, 1, "nothing has merged it yet");
        let merging = {
            let mut world = scene.shared.world();
            let beside = world.get(lost).unwrap().inclusions[0].clone();
            world.add(B256::repeat_byte(0x22), below, 1, Vec::new(), vec![(lost, beside)])
        };
        scene.grow(merging, 2, 2);
        stage.arrive().await;
        stage.pass(3).await;
        assert_eq!(stage.blocks_of(MOVED).await, (vec![merging], vec![lost]));
        assert_eq!(open_incidents(stage).await, 0);
    });
}

/// To find what merged a block takes many questions, and a block may come after each.
#[test]
fn f06_a_merged_payment_is_found_also_where_new_blocks_come_faster_than_answers() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 20);
    let merging = {
        let mut world = scene.shared.world();
        let beside = Inclusion::new(transaction(MOVED), vec![paid(MOVED)]);
        world.add(B256::repeat_byte(0x21), fork, 1, Vec::new(), vec![(B256::repeat_byte(0xbe), beside)])
    };
    let mut head = scene.grow(merging, 2, 2);
    scene.play(async |stage| {
        stage.arrive().await;
        let mut slow = 0;
        stage.script = Box::new(move |_, ask| {
            slow += u32::from(matches!(ask, Ask::Merging(_)));
            (matches!(ask, Ask::Merging(_)) && slow < 4).then_some(Fate::Hung)
        });
        stage.life.look(transaction(MOVED));
        stage.answer(usize::MAX).await;
        assert!(stage.hangs());
        while stage.hangs() {
            let before = stage.cursor().await;
            head = scene.grow(head, 2, 1);
            stage.pass(2).await;
            assert_ne!(stage.cursor().await, before);
            stage.answer_hung();
            stage.answer(usize::MAX).await;
        }
        stage.pass(1).await;
        assert!(matches!(stage.life.looked, Some(Ok(Look::Found))), "{:?}", stage.life.looked);
        assert_eq!(stage.blocks_of(MOVED).await, (vec![merging], vec![]));
    });
}

#[test]
fn f06_a_merged_payment_that_is_mined_again_moves_and_stays_granted() {
    let mut scene = Scene::new();
    scene.profile.finality_depth = 8;
    let fork = scene.grow(scene.genesis(), 0, 20);
    let merging = {
        let mut world = scene.shared.world();
        let beside = Inclusion::new(transaction(MOVED), vec![paid(MOVED)]);
        let hash = B256::repeat_byte(0x21);
        world.add(hash, fork, 1, Vec::new(), vec![(B256::repeat_byte(0xbe), beside)]);
        world.set_head(hash);
        hash
    };
    scene.play(async |stage| {
        stage.arrive().await;
        stage.life.look(transaction(MOVED));
        stage.pass(1).await;
        assert_eq!(stage.blocks_of(MOVED).await, (vec![merging], vec![]));
        assert!(matches!(claim(stage, MOVED).await, ClaimResult::First { .. }));
        let again = scene.block(merging, 2, &[MOVED]);
        let tip = scene.grow(again, 2, 2);
        stage.arrive().await;
        assert_eq!(stage.blocks_of(MOVED).await, (vec![again], vec![merging]));
        assert!(matches!(claim(stage, MOVED).await, ClaimResult::Again { .. }));
        assert_eq!(open_incidents(stage).await, 0);
        stage.assert_exact().await;
        // The blocks leave one after the other, and the payment with the last of them.
        let middle = scene.grow(merging, 4, 4);
        stage.arrive().await;
        assert_eq!(stage.blocks_of(MOVED).await, (vec![merging], vec![again]));
        assert!(matches!(claim(stage, MOVED).await, ClaimResult::Again { .. }));
        assert_eq!(open_incidents(stage).await, 0);
        scene.grow(fork, 6, 6);
        stage.arrive().await;
        assert_eq!(stage.blocks_of(MOVED).await.0, Vec::<B256>::new());
        assert_eq!(open_incidents(stage).await, 1, "after {middle}");
        scene.shared.world().set_head(tip);
        scene.grow(tip, 5, 3);
        stage.arrive().await;
        assert_eq!(stage.blocks_of(MOVED).await.0, [again]);
        assert_eq!(open_incidents(stage).await, 0);
    });
}

#[test]
fn f06_where_blocks_are_not_merged_a_receipt_of_a_block_beside_the_chain_pays_nothing() {
    let mut scene = Scene::new();
    scene.profile.merges_blocks = false;
    let fork = scene.grow(scene.genesis(), 0, 20);
    {
        let mut world = scene.shared.world();
        let beside = Inclusion::new(transaction(MOVED), vec![paid(MOVED)]);
        let hash = B256::repeat_byte(0x21);
        world.add(hash, fork, 1, Vec::new(), vec![(B256::repeat_byte(0xbe), beside)]);
        world.set_head(hash);
    }
    scene.play(async |stage| {
        stage.arrive().await;
        stage.life.look(transaction(MOVED));
        stage.pass(1).await;
        assert_eq!(stage.blocks_of(MOVED).await, (vec![], vec![]), "as a replica on an old fork shows it");
    });
}
