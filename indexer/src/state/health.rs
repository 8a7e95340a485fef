//! The state of a follower, for those who must know whether the index can be trusted.

use std::collections::VecDeque;
use std::time::Duration;

use salt402_protocol::ChainId;
use salt402_store::Coverage;
use tokio::time::Instant;

/// Reorganizations of which it is remembered which block they kept.
const KEPT: usize = 64;

/// What a follower is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not connected yet.
    Starting,
    /// Behind, and catching up.
    BackFilling,
    /// At the head.
    Following,
    /// The node or the store does not answer; retried.
    Failing(String),
    /// Stopped until the operator acts.
    Halted(String),
}

impl Phase {
    /// Every phase's name.
    pub const NAMES: [&str; 5] = ["starting", "back_filling", "following", "failing", "halted"];

    /// Its name, one of [`Phase::NAMES`].
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Starting => Self::NAMES[0],
            Self::BackFilling => Self::NAMES[1],
            Self::Following => Self::NAMES[2],
            Self::Failing(_) => Self::NAMES[3],
            Self::Halted(_) => Self::NAMES[4],
        }
    }
}

/// A follower's state, pushed at every change.
#[derive(Clone, Debug)]
pub struct Health {
    /// What it is doing.
    pub phase: Phase,
    /// The newest block in the index.
    pub indexed: Option<u64>,
    /// The node's newest block.
    pub head: Option<u64>,
    /// Payments found since the follower started.
    pub found: u64,
    /// Reorganizations since the follower started.
    pub reorganizations: u64,
    /// While the node shows a fork that is lower than the index: how many stored blocks are above the fork. Else 0.
    /// The highest block that each of the last ones kept, the newest last; some are forgotten.
    pub kept: VecDeque<u64>,
    /// Stored blocks above the fork, while the node shows a fork that is lower than the index; else 0.
    pub blocks_above_fork: u64,
    /// What is not granted on meanwhile, in words.
    pub lower_fork: Option<String>,
    /// When the index was last known to be at the node's head.
    pub current_at: Option<Instant>,
    /// The time of that head by the chain itself, in seconds since 1970 UTC.
    pub head_time: Option<u64>,
    /// How much was read of each contract. What was not read of an added contract is read beside the head. Empty until
    /// the follower has begun.
    pub coverage: Vec<Coverage>,
}

impl Health {
    pub(crate) fn starting() -> Self {
        Self {
            phase: Phase::Starting,
            indexed: None,
            head: None,
            found: 0,
            reorganizations: 0,
            kept: VecDeque::new(),
            blocks_above_fork: 0,
            lower_fork: None,
            current_at: None,
            head_time: None,
            coverage: Vec::new(),
        }
    }

    /// Sets the gauges of a chain that change with time alone, and with the phase. Call it about once a second, because
    /// a hanging follower sets nothing.
    /// Notes a reorganization, and the highest block that it kept.
    pub(crate) fn reorganized(&mut self, kept: u64) {
        self.reorganizations += 1;
        self.kept.push_back(kept);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// The lowest block that reorganizations kept since there were so many; `None` if there was none since. 0 where that is not
    /// remembered any more.
    pub fn kept_since(&self, reorganizations: u64) -> Option<u64> {
        let since =
            usize::try_from(self.reorganizations.saturating_sub(reorganizations)).unwrap_or(usize::MAX);
        if since > self.kept.len() {
            return Some(0);
        }
        self.kept.iter().rev().take(since).min().copied()
    }

    /// Sets the gauges of a chain that change with time alone, and with the phase. Meant to be called every second or so:
    /// a follower that hangs sets nothing.
    pub fn measure(&self, chain: ChainId, since: Instant) {
        let chain = chain.to_string();
        for name in Phase::NAMES {
            let now = if self.phase.name() == name { 1.0 } else { 0.0 };
            metrics::gauge!("salt402_indexer_phase", "chain" => chain.clone(), "phase" => name).set(now);
        }
        let lag = self.head.unwrap_or(0).saturating_sub(self.indexed.unwrap_or(0));
        metrics::gauge!("salt402_indexer_lag_blocks", "chain" => chain.clone()).set(lag as f64);
        metrics::gauge!("salt402_indexer_lower_fork_blocks", "chain" => chain.clone())
            .set(self.blocks_above_fork as f64);
        let stale = self.current_at.unwrap_or(since).elapsed();
        metrics::gauge!("salt402_indexer_lag_seconds", "chain" => chain).set(stale.as_secs_f64());
    }

    /// What part of the past was not read yet, of any contract. `None` if all was read. The index does not know the
    /// payments there, but they count.
    pub fn unread(&self) -> Option<String> {
        let unread =
            self.coverage.iter().find_map(|known| Some((known.source.contract, known.unread.first()?)));
        unread.map(|(contract, stretch)| {
            format!(
                "the past of the contract {contract} is still being read, blocks {} to {} next",
                stretch.from, stretch.to
            )
        })
    }

    /// Why the index is not current. `None` if it was at the node's head within `freshness`, whatever has failed since.
    pub fn complaint(&self, freshness: Duration) -> Option<String> {
        match &self.phase {
            Phase::Starting => Some("the node has not answered yet".into()),
            Phase::Halted(reason) => Some(reason.clone()),
            _ if self.current_at.is_some_and(|at| at.elapsed() <= freshness) => None,
            Phase::BackFilling => Some(match (self.indexed, self.head) {
                (Some(indexed), Some(head)) => format!("back-filling: block {indexed} of {head}"),
                _ => "back-filling".into(),
            }),
            Phase::Failing(reason) => Some(reason.clone()),
            Phase::Following => match self.current_at {
                _ if self.lower_fork.is_some() => self.lower_fork.clone(),
                Some(at) => Some(format!("the head was last reached {} s ago", at.elapsed().as_secs())),
                None => Some("the head has not been reached yet".into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::deployment::Deployment;

    #[test]
    fn what_was_seen_is_in_doubt_once_its_block_may_have_left_the_chain() {
        let mut health = Health::starting();
        health.reorganized(3);
        let seen = Deployment::Good { seen_at: 10, reorganizations: health.reorganizations };
        assert!(!seen.is_in_doubt(Some(&health)), "what was before is known");
        for _ in 0..2 * KEPT as u64 {
            let noted = Deployment::Good { seen_at: 10, reorganizations: health.reorganizations };
            health.reorganized(10);
            assert!(!noted.is_in_doubt(Some(&health)), "the block itself stays");
            assert!(noted.complaint(Some(&health)).is_none());
        }
        assert!(seen.is_in_doubt(Some(&health)), "what is forgotten may have been deeper");
        let noted = Deployment::Good { seen_at: 10, reorganizations: health.reorganizations };
        health.reorganized(9);
        health.reorganized(12);
        assert!(noted.is_in_doubt(Some(&health)) && noted.complaint(Some(&health)).is_some());
        assert!(!noted.is_in_doubt(None));
    }
}
