//! Blocks, logs and transactions, reduced to the fields that are used.

use alloy_primitives::{Address, B256, Bytes, LogData, U256};

use crate::error::NodeError;

/// The fields of a block header that following a chain needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The block's height.
    pub number: u64,
    /// The block's hash, as the node gives it. On some chains it cannot be computed from the other fields.
    pub hash: B256,
    /// The parent block. On a DAG, the selected parent.
    pub parent_hash: B256,
    /// Unix time in seconds, as the block's producer set it. It may be lower than the parent's.
    pub timestamp: u64,
}

/// A block of a DAG chain, with the blocks that it merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merging {
    /// The header. Its parent is the selected one.
    pub header: Header,
    /// The other parents. Empty if the node names none.
    pub merged: Vec<B256>,
}

/// One event of a mined transaction.
///
/// It has no log index: some nodes count within the answer, others return zero. The logs of a transaction always come
/// in the order of emission, and that order is the same in every answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The contract that emitted the log.
    pub contract: Address,
    /// Topics and data.
    pub content: LogData,
    /// The transaction of the log.
    pub transaction: B256,
    /// The height of the log's block.
    pub block_number: u64,
    /// The hash of the log's block.
    pub block_hash: B256,
    /// The time of the log's block, in Unix seconds, if the node gives it.
    pub block_timestamp: Option<u64>,
}

/// The result of a mined transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The transaction.
    pub transaction: B256,
    /// The height of the transaction's block.
    pub block_number: u64,
    /// The hash of the transaction's block.
    pub block_hash: B256,
    /// Whether the transaction succeeded. A reverted transaction pays only its fee.
    pub success: bool,
    /// The signer.
    pub from: Address,
    /// The called contract. `None`: the transaction created a contract.
    pub to: Option<Address>,
    /// All its logs, of every contract, in order. Empty if it reverted.
    pub logs: Vec<Log>,
}

/// A mined transaction, reduced to the fields that every node reports correctly. Some nodes give no signature, type or
/// block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The transaction's hash.
    pub hash: B256,
    /// The called contract. `None`: the transaction created a contract.
    pub to: Option<Address>,
    /// Its calldata.
    pub input: Bytes,
    /// The native coins sent along, in base units.
    pub value: U256,
}

/// A mined transaction that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The transaction's hash.
    pub transaction: B256,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// The transaction's index in its block.
    pub place: u32,
    /// The reason: usually a receipt that is too long.
    pub error: NodeError,
}

/// The logs of some blocks, and the transactions that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// The logs in chain order. None belongs to an unreadable transaction.
    pub logs: Vec<Log>,
    /// The unreadable transactions, whatever their contracts.
    pub unreadable: Vec<Unreadable>,
}

impl Readable {
    /// The logs, if every transaction could be read.
    ///
    /// # Errors [`NodeError::BlockTooLarge`] names the first unreadable transaction.
    pub fn whole(self) -> Result<Vec<Log>, NodeError> {
        match self.unreadable.first() {
            None => Ok(self.logs),
            Some(first) => Err(NodeError::BlockTooLarge {
                block: first.block_hash,
                why: format!("transaction {}: {}", first.transaction, first.error),
            }),
        }
    }
}

impl From<Vec<Log>> for Readable {
    fn from(logs: Vec<Log>) -> Self {
        Self { logs, unreadable: Vec::new() }
    }
}
