//! Blocks whose logs fit into no answer: their receipts are read instead, in pieces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use crate::common;

use alloy_primitives::{Address, B256};
use common::{CONTRACT, FakeNode, QUERY, TOPIC, hash};
use salt402_chain::{
    Completeness, Endpoint, Log, Node, NodeError, Pool, PoolOptions, Profile, Readable, Role, RpcNode, Span,
    Work,
};
use serde_json::{Value, json};

/// Transactions of the block.
const TRANSACTIONS: u8 = 40;
/// The longest answer that is taken: some ten receipts, or the logs of a quarter of the block.
const LIMIT: usize = 12_000;

fn profile() -> Profile {
    common::profile("local", |changes| changes.completeness = Some(Completeness::Off))
}

fn transaction(place: u8) -> B256 {
    hash(0x80 + place)
}

fn log(place: u8, contract: Address, data: &str) -> Value {
    json!({
        "address": contract, "topics": [TOPIC], "data": data, "blockNumber": "0x5", "blockHash": hash(5),
        "transactionHash": transaction(place), "logIndex": "0x0", "removed": false,
    })
}

/// Two logs of the contract and one of another in each; the third transaction was reverted.
fn receipt(place: u8) -> Value {
    let logs = match place {
        3 => json!([]),
        _ => json!([
            log(place, CONTRACT, "0x01"),
            log(place, Address::repeat_byte(9), "0x02"),
            log(place, CONTRACT, &format!("0x{place:02x}")),
        ]),
    };
    json!({
        "transactionHash": transaction(place), "blockHash": hash(5), "blockNumber": "0x5", "type": "0x2",
        "status": if place == 3 { "0x0" } else { "0x1" }, "cumulativeGasUsed": "0x5208", "logs": logs,
        "from": Address::repeat_byte(1),
    })
}

fn block() -> Value {
    let transactions: Vec<B256> = (0..TRANSACTIONS).map(transaction).collect();
    json!({ "number": "0x5", "hash": hash(5), "parentHash": hash(4), "timestamp": "0x64", "transactions": transactions })
}

/// How a node tells of the block's logs.
#[derive(Clone, Copy, PartialEq)]
enum Logs {
    /// At length.
    Long,
    /// Not at all.
    Refused,
}

/// A node with the block. `change` is what it says of a receipt.
async fn node(logs: Logs, whole: bool, change: fn(u8, Value) -> Value) -> FakeNode {
    FakeNode::start(move |method, params| match method {
        "eth_getBlockByHash" if params[0] == json!(hash(5)) => Ok(block()),
        "eth_getBlockByNumber" if params[0] == "0x5" => Ok(block()),
        "eth_getBlockByNumber" if params[0] == "0x0" => {
            Ok(json!({ "number": "0x0", "hash": hash(1), "parentHash": hash(0), "timestamp": "0x1" }))
        }
        "eth_chainId" => Ok(json!("0x9d0c")),
        "eth_getLogs" if logs == Logs::Refused => {
            Err(json!({ "code": -32005, "message": "query returned more than 10000 results" }))
        }
        "eth_getLogs" => Ok((0..200).map(|_| log(1, CONTRACT, "0x01")).collect()),
        "eth_getBlockReceipts" if whole => Ok((0..TRANSACTIONS).map(receipt).collect()),
        "eth_getBlockReceipts" => Err(json!({ "code": -32601, "message": "the method does not exist" })),
        "eth_getTransactionReceipt" => {
            let place = (0..TRANSACTIONS).find(|place| params[0] == json!(transaction(*place)));
            Ok(place.map_or(Value::Null, |place| change(place, receipt(place))))
        }
        _ => Ok(Value::Null),
    })
    .await
}

fn as_it_is(_: u8, receipt: Value) -> Value {
    receipt
}

