//! Answers that were too long, so that they are not asked for again and again.
//!
//! Whoever sends a transaction chooses how long its receipt is. What was found to be too long is not begun again with every
//! step, every question and every look.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use alloy_primitives::B256;
use tokio::time::Instant;

use crate::error::NodeError;
use crate::lock::lock;

/// How long an answer that was too long is believed to be. A node of yours may be allowed more meanwhile.
const BELIEVED: Duration = Duration::from_secs(600);
/// Answers that are remembered; beyond it all are forgotten, and found out again.
const REMEMBERED: usize = 4096;

/// What an answer is about that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
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
    known: Mutex<HashMap<Subject, (NodeError, Instant)>>,
}

impl TooLong {
    /// Refuses what was too long a moment ago.
    ///
    /// # Errors
    /// The one of then.
    pub(crate) fn refuse(&self, subject: Subject) -> Result<(), NodeError> {
        let known = lock(&self.known);
        match known.get(&subject) {
            Some((error, until)) if *until > Instant::now() => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Takes note of an answer, if it was too long.
    pub(crate) fn note<T>(&self, subject: Subject, answer: Result<T, NodeError>) -> Result<T, NodeError> {
        if let Err(error) = &answer
            && error.is_too_long()
        {
            let mut known = lock(&self.known);
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(subject, (error.clone(), Instant::now() + BELIEVED));
        }
        answer
    }
}
