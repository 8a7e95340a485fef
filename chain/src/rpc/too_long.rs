//! Remembers which answers were too long, so that they are not requested again.
//!
//! The sender of a transaction decides how long its receipt is. Without this memory, every step and every look-up would
//! download it again.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use alloy_primitives::B256;
use tokio::time::Instant;

use crate::error::NodeError;
use crate::lock::lock;

/// How long an answer counts as too long. The node's limit may be raised meanwhile.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);
/// The most remembered answers. Above it, all are forgotten and found again.
const MAX_REMEMBERED: usize = 4096;

/// The subject of an answer that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// The receipt of a transaction.
    Receipt(B256),
    /// The transaction itself.
    Transaction(B256),
    /// All receipts of a block.
    Receipts(B256),
}

/// The answers of one node that were recently too long.
#[derive(Debug, Default)]
pub(crate) struct TooLong {
    known: Mutex<HashMap<Subject, (NodeError, Instant)>>,
}

impl TooLong {
    /// Refuses a request whose answer was recently too long.
    ///
    /// # Errors The earlier error.
    pub(crate) fn refuse(&self, subject: Subject) -> Result<(), NodeError> {
        let known = lock(&self.known);
        match known.get(&subject) {
            Some((error, until)) if *until > Instant::now() => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Remembers an answer that was too long.
    pub(crate) fn note<T>(&self, subject: Subject, answer: Result<T, NodeError>) -> Result<T, NodeError> {
        if let Err(error) = &answer
            && error.is_too_long()
        {
            let mut known = lock(&self.known);
            if known.len() >= MAX_REMEMBERED {
                known.clear();
            }
            known.insert(subject, (error.clone(), Instant::now() + REMEMBERED_FOR));
        }
        answer
    }
}
