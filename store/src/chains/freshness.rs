//! Whether an index is current, as the database tells it: whether it stands at its node's head, and how long ago that was said.

use std::time::Duration;

use crate::chains::chain::ChainState;
use crate::engine::clock;

/// Blocks that an index may be behind its node's head and still be current: what a follower at the head leaves between two
/// steps. An index that is further behind is catching up.
const TOLERATED_LAG: u64 = 3;
/// By how much a note may be ahead of the clock, in milliseconds. One that is further ahead was left before the clock was set
/// back, and does not say how old it is.
const CLOCK_STEP_MS: u64 = 1000;

/// How many blocks an index is behind its node's head, where that is too many for it to be current.
pub(crate) fn behind(head: Option<u64>, cursor: Option<u64>) -> Option<u64> {
    let lag = head.unwrap_or(u64::MAX).saturating_sub(cursor.unwrap_or(0));
    (lag > TOLERATED_LAG).then_some(lag)
}

/// How long ago a chain was noted, in milliseconds. `None` where it never was, or the clock was set back since.
pub(crate) fn silence_ms(noted_at_ms: Option<u64>) -> Option<u64> {
    age_ms(noted_at_ms, CLOCK_STEP_MS)
}

/// How long ago a moment was, in milliseconds. `None` where it is not known, or is further ahead of the clock than `step_ms`.
pub(crate) fn age_ms(at_ms: Option<u64>, step_ms: u64) -> Option<u64> {
    let now_ms = u64::try_from(clock::now_ms()).unwrap_or(0);
    at_ms.filter(|at| *at <= now_ms.saturating_add(step_ms)).map(|at| now_ms.saturating_sub(at))
}

impl ChainState {
    /// How many blocks the index is behind its node's head, where that is too many for it to be current.
    pub fn behind(&self) -> Option<u64> {
        behind(self.head, self.cursor.map(|cursor| cursor.number))
    }

    /// How long ago the indexer last said anything of the chain. `None` where it never did, or the clock was set back since.
    pub fn silence(&self) -> Option<Duration> {
        silence_ms(self.noted_at_ms).map(Duration::from_millis)
    }
}