async fn ask(fake: &FakeNode, limit: usize, span: Span) -> Result<Vec<Log>, NodeError> {
    let mut endpoint = Endpoint::new(common::url(&fake.url));
    endpoint.max_answer_bytes = limit;
    RpcNode::connect(endpoint, profile()).unwrap().logs(&QUERY, span).await
}

fn bounded(fake: &FakeNode, limit: usize) -> RpcNode {
    let mut endpoint = Endpoint::new(common::url(&fake.url));
    endpoint.max_answer_bytes = limit;
    RpcNode::connect(endpoint, profile()).unwrap()
}

/// As the block is, but for the transaction at place 7, whose receipt has 400 logs more of somebody else.
fn monster(place: u8, mut receipt: Value) -> Value {
    if place == 7 {
        let more: Vec<Value> = (0..400).map(|_| log(place, Address::repeat_byte(9), "0x")).collect();
        receipt["logs"].as_array_mut().unwrap().extend(more);
    }
    receipt
}

/// Everything but what the transaction at place 7 logged.
fn assert_all_but_the_monster(readable: &Readable) {
    let unread: Vec<_> = readable.unreadable.iter().map(|one| (one.transaction, one.place)).collect();
    assert_eq!(unread, [(transaction(7), 7)]);
    assert!(readable.unreadable[0].error.is_too_long(), "{:?}", readable.unreadable[0]);
    let found: Vec<_> = readable.logs.iter().map(|log| log.transaction).collect();
    let places = (0..TRANSACTIONS).filter(|place| ![3, 7].contains(place));
    let all: Vec<_> = places.flat_map(|place| [transaction(place); 2]).collect();
    assert_eq!(found, all);
}

fn asked(fake: &FakeNode, method: &str) -> usize {
    fake.methods().iter().filter(|asked| *asked == method).count()
}

fn assert_all(logs: &[Log]) {
    let found: Vec<_> = logs.iter().map(|log| (log.transaction, log.content.data.to_vec())).collect();
    let places = (0..TRANSACTIONS).filter(|place| *place != 3);
    let all: Vec<_> =
        places.flat_map(|place| [(transaction(place), vec![1]), (transaction(place), vec![place])]).collect();
    assert_eq!(found, all);
    assert!(logs.iter().all(|log| log.contract == CONTRACT && log.block_hash == hash(5)));
}

const SPANS: [Span; 2] = [Span::Block(B256::repeat_byte(5)), Span::Blocks { from: 5, to: 5 }];

#[tokio::test]
async fn f11_a_block_whose_logs_are_refused_alone_is_read_by_its_receipts() {
    for span in SPANS {
        let fake = node(Logs::Refused, true, as_it_is).await;
        assert_all(&ask(&fake, 1 << 20, span).await.unwrap());
        assert_eq!((asked(&fake, "eth_getBlockReceipts"), asked(&fake, "eth_getTransactionReceipt")), (1, 0));
    }
}

#[tokio::test]
async fn f11_a_block_that_fits_into_no_answer_is_read_by_its_transactions_in_pieces_that_fit() {
    for (span, whole) in SPANS.into_iter().flat_map(|span| [(span, true), (span, false)]) {
        let fake = node(Logs::Long, whole, as_it_is).await;
        assert_all(&ask(&fake, LIMIT, span).await.unwrap());
        let receipts = asked(&fake, "eth_getTransactionReceipt");
        assert!((40..200).contains(&receipts), "{receipts} receipts were asked for");
    }
}

#[tokio::test]
async fn f11_two_blocks_are_asked_for_one_by_one_before_any_receipt() {
    let fake = node(Logs::Long, true, as_it_is).await;
    let two = ask(&fake, LIMIT, Span::Blocks { from: 4, to: 5 }).await;
    assert_eq!(two, Err(NodeError::RangeTooLarge { blocks: 2, limit: None }));
    assert_eq!(asked(&fake, "eth_getTransactionReceipt"), 0);
}

