//! Whether a channel's money is there to be claimed, as far as the chain is known.

use salt402_protocol::{Amount, ChannelState};
use sqlx::SqliteConnection;

use super::{NewVoucher, Opening, VoucherResult};
use crate::StoreError;
use crate::channel_rows::{EXIT_CANCELLED, OPENED, TOPPED_UP, WITHDRAWN};
use crate::columns::{Columns as _, bound, chain_id};
use crate::payment::Stand;

impl NewVoucher {
    /// Whether the channel's money is not there to be claimed, or not certainly.
    pub(super) async fn uncovered(
        &self,
        state: &ChannelState,
        opening: &Opening,
        connection: &mut SqliteConnection,
    ) -> Result<Option<VoucherResult>, StoreError> {
        if let Some(refusal) = self.withheld(connection).await? {
            return Ok(Some(refusal));
        }
        // What is closed stays closed. All else may have changed in what is not read: for the worse, or by a top-up.
        if state.closed {
            return Ok(Some(VoucherResult::Closed));
        }
        if let Some(why) = self.not_current(state, opening, connection).await? {
            return Ok(Some(VoucherResult::NotCurrent(why)));
        }
        if let Some(exit_at) = state.exit_at {
            return Ok(Some(VoucherResult::Exiting(exit_at)));
        }
        if self.voucher.ceiling > state.deposit {
            return Ok(Some(VoucherResult::AboveDeposit(state.deposit)));
        }
        let payer = state.descriptor.map(|descriptor| descriptor.payer).unwrap_or_default();
        let loss = sqlx::query(
            "SELECT 1 FROM incidents i
             WHERE i.chain_id = $1 AND i.payer = $2 AND i.resolved_at_ms IS NULL LIMIT 1",
        )
        .bind(chain_id(self.chain))
        .bind(payer.as_slice())
        .fetch_optional(&mut *connection)
        .await?;
        let needed =
            if loss.is_some() { self.confirmations.max(self.after_loss) } else { self.confirmations };
        let needed = needed.max(1);
        // Counted from the cursor, which the opening's own depth says.
        let cursor = (opening.block_number + opening.confirmations).saturating_sub(1);
        let deep = match (cursor + 1).checked_sub(needed) {
            Some(height) => self.deposited_by(height, connection).await?,
            None => Amount::ZERO,
        };
        if self.voucher.ceiling > deep {
            return Ok(Some(VoucherResult::TooShallow { confirmations: opening.confirmations, needed }));
        }
        // An exit that was asked for is at once, one that was cancelled not before the cancelling stays: without it, the
        // exit may be due.
        let confirmations = self.since_exit_cancelled(connection).await?;
        Ok(confirmations
            .filter(|confirmations| *confirmations < needed)
            .map(|confirmations| VoucherResult::TooShallow { confirmations, needed }))
    }

    /// What keeps every new grant back, whatever became of the channel. One that was opened in another block, or another
    /// transaction, before that left the chain was opened then: its vouchers are the same.
    async fn withheld(&self, connection: &mut SqliteConnection) -> Result<Option<VoucherResult>, StoreError> {
        let row = sqlx::query(
            "WITH restored AS (SELECT MAX(refuse_before) AS refuse_before FROM restores)
             SELECT EXISTS (SELECT 1 FROM halts h WHERE h.chain_id = $1 AND h.resolved_at_ms IS NULL) AS halted,
                    EXISTS (SELECT 1 FROM restored r CROSS JOIN channel_events e
                            WHERE e.chain_id = $1 AND e.contract = $2 AND e.channel = $3 AND e.kind = $4 AND e.canonical
                              AND COALESCE(e.block_timestamp, 0) < r.refuse_before)
                    OR EXISTS (SELECT 1 FROM restored r CROSS JOIN channel_events e
                               WHERE e.chain_id = $1 AND e.contract = $2 AND e.channel = $3 AND e.kind = $4
                                 AND NOT e.canonical AND COALESCE(e.block_timestamp, 0) < r.refuse_before)
                        AS before_restore",
        )
        .bind(chain_id(self.chain))
        .bind(self.contract.as_slice())
        .bind(self.voucher.channel.as_slice())
        .bind(OPENED)
        .fetch_one(connection)
        .await?;
        if row.flag("before_restore")? {
            return Ok(Some(VoucherResult::BeforeRestore));
        }
        Ok(row.flag("halted")?.then_some(VoucherResult::Halted))
    }

    /// All that was deposited up to a block.
    async fn deposited_by(
        &self,
        height: u64,
        connection: &mut SqliteConnection,
    ) -> Result<Amount, StoreError> {
        let row = sqlx::query(
            "SELECT MAX(total) AS total FROM channel_events
             WHERE chain_id = $1 AND contract = $2 AND channel = $3 AND canonical AND kind IN ($4, $5)
               AND block_number <= $6
               AND block_number <= COALESCE((SELECT doubted_above FROM chains WHERE chain_id = $1), block_number)",
        )
        .bind(chain_id(self.chain))
        .bind(self.contract.as_slice())
        .bind(self.voucher.channel.as_slice())
        .bind(OPENED)
        .bind(TOPPED_UP)
        .bind(bound(height))
        .fetch_one(connection)
        .await?;
        match row.maybe_hash("total")? {
            Some(_) => row.amount("total"),
            None => Ok(Amount::ZERO),
        }
    }

    /// The depth of the block in which an exit was cancelled last, 0 where it is in doubt.
    async fn since_exit_cancelled(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Option<u64>, StoreError> {
        let row = sqlx::query(
            "SELECT e.block_number, c.cursor_number, c.doubted_above
             FROM channel_events e JOIN chains c ON c.chain_id = e.chain_id
             WHERE e.chain_id = $1 AND e.contract = $2 AND e.channel = $3 AND e.canonical AND e.kind IN ($4, $5)
             ORDER BY e.block_number DESC LIMIT 1",
        )
        .bind(chain_id(self.chain))
        .bind(self.contract.as_slice())
        .bind(self.voucher.channel.as_slice())
        .bind(EXIT_CANCELLED)
        .bind(WITHDRAWN)
        .fetch_optional(connection)
        .await?;
        row.map(|row| {
            let stand = Stand {
                cursor: row.maybe_number("cursor_number")?,
                doubted_above: row.maybe_number("doubted_above")?,
            };
            Ok(stand.depth(row.number("block_number")?))
        })
        .transpose()
    }

    /// Where the channel was opened; `None` where that is not on the chain.
    pub(super) async fn opening(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Option<Opening>, StoreError> {
        let row = sqlx::query(
            "SELECT e.transaction_hash, e.block_number, e.block_hash, c.cursor_number, c.doubted_above,
                    e.block_timestamp
             FROM channel_events e JOIN chains c ON c.chain_id = e.chain_id
             WHERE e.chain_id = $1 AND e.contract = $2 AND e.channel = $3 AND e.canonical AND e.kind = $4",
        )
        .bind(chain_id(self.chain))
        .bind(self.contract.as_slice())
        .bind(self.voucher.channel.as_slice())
        .bind(OPENED)
        .fetch_optional(connection)
        .await?;
        row.map(|row| {
            let block_number = row.number("block_number")?;
            let stand = Stand {
                cursor: row.maybe_number("cursor_number")?,
                doubted_above: row.maybe_number("doubted_above")?,
            };
            Ok(Opening {
                transaction: row.hash("transaction_hash")?,
                block_number,
                block_hash: row.hash("block_hash")?,
                block_timestamp: row.maybe_number("block_timestamp")?.unwrap_or(0),
                confirmations: stand.depth(block_number),
            })
        })
        .transpose()
    }
}
