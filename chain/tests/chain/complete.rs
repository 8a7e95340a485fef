//! All logs of a block or none: receipts whose root is the header's, from a fake node and from a real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use crate::common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, address, b256, hex};
use common::{Anvil, CONTRACT, FakeNode, KEY, QUERY, TOPIC, hash};
use salt402_chain::{
    Account, At, Call, Completeness, Endpoint, LogQuery, Node, NodeError, Pool, PoolOptions, Profile, Role,
    RpcNode, Span, Work,
};
use serde_json::{Value, json};

fn checked() -> Profile {
    common::profile("base", |changes| changes.completeness = Some(Completeness::Receipts))
}

fn log(transaction: u8, index: u8) -> Value {
    json!({
        "address": CONTRACT, "topics": [TOPIC], "data": "0x01", "blockNumber": "0x5", "blockHash": hash(5),
        "transactionHash": hash(transaction), "logIndex": format!("{index:#x}"), "removed": false,
    })
}

/// Receipts of every kind: legacy, EIP-2930, EIP-1559, blob, EIP-7702, a deposit from before and one from after Canyon,
/// and one that was reverted. No bloom, no price of gas, and whatever a chain may add.
fn receipts() -> Vec<Value> {
    let kinds: [(u8, u64); 8] = [(0x7e, 1), (0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (0x7e, 1), (2, 0)];
    let mut index = 0;
    let mut receipts = Vec::new();
    for (place, (kind, status)) in (0xa0_u8..).zip(kinds) {
        let count = if status == 1 { place % 3 } else { 0 };
        let logs: Vec<Value> = (0..count)
            .map(|_| {
                index += 1;
                log(place, index)
            })
            .collect();
        let mut receipt = json!({
            "transactionHash": hash(place), "blockHash": hash(5), "blockNumber": "0x5", "status": format!("{status:#x}"),
            "type": format!("{kind:#x}"), "cumulativeGasUsed": format!("{:#x}", 21_000 * u64::from(place)), "logs": logs,
            "logsBloom": null, "l1Fee": "0x1", "from": Address::ZERO, "to": null,
        });
        if place == 0xa6 {
            receipt["depositNonce"] = json!("0x1f");
            receipt["depositReceiptVersion"] = json!("0x1");
        }
        receipts.push(receipt);
    }
    receipts
}

/// The root of [`receipts`], computed by another program from the definitions of RLP, bloom and trie alone.
const ROOT: B256 = b256!("694d67713f008796a14aa604035250938883e9558f2ea13e55e5c6d4ec1ff9c0");

fn header(root: B256) -> Value {
    let transactions: Vec<B256> = (0xa0..0xa8).map(hash).collect();
    json!({
        "number": "0x5", "hash": hash(5), "parentHash": hash(4), "timestamp": "0x64", "receiptsRoot": root,
        "transactions": transactions, "logsBloom": null,
    })
}

/// A node with one block of these receipts; what it answers to `eth_getLogs` is another matter.
async fn node_with(root: B256, receipts: Value) -> FakeNode {
    FakeNode::start(move |method, params| match method {
        "eth_getBlockByHash" if params[0] == json!(hash(5)) => Ok(header(root)),
        "eth_getBlockReceipts" if params[0] == json!(hash(5)) => Ok(receipts.clone()),
        "eth_getLogs" => Ok(json!([log(0xa1, 0)])),
        _ => Ok(Value::Null),
    })
    .await
}

async fn ask(root: B256, receipts: Value) -> Result<usize, NodeError> {
    let fake = node_with(root, receipts).await;
    fake.node(checked()).logs(&QUERY, Span::Block(hash(5))).await.map(|logs| logs.len())
}

#[tokio::test]
async fn receipts_of_every_kind_have_the_root_that_the_block_names() {
    assert_eq!(ask(ROOT, json!(receipts())).await, Ok(7));
}

#[tokio::test]
async fn f16_a_missing_bloom_a_missing_price_and_system_transactions_disturb_nothing() {
    // No receipt of the fixture has a bloom or a price of gas, and two are of system transactions. A bloom that
    // is made up changes nothing either: none is read.
    let mut receipts = receipts();
    for receipt in &mut receipts {
        receipt["logsBloom"] = json!("0x00");
        receipt["effectiveGasPrice"] = Value::Null;
    }
    assert_eq!(ask(ROOT, json!(receipts)).await, Ok(7));
}

#[tokio::test]
async fn f01_whatever_is_left_out_or_changed_is_a_lie() {
    let left_out = |place: usize| {
        let mut receipts = receipts();
        receipts.remove(place);
        receipts
    };
    let changed = |change: fn(&mut Vec<Value>)| {
        let mut receipts = receipts();
        change(&mut receipts);
        receipts
    };
    for receipts in [
        left_out(0),
        left_out(2),
        left_out(7),
        Vec::new(),
        changed(|receipts| {
            receipts[4]["logs"].as_array_mut().unwrap().pop();
        }),
        changed(|receipts| receipts[4]["logs"][0]["data"] = json!("0x02")),
        changed(|receipts| receipts[4]["logs"][0]["topics"] = json!([hash(1)])),
        changed(|receipts| receipts[7]["status"] = json!("0x1")),
        changed(|receipts| receipts[6]["depositNonce"] = json!("0x20")),
        changed(|receipts| receipts.swap(2, 3)),
        // The root does not cover whose receipt it is.
        changed(|receipts| receipts[4]["transactionHash"] = json!(hash(1))),
        changed(|receipts| receipts[4]["logs"][0]["transactionHash"] = json!(hash(1))),
        changed(|receipts| receipts[4]["logs"][0]["blockHash"] = json!(hash(6))),
    ] {
        let answer = ask(ROOT, json!(receipts)).await;
        assert!(matches!(answer, Err(NodeError::Lied { .. })), "{answer:?} for {receipts:?}");
    }
}

#[tokio::test]
async fn f03_no_receipts_are_no_answer() {
    assert_eq!(ask(ROOT, Value::Null).await, Err(NodeError::Behind));
    let with_null = json!([receipts()[0], null]);
    assert!(matches!(ask(ROOT, with_null).await, Err(NodeError::Malformed { .. })));
    let fake = node_with(ROOT, json!(receipts())).await;
    let unknown = fake.node(checked()).logs(&QUERY, Span::Block(hash(6))).await;
    assert_eq!(unknown, Err(NodeError::Behind));
}

#[tokio::test]
async fn a_block_is_asked_for_once_for_all_contracts() {
    let fake = node_with(ROOT, json!(receipts())).await;
    let node = fake.node(checked());
    let other = LogQuery::new(Address::repeat_byte(1), vec![TOPIC]);
    assert_eq!(node.logs(&QUERY, Span::Block(hash(5))).await.unwrap().len(), 7);
    assert_eq!(node.logs(&other, Span::Block(hash(5))).await, Ok(vec![]));
    assert_eq!(fake.methods().iter().filter(|method| *method == "eth_getBlockReceipts").count(), 1);
}

/// A node with one block, under any hash, whose logs are one where they are not proved and seven where they are, and that
/// gives receipts of blocks while `able`.
async fn node_while(able: &Arc<AtomicBool>) -> FakeNode {
    let able = Arc::clone(able);
    FakeNode::start(move |method, params| match method {
        "eth_chainId" => Ok(json!("0x2105")),
        "eth_getBlockByNumber" => Ok(json!({ "number": params[0], "hash": hash(1), "parentHash": hash(0), "timestamp": "0x1" })),
        "eth_getBlockByHash" => Ok(header(ROOT)),
        "eth_getBlockReceipts" if able.load(Ordering::SeqCst) => Ok(json!(receipts())),
        "eth_getBlockReceipts" => {
            Err(json!({ "code": -32601, "message": "the method eth_getBlockReceipts does not exist/is not available" }))
        }
        _ => Ok(json!([log(0xa1, 0)])),
    })
    .await
}

fn asked_for_receipts(fake: &FakeNode) -> usize {
    fake.methods().iter().filter(|method| *method == "eth_getBlockReceipts").count()
}

/// Lets so much time pass at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_node_without_the_method_is_asked_for_logs_and_for_receipts_now_and_then() {
    let able = Arc::default();
    let fake = node_while(&able).await;
    let node = fake.node(checked());
    assert!(!node.is_unproved(), "nothing is known yet");
    for _ in 0..3 {
        assert_eq!(node.logs(&QUERY, Span::Block(hash(5))).await.unwrap().len(), 1);
        assert!(node.is_unproved());
    }
    assert_eq!(asked_for_receipts(&fake), 1);
    pass(Duration::from_secs(601)).await;
    for _ in 0..3 {
        assert_eq!(node.logs(&QUERY, Span::Block(hash(5))).await.unwrap().len(), 1);
    }
    assert_eq!(asked_for_receipts(&fake), 2);
    // What has it again proves again, and is believed no more when it says otherwise.
    able.store(true, Ordering::SeqCst);
    pass(Duration::from_secs(601)).await;
    assert_eq!(node.logs(&QUERY, Span::Block(hash(5))).await.unwrap().len(), 7);
    assert!(!node.is_unproved());
}

