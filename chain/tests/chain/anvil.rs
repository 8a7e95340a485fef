//! A real node: what is read, what is sent, and what happens when it goes away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use crate::common;

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use common::{Anvil, CONTRACT, KEY, QUERY, TOPIC, node_at, profile};
use futures::StreamExt;
use salt402_chain::{
    Account, At, Call, Endpoint, Log, Node, NodeError, Profile, ProfileOverrides, Receipt, RpcNode, Span,
};
use serde_json::json;
use tokio::time::timeout;

/// Emits its calldata twice: the first word as topic, the rest as data.
const ECHO: &str = "0x366000600037600051602036036020a1600051602036036020a100";
/// Reverts with what it was called with.
const REFUSE: &str = "0x3660006000373660 00fd";

const PATIENCE: Duration = Duration::from_secs(10);

fn refuser() -> Address {
    Address::repeat_byte(0xee)
}

async fn anvil_with_contracts() -> Anvil {
    let anvil = Anvil::start().await;
    anvil.dev("anvil_setCode", json!([CONTRACT, ECHO])).await;
    anvil.dev("anvil_setCode", json!([refuser(), REFUSE.replace(' ', "")])).await;
    anvil
}

fn account() -> Account {
    Account::from_key(KEY).unwrap()
}

fn call(to: Address, data: Bytes) -> Call {
    Call { to, value: U256::ZERO, data, gas_limit: None }
}

/// A call that makes the echo emit two events.
fn event(data: u8) -> Call {
    call(CONTRACT, [TOPIC.as_slice(), &[data]].concat().into())
}

fn transfer(value: u64) -> Call {
    Call { to: Address::repeat_byte(0xbe), value: U256::from(value), data: Bytes::new(), gas_limit: None }
}

