//! Answers that are nothing, errors, or of something else: F3, F4, F10, F11, F12.

use std::time::Duration;

use alloy_primitives::B256;
use salt402_chain::NodeError;
use salt402_indexer::Phase;
use salt402_protocol::{Address, Amount};

use crate::faults::Fate;
use crate::gate::{Ask, Said};
use crate::node::indexed_logs;
use crate::stage::{Scene, own, transaction};
use crate::world::CHAIN;

#[test]
fn f03_a_block_that_the_node_denies_is_asked_for_again_and_never_passed_over() {
    for by_hash in [true, false] {
        let mut scene = Scene::new();
        scene.profile.logs_by_hash = by_hash;
        scene.grow(scene.genesis(), 0, 30);
        scene.play(async |stage| {
            // Every twenty-third answer is null, whatever was asked: no step has as many questions.
            let mut asked = 0;
            stage.script = Box::new(move |_, ask| {
                asked += 1;
                let null = match ask {
                    Ask::Header(_) => Said::Header(None),
                    // By height alone there is no header beside the logs that could be denied.
                    Ask::Logs { from, to } if from == to && !by_hash => return None,
                    Ask::Logs { .. } | Ask::BlockLogs(_) => Said::Logs(None, Vec::new()),
                    Ask::ChainId | Ask::Receipt(_) | Ask::Merging(_) | Ask::Heads => return None,
                };
                (asked % 23 == 0).then_some(Fate::Answered(Ok(null)))
            });
            stage.arrive().await;
            stage.assert_exact().await;
        });
    }
}

#[test]
fn f04_logs_of_another_block_are_refused_whole() {
    let scene = Scene::new();
    let fork = scene.grow(scene.genesis(), 0, 1);
    let other = scene.block(fork, 9, &[999]);
    scene.grow(fork, 0, 2);
    scene.play(async |stage| {
        stage.script = Box::new(move |world, ask| {
            let Ask::BlockLogs(hash) = ask else { return None };
            let logs = world.get(other).map(|block| indexed_logs(block)).unwrap_or_default();
            Some(Fate::Answered(Ok(Said::Logs(Some(world.header(hash)), logs))))
        });
        stage.pass(5).await;
        assert!(matches!(stage.phase(), Phase::Failing(_)));
        // Block 0 is settled on every chain, and has no logs.
        assert_eq!(stage.cursor().await.map(|cursor| cursor.number), Some(0));
        assert_eq!(stage.blocks_of(999).await, (vec![], vec![]));
        stage.script = Box::new(|_, _| None);
        stage.arrive().await;
        stage.assert_exact().await;
    });
}

#[test]
fn f04_one_transaction_in_two_blocks_of_an_answer_is_no_second_payment() {
    let scene = Scene::new();
    scene.grow(scene.genesis(), 0, 30);
    scene.play(async |stage| {
        stage.script = Box::new(|world, ask| {
            let Ask::Logs { from: 0, to } = ask else { return None };
            // The transaction of block 3 stands in block 4 as well, as if the node had read two chains.
            let head = world.head().hash;
            let mut logs: Vec<_> = (0..=to)
                .filter_map(|height| world.at(head, height))
                .flat_map(|block| indexed_logs(block))
                .collect();
            let mut again = logs.iter().find(|log| log.log.block_number == 3)?.clone();
            let four = world.at(head, 4)?.header;
            (again.log.block_number, again.log.block_hash) = (four.number, four.hash);
            logs.push(again);
            logs.iter_mut().enumerate().for_each(|(index, log)| log.index = index as u64);
            Some(Fate::Answered(Ok(Said::Logs(world.at(head, to).map(|block| block.header), logs))))
        });
        stage.pass(5).await;
        assert!(matches!(stage.phase(), Phase::Failing(_)), "{:?}", stage.phase());
        assert_eq!(stage.blocks_of(own(0, 3)).await, (vec![], vec![]));
        stage.script = Box::new(|_, _| None);
        stage.arrive().await;
        stage.assert_exact().await;
    });
}

#[test]
fn f10_a_pause_of_nothing_is_still_a_pause() {
    let scene = Scene::new();
    scene.grow(scene.genesis(), 0, 3);
    scene.play(async |stage| {
        stage.script = Box::new(|_, _| {
            let retry_after = Some(Duration::ZERO);
            Some(Fate::Answered(Err(NodeError::RateLimited { retry_after })))
        });
        stage.pass(2).await;
        assert!(stage.asked.len() <= 12, "{} questions in two seconds", stage.asked.len());
    });
}

