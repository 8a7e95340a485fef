//! How a follower reports: to the store, in the log, in metrics and in its health.

use std::time::Duration;

use salt402_chain::Header;
use salt402_protocol::ChainId;
use salt402_store::{Batch, Cursor, Store};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::state::error::IndexError;
use crate::state::followed::Followed;
use crate::state::health::{Health, Phase};

/// How often the store is told that an unchanged head is still the head.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// How often a back-fill reports itself in the log.
const BACK_FILL_REPORT: Duration = Duration::from_secs(2);

/// Commits a follower's steps and reports how far it is.
pub(crate) struct Report {
    chain: ChainId,
    store: Store,
    health: watch::Sender<Health>,
    /// When a back-fill last reported itself.
    reported: Option<Instant>,
    /// The head that the store knows, and since when.
    noted: Option<(u64, Instant)>,
}

impl Report {
    pub(crate) fn new(followed: &Followed) -> Self {
        let (chain, store, health) =
            (followed.options.chain, followed.store.clone(), followed.health.clone());
        Self { chain, store, health, reported: None, noted: None }
    }

    /// Stores a step and reports what it took off the chain.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<(), IndexError> {
        let (chain, expected, keep_through) = (batch.chain, batch.expected, batch.keep_through);
        let refunds = batch.extras.refunds.len() as u64;
        let applied = self.store.apply(batch).await?;
        metrics::counter!("salt402_indexer_refunds_total", "chain" => chain.to_string()).increment(refunds);
        if let (Some(kept), Some(cursor)) = (keep_through, expected) {
            let depth = cursor.number.saturating_sub(kept);
            tracing::warn!(%chain, depth, kept_through = kept, "reorganization");
            metrics::counter!("salt402_indexer_reorganizations_total", "chain" => chain.to_string())
                .increment(1);
            self.health.send_modify(|health| health.reorganized(kept));
            metrics::histogram!("salt402_indexer_reorganization_depth", "chain" => chain.to_string())
                .record(depth as f64);
        }
        if applied.incidents > 0 {
            tracing::error!(%chain, incidents = applied.incidents, "payments that had been granted on left the chain");
        }
        Ok(())
    }

    /// Notes that the store was told of a head just now.
    pub(crate) fn noted(&mut self, head: u64) {
        self.noted = Some((head, Instant::now()));
    }

    /// Reports that the index is at the node's head, and leaves a sign of life for processes that only read.
    pub(crate) async fn at_head(&mut self, cursor: Option<Cursor>, head: &Header) -> Result<(), IndexError> {
        let (head, time) = (head.number, head.timestamp);
        let fresh = self.noted.is_some_and(|(noted, at)| noted == head && at.elapsed() < SIGN_OF_LIFE);
        if !fresh {
            self.store.note_head(self.chain, head).await?;
            self.noted(head);
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

    /// Reports that the node shows less than the index holds. That is no sign that the index is current, because such a
    /// node cannot tell where the chain is.
    pub(crate) fn behind(&self, cursor: Option<Cursor>, head: u64) {
        self.health.send_modify(|health| {
            health.phase = Phase::Following;
            health.indexed = cursor.map(|cursor| cursor.number);
            health.head = Some(head);
        });
    }

    /// Reports that blocks were indexed and that there are more.
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
                chain = %self.chain,
                block = indexed,
                head,
                "back-filling"
            );
        }
    }

    /// Counts what a step found.
    pub(crate) fn count(&self, found: u64, indexed: u64, head: u64) {
        self.health.send_modify(|health| health.found += found);
        let chain = self.chain.to_string();
        metrics::counter!("salt402_indexer_payments_total", "chain" => chain.clone()).increment(found);
        metrics::gauge!("salt402_indexer_block", "chain" => chain.clone()).set(indexed as f64);
        metrics::gauge!("salt402_indexer_head_block", "chain" => chain).set(head as f64);
    }

    /// Reports that a step failed and is tried again.
    pub(crate) fn failed(&self, error: &IndexError) {
        tracing::warn!(chain = %self.chain, %error, "a step failed and is tried again");
        metrics::counter!("salt402_indexer_failures_total", "chain" => self.chain.to_string()).increment(1);
        self.health.send_modify(|health| health.phase = Phase::Failing(error.to_string()));
    }

    /// Reports that the follower has stopped until the operator acts.
    pub(crate) fn halted(&self, error: &IndexError) {
        self.health.send_modify(|health| health.phase = Phase::Halted(error.to_string()));
    }
}