/// The receipt, once there is one: anvil gives the hash before it has mined the block.
async fn mined(node: &RpcNode, transaction: B256) -> Receipt {
    let wait = async {
        loop {
            if let Some(receipt) = node.receipt(transaction).await.unwrap() {
                return receipt;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("the transaction was not mined")
}

#[tokio::test]
async fn headers_are_found_by_height_and_hash_and_link_to_each_other() {
    let anvil = Anvil::start().await;
    let node = anvil.node();
    anvil.dev("anvil_mine", json!(["0x3"])).await;
    let head = node.header(At::Latest).await.unwrap().unwrap();
    assert_eq!(head.number, 3);
    assert_eq!(node.header(At::Number(3)).await, Ok(Some(head)));
    assert_eq!(node.header(At::Hash(head.hash)).await, Ok(Some(head)));
    let parent = node.header(At::Number(2)).await.unwrap().unwrap();
    assert_eq!(head.parent_hash, parent.hash);
    assert!(head.timestamp >= parent.timestamp && parent.timestamp > 1_600_000_000);
    assert_eq!(node.header(At::Number(4)).await, Ok(None));
    assert_eq!(node.header(At::Hash(B256::repeat_byte(9))).await, Ok(None));
    assert_eq!(node.check_chain().await, Ok(()));
}

#[tokio::test]
async fn the_same_logs_come_by_hash_by_height_by_range_and_by_receipt() {
    let anvil = anvil_with_contracts().await;
    let (node, account) = (anvil.node(), account());
    let by_height = node_at(&anvil.url, profile("local", |changes| changes.logs_by_hash = Some(false)));
    let mut sent = Vec::new();
    for data in [1, 2, 3] {
        let transaction = account.send(&node, &event(data)).await.unwrap();
        mined(&node, transaction).await;
        sent.push(transaction);
    }
    let all = node.logs(&QUERY, Span::Blocks { from: 0, to: 3 }).await.unwrap();
    let emitted: Vec<u8> = all.iter().map(|log| log.content.data[0]).collect();
    assert_eq!(emitted, [1, 1, 2, 2, 3, 3]);
    for (number, transaction) in (1_u64..).zip(sent) {
        let block = node.header(At::Number(number)).await.unwrap().unwrap();
        let logs: Vec<Log> = all.iter().filter(|log| log.block_number == number).cloned().collect();
        assert!(logs.iter().all(|log| log.transaction == transaction && log.block_hash == block.hash));
        assert_eq!(logs[0].block_timestamp, Some(block.timestamp));
        assert_eq!(node.logs(&QUERY, Span::Block(block.hash)).await.unwrap(), logs);
        assert_eq!(by_height.logs(&QUERY, Span::Block(block.hash)).await.unwrap(), logs);
        let receipt = mined(&node, transaction).await;
        assert!(receipt.success && receipt.from == account.address() && receipt.to == Some(CONTRACT));
        let facts = |log: &Log| (log.contract, log.content.clone(), log.transaction, log.block_hash);
        assert_eq!(
            receipt.logs.iter().map(facts).collect::<Vec<_>>(),
            logs.iter().map(facts).collect::<Vec<_>>()
        );
    }
    let other = salt402_chain::LogQuery::new(CONTRACT, vec![B256::repeat_byte(1)]);
    assert_eq!(node.logs(&other, Span::Blocks { from: 0, to: 3 }).await, Ok(vec![]));
}

#[tokio::test]
async fn blocks_that_the_node_lacks_or_dropped_give_no_empty_answer() {
    let anvil = anvil_with_contracts().await;
    let (node, account) = (anvil.node(), account());
    let by_height = node_at(&anvil.url, profile("local", |changes| changes.logs_by_hash = Some(false)));
    mined(&node, account.send(&node, &event(1)).await.unwrap()).await;
    let lost = node.header(At::Latest).await.unwrap().unwrap();
    for node in [&node, &by_height] {
        assert_eq!(node.logs(&QUERY, Span::Block(B256::repeat_byte(9))).await, Err(NodeError::Behind));
        assert_eq!(node.logs(&QUERY, Span::Blocks { from: 0, to: 2 }).await, Err(NodeError::Behind));
    }
    anvil.dev("anvil_reorg", json!([1, []])).await;
    let now = node.header(At::Number(lost.number)).await.unwrap().unwrap();
    assert_ne!(now.hash, lost.hash, "the block was not replaced");
    let answer = by_height.logs(&QUERY, Span::Block(lost.hash)).await;
    assert!(matches!(answer, Err(NodeError::Moved | NodeError::Behind)), "{answer:?}");
    assert_eq!(node.logs(&QUERY, Span::Block(now.hash)).await, Ok(vec![]));
}

#[tokio::test]
async fn a_transaction_that_reverts_has_a_receipt_without_events() {
    let anvil = anvil_with_contracts().await;
    let (node, account) = (anvil.node(), account());
    let doomed = call(refuser(), Bytes::from_static(b"no"));
    let error = account.send(&node, &doomed).await.unwrap_err();
    assert!(error.is_revert() && !error.is_transient(), "{error:?}");
    assert!(node.call(None, &doomed).await.unwrap_err().is_revert());

    let forced = Call { gas_limit: Some(50_000), ..doomed };
    let transaction = account.send(&node, &forced).await.unwrap();
    let receipt = mined(&node, transaction).await;
    assert!(!receipt.success && receipt.logs.is_empty() && receipt.to == Some(refuser()));
    assert_eq!(node.receipt(B256::repeat_byte(9)).await, Ok(None));
}

#[tokio::test]
async fn an_account_pays_what_it_says_and_no_two_payments_share_a_nonce() {
    let anvil = Anvil::start().await;
    let (node, account) = (anvil.node(), account());
    let before = node.balance(account.address()).await.unwrap();
    let payments: [Call; 5] = std::array::from_fn(|value| transfer(1 + value as u64));
    let sent = futures::future::join_all(payments.iter().map(|payment| account.send(&node, payment))).await;
    for (payment, transaction) in payments.iter().zip(sent) {
        let receipt = mined(&node, transaction.unwrap()).await;
        assert!(receipt.success && receipt.to == Some(payment.to));
    }
    assert_eq!(node.balance(Address::repeat_byte(0xbe)).await, Ok(U256::from(15)));

    let prepared = account.prepare(&node, &transfer(100)).await.unwrap();
    assert_eq!((prepared.nonce, prepared.from), (5, account.address()));
    assert_eq!(node.receipt(prepared.hash).await, Ok(None), "it was sent before it was said so");
    assert_eq!(node.broadcast(&prepared).await, Ok(prepared.hash));
    let receipt = mined(&node, prepared.hash).await;
    assert!(receipt.success && receipt.transaction == prepared.hash);
    let spent = before - node.balance(account.address()).await.unwrap();
    assert!(spent <= U256::from(115) + prepared.max_fee() * U256::from(6), "{spent} was spent");
}

#[tokio::test]
async fn sending_a_pending_transaction_again_is_no_error() {
    let anvil = Anvil::start().await;
    let (node, account) = (anvil.node(), account());
    anvil.dev("evm_setAutomine", json!([false])).await;
    let prepared = account.prepare(&node, &transfer(1)).await.unwrap();
    assert_eq!(node.broadcast(&prepared).await, Ok(prepared.hash));
    assert_eq!(node.broadcast(&prepared).await, Ok(prepared.hash));
    assert_eq!(node.receipt(prepared.hash).await, Ok(None));
    assert_eq!(account.prepare(&node, &transfer(1)).await.unwrap().nonce, prepared.nonce + 1);
}

#[tokio::test]
async fn an_account_is_not_made_to_pay_more_than_it_has_or_the_profile_allows() {
    let anvil = anvil_with_contracts().await;
    let (node, account) = (anvil.node(), account());
    let held = node.balance(account.address()).await.unwrap();
    for value in [held, held + U256::from(1)] {
        let error = account.prepare(&node, &Call { value, ..transfer(0) }).await.unwrap_err();
        assert!(matches!(&error, NodeError::Unaffordable { needed, .. } if *needed >= value), "{error:?}");
    }
    let limited = |change: fn(&mut ProfileOverrides)| node_at(&anvil.url, profile("local", change));
    let error = account.prepare(&limited(|p| p.max_gas_limit = Some(21_500)), &event(1)).await.unwrap_err();
    assert!(matches!(error, NodeError::GasTooHigh { limit: 21_500, .. }), "{error:?}");
    let error = account.prepare(&limited(|p| p.max_fee_per_gas = Some(1)), &transfer(1)).await.unwrap_err();
    assert!(matches!(error, NodeError::FeeTooHigh { limit: 1, .. }), "{error:?}");
    let base = node_at(&anvil.url, Profile::named("base").unwrap());
    let error = account.prepare(&base, &transfer(1)).await.unwrap_err();
    assert!(matches!(error, NodeError::WrongChain { found: 40204, .. }), "{error:?}");
}

#[tokio::test]
async fn a_call_is_executed_with_its_data() {
    let anvil = Anvil::start().await;
    let node = anvil.node();
    // The identity precompile gives back what it gets.
    let identity: Address = "0x0000000000000000000000000000000000000004".parse().unwrap();
    let data = Bytes::from(hex!("c0ffee"));
    assert_eq!(node.call(Some(account().address()), &call(identity, data.clone())).await, Ok(data));
    assert_eq!(node.code(identity).await, Ok(Bytes::new()));
    anvil.dev("anvil_setCode", json!([CONTRACT, ECHO])).await;
    assert_eq!(node.code(CONTRACT).await.unwrap().len(), (ECHO.len() - 2) / 2);
}

#[tokio::test]
async fn a_new_head_ticks_and_the_ticks_end_with_the_node() {
    let anvil = Anvil::start().await;
    let node = anvil.node();
    let mut heads = node.heads().await.unwrap().expect("the local profile has heads");
    for _ in 0..3 {
        anvil.dev("anvil_mine", json!(["0x1"])).await;
        timeout(PATIENCE, heads.next()).await.expect("no tick came").expect("the ticks ended");
    }
    let url = anvil.url.clone();
    anvil.kill().await;
    assert_eq!(timeout(PATIENCE, heads.next()).await, Ok(None), "the ticks outlived the node");
    let error = node.heads().await.err().expect("a dead node was subscribed to");
    assert!(matches!(error, NodeError::Unreachable { .. }), "{error:?}");

    let quiet = profile("local", |changes| changes.new_heads = Some(false));
    assert!(node_at(&url, quiet).heads().await.unwrap().is_none());
    let http_only = RpcNode::connect(Endpoint::new(common::url(&url)), profile("local", |_| {})).unwrap();
    assert!(http_only.heads().await.unwrap().is_none());
}

#[tokio::test]
async fn a_node_that_comes_back_is_asked_by_the_same_handle() {
    let anvil = Anvil::start().await;
    let port = common::url(&anvil.url).port().unwrap();
    let node = anvil.node();
    assert_eq!(node.chain_id().await, Ok(40204));
    anvil.kill().await;
    let error = node.chain_id().await.unwrap_err();
    assert!(
        matches!(&error, NodeError::Unreachable { node, .. } if node.ends_with(&port.to_string())),
        "{error:?}"
    );
    assert!(error.is_transient());
    let _again = Anvil::start_on(port).await;
    assert_eq!(node.chain_id().await, Ok(40204));
}