#[tokio::test]
async fn a_node_that_has_proved_a_block_is_not_believed_that_it_cannot() {
    let able = Arc::new(AtomicBool::new(true));
    let fake = node_while(&able).await;
    let node = fake.node(checked());
    assert_eq!(node.logs(&QUERY, Span::Block(hash(5))).await.unwrap().len(), 7);
    able.store(false, Ordering::SeqCst);
    // The blocks that were proved are kept; one of another hash is asked for.
    for _ in 0..2 {
        let answer = node.logs(&QUERY, Span::Block(hash(6))).await;
        let error = answer.expect_err("logs without proof");
        assert!(matches!(&error, NodeError::Lied { what } if what.contains("lacks the method")), "{error}");
        assert!(error.is_transient() && !node.is_unproved());
    }
    assert!(!fake.methods().contains(&"eth_getLogs".to_owned()));
    able.store(true, Ordering::SeqCst);
    assert_eq!(node.logs(&QUERY, Span::Block(hash(5))).await.unwrap().len(), 7);
}

#[tokio::test]
async fn of_several_nodes_each_is_believed_for_itself_and_another_is_asked() {
    let (first, second) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let (one, two) = (node_while(&first).await, node_while(&second).await);
    let endpoints = [&one, &two].map(|fake| (Endpoint::new(common::url(&fake.url)), Role::Primary));
    let pool = Pool::connect(endpoints.into(), &checked(), PoolOptions::of(&checked())).unwrap();
    pool.expect_genesis(hash(1));
    let ask = async |block: u8| {
        let node = pool.pin(Work::Head).await.unwrap().unwrap();
        node.logs(&QUERY, Span::Block(hash(block))).await.map(|logs| logs.len())
    };
    assert_eq!(ask(5).await, Ok(7));
    assert_eq!((asked_for_receipts(&one), asked_for_receipts(&two)), (1, 0));
    first.store(false, Ordering::SeqCst);
    assert!(matches!(ask(6).await, Err(NodeError::Lied { .. })));
    assert_eq!(ask(5).await, Ok(7));
    assert_eq!((asked_for_receipts(&one), asked_for_receipts(&two)), (2, 1), "{:?}", pool.reports());
    assert!(pool.reports().iter().all(|report| !report.logs_unproved));
}

