//! Questions about several contracts: as few as say the same, and no event lost, doubled or believed of another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use crate::common;

use alloy_primitives::{Address, B256};
use common::{FakeNode, hash};
use salt402_chain::{Completeness, LogQuery, Node, NodeError, Profile, Span};
use serde_json::{Value, json};

const ONE: B256 = B256::repeat_byte(0xe1);
const TWO: B256 = B256::repeat_byte(0xe2);

fn profile(most: usize) -> Profile {
    common::profile("local", |changes| {
        changes.completeness = Some(Completeness::Off);
        changes.max_addresses = Some(most);
    })
}

fn contract(number: u8) -> Address {
    Address::repeat_byte(number)
}

/// Events of both kinds of the contracts from 1 on, and of one contract any event at all.
fn query(contracts: u8) -> LogQuery {
    let kinds = (1..=contracts).flat_map(|number| [(contract(number), vec![vec![ONE]])]);
    kinds.chain([(contract(1), vec![vec![TWO]]), (contract(2), vec![])]).collect()
}

fn log(block: u8, index: u8, of: Address, topic: B256) -> Value {
    json!({
        "address": of, "topics": [topic], "data": "0x", "blockNumber": format!("{block:#x}"), "blockHash": hash(block),
        "transactionHash": hash(0x80 + index), "logIndex": format!("{index:#x}"), "removed": false,
    })
}

/// All events of blocks 4 and 5: one of each of five contracts, and one more of the first two.
fn all() -> Vec<Value> {
    let each = [4, 5].into_iter().flat_map(|block| (1..=5).map(move |n| log(block, n, contract(n), ONE)));
    let more = [4, 5].into_iter().flat_map(|block| (1..=2).map(move |n| log(block, 5 + n, contract(n), TWO)));
    each.chain(more).collect()
}

/// What a filter lets through, by the book.
fn answer(filter: &Value) -> Vec<Value> {
    let addresses = filter["address"].as_array().cloned().unwrap_or_else(|| vec![filter["address"].clone()]);
    let topic = &filter["topics"][0];
    let fits = |log: &Value| {
        addresses.contains(&log["address"])
            && (topic.is_null() || *topic == log["topics"][0])
            && filter.get("blockHash").is_none_or(|hash| *hash == log["blockHash"])
    };
    all().into_iter().filter(fits).collect()
}

/// What a node says to a question that names so many contracts, if it refuses it.
type Refuse = fn(usize) -> Option<Value>;

async fn node(refuse: Refuse) -> FakeNode {
    FakeNode::start(move |method, params| match method {
        "eth_getBlockByHash" | "eth_getBlockByNumber" => {
            Ok(json!({ "number": "0x5", "hash": hash(5), "parentHash": hash(4), "timestamp": "0x64" }))
        }
        "eth_getLogs" => {
            let named = params[0]["address"].as_array().map_or(1, Vec::len);
            refuse(named).map_or_else(|| Ok(answer(&params[0]).into()), Err)
        }
        _ => Ok(Value::Null),
    })
    .await
}

fn asked(fake: &FakeNode) -> Vec<usize> {
    let questions = fake.questions().into_iter().filter(|(method, _)| method == "eth_getLogs");
    questions.map(|(_, params)| params[0]["address"].as_array().map_or(1, Vec::len)).collect()
}

#[tokio::test]
async fn what_is_asked_in_the_same_words_is_one_question_and_every_event_comes_once() {
    for most in [100, 2, 1] {
        for (span, events) in [(Span::Block(hash(5)), 7), (Span::Blocks { from: 4, to: 5 }, 14)] {
            let fake = node(|_| None).await;
            let logs = fake.node(profile(most)).logs(&query(5), span).await.unwrap();
            assert_eq!(logs.len(), events, "{most} {span:?}");
            assert!(logs.is_sorted_by_key(|log| log.block_number));
            let mut keys: Vec<_> =
                logs.iter().map(|log| (log.block_number, log.contract, log.content.topics()[0])).collect();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), events, "one is doubled: {most} {span:?}");
            let mut questions = asked(&fake);
            questions.sort_unstable();
            assert!(most < 100 || questions == [1, 1, 5], "{questions:?}");
            assert!(questions.iter().all(|named| *named <= most), "{questions:?}");
            // The header came once, with them.
            let headers = fake.methods().iter().filter(|method| *method != "eth_getLogs").count();
            assert_eq!(headers, 1, "{:?}", fake.methods());
        }
    }
}

#[tokio::test]
async fn how_many_contracts_a_node_takes_in_one_question_is_learned_from_what_it_refuses() {
    // In words, with a number or without, and by one that does not know lists at all.
    let refusals: [(Refuse, usize); 3] = [
        (
            |named| {
                let error = json!({ "code": -32005, "message": "too many addresses: maximum is 3" });
                (named > 3).then_some(error)
            },
            3,
        ),
        (|named| (named > 2).then(|| json!({ "code": -32602, "message": "exceed max addresses" })), 2),
        (|named| (named > 1).then(|| json!({ "code": -32602, "message": "invalid params" })), 1),
    ];
    for (refuse, most) in refusals {
        let fake = node(refuse).await;
        let node = fake.node(profile(100));
        for _ in 0..2 {
            let logs = node.logs(&query(5), Span::Block(hash(5))).await.unwrap();
            assert_eq!(logs.len(), 7);
        }
        let questions = asked(&fake);
        let last: Vec<_> = questions.iter().rev().take(3).collect();
        assert!(last.iter().all(|named| **named <= most), "{questions:?}");
        assert!(questions.iter().filter(|named| **named > most).count() <= 3, "{questions:?}");
    }
    // Where even one is refused there is nothing to learn, and the block is read by its receipts, which this one does not have.
    let fake = node(|_| Some(json!({ "code": -32602, "message": "too many addresses" }))).await;
    let error = fake.node(profile(100)).logs(&query(5), Span::Block(hash(5))).await.unwrap_err();
    assert!(matches!(error, NodeError::Malformed { .. }), "{error:?}");
    assert_eq!(fake.methods().last().map(String::as_str), Some("eth_getBlockByHash"));
    assert!(asked(&fake).len() < 24, "{:?}", asked(&fake));
}

#[tokio::test]
async fn an_event_of_a_contract_that_was_not_named_is_a_lie() {
    let fake = FakeNode::start(|method, _| match method {
        "eth_getBlockByHash" => {
            Ok(json!({ "number": "0x5", "hash": hash(5), "parentHash": hash(4), "timestamp": "0x64" }))
        }
        "eth_getLogs" => Ok(json!([log(5, 1, contract(9), ONE)])),
        _ => Ok(Value::Null),
    })
    .await;
    let error = fake.node(profile(100)).logs(&query(5), Span::Block(hash(5))).await.unwrap_err();
    assert!(matches!(error, NodeError::Lied { .. }), "{error:?}");
}