#[tokio::test]
async fn f11_receipts_that_are_not_the_blocks_are_refused_whole() {
    type Change = fn(u8, Value) -> Value;
    type Expected = fn(&NodeError) -> bool;
    let cases: [(Change, Expected); 5] = [
        (
            |place, receipt| if place == 7 { Value::Null } else { receipt },
            |error| *error == NodeError::Behind,
        ),
        (
            |place, mut receipt| {
                receipt["blockHash"] = if place == 7 { json!(hash(6)) } else { json!(hash(5)) };
                receipt
            },
            |error| *error == NodeError::Moved,
        ),
        (|_, _| receipt(1), |error| matches!(error, NodeError::Lied { .. })),
        (
            |place, mut receipt| {
                if place == 7 {
                    receipt["logs"][0]["transactionHash"] = json!(transaction(8));
                }
                receipt
            },
            |error| matches!(error, NodeError::Lied { .. }),
        ),
        (
            |_, mut receipt| {
                receipt["status"] = Value::Null;
                receipt
            },
            |error| matches!(error, NodeError::Malformed { .. }),
        ),
    ];
    for (change, expected) in cases {
        let fake = node(Logs::Long, false, change).await;
        let error = ask(&fake, LIMIT, SPANS[0]).await.unwrap_err();
        assert!(expected(&error), "{error:?}");
    }
}

#[tokio::test]
async fn f11_a_block_that_no_piece_fits_or_that_is_more_than_is_kept_is_left_to_another_node() {
    let small = node(Logs::Long, true, as_it_is).await;
    // One receipt is longer than what is taken.
    let error = ask(&small, 900, SPANS[0]).await.unwrap_err();
    assert!(matches!(&error, NodeError::BlockTooLarge { block, .. } if *block == hash(5)), "{error:?}");
    // Each piece fits, and all of them are more than four answers.
    let error = ask(&small, 5_000, SPANS[0]).await.unwrap_err();
    assert!(
        matches!(&error, NodeError::BlockTooLarge { why, .. } if why.contains("more than 4")),
        "{error:?}"
    );

    let large = node(Logs::Refused, true, as_it_is).await;
    let endpoint = |fake: &FakeNode, limit| {
        let mut endpoint = Endpoint::new(common::url(&fake.url));
        endpoint.max_answer_bytes = limit;
        (endpoint, Role::Primary)
    };
    let endpoints = vec![endpoint(&small, 900), endpoint(&large, 1 << 20)];
    let pool = Pool::connect(endpoints, &profile(), PoolOptions::of(&profile())).unwrap();
    let step = async || pool.pin(Work::Head).await.unwrap().unwrap().logs(&QUERY, SPANS[0]).await;
    assert!(matches!(step().await, Err(NodeError::BlockTooLarge { .. })));
    assert_all(&step().await.unwrap());
}

#[tokio::test]
async fn a_transaction_that_fits_into_no_answer_costs_no_other_and_is_asked_for_once() {
    for span in SPANS {
        let fake = node(Logs::Refused, false, monster).await;
        let node = bounded(&fake, LIMIT);
        assert_all_but_the_monster(&node.readable_logs(&QUERY, span).await.unwrap());
        let first = asked(&fake, "eth_getTransactionReceipt");
        assert!(first < 250, "{first} receipts were asked for");
        // Whoever cannot do with less than all of them is told so.
        let error = node.logs(&QUERY, span).await.unwrap_err();
        assert!(matches!(&error, NodeError::BlockTooLarge { block, .. } if *block == hash(5)), "{error:?}");
        // Nobody has it fetched again, by whatever question.
        let before = fake.questions();
        assert!(node.receipt(transaction(7)).await.unwrap_err().is_too_long());
        assert_all_but_the_monster(&node.readable_logs(&QUERY, span).await.unwrap());
        let again = fake.questions().split_off(before.len());
        let monsters = again.iter().filter(|(_, params)| params[0] == json!(transaction(7))).count();
        assert_eq!(monsters, 0, "{again:?}");
        // A node that takes longer answers has it.
        assert!(bounded(&fake, 1 << 20).readable_logs(&QUERY, span).await.unwrap().unreadable.is_empty());
    }
}

