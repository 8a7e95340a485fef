//! Whether a channel's money can be claimed, as far as the chain is known.

use salt402_protocol::Amount;

use crate::channels::events::{OPENED, TOPPED_UP};
use crate::channels::voucher::facts::Facts;
use crate::engine::{Columns as _, SyncConnection, bound, chain_id, params};
use crate::rows::{NewVoucher, StoreError, VoucherResult};

/// The greatest total of a channel's deposits up to a block. The index is named, because SQLite would otherwise read
/// the events of all channels by height.
const DEPOSITED_BY: &str = "
    SELECT MAX(d.total) AS total FROM (
        SELECT * FROM (
            SELECT total FROM channel_events INDEXED BY channel_events_of
            WHERE chain_id = ?1 AND contract = ?2 AND channel = ?3 AND canonical AND kind = ?4 AND block_number <= ?6
            ORDER BY total DESC LIMIT 1)
        UNION ALL SELECT * FROM (
            SELECT total FROM channel_events INDEXED BY channel_events_of
            WHERE chain_id = ?1 AND contract = ?2 AND channel = ?3 AND canonical AND kind = ?5 AND block_number <= ?6
            ORDER BY total DESC LIMIT 1)) AS d";

impl NewVoucher {
    /// Why the channel's money may not be claimable. `None` if it is.
    pub(super) fn unfunded(
        &self,
        facts: &Facts,
        connection: &SyncConnection<'_>,
    ) -> Result<Option<VoucherResult>, StoreError> {
        let state = &facts.state;
        if facts.before_restore {
            return Ok(Some(VoucherResult::BeforeRestore));
        }
        if facts.before_database {
            return Ok(Some(VoucherResult::BeforeDatabase));
        }
        if facts.halted {
            return Ok(Some(VoucherResult::Halted));
        }
        // A closed channel stays closed. Everything else may have changed in blocks that are not read yet, for worse or
        // by a top-up.
        if state.closed {
            return Ok(Some(VoucherResult::Closed));
        }
        if facts.closing {
            return Ok(Some(VoucherResult::Closing));
        }
        if let Some(why) = self.not_current(facts) {
            return Ok(Some(VoucherResult::NotCurrent(why)));
        }
        if let Some(exit_at) = state.exit_at {
            return Ok(Some(VoucherResult::Exiting(exit_at)));
        }
        if self.voucher.ceiling > state.deposit {
            return Ok(Some(VoucherResult::AboveDeposit(state.deposit)));
        }
        let needed = if facts.loss { self.confirmations.max(self.after_loss) } else { self.confirmations };
        let needed = needed.max(1);
        // Where the index stands, from the depth of the opening.
        let (opening, confirmations) = (facts.opening.block_number, facts.opening.confirmations);
        let cursor = (opening + confirmations).saturating_sub(1);
        let deep = match (cursor + 1).checked_sub(needed) {
            Some(height) => self.deposited_by(height, facts, connection)?,
            None => Amount::ZERO,
        };
        if self.voucher.ceiling > deep {
            return Ok(Some(VoucherResult::TooShallow { confirmations, needed }));
        }
        // An exit counts as soon as it was asked for. A cancelled exit counts until the cancelling is deep enough,
        // since a reorganization may undo the cancelling.
        let confirmations = facts.cancelled_at.map(|height| facts.stand.depth(height));
        Ok(confirmations
            .filter(|confirmations| *confirmations < needed)
            .map(|confirmations| VoucherResult::TooShallow { confirmations, needed }))
    }

    /// All that was deposited up to a block, without blocks above a lower fork.
    fn deposited_by(
        &self,
        height: u64,
        facts: &Facts,
        connection: &SyncConnection<'_>,
    ) -> Result<Amount, StoreError> {
        let height = facts.stand.lower_fork_at.map_or(height, |fork| fork.min(height));
        // Mostly the last deposit is deep enough, and nothing more is read.
        if let Some((total, _)) = facts.deposit.filter(|(_, at)| *at <= height) {
            return Ok(total);
        }
        let parameters = params![
            chain_id(self.chain),
            self.contract.as_slice(),
            self.voucher.channel.as_slice(),
            OPENED,
            TOPPED_UP,
            bound(height),
        ];
        connection.prepare_cached(DEPOSITED_BY)?.query_row(parameters, |row| {
            match row.maybe_hash("total")? {
                Some(_) => row.amount("total"),
                None => Ok(Amount::ZERO),
            }
        })
    }
}