#[tokio::test]
async fn a_profile_without_the_check_never_asks_for_receipts_of_blocks() {
    let fake = node_with(ROOT, json!(receipts())).await;
    let profile = common::profile("base", |changes| changes.completeness = Some(Completeness::Off));
    assert_eq!(fake.node(profile).logs(&QUERY, Span::Block(hash(5))).await.unwrap().len(), 1);
    assert!(!fake.methods().contains(&"eth_getBlockReceipts".to_owned()));
}

/// Emits its calldata as data under its first word as topic, twice.
const ECHO: &str = "0x366000600037600051602036036020a1600051602036036020a100";

async fn blocks_with_events(anvil: &Anvil, node: &RpcNode) -> u64 {
    anvil.dev("anvil_setCode", json!([CONTRACT, ECHO])).await;
    anvil.dev("evm_setAutomine", json!([false])).await;
    let account = Account::from_key(KEY).unwrap();
    for data in [1_u8, 2, 3] {
        let call = Call {
            to: CONTRACT,
            value: U256::ZERO,
            data: [TOPIC.as_slice(), &[data]].concat().into(),
            gas_limit: Some(100_000),
        };
        account.send(node, &call).await.unwrap();
        let empty = Call { to: Address::repeat_byte(9), data: Bytes::new(), gas_limit: Some(21_000), ..call };
        account.send(node, &empty).await.unwrap();
        anvil.dev("anvil_mine", json!(["0x1"])).await;
    }
    node.header(At::Latest).await.unwrap().unwrap().number
}

#[tokio::test]
async fn the_receipts_of_a_real_node_have_the_root_of_its_headers() {
    let anvil = Anvil::start().await;
    let node = anvil.node();
    assert_eq!(node.profile().completeness, Completeness::Receipts);
    let head = blocks_with_events(&anvil, &node).await;
    let mut found = 0;
    for number in 0..=head {
        let block = node.header(At::Number(number)).await.unwrap().unwrap();
        found += node.logs(&QUERY, Span::Block(block.hash)).await.unwrap().len();
    }
    assert_eq!(found, 6);
    assert_eq!(node.logs(&QUERY, Span::Block(hash(9))).await, Err(NodeError::Behind));
}

