//! Contracts that are added, removed and added again, and blocks that are too full: F11, F22, F23, F24, F25.

use std::time::Duration;

use alloy_primitives::B256;
use salt402_chain::{At, NodeError};
use salt402_protocol::{RequestDigest, Source};
use salt402_store::{ClaimResult, NewClaim, Stretch};

use crate::faults::Fate;
use crate::gate::Ask;
use crate::stage::{Scene, Script, Stage, own, paid, transaction};
use crate::world::{CHAIN, Event, Inclusion, SECOND, second, simple_payment, source};

/// The number of the transaction by which a block pays through the second contract.
fn by_second(branch: u8, height: u64) -> u64 {
    1 << 48 | own(branch, height)
}

/// Blocks upon `parent`, each with a payment through either contract. The last becomes the head.
fn grow_both(scene: &Scene, parent: B256, branch: u8, blocks: u64) -> B256 {
    let mut tip = parent;
    for _ in 0..blocks {
        let mut world = scene.shared.world();
        let parent = world.header(tip);
        let (one, other) = (own(branch, parent.number + 1), by_second(branch, parent.number + 1));
        let inclusions = vec![
            Inclusion::new(transaction(one), vec![paid(one)]),
            Inclusion::new(transaction(other), vec![paid(other).of_second()]),
        ];
        let hash = alloy_primitives::keccak256([parent.hash.as_slice(), &[branch]].concat());
        tip = world.add(hash, parent.hash, parent.timestamp, inclusions, Vec::new());
        world.set_head(tip);
    }
    tip
}

async fn unread(stage: &Stage<'_>, source: &Source) -> Vec<Stretch> {
    let coverage = stage.life.store.coverage(CHAIN).await.unwrap();
    coverage
        .into_iter()
        .filter(|known| known.source.contract == source.contract)
        .flat_map(|known| known.unread)
        .collect()
}

/// Until nothing is left to read.
async fn read_all(stage: &mut Stage<'_>) {
    for _ in 0..60 {
        stage.pass(1).await;
        if unread(stage, &second(0)).await.is_empty() {
            return;
        }
    }
    panic!("still unread: {:?}", unread(stage, &second(0)).await);
}

fn log_ranges(stage: &Stage<'_>) -> Vec<(u64, u64)> {
    let ranges = stage.asked.iter().filter_map(|ask| match ask {
        Ask::Logs { from, to } => Some((*from, *to)),
        _ => None,
    });
    ranges.collect()
}

#[test]
fn f23_the_past_of_a_contract_that_is_added_is_read_beside_the_head_whenever_it_is_killed() {
    for moment in (0..40).step_by(2).chain([60, 90]) {
        let mut scene = Scene::new();
        let tip = grow_both(&scene, scene.genesis(), 0, 60);
        scene.play(async |stage| stage.arrive().await);
        scene.sources.push(second(0));
        let mut tip = tip;
        scene.play(async |stage| {
            stage.answer(moment).await;
            stage.life.poll();
        });
        scene.play(async |stage| {
            // The head goes on meanwhile.
            for _ in 0..6 {
                stage.answer(moment % 7 + 1).await;
                tip = grow_both(&scene, tip, 0, 1);
            }
            stage.life.poll();
        });
        scene.play(async |stage| {
            stage.arrive().await;
            read_all(stage).await;
            stage.assert_exact().await;
            assert!(stage.life.health.borrow().unread().is_none());
        });
    }
}

#[test]
fn f23_the_head_is_followed_while_the_past_cannot_be_read() {
    let mut scene = Scene::new();
    let tip = grow_both(&scene, scene.genesis(), 0, 60);
    scene.play(async |stage| stage.arrive().await);
    scene.sources.push(second(0));
    scene.play(async |stage| {
        // Whatever is asked about the past is never answered.
        stage.script =
            Box::new(|_, ask| matches!(ask, Ask::Logs { to, .. } if to < 40).then_some(Fate::Hung));
        stage.pass(3).await;
        grow_both(&scene, tip, 0, 3);
        stage.arrive().await;
        assert_eq!(stage.blocks_of(by_second(0, 63)).await.0.len(), 1, "new payments of either are known");
        assert_eq!(stage.blocks_of(by_second(0, 5)).await.0.len(), 0);
        assert_eq!(unread(stage, &second(0)).await, [Stretch { from: 0, to: 60 }]);
        let told = stage.life.health.borrow().unread().unwrap();
        assert!(told.contains(&SECOND.to_string()) && told.contains("0 to 60"), "{told}");
        assert!(
            stage.life.health.borrow().complaint(Duration::from_secs(5)).is_none(),
            "the head is current"
        );
        stage.script = Box::new(|_, _| None);
        stage.pass(130).await;
        // Block 60 was not final when the contract was added.
        assert_eq!(unread(stage, &second(0)).await, [Stretch { from: 60, to: 60 }]);
        let head = scene.shared.world().head().hash;
        grow_both(&scene, head, 0, 1);
        stage.arrive().await;
        read_all(stage).await;
        stage.assert_exact().await;
    });
}

