//! Whether what is stored of a channel is how it stands: read whole, and not old.

use salt402_protocol::ChannelState;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::{NewVoucher, NotCurrent, Opening};
use crate::columns::{Columns as _, chain_id};
use crate::{StoreError, Stretch, clock};

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
    pub(super) async fn not_current(
        &self,
        state: &ChannelState,
        opening: &Opening,
        connection: &mut SqliteConnection,
    ) -> Result<Option<NotCurrent>, StoreError> {
        // Where what was read meets what the head reads, the two are one, and begin at `live_from`.
        let row = sqlx::query(
            "SELECT c.noted_at_ms, c.head_number, c.cursor_number,
                    (SELECT b.timestamp FROM blocks b WHERE b.chain_id = c.chain_id AND b.hash = c.cursor_hash)
                        AS newest_at,
                    (SELECT MAX(s.live_from) FROM sources s WHERE s.chain_id = c.chain_id AND s.contract = $2)
                        AS live_from
             FROM chains c WHERE c.chain_id = $1",
        )
        .bind(chain_id(self.chain))
        .bind(self.contract.as_slice())
        .fetch_one(connection)
        .await?;
        let Some(live_from) = row.maybe_number("live_from")? else {
            return Ok(Some(NotCurrent::NotFollowed));
        };
        if live_from > opening.block_number {
            let unread = Stretch { from: opening.block_number, to: live_from - 1 };
            return Ok(Some(NotCurrent::Unread(unread)));
        }
        let head = row.maybe_number("head_number")?.unwrap_or(u64::MAX);
        let behind = head.saturating_sub(row.maybe_number("cursor_number")?.unwrap_or(0));
        if behind > TOLERATED_LAG {
            return Ok(Some(NotCurrent::Behind(behind)));
        }
        let delay = state.descriptor.map_or(0, |descriptor| descriptor.exit_delay);
        self.old(&row, delay.saturating_mul(1000) / AGE_OF_DELAY)
    }

    /// Whether the node was last heard of too long ago, or shows a chain that stands still.
    fn old(&self, row: &SqliteRow, most_ms: u64) -> Result<Option<NotCurrent>, StoreError> {
        let now_ms = u64::try_from(clock::now_ms()).unwrap_or(0);
        let age_ms = age(row.maybe_number("noted_at_ms")?, now_ms, CLOCK_STEP_MS);
        if age_ms.is_none_or(|age| age > most_ms) {
            return Ok(Some(NotCurrent::Old { age_ms, most_ms }));
        }
        let Some(late_ms) = self.late_ms else { return Ok(None) };
        let newest_at_ms = row.maybe_number("newest_at")?.map(|at| at.saturating_mul(1000));
        let age_ms = age(newest_at_ms, now_ms, late_ms);
        let most_ms = most_ms.saturating_add(late_ms);
        Ok(age_ms.is_none_or(|age| age > most_ms).then_some(NotCurrent::StandsStill { age_ms, most_ms }))
    }
}

/// How long ago something was; `None` where that cannot be told, because it is further ahead of the clock than `step_ms`.
fn age(at_ms: Option<u64>, now_ms: u64, step_ms: u64) -> Option<u64> {
    at_ms.filter(|at| *at <= now_ms.saturating_add(step_ms)).map(|at| now_ms.saturating_sub(at))
}