#[tokio::test]
async fn the_deposits_of_an_op_stack_node_are_encoded_as_it_encodes_them() {
    let anvil = Anvil::start_with(0, &["--network", "optimism"]).await;
    let node = anvil.node();
    blocks_with_events(&anvil, &node).await;
    anvil.dev("evm_setAutomine", json!([true])).await;
    let from = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    let data = Bytes::from([TOPIC.as_slice(), &hex!("2a")].concat());
    let deposit = json!({
        "type": "0x7e", "from": from, "to": CONTRACT, "value": "0x0", "gas": "0x186a0", "sourceHash": hash(7),
        "mint": "0x0", "isSystemTx": false, "input": data,
    });
    let transaction: B256 =
        anvil.dev("eth_sendTransaction", json!([deposit])).await.as_str().unwrap().parse().unwrap();
    let receipt = loop {
        if let Some(receipt) = node.receipt(transaction).await.unwrap() {
            break receipt;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!(receipt.logs.len(), 2, "the deposit emits nothing");
    let raw = anvil.dev("eth_getTransactionReceipt", json!([transaction])).await;
    assert!(raw["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("0x7e")), "{raw}");
    let logs = node.logs(&QUERY, Span::Block(receipt.block_hash)).await.unwrap();
    assert_eq!(logs.len(), 2);
}

#[tokio::test]
async fn a_proxy_that_leaves_a_log_of_a_real_block_out_is_found_out() {
    let anvil = Anvil::start().await;
    let head = blocks_with_events(&anvil, &anvil.node()).await;
    let block = anvil.node().header(At::Number(head)).await.unwrap().unwrap();
    let question = |method: &str| (method.to_owned(), json!([block.hash, false]));
    let (method, params) = question("eth_getBlockByHash");
    let header = anvil.dev(&method, params).await;
    let whole = anvil.dev("eth_getBlockReceipts", json!([block.hash])).await;
    let short = Arc::new(Mutex::new(false));
    let cut = Arc::clone(&short);
    let fake = FakeNode::start(move |method, _| {
        let mut receipts = whole.clone();
        if *cut.lock().unwrap() {
            for receipt in receipts.as_array_mut().unwrap() {
                receipt["logs"].as_array_mut().unwrap().pop();
            }
        }
        Ok(if method == "eth_getBlockReceipts" { receipts } else { header.clone() })
    })
    .await;
    assert_eq!(fake.node(checked_here()).logs(&QUERY, Span::Block(block.hash)).await.unwrap().len(), 2);
    *short.lock().unwrap() = true;
    let answer = fake.node(checked_here()).logs(&QUERY, Span::Block(block.hash)).await;
    assert!(matches!(&answer, Err(NodeError::Lied { what }) if what.contains("root")), "{answer:?}");
}

fn checked_here() -> Profile {
    Profile::named("local").unwrap()
}

#[tokio::test]
async fn f11_receipts_that_come_one_by_one_are_held_against_the_root_too() {
    let with = |change: fn(&mut Value)| async move {
        let fake = FakeNode::start(move |method, params| match method {
            "eth_getBlockByHash" if params[0] == json!(hash(5)) => Ok(header(ROOT)),
            // Longer than what is taken.
            "eth_getBlockReceipts" => Ok((0..9).flat_map(|_| receipts()).collect()),
            "eth_getTransactionReceipt" => {
                let found = receipts().into_iter().find(|receipt| receipt["transactionHash"] == params[0]);
                let mut receipt = found.unwrap_or_default();
                change(&mut receipt);
                Ok(receipt)
            }
            _ => Ok(Value::Null),
        })
        .await;
        let mut endpoint = Endpoint::new(common::url(&fake.url));
        endpoint.max_answer_bytes = 6_000;
        let node = RpcNode::connect(endpoint, checked()).unwrap();
        node.logs(&QUERY, Span::Block(hash(5))).await
    };
    assert_eq!(with(|_| ()).await.map(|logs| logs.len()), Ok(7));
    for change in [
        (|receipt| receipt["cumulativeGasUsed"] = json!("0x1")) as fn(&mut Value),
        |receipt| receipt["logs"] = json!([]),
        |receipt| receipt["status"] = json!("0x0"),
    ] {
        let answer = with(change).await;
        assert!(matches!(&answer, Err(NodeError::Lied { what }) if what.contains("root")), "{answer:?}");
    }
}
