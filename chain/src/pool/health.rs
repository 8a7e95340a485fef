//! The health of a node, measured from its answers. It decides which node is asked next.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::NodeError;
use crate::node::{At, Header, NodeState};

/// The first and the longest pause after a failure. Each consecutive failure doubles it.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The pauses after an untrue answer.
const UNTRUE_PAUSES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));
/// After this time, a failure counts half.
const HALF_LIFE: Duration = Duration::from_secs(30);
/// The failure score, of 1000, from which a node is avoided.
const AVOID_FROM: u32 = 400;

/// Why a node was ejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ejection {
    /// The chain id or genesis differs. The node returns when they are right again.
    Chain(NodeError),
    /// The node is on another fork. It returns when it shows the others' blocks.
    Fork(String),
}

impl Ejection {
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Chain(error) => error.to_string(),
            Self::Fork(why) => why.clone(),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// Whether chain id and genesis were right, and the connection has not broken since.
    pub(crate) admitted: bool,
    pub(crate) ejected: Option<Ejection>,
    /// Consecutive surveys in which the node's block at finality depth differed from the majority's.
    pub(crate) dissents: u32,
    /// The newest block that the node has shown, and since when.
    head: Option<(u64, Instant)>,
    lagging: bool,
    /// Whether another node has shown a newer block.
    behind: bool,
    rest_until: Option<Instant>,
    failures_in_a_row: u32,
    /// The failure score, of 1000. It falls with time and with good answers.
    failure_score: u32,
    weighed: Option<Instant>,
    /// The mean latency, as a running mean in microseconds.
    latency: u64,
    last_error: Option<String>,
}

