//! All logs of a block or none: receipts whose root is the header's, from a fake node and from a real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, Bytes, U256, address, b256, hex};
use common::{Anvil, CONTRACT, FakeNode, KEY, QUERY, TOPIC, hash};
use salt402_chain::{Account, At, Call, Completeness, LogQuery, Node, NodeError, Profile, RpcNode, Span};
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
        let logs: Vec<Value> = (0..count).map(|_| {
            index += 1;
            log(place, index)
        }).collect();
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

/// The root of [`receipts`], as independently computed: see `roots.py` in the comment below.
fn header(root: B256) -> Value {
    let transactions: Vec<B256> = (0xa0..0xa8).map(hash).collect();
    json!({
        "number": "0x5", "hash": hash(5), "parentHash": hash(4), "timestamp": "0x64", "receiptsRoot": root,
        "transactions": transactions, "logsBloom": null,
    })
}