#[test]
fn f23_a_reorganization_while_the_past_is_read_neither_loses_nor_doubles() {
    for (depth, final_after) in [(1, 4), (4, 4), (12, 12)] {
        for moment in (0..30).step_by(3) {
            let mut scene = Scene::new();
            scene.profile.finality_depth = final_after;
            let fork = grow_both(&scene, scene.genesis(), 0, 40);
            grow_both(&scene, fork, 1, depth);
            scene.play(async |stage| stage.arrive().await);
            scene.sources.push(second(30));
            scene.play(async |stage| {
                stage.answer(moment).await;
                // Never deeper than what is final: what is deeper is not followed.
                grow_both(&scene, fork, 2, depth + 1);
                stage.arrive().await;
                let head = scene.shared.world().head().hash;
                grow_both(&scene, head, 2, 6);
                stage.arrive().await;
                read_all(stage).await;
                stage.assert_exact().await;
                let (on_chain, _) = stage.blocks_of(by_second(1, 41)).await;
                assert!(on_chain.is_empty(), "depth {depth}, moment {moment}");
            });
        }
    }
}

#[test]
fn f23_what_a_removed_contract_had_stays_and_only_what_it_missed_is_read_when_it_is_back() {
    let mut scene = Scene::new();
    scene.sources.push(second(0));
    let tip = grow_both(&scene, scene.genesis(), 0, 40);
    scene.play(async |stage| stage.arrive().await);
    scene.sources.pop();
    let tip = grow_both(&scene, tip, 0, 20);
    scene.play(async |stage| {
        stage.arrive().await;
        assert_eq!(stage.blocks_of(by_second(0, 40)).await.0.len(), 1);
        assert_eq!(stage.blocks_of(by_second(0, 41)).await.0.len(), 0);
    });
    scene.sources.push(second(0));
    grow_both(&scene, tip, 0, 10);
    scene.play(async |stage| {
        stage.arrive().await;
        read_all(stage).await;
        stage.assert_exact().await;
        assert!(log_ranges(stage).iter().all(|(from, _)| *from > 40), "{:?}", log_ranges(stage));
    });
}

#[test]
fn f23_a_first_block_that_is_lowered_is_gone_back_to() {
    let mut scene = Scene::new();
    scene.sources = vec![source(30)];
    grow_both(&scene, scene.genesis(), 0, 60);
    scene.play(async |stage| {
        stage.arrive().await;
        assert_eq!(stage.blocks_of(own(0, 29)).await.0.len(), 0);
    });
    scene.sources = vec![source(10)];
    scene.play(async |stage| {
        stage.arrive().await;
        for _ in 0..20 {
            stage.pass(1).await;
        }
        stage.assert_exact().await;
        assert_eq!(stage.blocks_of(own(0, 10)).await.0.len(), 1);
        assert_eq!(stage.blocks_of(own(0, 9)).await.0.len(), 0);
        assert_eq!(stage.life.state().await.first_block, Some(30), "the header chain begins where it began");
    });
}

#[test]
fn f23_below_the_first_header_what_may_be_reorganized_is_waited_for() {
    let mut scene = Scene::new();
    scene.sources = vec![source(30)];
    let tip = grow_both(&scene, scene.genesis(), 0, 34);
    scene.play(async |stage| stage.arrive().await);
    scene.sources = vec![source(20)];
    scene.play(async |stage| {
        stage.arrive().await;
        stage.pass(5).await;
        // The window is 12: at 34, up to 21 nothing can change.
        assert_eq!(unread(stage, &source(0)).await, [Stretch { from: 22, to: 29 }]);
        grow_both(&scene, tip, 0, 20);
        stage.arrive().await;
        stage.pass(5).await;
        assert_eq!(unread(stage, &source(0)).await, []);
        stage.assert_exact().await;
    });
}

