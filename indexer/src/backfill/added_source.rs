//! The past of a contract that was added after the index had begun. It is read beside the head, stretch by stretch.
//!
//! From the moment a contract is followed, the head is read for it. Earlier blocks are read here, the oldest first.
//! There is no cursor: each stretch is stored in the same transaction as the fact that it was read. An anchor makes
//! sure that a stretch is of the index's own chain. It is the newest block of the index, and it must be on the node's
//! chain while the stretch is read, and on the index's chain when the stretch is stored.

use std::time::Duration;

use alloy_primitives::Keccak256;
use salt402_chain::{NodeError, Work};
use salt402_protocol::source::Question;
use salt402_protocol::{ChainId, Source};
use salt402_store::{Coverage, Cursor, SourceKey, Stretch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backfill::node_widths::NodeWidths;
use crate::backfill::range::{Read, Wanted, read};
use crate::state::{Followed, IndexError, pinned};

/// The first and the longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How often it reports itself in the log.
const REPORT: Duration = Duration::from_secs(5);

/// How the store names a contract: with a digest of the question that finds every event of it that counts.
pub(crate) fn key(source: &Source) -> SourceKey {
    let mut digest = Keccak256::new();
    for Question { contract, topics } in source.questions() {
        if contract != source.contract {
            digest.update(contract);
        }
        for mut values in topics {
            values.sort_unstable();
            digest.update((values.len() as u64).to_be_bytes());
            values.iter().for_each(|value| digest.update(value));
        }
    }
    // The same question finds other payments if other tokens or payees are chosen.
    for chosen in source.chosen() {
        digest.update(chosen);
    }
    SourceKey { contract: source.contract, question: digest.finalize() }
}

/// Reads what was not read of the followed contracts.
pub(crate) struct AddedSources {
    followed: Followed,
    /// Set once the store knows which contracts are followed.
    begun: CancellationToken,
    widths: NodeWidths,
    reported: Option<Instant>,
}

/// The next stretch to read.
struct Next {
    source: Source,
    stretch: Stretch,
    anchor: Cursor,
}

impl AddedSources {
    /// For the contracts of a follower. It waits for `begun`.
    pub(crate) fn new(followed: Followed, widths: NodeWidths, begun: CancellationToken) -> Self {
        Self { followed, begun, widths, reported: None }
    }

    /// Reads all there is, and then waits for ever, because the head leaves no gap.
    pub(crate) async fn run(mut self) {
        self.begun.cancelled().await;
        let mut pause = PAUSES.0;
        let mut progress = self.followed.store.progress();
        loop {
            progress.mark_unchanged();
            match self.step().await {
                Ok(Stood::Done) => std::future::pending::<()>().await,
                Ok(Stood::Filled) => pause = PAUSES.0,
                Ok(Stood::Waiting) => {
                    if progress.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                Err(error) => {
                    tracing::warn!(chain = %self.chain(), %error, "reading the past of a contract failed and is tried again");
                    metrics::counter!("salt402_indexer_failures_total", "chain" => self.chain().to_string())
                        .increment(1);
                    tokio::time::sleep(error.retry_after().map_or(pause, |after| after.max(PAUSES.0))).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Stood, IndexError> {
        let coverage = self.followed.store.coverage(self.chain()).await?;
        let done = coverage.iter().all(|known| known.unread.is_empty());
        let blocks: u64 = coverage.iter().flat_map(|known| &known.unread).map(|s| s.to - s.from + 1).sum();
        metrics::gauge!("salt402_indexer_unread_blocks", "chain" => self.chain().to_string())
            .set(blocks as f64);
        let next = self.next(&coverage).await?;
        self.followed.health.send_if_modified(|health| {
            let changed = health.coverage != coverage;
            health.coverage = coverage;
            changed
        });
        match next {
            Some(next) => {
                self.report(blocks);
                self.fill(next).await?;
                Ok(Stood::Filled)
            }
            None if done => Ok(Stood::Done),
            None => Ok(Stood::Waiting),
        }
    }

    /// The oldest stretch that was not read, as far as it is settled.
    ///
    /// Below the first block of the index no headers are stored that would show a reorganization. There, only blocks
    /// deeper than any reorganization are settled.
    async fn next(&self, coverage: &[Coverage]) -> Result<Option<Next>, IndexError> {
        let Some(state) = self.followed.store.chain_state(self.chain()).await? else { return Ok(None) };
        // Nothing is added to a halted chain.
        if state.halt.is_some() {
            return Ok(None);
        }
        let Some((anchor, first)) = state.cursor.zip(state.first_block) else { return Ok(None) };
        let profile = self.followed.nodes.profile();
        for known in coverage {
            let source = self.followed.options.sources.iter().find(|source| key(source) == known.source);
            let (Some(source), Some(Stretch { from, to })) = (source, known.unread.first().copied()) else {
                continue;
            };
            let depth = if from < first { profile.reorg_window + 1 } else { profile.finality_depth };
            let Some(settled) = anchor.number.checked_sub(depth) else { continue };
            let below = if from < first { first - 1 } else { u64::MAX };
            let to = to.min(settled).min(below);
            if from <= to {
                return Ok(Some(Next { source: source.clone(), stretch: Stretch { from, to }, anchor }));
            }
        }
        Ok(None)
    }

    async fn fill(&mut self, next: Next) -> Result<(), IndexError> {
        let Next { source, stretch: Stretch { from, to }, anchor } = next;
        // The stretch and its anchor are read from the same node.
        let node = pinned(&self.followed.nodes, Work::BackFill).await?;
        let mut width = self.widths.of(node.label());
        let stretch = Stretch { from, to: to.min(from.saturating_add(width.span() - 1)) };
        let blocks = stretch.to - stretch.from + 1;
        let wanted = Wanted {
            from: stretch.from,
            to: stretch.to,
            headers_from: u64::MAX,
            between: Some(anchor.number),
            span: blocks,
        };
        let asked = std::slice::from_ref(&source);
        let Followed { options, failing, .. } = &self.followed;
        let read = match read(&*node, options, asked, wanted, failing).await {
            Ok(read) => read,
            Err(error) => {
                if error.asked_too_much() {
                    width.too_much(blocks, &error);
                } else {
                    width.met(&error);
                }
                self.widths.learned(node.label(), width);
                return Err(error);
            }
        };
        width.answered(blocks, read.bytes);
        self.widths.learned(node.label(), width);
        let Read { between, mut found, undecoded, .. } = read;
        found.retain_of(&source);
        if between.map(|block| block.hash) != Some(anchor.hash) {
            // The node is about to change over, or the follower is.
            return Err(NodeError::Moved.into());
        }
        let past = salt402_store::Past {
            chain: self.chain(),
            source: key(&source),
            stretch,
            anchor,
            payments: found.payments,
            extras: found.extras,
            undecoded,
        };
        let applied = self.followed.store.apply_past(past).await?;
        metrics::counter!("salt402_indexer_payments_total", "chain" => self.chain().to_string())
            .increment(applied.inserted);
        Ok(())
    }

    fn chain(&self) -> ChainId {
        self.followed.options.chain
    }

    fn report(&mut self, unread: u64) {
        if self.reported.is_none_or(|at| at.elapsed() >= REPORT) {
            self.reported = Some(Instant::now());
            tracing::info!(chain = %self.chain(), unread, "reading the past of a contract that was added");
        }
    }
}

/// How a step ended.
enum Stood {
    /// Something was read.
    Filled,
    /// What is left is not settled yet.
    Waiting,
    /// Nothing is left.
    Done,
}
