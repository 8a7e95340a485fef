//! Parses and checks answers without a node, for fuzzing.

use alloy_primitives::B256;

use crate::error::NodeError;
use crate::node::{At, Header, Log, LogQuery, Receipt};
use crate::rpc::check::Bounds;
use crate::rpc::{check, wire};

/// The result of `eth_getBlockBy…`.
pub fn header(json: &[u8], at: At) -> Result<Header, NodeError> {
    check::header(&read::<wire::Header>(json)?, at)
}

/// The result of `eth_getLogs` over a span of heights.
pub fn logs(json: &[u8], query: &LogQuery, from: u64, to: u64) -> Result<Vec<Log>, NodeError> {
    match query.parts(usize::MAX).as_slice() {
        [filter] => check::logs(read(json)?, filter, Bounds::Heights(from, to)),
        _ => Err(NodeError::Malformed { what: "one filter is asked for at a time".to_owned() }),
    }
}

/// The result of `eth_getTransactionReceipt`.
pub fn receipt(json: &[u8], transaction: B256) -> Result<Option<Receipt>, NodeError> {
    check::receipt(read(json)?, transaction)
}

fn read<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, NodeError> {
    serde_json::from_slice(json).map_err(|error| NodeError::Malformed { what: error.to_string() })
}