#[test]
fn f11_a_range_that_is_refused_is_next_asked_for_smaller_than_it_was() {
    let mut scene = Scene::new();
    scene.profile.logs_range = 1000;
    scene.grow(scene.genesis(), 0, 40);
    scene.play(async |stage| {
        let mut last = None;
        stage.script = Box::new(move |_, ask| {
            let Ask::Logs { from, to } = ask else { return None };
            let blocks = to - from + 1;
            if let Some(last) = last.replace(blocks) {
                assert!(blocks < last || last == 1, "{blocks} blocks after {last} were refused");
            }
            let refused = NodeError::RangeTooLarge { blocks, limit: None };
            (blocks > 1).then_some(Fate::Answered(Err(refused))).or_else(|| {
                last = None;
                None
            })
        });
        stage.pass(240).await;
        stage.arrive().await;
        stage.assert_exact().await;
    });
}

#[test]
fn f11_a_range_that_fails_without_saying_why_is_asked_for_smaller_in_the_end() {
    for added_later in [false, true] {
        let mut scene = Scene::new();
        scene.profile.logs_range = 1000;
        if added_later {
            // The index begins without the contract, whose past is then read beside the head.
            scene.sources = vec![crate::world::second(0)];
        }
        let tip = scene.grow(scene.genesis(), 0, 60);
        if added_later {
            scene.play(async |stage| stage.arrive().await);
            // What is not settled yet is waited for.
            scene.grow(tip, 0, 10);
            scene.sources.push(crate::world::source(0));
        }
        scene.play(async |stage| {
            stage.script = Box::new(|_, ask| {
                let Ask::Logs { from, to } = ask else { return None };
                let error = NodeError::Rpc { code: -32603, message: "internal error".into() };
                (to - from + 1 > 3).then_some(Fate::Answered(Err(error)))
            });
            stage.pass(240).await;
            stage.assert_exact().await;
            let head = scene.shared.world().head().number;
            assert_eq!(stage.cursor().await.map(|cursor| cursor.number), Some(head));
        });
    }
}

#[test]
fn f12_what_two_replicas_say_is_not_put_together() {
    let mut scene = Scene::new();
    scene.profile.reorg_window = 4;
    let one = scene.grow(scene.genesis(), 1, 60);
    let other = scene.grow(scene.genesis(), 2, 60);
    scene.play(async |stage| {
        // Behind one address, one replica tells of headers and another, on a fork from the beginning, of logs.
        stage.script = Box::new(move |world, ask| {
            world.set_head(if matches!(ask, Ask::Logs { .. }) { other } else { one });
            None
        });
        stage.pass(20).await;
        for height in 1..=60 {
            assert_eq!(stage.blocks_of(own(2, height)).await, (vec![], vec![]), "of block {height}");
        }
        let stood = stage.cursor().await;
        stage.script = Box::new(move |world, _| {
            world.set_head(one);
            None
        });
        stage.arrive().await;
        stage.assert_exact().await;
        // By itself, block 0 is the same on every fork.
        assert!(stood.is_none_or(|cursor| cursor.number == 0), "{stood:?}");
    });
}

#[test]
fn f24_what_does_not_decode_is_passed_over_and_the_rest_is_kept() {
    use crate::world::{CONTRACT, Event, Inclusion};
    let scene = Scene::new();
    {
        let whole = crate::stage::paid(1);
        let half = alloy_primitives::LogData::new_unchecked(
            whole.content.topics().to_vec(),
            whole.content.data.slice(..32),
        );
        let poison = Event { contract: CONTRACT, content: half, ..Event::default() };
        let mut world = scene.shared.world();
        let genesis = world.genesis();
        let inclusion = Inclusion::new(transaction(1), vec![poison, whole]);
        let tip = world.add(B256::repeat_byte(1), genesis, 1, vec![inclusion], Vec::new());
        world.set_head(tip);
    }
    scene.play(async |stage| {
        stage.arrive().await;
        stage.assert_exact().await;
        let rows = stage.life.store.payments_in(CHAIN, transaction(1)).await.unwrap();
        assert_eq!(rows[0].placed.payment.payer, Address::repeat_byte(1));
        assert_eq!(rows[0].placed.payment.amount, Amount(alloy_primitives::U256::ONE));
        assert_eq!(rows[0].placed.position, 0);
    });
}
