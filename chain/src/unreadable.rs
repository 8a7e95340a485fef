//! Transactions whose receipt fits into no answer: what is known of them, and not asking for them again and again.
//!
//! Whoever sends a transaction chooses how long its receipt is. What cannot be read of one must cost nothing of another, and
//! what was found to be too long is not begun again with every step, every question and every look.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use tokio::time::Instant;

use crate::{Log, NodeError};

/// How long an answer that was too long is believed to be. A node of yours may be allowed more meanwhile.
const BELIEVED: Duration = Duration::from_secs(600);
/// Answers that are remembered; beyond it all are forgotten, and found out again.
const REMEMBERED: usize = 4096;

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

/// What an answer is about that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Of {
    /// The receipt of a transaction.
    Receipt(B256),
    /// The transaction itself.
    Transaction(B256),
    /// All receipts of a block.
    Receipts(B256),
}

/// Answers of one node that were too long, for a while.
#[derive(Debug, Default)]
pub(crate) struct TooLong {
    // A std mutex, because nothing is awaited while it is held.
    known: Mutex<HashMap<Of, (NodeError, Instant)>>,
}

impl TooLong {
    /// Refuses what was too long a moment ago.
    ///
    /// # Errors
    /// The one of then.
    pub(crate) fn refuse(&self, of: Of) -> Result<(), NodeError> {
        let known = self.lock();
        match known.get(&of) {
            Some((error, until)) if *until > Instant::now() => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Takes note of an answer, if it was too long.
    pub(crate) fn note<T>(&self, of: Of, answer: Result<T, NodeError>) -> Result<T, NodeError> {
        if let Err(error) = &answer
            && error.is_too_long()
        {
            let mut known = self.lock();
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(of, (error.clone(), Instant::now() + BELIEVED));
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Of, (NodeError, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
