//! Whether an index is current, as the database tells it: whether it is at its node's head, and how long ago that was
//! noted.

use std::time::Duration;

use crate::chains::chain::ChainState;
use crate::engine::clock;

/// How many blocks a current index may be behind its node's head. A follower at the head is so far behind between two
/// steps. An index that is further behind is catching up.
const TOLERATED_LAG: u64 = 3;
/// By how much a note may be ahead of the clock, in milliseconds. A note further ahead was written before the clock was
/// set back. Its age is not known.
const CLOCK_STEP_MS: u64 = 1000;

/// How many blocks an index is behind its node's head. `None` if the index counts as current.
pub(crate) fn behind(head: Option<u64>, cursor: Option<u64>) -> Option<u64> {
    let lag = head.unwrap_or(u64::MAX).saturating_sub(cursor.unwrap_or(0));
    (lag > TOLERATED_LAG).then_some(lag)
}

/// How long ago a chain was noted, in milliseconds. `None` if it never was, or if the clock was set back since.
pub(crate) fn silence_ms(noted_at_ms: Option<u64>) -> Option<u64> {
    age_ms(noted_at_ms, CLOCK_STEP_MS)
}

/// How long ago a time was, in milliseconds. `None` if it is not known, or is ahead of the clock by more than
/// `step_ms`.
pub(crate) fn age_ms(at_ms: Option<u64>, step_ms: u64) -> Option<u64> {
    let now_ms = u64::try_from(clock::now_ms()).unwrap_or(0);
    at_ms.filter(|at| *at <= now_ms.saturating_add(step_ms)).map(|at| now_ms.saturating_sub(at))
}

impl ChainState {
    /// How many blocks the index is behind its node's head. `None` if the index counts as current.
    pub fn behind(&self) -> Option<u64> {
        behind(self.head, self.cursor.map(|cursor| cursor.number))
    }

    /// How long ago the indexer last wrote anything about the chain. `None` if it never did, or if the clock was set
    /// back since.
    pub fn silence(&self) -> Option<Duration> {
        silence_ms(self.noted_at_ms).map(Duration::from_millis)
    }
}