#[test]
fn f22_claims_are_made_on_what_is_read_while_the_rest_of_the_past_is_read() {
    let scene = Scene::new();
    let mut tip = grow_both(&scene, scene.genesis(), 0, 60);
    scene.play(async |stage| {
        let mut granted = 0;
        for turn in 0..200 {
            if stage.answer(1).await == 0 {
                stage.pass(1).await;
            }
            if turn % 5 == 0 {
                tip = grow_both(&scene, tip, 0, 1);
            }
            let Some(cursor) = stage.cursor().await.filter(|cursor| cursor.number > 0) else { continue };
            // The newest of what is there, once each.
            let number = own(0, cursor.number);
            let rows = stage.life.store.payments_in(CHAIN, transaction(number)).await.unwrap();
            assert_eq!(rows.len(), 1, "no hole below the cursor {cursor:?}");
            let claim = NewClaim {
                payment: rows[0].placed.payment.id,
                chain: CHAIN,
                transaction: transaction(number),
                request: RequestDigest(B256::repeat_byte(turn as u8)),
                claimant: "reader".into(),
                holder: Default::default(),
                confirmations: 1,
                limits: Default::default(),
                usage: None,
                now_ms: 1,
                credit: None,
            };
            match stage.life.store.claim(claim).await.unwrap() {
                ClaimResult::First { .. } => granted += 1,
                ClaimResult::Taken => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(granted > 10, "{granted}");
        stage.arrive().await;
        stage.assert_exact().await;
    });
}

/// Refuses more than twelve blocks, and suggests what it just refused.
fn narrow() -> Script {
    Box::new(|_, ask| {
        let Ask::Logs { from, to } = ask else { return None };
        let blocks = to - from + 1;
        let refused = NodeError::RangeTooLarge { blocks, limit: Some(blocks) };
        (blocks > 12).then_some(Fate::Answered(Err(refused)))
    })
}

/// How many questions were about more than twelve blocks, of how many.
fn wide(stage: &Stage<'_>) -> (usize, usize) {
    let ranges = log_ranges(stage);
    (ranges.iter().filter(|(from, to)| to - from + 1 > 12).count(), ranges.len())
}

#[test]
fn f11_what_a_node_refuses_is_remembered() {
    let mut scene = Scene::new();
    scene.profile.logs_range = 1000;
    scene.grow(scene.genesis(), 0, 400);
    scene.play(async |stage| {
        stage.script = narrow();
        stage.arrive().await;
        stage.assert_exact().await;
        let (refused, _) = wide(stage);
        assert!(refused < 8, "{refused} questions were refused: {:?}", log_ranges(stage));
    });
}

#[test]
fn f11_what_a_node_refuses_is_learned_once_by_all_who_read() {
    let mut scene = Scene::new();
    scene.profile.logs_range = 1000;
    let tip = scene.grow(scene.genesis(), 0, 200);
    scene.play(async |stage| {
        stage.script = narrow();
        stage.arrive().await;
        assert!(wide(stage).0 > 0, "it was never found out");
    });
    // By the index, and for the past of a contract that is added.
    scene.grow(tip, 0, 200);
    scene.sources.push(second(0));
    scene.play(async |stage| {
        stage.script = narrow();
        stage.arrive().await;
        read_all(stage).await;
        stage.assert_exact().await;
        let (refused, asked) = wide(stage);
        assert!(refused < 8 && asked > 30, "{refused} of {asked} were refused: {:?}", log_ranges(stage));
    });
}

#[test]
fn f11_that_a_node_answers_for_more_than_it_did_is_found() {
    let mut scene = Scene::new();
    scene.profile.logs_range = 1000;
    let tip = scene.grow(scene.genesis(), 0, 100);
    scene.play(async |stage| {
        stage.script = narrow();
        stage.arrive().await;
        assert!(wide(stage).0 > 0, "it was never found out");
        stage.script = Box::new(|_, _| None);
        stage.asked.clear();
        scene.grow(tip, 0, 2000);
        stage.arrive().await;
        let widest = log_ranges(stage).iter().map(|(from, to)| to - from + 1).max();
        assert!(widest > Some(12), "{widest:?}");
        stage.assert_exact().await;
    });
}

#[test]
fn f24_what_does_not_decode_is_kept_as_it_came_and_counted_once() {
    let scene = Scene::new();
    let whole = paid(1);
    let half = alloy_primitives::LogData::new_unchecked(
        whole.content.topics().to_vec(),
        whole.content.data.slice(..32),
    );
    let poison = Event { payment: None, content: half.clone(), ..whole };
    let inclusion = |n| Inclusion::new(transaction(n), vec![poison.clone(), paid(n), poison.clone()]);
    let (early, late) = {
        let mut world = scene.shared.world();
        let genesis = world.genesis();
        let early = world.add(B256::repeat_byte(1), genesis, 1, vec![inclusion(1 << 51)], Vec::new());
        world.set_head(early);
        drop(world);
        let below = scene.grow(early, 0, 10);
        let other = vec![inclusion(1 << 50)];
        let late = scene.shared.world().add(B256::repeat_byte(2), below, 1, other, Vec::new());
        scene.shared.world().set_head(late);
        (early, late)
    };
    for _ in 0..2 {
        scene.play(async |stage| {
            stage.arrive().await;
            stage.assert_exact().await;
            let kept = stage.life.store.undecoded_logs(CHAIN, 10).await.unwrap();
            let told: Vec<_> = kept.iter().map(|log| (log.block_hash, log.position)).collect();
            assert_eq!(told, [(late, 1), (late, 0), (early, 1), (early, 0)], "by ranges and at the head");
            assert_eq!((&kept[0].topics[..], &kept[0].data[..]), (half.topics(), &half.data[..]));
            assert_eq!(stage.life.store.counts().await.unwrap().undecoded, 4);
        });
    }
}

/// Bytes of the logs of some heights, about as they come over the wire.
fn bytes_of(scene: &Scene, from: u64, to: u64) -> usize {
    let world = scene.shared.world();
    let head = world.head().hash;
    let blocks = world.chain(head).filter(|block| (from..=to).contains(&block.header.number));
    let events = blocks.flat_map(|block| block.inclusions.iter().flat_map(|inclusion| &inclusion.events));
    events.map(|event| 420 + event.content.topics().len() * 69 + event.content.data.len() * 2).sum()
}

#[test]
fn f25_blocks_that_fill_the_memory_are_asked_for_one_at_a_time() {
    const FULL: u64 = 16_000;
    let scene = Scene::new();
    let mut tip = scene.grow(scene.genesis(), 0, 4);
    for full in 0..5u64 {
        let mut world = scene.shared.world();
        let events = (0..FULL).map(|n| {
            let number = full << 32 | n;
            Event::payment(simple_payment(B256::left_padding_from(&number.to_be_bytes())))
        });
        let inclusion = Inclusion::distinct(transaction(full << 40), events.collect());
        tip = world.add(B256::repeat_byte(0xf0 + full as u8), tip, 1, vec![inclusion], Vec::new());
    }
    scene.grow(tip, 0, 30);
    scene.play(async |stage| {
        let (mut most, mut held_most, mut largest) = (0, 0, 0);
        for _ in 0..10_000 {
            if stage.answer(1).await == 0 {
                break;
            }
            // Bytes of the answers that were given and are not stored.
            let stored = stage.cursor().await.map_or(0, |cursor| cursor.number + 1);
            let mut answered = log_ranges(stage);
            answered.dedup();
            let bytes: Vec<usize> =
                answered.iter().map(|(from, to)| bytes_of(&scene, *from.max(&stored), *to)).collect();
            held_most = held_most.max(bytes.iter().sum());
            largest = largest.max(bytes.iter().copied().max().unwrap_or(0));
            let waiting = scene.shared.gate.waiting();
            let ahead =
                waiting.iter().filter(|ask| matches!(ask, Ask::Logs { from, to } if *from <= 9 && *to >= 5));
            most = most.max(ahead.count());
        }
        stage.arrive().await;
        assert_eq!(most, 1, "full blocks are asked for, and no two at once, from the first question on");
        // What is being stored and what is read meanwhile, and the answer that nobody could foresee.
        let bound = largest + (2 << 24);
        assert!(held_most <= bound, "{held_most} bytes are held, {bound} at most should be");
        let counts = stage.life.store.counts().await.unwrap();
        assert_eq!(counts.payments[&CHAIN], 5 * FULL + 34);
        assert!(stage.asked.contains(&Ask::Header(At::Latest)));
    });
}
