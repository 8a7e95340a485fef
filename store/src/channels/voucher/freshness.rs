//! Whether what is stored of a channel is how it stands: read whole, and not old.

use crate::channels::voucher::facts::Facts;
use crate::engine::clock;
use crate::rows::block::Stretch;
use crate::rows::voucher::{NewVoucher, NotCurrent};

/// The part of a channel's exit delay that the index may be old, as its divisor. An exit that is not indexed yet was asked
/// for since, so three quarters of the delay are left to see it and to claim.
const AGE_OF_DELAY: u64 = 4;
/// Blocks that the index may be behind its node's head: what a follower at the head leaves between two steps. Whoever is
/// further behind is catching up, and reads in a moment what it lacks.
const TOLERATED_LAG: u64 = 3;
/// By how much a sign of life may be ahead of the clock, in milliseconds. One that is further ahead was left before the
/// clock was set back, and says nothing of how old it is.
const CLOCK_STEP_MS: u64 = 1000;

impl NewVoucher {
    /// Why the channel's state may not be how it stands now.
    pub(super) fn not_current(&self, facts: &Facts) -> Option<NotCurrent> {
        let Some(live_from) = facts.live_from else { return Some(NotCurrent::NotFollowed) };
        let opened = facts.opening.block_number;
        if live_from > opened {
            return Some(NotCurrent::Unread(Stretch { from: opened, to: live_from - 1 }));
        }
        let head = facts.head.unwrap_or(u64::MAX);
        let behind = head.saturating_sub(facts.stand.cursor.unwrap_or(0));
        if behind > TOLERATED_LAG {
            return Some(NotCurrent::Behind(behind));
        }
        self.old(facts, facts.descriptor.exit_delay.saturating_mul(1000) / AGE_OF_DELAY)
    }

    /// Whether the node was last heard of too long ago, or shows a chain that stands still.
    fn old(&self, facts: &Facts, most_ms: u64) -> Option<NotCurrent> {
        let now_ms = u64::try_from(clock::now_ms()).unwrap_or(0);
        let age_ms = age(facts.noted_at_ms, now_ms, CLOCK_STEP_MS);
        if age_ms.is_none_or(|age| age > most_ms) {
            return Some(NotCurrent::Old { age_ms, most_ms });
        }
        let late_ms = self.late_ms?;
        let newest_at_ms = facts.newest_at.map(|at| at.saturating_mul(1000));
        let age_ms = age(newest_at_ms, now_ms, late_ms);
        let most_ms = most_ms.saturating_add(late_ms);
        age_ms.is_none_or(|age| age > most_ms).then_some(NotCurrent::StandsStill { age_ms, most_ms })
    }
}

/// How long ago something was; `None` where that cannot be told, because it is further ahead of the clock than `step_ms`.
fn age(at_ms: Option<u64>, now_ms: u64, step_ms: u64) -> Option<u64> {
    at_ms.filter(|at| *at <= now_ms.saturating_add(step_ms)).map(|at| now_ms.saturating_sub(at))
}
