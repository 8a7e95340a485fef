//! What a chain holds: blocks, events and transactions, as far as they are read.

use alloy_primitives::{Address, B256, Bytes, LogData, U256};

use crate::error::NodeError;

/// As much of a block's header as it takes to follow a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Height.
    pub number: u64,
    /// The block's hash as the node gives it; on some chains no function of the other fields.
    pub hash: B256,
    /// The block that this one builds on; on a DAG, the selected parent.
    pub parent_hash: B256,
    /// Unix time in seconds, as the block's producer wrote it. Not always greater than its parent's.
    pub timestamp: u64,
}

/// A block of a chain whose blocks form a graph, with those that it brought in beside its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merging {
    /// Its header. Its parent is the selected one.
    pub header: Header,
    /// The other blocks that it builds on. Empty where the node names none.
    pub merged: Vec<B256>,
}

/// One event of a mined transaction.
///
/// There is no log index, on purpose: some nodes count it within the answer, others give zero for all. Logs of the
/// same transaction come in the order in which they were emitted, and that order is the same in every answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Who emitted it.
    pub contract: Address,
    /// Topics and data.
    pub content: LogData,
    /// The transaction that it is part of.
    pub transaction: B256,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Unix time in seconds of its block, where the node gives it.
    pub block_timestamp: Option<u64>,
}

/// What became of a mined transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The transaction.
    pub transaction: B256,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Whether it was executed to its end. False: it was reverted, and only its fee was paid.
    pub success: bool,
    /// Who signed it.
    pub from: Address,
    /// What it called; `None` where it created a contract.
    pub to: Option<Address>,
    /// All its events, of every contract, in order. Empty when it did not succeed.
    pub logs: Vec<Log>,
}

/// A mined transaction, as far as every node tells it truly: some give no signature, no type and no block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The transaction.
    pub hash: B256,
    /// What it called; `None` where it created a contract.
    pub to: Option<Address>,
    /// Its calldata.
    pub input: Bytes,
    /// The coins that it sent along, in base units.
    pub value: U256,
}

/// A mined transaction that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The transaction.
    pub transaction: B256,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// Its place among the transactions of its block.
    pub place: u32,
    /// Why: mostly that its receipt is too long.
    pub error: NodeError,
}

/// The events of some blocks, and the transactions that could not be read for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// The events, in the order of the chain. None is of a transaction that could not be read.
    pub logs: Vec<Log>,
    /// The transactions that could not be read, of whatever contract their events are.
    pub unreadable: Vec<Unreadable>,
}

impl Readable {
    /// The events, if all transactions could be read.
    ///
    /// # Errors
    /// [`NodeError::BlockTooLarge`] names the first that could not.
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
