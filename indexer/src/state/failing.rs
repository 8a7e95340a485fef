//! Transactions that keep failing although their block is there. A step that waited for one would wait for ever.
//!
//! A transaction with a receipt that is too long is given up at once, since it would be as long again. Any other
//! failure may pass, so the transaction is tried for a while. Only failures after the same node has shown the block
//! count, so that a node that is away gives nothing up.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use salt402_chain::NodeError;
use tokio::time::Instant;

use crate::state::error::IndexError;

/// How long and how often a transaction is tried before it is given up.
const TRIED_FOR: Duration = Duration::from_secs(120);
const TRIES: u32 = 8;
/// How many transactions are remembered. If there are more, all are dropped and have their full time again.
const REMEMBERED: usize = 1024;

/// The transactions that failed, how often, and since when.
#[derive(Debug, Default)]
pub(crate) struct FailingTransactions {
    // A std mutex, because nothing is awaited while it is held.
    known: Mutex<HashMap<B256, (u32, Instant)>>,
}

impl FailingTransactions {
    /// Notes a failure. Returns whether the step goes on without the transaction.
    pub(crate) fn gives_up(&self, transaction: B256, error: &IndexError) -> bool {
        let IndexError::Node(error) = error else { return false };
        if error.too_long().is_some() {
            return true;
        }
        if !is_its_own(error) {
            return false;
        }
        let mut failing = self.lock();
        if failing.len() >= REMEMBERED && !failing.contains_key(&transaction) {
            failing.clear();
        }
        let (tries, since) = failing.entry(transaction).or_insert_with(|| (0, Instant::now()));
        *tries += 1;
        *tries >= TRIES && since.elapsed() >= TRIED_FOR
    }

    /// Notes that a transaction was read.
    pub(crate) fn succeeded(&self, transaction: B256) {
        let mut failing = self.lock();
        if !failing.is_empty() {
            failing.remove(&transaction);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<B256, (u32, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error may be about the one transaction that was asked for, and not about the node.
pub(crate) fn is_its_own(error: &NodeError) -> bool {
    match error {
        NodeError::Timeout { .. }
        | NodeError::Malformed { .. }
        | NodeError::Lied { .. }
        | NodeError::Moved
        | NodeError::Disagreed { .. }
        | NodeError::Rpc { .. } => true,
        NodeError::Status { status, .. } => *status >= 500,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: B256 = B256::repeat_byte(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_too_long_is_given_up_at_once_and_what_may_pass_after_a_while() {
        let failing = FailingTransactions::default();
        let too_long = NodeError::AnswerTooLong { limit: 1, announced: None }.into();
        assert!(failing.gives_up(ONE, &too_long));
        let late = || NodeError::Timeout { node: "node".into(), after: TRIED_FOR }.into();
        for _ in 0..TRIES * 2 {
            assert!(!failing.gives_up(ONE, &late()), "it may pass");
        }
        tokio::time::advance(TRIED_FOR).await;
        assert!(failing.gives_up(ONE, &late()));
        failing.succeeded(ONE);
        assert!(!failing.gives_up(ONE, &late()), "it has its time anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_away_lags_or_wants_rest_gives_nothing_up() {
        let failing = FailingTransactions::default();
        for _ in 0..TRIES * 2 {
            tokio::time::advance(TRIED_FOR).await;
            for error in [
                NodeError::Unreachable { node: "node".into(), reason: "gone".into() },
                NodeError::Behind,
                NodeError::RateLimited { retry_after: None },
                NodeError::Denied { node: "node".into(), status: 401 },
            ] {
                assert!(!failing.gives_up(ONE, &error.into()));
            }
        }
    }
}
