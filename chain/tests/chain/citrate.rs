//! Citrate's node as its source describes it: what it leaves out, makes up, ignores and cuts short.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use crate::common;

use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use common::{Answer, CONTRACT, FakeNode, KEY, QUERY, TOPIC, hash};
use salt402_chain::{Account, At, Call, Node, NodeError, Profile, RpcNode, Span, StateQuestion};
use serde_json::{Value, json};

/// The tip of the selected chain.
const TIP: u64 = 2500;
/// A block beside the selected chain: its hash is known, its height belongs to another.
const BESIDE: u8 = 0xbe;
const ONE_GWEI: &str = "0x3b9aca00";

/// The selected chain: the hash of a block is a function of its height, and not of its fields.
fn hash_at(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

fn block(number: u64, hash: B256) -> Value {
    let bloom = format!("0x{}", "00".repeat(256));
    let parent = hash_at(number.wrapping_sub(1));
    json!({
        "number": format!("{number:#x}"), "hash": hash, "parentHash": parent, "timestamp": "0x68d5c0f0",
        "gasLimit": "0x1c9c380", "gasUsed": "0x0", "difficulty": "0x0", "totalDifficulty": "0x0", "transactions": [],
        "miner": Address::ZERO, "proposerPubkey": hash_at(1), "mixHash": B256::ZERO, "nonce": "0x0000000000000000",
        "logsBloom": bloom, "transactionsRoot": B256::ZERO, "stateRoot": B256::ZERO, "receiptsRoot": B256::ZERO,
        "size": "0x3e8", "extraData": "0x", "baseFeePerGas": ONE_GWEI, "uncles": [], "blueScore": "0x12",
        "blueWork": "0x9", "selectedParentHash": parent, "mergeParentHashes": [hash_at(3)],
    })
}

/// One payment in every hundredth block.
fn logs_of(number: u64) -> Option<B256> {
    number.is_multiple_of(100).then(|| keccak256(hash_at(number)))
}

fn log(number: u64, block: B256, transaction: B256, index: usize) -> Value {
    json!({
        "address": CONTRACT, "topics": [TOPIC], "data": "0x2a", "blockNumber": format!("{number:#x}"),
        "blockHash": block, "transactionHash": transaction, "transactionIndex": "0x0",
        "logIndex": format!("{index:#x}"), "removed": false,
    })
}

/// The filter's `blockHash` is not read, the range is cut at a thousand blocks after its first, and the index of a log
/// is its place in the answer.
fn get_logs(filter: &Value) -> Value {
    let height = |field: &str, default| {
        filter[field].as_str().map_or(default, |text| u64::from_str_radix(&text[2..], 16).unwrap())
    };
    let from = height("fromBlock", 0);
    let to = height("toBlock", TIP).min(from + 1000).min(TIP);
    let found = (from..=to).filter_map(|number| Some((number, logs_of(number)?)));
    found.enumerate().map(|(place, (number, tx))| log(number, hash_at(number), tx, place)).collect()
}

fn receipt(transaction: &str) -> Value {
    let asked: B256 = transaction.parse().unwrap();
    let (number, block) = match (0..=TIP).find(|number| logs_of(*number) == Some(asked)) {
        Some(number) => (number, hash_at(number)),
        None if asked == hash(0xab) => (1000, hash(BESIDE)),
        None => return Value::Null,
    };
    let bloom = format!("0x{}", "00".repeat(256));
    json!({
        "transactionHash": asked, "transactionIndex": "0x0", "blockHash": block,
        "blockNumber": format!("{number:#x}"), "from": Address::repeat_byte(1), "to": CONTRACT,
        "cumulativeGasUsed": "0x82dc", "gasUsed": "0x82dc", "contractAddress": null,
        "logs": [log(number, block, asked, 0), log(number, block, asked, 0)],
        "status": "0x1", "logsBloom": bloom, "type": "0x2", "effectiveGasPrice": ONE_GWEI,
    })
}

fn get_block_by_hash(asked: &str) -> Value {
    let asked: B256 = asked.parse().unwrap();
    if asked == hash(BESIDE) {
        return block(1000, asked);
    }
    (0..=TIP).find(|number| hash_at(*number) == asked).map_or(Value::Null, |number| block(number, asked))
}

fn get_block_by_number(asked: &str) -> Value {
    let number = if asked == "latest" { TIP } else { u64::from_str_radix(&asked[2..], 16).unwrap() };
    if number <= TIP { block(number, hash_at(number)) } else { Value::Null }
}

/// Calls and estimates see `data` and nothing of `input`.
fn execute(call: &Value) -> Answer {
    match call["data"].as_str().unwrap_or("0x") {
        "0x" => Ok(json!("0x")),
        "0xdead" => Err(json!({ "code": -32000, "message": "execution reverted: 0x82b42900" })),
        data => Ok(json!(data)),
    }
}

fn answer(method: &str, params: &Value) -> Answer {
    let text = |place: usize| params[place].as_str().unwrap();
    match method {
        "eth_chainId" => Ok(json!("0x9d0c")),
        "eth_getBlockByNumber" => Ok(get_block_by_number(text(0))),
        "eth_getBlockByHash" => Ok(get_block_by_hash(text(0))),
        "eth_getLogs" => Ok(get_logs(&params[0])),
        "eth_getTransactionReceipt" => Ok(receipt(text(0))),
        "eth_getBalance" => Ok(json!("0xde0b6b3a7640000")),
        "eth_getTransactionCount" => Ok(json!("0x7")),
        "eth_gasPrice" | "eth_maxPriorityFeePerGas" => Ok(json!(ONE_GWEI)),
        "eth_call" => execute(&params[0]),
        "eth_estimateGas" if params[0]["data"] == "0x" => Ok(json!("0x5208")),
        "eth_estimateGas" => execute(&params[0]).map(|_| json!("0x1a000")),
        "eth_sendRawTransaction" => Ok(json!(keccak256(hex::decode(text(0)).unwrap()))),
        _ => Err(json!({ "code": -32601, "message": "Method not found" })),
    }
}

async fn citrate() -> (FakeNode, RpcNode) {
    let fake = FakeNode::start(answer).await;
    let node = fake.node(Profile::named("citrate").unwrap());
    (fake, node)
}

#[tokio::test]
async fn headers_are_taken_as_they_are() {
    let (_fake, node) = citrate().await;
    let head = node.header(At::Latest).await.unwrap().unwrap();
    assert_eq!((head.number, head.hash, head.parent_hash), (TIP, hash_at(TIP), hash_at(TIP - 1)));
    assert_eq!(node.header(At::Hash(head.hash)).await, Ok(Some(head)));
    assert_eq!(node.header(At::Number(TIP + 1)).await, Ok(None));
    assert_eq!(node.check_chain().await, Ok(()));
}

#[tokio::test]
async fn no_range_is_ever_cut_short_in_silence() {
    let (fake, node) = citrate().await;
    let mut found = 0;
    for from in (0..TIP).step_by(1000) {
        let to = (from + 999).min(TIP);
        found += node.logs(&QUERY, Span::Blocks { from, to }).await.unwrap().len();
    }
    assert_eq!(found, 26);
    let asked = fake.methods().len();
    let refused = node.logs(&QUERY, Span::Blocks { from: 0, to: 1000 }).await;
    assert_eq!(refused, Err(NodeError::RangeTooLarge { blocks: 1001, limit: Some(1000) }));
    assert_eq!(fake.methods().len(), asked);
    // Blocks that are not there yet would be skipped.
    let ahead = node.logs(&QUERY, Span::Blocks { from: TIP, to: TIP + 1 }).await;
    assert_eq!(ahead, Err(NodeError::Behind));
}

#[tokio::test]
async fn the_logs_of_one_block_are_asked_for_by_height_and_belong_to_that_block() {
    let (fake, node) = citrate().await;
    let logs = node.logs(&QUERY, Span::Block(hash_at(1000))).await.unwrap();
    assert_eq!(logs.len(), 1);
    assert_eq!((logs[0].block_number, Some(logs[0].transaction)), (1000, logs_of(1000)));
    let asked = ["eth_getBlockByHash", "eth_getLogs", "eth_getBlockByNumber", "eth_getBlockByNumber"];
    assert_eq!(fake.methods(), asked);
    let filter = &fake.params("eth_getLogs")[0];
    assert_eq!((&filter["fromBlock"], &filter["toBlock"]), (&json!("0x3e8"), &json!("0x3e8")));
    assert!(filter.get("blockHash").is_none());
    assert_eq!(node.logs(&QUERY, Span::Block(hash_at(1001))).await, Ok(vec![]));
}

#[tokio::test]
async fn a_block_beside_the_selected_chain_has_a_header_and_a_receipt_and_no_logs_by_height() {
    let (_fake, node) = citrate().await;
    let beside = node.header(At::Hash(hash(BESIDE))).await.unwrap().unwrap();
    assert_eq!(beside.number, 1000);
    assert_eq!(node.logs(&QUERY, Span::Block(beside.hash)).await, Err(NodeError::Moved));
    let receipt = node.receipt(hash(0xab)).await.unwrap().unwrap();
    assert_eq!((receipt.block_number, receipt.block_hash), (1000, beside.hash));
}

#[tokio::test]
async fn a_block_that_is_replaced_between_two_questions_is_noticed() {
    let replaced = Arc::new(Mutex::new(false));
    let after = Arc::clone(&replaced);
    let fake = FakeNode::start(move |method, params| {
        let mut replaced = after.lock().unwrap();
        match method {
            // The sibling holds no payment, so the answer is empty and fits any block.
            "eth_getLogs" => {
                *replaced = true;
                Ok(json!([]))
            }
            "eth_getBlockByNumber" if *replaced => Ok(block(1000, hash(BESIDE))),
            _ => answer(method, params),
        }
    })
    .await;
    let node = fake.node(Profile::named("citrate").unwrap());
    assert_eq!(node.logs(&QUERY, Span::Block(hash_at(1000))).await, Err(NodeError::Moved));
}

#[tokio::test]
async fn were_logs_asked_for_by_hash_the_answer_would_be_refused() {
    let fake = FakeNode::start(answer).await;
    let node = fake.node(common::profile("citrate", |changes| changes.logs_by_hash = Some(true)));
    let answer = node.logs(&QUERY, Span::Block(hash_at(1500))).await;
    assert!(matches!(answer, Err(NodeError::Lied { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_receipt_is_read_although_every_index_in_it_is_zero() {
    let (_fake, node) = citrate().await;
    let receipt = node.receipt(logs_of(1000).unwrap()).await.unwrap().unwrap();
    assert!(receipt.success);
    assert_eq!((receipt.logs.len(), receipt.block_hash, receipt.to), (2, hash_at(1000), Some(CONTRACT)));
    assert_eq!(node.receipt(hash(1)).await, Ok(None));
}

#[tokio::test]
async fn a_call_reaches_the_node_with_its_data_and_an_explicit_limit() {
    let (fake, node) = citrate().await;
    let call = Call { to: CONTRACT, value: U256::ZERO, data: Bytes::from(hex!("c0ffee")), gas_limit: None };
    assert_eq!(node.call(None, &call).await, Ok(call.data.clone()));
    assert_eq!(node.view(CONTRACT, call.data.clone()).await, Ok(call.data.clone()));
    let sent = &fake.params("eth_call")[0];
    assert_eq!((&sent["data"], &sent["input"]), (&json!("0xc0ffee"), &json!("0xc0ffee")));
    // A call without a limit gets a million, one above fifty million is refused.
    let gas = u64::from_str_radix(&sent["gas"].as_str().unwrap()[2..], 16).unwrap();
    assert!((1_000_001..=50_000_000).contains(&gas), "{gas}");
    let doomed = Call { data: Bytes::from(hex!("dead")), ..call };
    assert!(node.call(None, &doomed).await.unwrap_err().is_revert());
}

#[tokio::test]
async fn calls_that_revert_do_so_one_by_one_though_all_of_them_do() {
    let (_fake, node) = citrate().await;
    let view = |data: Bytes| StateQuestion::View {
        from: None,
        call: Call { to: CONTRACT, value: U256::ZERO, data, gas_limit: None },
    };
    let (good, doomed) = (Bytes::from(hex!("c0ffee")), Bytes::from(hex!("dead")));
    for questions in
        [vec![doomed.clone()], vec![doomed.clone(), doomed.clone()], vec![doomed.clone(), good.clone()]]
    {
        let asked: Vec<_> = questions.iter().cloned().map(view).collect();
        let answers = node.state(&asked).await.unwrap();
        assert_eq!(answers.len(), questions.len());
        for (question, answer) in questions.iter().zip(answers) {
            match answer {
                Ok(data) => assert!(*question == good && data == good),
                Err(error) => assert!(*question == doomed && error.is_revert(), "{error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_payment_is_estimated_with_its_data_and_offers_a_fair_price() {
    let (fake, node) = citrate().await;
    let account = Account::from_key(KEY).unwrap();
    let call =
        Call { to: CONTRACT, value: U256::from(1), data: Bytes::from(hex!("c0ffee")), gas_limit: None };
    let prepared = account.prepare(&node, &call).await.unwrap();
    assert_eq!(fake.params("eth_estimateGas")[0]["data"], "0xc0ffee");
    // 106,496 and a quarter; twice the base fee and the tip.
    assert_eq!((prepared.nonce, prepared.gas_limit, prepared.max_fee_per_gas), (7, 133_120, 3_000_000_000));
    assert_eq!(prepared.raw[0], 2);
    assert!(!fake.methods().contains(&"eth_sendRawTransaction".to_owned()));
    assert_eq!(account.send(&node, &call).await, Ok(prepared.hash));

    let known = Call { gas_limit: Some(60_000), ..call };
    assert_eq!(account.prepare(&node, &known).await.unwrap().gas_limit, 60_000);
    assert_eq!(fake.methods().iter().filter(|method| *method == "eth_estimateGas").count(), 2);
}

#[tokio::test]
async fn a_node_without_fee_methods_or_a_base_fee_is_paid_its_gas_price() {
    let fake = FakeNode::start(|method, params| match method {
        "eth_maxPriorityFeePerGas" => Err(json!({ "code": -32601, "message": "Method not found" })),
        "eth_getBlockByNumber" => {
            let mut block = get_block_by_number(params[0].as_str().unwrap());
            block.as_object_mut().unwrap().remove("baseFeePerGas");
            Ok(block)
        }
        _ => answer(method, params),
    })
    .await;
    let node = fake.node(Profile::named("citrate").unwrap());
    let call = Call { to: CONTRACT, value: U256::ZERO, data: Bytes::new(), gas_limit: Some(21_000) };
    let prepared = Account::from_key(KEY).unwrap().prepare(&node, &call).await.unwrap();
    assert_eq!(prepared.max_fee_per_gas, 2_000_000_000);
}

#[tokio::test]
async fn a_transaction_that_is_taken_under_another_hash_is_a_lie() {
    let fake = FakeNode::start(|method, params| match method {
        "eth_sendRawTransaction" => Ok(json!(hash(9))),
        _ => answer(method, params),
    })
    .await;
    let node = fake.node(Profile::named("citrate").unwrap());
    let call = Call { to: CONTRACT, value: U256::from(1), data: Bytes::new(), gas_limit: None };
    let answer = Account::from_key(KEY).unwrap().send(&node, &call).await;
    assert!(matches!(&answer, Err(NodeError::Lied { what }) if what.contains("0x0909")), "{answer:?}");
}

#[tokio::test]
async fn refusals_are_understood() {
    for (code, message, transient) in [
        (-32602, "insufficient funds for gas * price + value", false),
        (-32602, "Failed to submit transaction: InvalidNonce { expected: 8, got: 7 }", false),
        (-32000, "call exceeded the 5s execution deadline", true),
        (-32007, "Rate-limit attribution failed (no client key).", true),
        (-32005, "Method budget exceeded. Reduce call frequency for expensive methods.", true),
    ] {
        let fake = FakeNode::start(move |method, params| match method {
            "eth_sendRawTransaction" => Err(json!({ "code": code, "message": message })),
            _ => answer(method, params),
        })
        .await;
        let node = fake.node(Profile::named("citrate").unwrap());
        let call = Call { to: CONTRACT, value: U256::from(1), data: Bytes::new(), gas_limit: None };
        let error = Account::from_key(KEY).unwrap().send(&node, &call).await.unwrap_err();
        assert_eq!(error.is_transient(), transient, "{error:?}");
    }
    let unauthorized = r#"{"jsonrpc":"2.0","error":{"code":-32099,"message":"Unauthorized: invalid or missing API key"},"id":null}"#;
    let fake = FakeNode::raw(401, &[], unauthorized).await;
    let error = fake.node(Profile::named("citrate").unwrap()).chain_id().await.unwrap_err();
    assert!(matches!(error, NodeError::Denied { status: 401, .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_beyond_25_mebibytes_asks_for_fewer_blocks() {
    let fake = FakeNode::start(|method, params| match method {
        "eth_getLogs" => Err(json!({ "code": -32008, "message": "Response is too big" })),
        _ => answer(method, params),
    })
    .await;
    let node = fake.node(Profile::named("citrate").unwrap());
    let answer = node.logs(&QUERY, Span::Blocks { from: 0, to: 999 }).await;
    assert_eq!(answer, Err(NodeError::RangeTooLarge { blocks: 1000, limit: None }));
}

#[tokio::test]
async fn one_contract_and_one_event_are_asked_for_as_plain_values() {
    let (fake, node) = citrate().await;
    node.logs(&QUERY, Span::Blocks { from: 0, to: 9 }).await.unwrap();
    let filter = &fake.params("eth_getLogs")[0];
    assert_eq!((&filter["address"], &filter["topics"]), (&json!(CONTRACT), &json!([TOPIC])));
}

#[tokio::test]
async fn nothing_is_asked_that_the_node_cannot_answer() {
    let (fake, node) = citrate().await;
    let account = Account::from_key(KEY).unwrap();
    let call =
        Call { to: CONTRACT, value: U256::from(1), data: Bytes::from(hex!("c0ffee")), gas_limit: None };
    account.send(&node, &call).await.unwrap();
    node.logs(&QUERY, Span::Block(hash_at(5))).await.unwrap();
    node.logs(&QUERY, Span::Blocks { from: 0, to: 5 }).await.unwrap();
    node.receipt(hash(0xab)).await.unwrap();
    for method in fake.methods() {
        let params = fake.params(&method);
        assert_ne!(
            answer(&method, &params),
            Err(json!({ "code": -32601, "message": "Method not found" })),
            "{method}"
        );
        let text = params.to_string();
        // These tags mean block 0 for now, and states of any other block than the head are not served.
        assert!(
            !text.contains("finalized") && !text.contains("safe") && !text.contains("earliest"),
            "{text}"
        );
    }
}

/// Behind one address are several replicas, and one of them stands a block lower: it has no logs of the newest block, and
/// says so.
#[tokio::test]
async fn f12_no_logs_of_a_height_from_a_replica_that_lacks_it_are_no_answer() {
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let fake = FakeNode::start(move |method, params| match method {
        // The first question after the header by its hash, and the logs with it, reach the other replica.
        "eth_getBlockByNumber" if std::mem::replace(&mut *count.lock().unwrap(), 1) == 0 => Ok(Value::Null),
        "eth_getLogs" => Ok(json!([])),
        _ => answer(method, params),
    })
    .await;
    let node = fake.node(Profile::named("citrate").unwrap());
    assert_eq!(node.logs(&QUERY, Span::Block(hash_at(1000))).await, Err(NodeError::Behind));
}
