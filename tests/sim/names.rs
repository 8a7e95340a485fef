//! One payment has one name.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use salt402_indexer::Look;
use salt402_protocol::{ChannelState, PaymentId};

use crate::faults::Fate;
use crate::gate::{Ask, Said};
use crate::growth::channel_event;
use crate::rng::Rng;
use crate::stage::{Scene, Stage};
use crate::world::{Authorization, CHAIN, CHANNELS, Event, Inclusion, PAYEE, TOKEN, simple_payment, sources};

/// Transactions that pay in every way, several times in one.
fn transactions(rng: &mut Rng) -> Vec<Inclusion> {
    let mut sent = Vec::new();
    for _ in 0..rng.between(2, 5) {
        let mut events = Vec::new();
        for _ in 0..rng.between(1, 4) {
            match rng.below(4) {
                0 => events.push(Event::payment(simple_payment(B256::repeat_byte(rng.between(1, 2) as u8)))),
                1 => events.push(channel_event(rng)),
                _ => events.extend(Event::authorization(
                    TOKEN,
                    Authorization {
                        from: rng.address(),
                        to: PAYEE,
                        value: U256::from(rng.between(1, 2)),
                        nonce: rng.hash(),
                    },
                )),
            }
        }
        sent.push(Inclusion::new(rng.hash(), events));
    }
    sent
}

/// The names of the payments on the chain, by transaction and place.
async fn names(stage: &Stage<'_>, sent: &[Inclusion]) -> BTreeMap<(B256, u32), PaymentId> {
    let mut names = BTreeMap::new();
    for inclusion in sent {
        let rows =
            stage.life.store.payments_in(CHAIN, inclusion.transaction).await.expect("rows can be read");
        for row in rows.iter().filter(|row| row.canonical) {
            names.insert((inclusion.transaction, row.placed.position), row.placed.payment.id);
        }
    }
    names
}

/// A chain of blocks upon genesis, each with some of the transactions.
fn chain(scene: &Scene, branch: u8, blocks: &[Vec<Inclusion>], upon: B256) -> B256 {
    let mut world = scene.shared.world();
    let mut tip = upon;
    for (index, inclusions) in blocks.iter().enumerate() {
        let hash = alloy_primitives::keccak256([tip.as_slice(), &[branch, index as u8]].concat());
        tip = world.add(hash, tip, 1_700_000_000, inclusions.clone(), Vec::new());
    }
    world.set_head(tip);
    tip
}

fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.sources = sources(0);
    scene
}

#[test]
fn a_payment_has_one_name_live_and_back_filled_by_receipt_and_after_a_reorganization_that_moves_it() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let sent = transactions(&mut rng);
        let expected: BTreeMap<(B256, u32), PaymentId> = sent
            .iter()
            .flat_map(|inclusion| {
                let names = inclusion.names.iter().enumerate();
                names.map(|(place, name)| ((inclusion.transaction, place as u32), *name))
            })
            .collect();

        // Live, one block at a time; then moved to other blocks; then back-filled, in ranges of any size.
        let mut scene = scene();
        scene.profile.logs_range = rng.between(1, 9);
        // All blocks are replaced at once, and none of them may be final by then.
        scene.profile.finality_depth = 8;
        let genesis = scene.genesis();
        scene.play(async |stage| {
            stage.arrive().await;
            let one_each: Vec<_> = sent.iter().map(|inclusion| vec![inclusion.clone()]).collect();
            chain(&scene, 1, &one_each, genesis);
            stage.arrive().await;
            assert_eq!(names(stage, &sent).await, expected, "seed {seed}, live");
            let state =
                stage.life.store.channel(CHAIN, CHANNELS, crate::growth::channel(0)).await.expect("a state");

            let mut moved = vec![Vec::new(), sent.iter().rev().cloned().collect()];
            moved.extend(vec![Vec::new(); sent.len()]);
            chain(&scene, 2, &moved, genesis);
            stage.arrive().await;
            assert_eq!(names(stage, &sent).await, expected, "seed {seed}, moved");
            let of_chain = sent.iter().flat_map(|inclusion| &inclusion.events);
            let changes = of_chain.filter_map(|event| event.channel);
            let changes = changes.filter(|(channel, _)| *channel == crate::growth::channel(0));
            let now =
                stage.life.store.channel(CHAIN, CHANNELS, crate::growth::channel(0)).await.expect("a state");
            assert_eq!(now, ChannelState::fold(changes.map(|(_, change)| (2, change))), "seed {seed}");
            assert_eq!(now.is_some(), state.is_some());
        });
        let mut profile = scene.profile.clone();
        (profile.finality_depth, profile.reorg_window) = (1, 1);
        Scene::before(scene.shared.clone(), profile, sources(0)).play(async |stage| {
            stage.arrive().await;
            assert_eq!(names(stage, &sent).await, expected, "seed {seed}, back-filled");
        });

        // Left out of all logs, and found by receipts.
        let again = Scene::before(scene.shared.clone(), scene.profile.clone(), sources(0));
        again.play(async |stage| {
            stage.script = Box::new(|world, ask| {
                let header = match ask {
                    Ask::Logs { to, .. } => world.at(world.head().hash, to).map(|block| block.header),
                    Ask::BlockLogs(hash) => world.get(hash).map(|block| block.header),
                    _ => return None,
                };
                Some(Fate::Answered(Ok(Said::Logs(header, Vec::new()))))
            });
            stage.arrive().await;
            assert!(names(stage, &sent).await.is_empty());
            for inclusion in sent.iter().filter(|inclusion| !inclusion.names.is_empty()) {
                stage.life.look(inclusion.transaction);
                stage.answer(usize::MAX).await;
                assert!(matches!(stage.life.looked.take(), Some(Ok(Look::Found))), "seed {seed}");
            }
            assert_eq!(names(stage, &sent).await, expected, "seed {seed}, by receipt");
        });
    }
}