impl Health {
    pub(crate) fn succeeded(&mut self, took: Duration, now: Instant) {
        self.decay(now);
        self.failure_score -= self.failure_score / 8;
        self.failures_in_a_row = 0;
        self.rest_until = None;
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 8);
        self.latency = if self.latency == 0 { took } else { (self.latency.saturating_mul(7) + took) / 8 };
    }

    /// Records an error, if it is the node's fault.
    pub(crate) fn failed(&mut self, error: &NodeError, now: Instant) {
        let (first, longest) = match error {
            // Any node would fail on this request, or the chain moved on.
            NodeError::RangeTooLarge { .. }
            | NodeError::AnswerTooLong { .. }
            | NodeError::AnswerRefused { .. }
            | NodeError::BatchTooLarge { asked: 3.., .. }
            | NodeError::TooManyAddresses { asked: 2.., .. }
            | NodeError::Moved
            | NodeError::Unaffordable { .. }
            | NodeError::GasTooHigh { .. }
            | NodeError::FeeTooHigh { .. } => return,
            error if error.is_revert() => return,
            NodeError::Lied { .. } => UNTRUE_PAUSES,
            _ => PAUSES,
        };
        if matches!(error, NodeError::Unreachable { .. }) {
            // The address may lead to another node afterwards.
            self.admitted = false;
        }
        self.decay(now);
        self.failure_score += (1000 - self.failure_score.min(1000)) / 4;
        let pause = first.saturating_mul(1 << self.failures_in_a_row.min(16)).min(longest);
        let pause = match error {
            NodeError::RateLimited { retry_after: Some(rest) } => *rest,
            _ => pause,
        };
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.rest_until = self.rest_until.max(Some(now + pause));
        self.last_error = Some(error.to_string());
    }

    /// Records the newest block.
    pub(crate) fn saw(&mut self, at: At, header: Option<&Header>, now: Instant) {
        if let (At::Latest, Some(header)) = (at, header)
            && self.head.is_none_or(|(number, _)| number != header.number)
        {
            self.head = Some((header.number, now));
        }
    }

    pub(crate) fn head(&self) -> Option<u64> {
        self.head.map(|(number, _)| number)
    }

    /// Whether it is time to read the node's head.
    pub(crate) fn is_unseen(&self, now: Instant, every: Duration) -> bool {
        self.head.is_none_or(|(_, at)| now.duration_since(at) >= every)
    }

    /// Compares the head with the newest head of the other nodes.
    pub(crate) fn compare(&mut self, best: Option<u64>, most: u64) {
        let missing = self.head().zip(best).map_or(0, |(own, best)| best.saturating_sub(own));
        (self.behind, self.lagging) = (missing > 0, missing > most);
    }

    pub(crate) fn state(&self, now: Instant, stall: Duration) -> NodeState {
        if self.ejected.is_some() {
            NodeState::Ejected
        } else if self.rest_until.is_some_and(|until| until > now) {
            NodeState::Resting
        } else if self.lagging {
            NodeState::Lagging
        } else if self.trouble_at(now) >= AVOID_FROM || self.stands_still(now, stall) {
            NodeState::Suspect
        } else {
            NodeState::Ready
        }
    }

    pub(crate) fn reason(&self, now: Instant, stall: Duration) -> Option<String> {
        match self.state(now, stall) {
            NodeState::Ready => None,
            NodeState::Ejected => self.ejected.as_ref().map(Ejection::reason),
            NodeState::Lagging => Some("its head is behind that of the others".to_owned()),
            NodeState::Suspect if self.stands_still(now, stall) && self.trouble_at(now) < AVOID_FROM => {
                Some("its head stands still".to_owned())
            }
            NodeState::Suspect | NodeState::Resting => self.last_error.clone(),
        }
    }

    /// The latency in coarse steps, because small differences are no reason to change nodes.
    pub(crate) fn slowness(&self) -> u32 {
        self.latency.checked_ilog2().unwrap_or(0) / 2
    }

    /// Whether the head stands still while the chain goes on. If all heads stand still, there are no new blocks.
    fn stands_still(&self, now: Instant, stall: Duration) -> bool {
        self.behind && self.head.is_some_and(|(_, since)| now.duration_since(since) > stall)
    }

    fn trouble_at(&self, now: Instant) -> u32 {
        let half_lives = self.weighed.map_or(0, |at| now.duration_since(at).as_secs() / HALF_LIFE.as_secs());
        self.failure_score.checked_shr(u32::try_from(half_lives).unwrap_or(u32::MAX)).unwrap_or(0)
    }

    fn decay(&mut self, now: Instant) {
        let weighed = self.trouble_at(now);
        if weighed != self.failure_score || self.weighed.is_none() {
            (self.failure_score, self.weighed) = (weighed, Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(10);

    fn gone() -> NodeError {
        NodeError::Unreachable { node: "http://node".into(), reason: "gone".into() }
    }

    fn block(number: u64) -> Header {
        Header { number, hash: Default::default(), parent_hash: Default::default(), timestamp: 0 }
    }

    #[test]
    fn a_failure_is_a_pause_that_grows_and_ends_with_a_good_answer() {
        let start = Instant::now();
        let mut node = Health { admitted: true, ..Default::default() };
        for (failure, seconds) in [(0, 1), (1, 2), (2, 4), (3, 8)] {
            node.failed(&gone(), start);
            assert!(!node.admitted);
            let just_before = start + Duration::from_secs(seconds) - Duration::from_millis(1);
            assert_eq!(node.state(just_before, STALL), NodeState::Resting, "after failure {failure}");
            assert_ne!(node.state(start + Duration::from_secs(seconds), STALL), NodeState::Resting);
        }
        for _ in 0..100 {
            node.failed(&gone(), start);
        }
        assert_ne!(node.state(start + PAUSES.1, STALL), NodeState::Resting, "it is tried again");
        node.succeeded(Duration::from_millis(5), start);
        assert_eq!(node.state(start, STALL), NodeState::Suspect, "one good answer is not yet trust");
        assert_eq!(node.state(start + HALF_LIFE * 2, STALL), NodeState::Ready);
    }

    #[test]
    fn what_is_not_the_nodes_fault_is_not_held_against_it() {
        let now = Instant::now();
        let mut node = Health::default();
        for error in [
            NodeError::Moved,
            NodeError::RangeTooLarge { blocks: 9, limit: None },
            NodeError::AnswerTooLong { limit: 1, announced: None },
            NodeError::Rpc { code: 3, message: "execution reverted".into() },
        ] {
            node.failed(&error, now);
            assert_eq!(node.state(now, STALL), NodeState::Ready, "{error}");
        }
    }

    #[test]
    fn a_node_rests_as_long_as_it_asks_and_longer_after_a_lie() {
        let now = Instant::now();
        let mut node = Health::default();
        node.failed(&NodeError::RateLimited { retry_after: Some(Duration::from_secs(30)) }, now);
        assert_eq!(node.state(now + Duration::from_secs(29), STALL), NodeState::Resting);
        let mut liar = Health::default();
        liar.failed(&NodeError::Lied { what: "so".into() }, now);
        assert_eq!(liar.state(now + Duration::from_secs(9), STALL), NodeState::Resting);
    }

    #[test]
    fn heads_tell_who_lags_and_who_stands_still() {
        let now = Instant::now();
        let mut node = Health::default();
        node.saw(At::Latest, Some(&block(100)), now);
        node.saw(At::Number(200), Some(&block(200)), now);
        assert_eq!(node.head(), Some(100));
        node.compare(Some(103), 3);
        assert_eq!(node.state(now, STALL), NodeState::Ready);
        node.compare(Some(104), 3);
        assert_eq!(node.state(now, STALL), NodeState::Lagging);
        node.compare(None, 3);
        let later = now + STALL + Duration::from_secs(1);
        node.saw(At::Latest, Some(&block(100)), later);
        assert_eq!(node.state(later, STALL), NodeState::Ready, "there may be no blocks");
        node.compare(Some(101), 3);
        assert_eq!(node.state(later, STALL), NodeState::Suspect);
        node.saw(At::Latest, Some(&block(101)), later);
        assert_eq!(node.state(later, STALL), NodeState::Ready);
    }
}
