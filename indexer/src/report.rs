//! What a follower says of itself.

use std::time::Duration;

use salt402_chain::Header;
use salt402_store::Cursor;
use tokio::time::Instant;

use crate::{Follower, IndexError, Phase};

/// How often the store is told that an unchanged head is still the head.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// How often a back-fill reports itself in the log.
const BACK_FILL_REPORT: Duration = Duration::from_secs(2);

impl Follower {
    /// Says that the index stands at the node's head, and leaves a sign of life for processes that only read.
    pub(crate) async fn at_head(&mut self, cursor: Option<Cursor>, head: &Header) -> Result<(), IndexError> {
        let (head, time) = (head.number, head.timestamp);
        let fresh = self.noted.is_some_and(|(noted, at)| noted == head && at.elapsed() < SIGN_OF_LIFE);
        if !fresh {
            self.store.note_head(self.options.chain, head).await?;
            self.noted = Some((head, Instant::now()));
        }
        self.health.send_modify(|health| {
            health.phase = Phase::Following;
            health.indexed = cursor.map(|cursor| cursor.number);
            health.head = Some(head);
            health.current_at = Some(Instant::now());
            health.head_time = Some(time);
        });
        Ok(())
    }

    /// Says that the node shows less than the index holds. That is no sign that the index is current: where the chain
    /// stands meanwhile, such a node cannot tell.
    pub(crate) fn behind(&self, cursor: Option<Cursor>, head: u64) {
        self.health.send_modify(|health| {
            health.phase = Phase::Following;
            health.indexed = cursor.map(|cursor| cursor.number);
            health.head = Some(head);
        });
    }

    /// Says that blocks were indexed and more are known of.
    pub(crate) fn catching_up(&mut self, indexed: u64, head: u64) {
        self.health.send_modify(|health| {
            health.phase = Phase::BackFilling;
            health.indexed = Some(indexed);
            health.head = Some(head);
        });
        if self.reported.is_none_or(|at| at.elapsed() >= BACK_FILL_REPORT) {
            self.reported = Some(Instant::now());
            tracing::info!(
                target: "salt402_indexer::back_fill",
                chain = %self.options.chain,
                block = indexed,
                head,
                "back-filling"
            );
        }
    }

    pub(crate) fn count(&self, found: u64, indexed: u64, head: u64) {
        self.health.send_modify(|health| health.found += found);
        let chain = self.options.chain.to_string();
        metrics::counter!("salt402_indexer_payments_total", "chain" => chain.clone()).increment(found);
        metrics::gauge!("salt402_indexer_block", "chain" => chain.clone()).set(indexed as f64);
        metrics::gauge!("salt402_indexer_head_block", "chain" => chain).set(head as f64);
    }

    pub(crate) fn complain(&self, error: &IndexError) {
        tracing::warn!(chain = %self.options.chain, %error, "a step failed and is tried again");
        metrics::counter!("salt402_indexer_failures_total", "chain" => self.options.chain.to_string())
            .increment(1);
        self.health.send_modify(|health| health.phase = Phase::Failing(error.to_string()));
    }
}