#[tokio::test]
async fn of_a_block_that_is_more_than_is_kept_the_transactions_with_the_most_are_given_up() {
    fn crowded(place: u8, mut receipt: Value) -> Value {
        if place == 7 {
            let more: Vec<Value> = (0..12).map(|_| log(place, CONTRACT, "0x")).collect();
            receipt["logs"].as_array_mut().unwrap().extend(more);
        }
        receipt
    }
    let fake = node(Logs::Long, false, crowded).await;
    let readable = bounded(&fake, 10_500).readable_logs(&QUERY, SPANS[0]).await.unwrap();
    let unread: Vec<_> = readable.unreadable.iter().map(|one| one.transaction).collect();
    assert_eq!(unread, [transaction(7)], "{:?}", readable.unreadable);
    assert!(matches!(readable.unreadable[0].error, NodeError::BlockTooLarge { .. }));
    assert_eq!(readable.logs.len(), 2 * (usize::from(TRANSACTIONS) - 2));
}

#[tokio::test]
async fn what_one_node_cannot_give_of_a_transaction_is_taken_of_another() {
    let fake = node(Logs::Refused, false, monster).await;
    let endpoint = |limit| {
        let mut endpoint = Endpoint::new(common::url(&fake.url));
        endpoint.max_answer_bytes = limit;
        (endpoint, Role::Primary)
    };
    for (limits, agree, given) in [
        (vec![LIMIT, 1 << 20], 1, true),
        (vec![LIMIT, LIMIT], 1, false),
        (vec![LIMIT, 1 << 20], 2, false),
        (vec![LIMIT, 1 << 20, 1 << 20], 2, true),
    ] {
        let endpoints = limits.iter().map(|limit| endpoint(*limit)).collect();
        let options = PoolOptions { agree, ..PoolOptions::of(&profile()) };
        let pool = Pool::connect(endpoints, &profile(), options).unwrap();
        assert_eq!(pool.longest_answer(), limits.iter().max().map(|limit| *limit as u64));
        let step = pool.pin(Work::Head).await.unwrap().unwrap();
        let answer = step.receipt(transaction(7)).await;
        let logs = answer.as_ref().map(|receipt| receipt.as_ref().map(|receipt| receipt.logs.len()));
        match given {
            true => assert_eq!(logs, Ok(Some(403)), "{limits:?} {agree}"),
            false => assert!(answer.unwrap_err().is_too_long(), "{limits:?} {agree}"),
        }
    }
}

#[tokio::test]
async fn where_two_must_agree_what_one_of_them_cannot_read_is_read_of_neither() {
    let fake = node(Logs::Refused, false, monster).await;
    let endpoint = |limit| {
        let mut endpoint = Endpoint::new(common::url(&fake.url));
        endpoint.max_answer_bytes = limit;
        (endpoint, Role::Primary)
    };
    for limits in [[LIMIT, 1 << 20], [1 << 20, LIMIT], [LIMIT, LIMIT]] {
        let endpoints = limits.iter().map(|limit| endpoint(*limit)).collect();
        let options = PoolOptions { agree: 2, ..PoolOptions::of(&profile()) };
        let pool = Pool::connect(endpoints, &profile(), options).unwrap();
        let step = pool.pin(Work::Head).await.unwrap().unwrap();
        assert_all_but_the_monster(&step.readable_logs(&QUERY, SPANS[0]).await.unwrap());
        // Whoever asks for it by its hash is told why, and not that there is none.
        let error = step.receipt(transaction(7)).await.unwrap_err();
        assert!(error.is_too_long(), "{limits:?}: {error:?}");
    }
}
