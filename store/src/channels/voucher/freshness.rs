//! Whether the stored state of a channel is up to date: completely read, and recently.

use crate::chains::freshness;
use crate::channels::voucher::facts::Facts;
use crate::rows::{NewVoucher, NotCurrent, Stretch};

/// The index may be as old as the channel's exit delay divided by this. An exit that the index does not know yet was
/// asked for since then. So three quarters of the delay are left to notice it and to claim.
const AGE_OF_DELAY: u64 = 4;

impl NewVoucher {
    /// Why the stored state of the channel may be out of date.
    pub(super) fn not_current(&self, facts: &Facts) -> Option<NotCurrent> {
        let Some(live_from) = facts.live_from else { return Some(NotCurrent::NotFollowed) };
        let opened = facts.opening.block_number;
        if live_from > opened {
            return Some(NotCurrent::Unread(Stretch { from: opened, to: live_from - 1 }));
        }
        if let Some(blocks) = freshness::behind(facts.head, facts.stand.cursor) {
            return Some(NotCurrent::Behind(blocks));
        }
        self.old(facts, facts.descriptor.exit_delay.saturating_mul(1000) / AGE_OF_DELAY)
    }

    /// Whether the node was last heard of too long ago, or its chain makes no blocks.
    fn old(&self, facts: &Facts, most_ms: u64) -> Option<NotCurrent> {
        let age_ms = freshness::silence_ms(facts.noted_at_ms);
        if age_ms.is_none_or(|age| age > most_ms) {
            return Some(NotCurrent::Old { age_ms, most_ms });
        }
        let late_ms = self.late_ms?;
        let age_ms = freshness::age_ms(facts.newest_at.map(|at| at.saturating_mul(1000)), late_ms);
        let most_ms = most_ms.saturating_add(late_ms);
        age_ms.is_none_or(|age| age > most_ms).then_some(NotCurrent::StandsStill { age_ms, most_ms })
    }
}
