//! What was tried with each signed payment, for whoever asks later.

use salt402_protocol::{ChainId, PaymentId};

use crate::engine::{
    Columns as _, Connection, Row, SyncConnection, Write, WriteTransaction, bound, chain_id, clock, params,
    query, send,
};
use crate::rows::{SettlementAttempt, SettlementRow, StoreError};
use crate::settlements::gas;
use crate::store::Store;

/// How many rows are deleted at a time.
const AT_A_TIME: i64 = 1000;

impl Store {
    /// Writes down what was tried with a signed payment, where nothing was claimed.
    pub async fn note_settlement_attempt(&self, attempt: SettlementAttempt) -> Result<(), StoreError> {
        send(self.jobs(), Note(attempt)).await
    }

    /// What was tried with a signed payment, the newest first, at most `limit`.
    pub async fn settlement_attempts(
        &self,
        chain: ChainId,
        payment: PaymentId,
        limit: u32,
    ) -> Result<Vec<SettlementAttempt>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT * FROM settlement_attempts WHERE payment_id = $1 AND chain_id = $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(payment.0.to_vec())
        .bind(chain_id(chain))
        .bind(i64::from(limit))
        .fetch_all(reader.connection()?)?;
        rows.iter().map(attempt_of).collect()
    }

    /// Deletes some attempts from before a time, in milliseconds since 1970 UTC, and a chain's sums of gas of days that are
    /// long over. Returns whether there may be more.
    pub async fn prune_settlement_attempts(
        &self,
        chain: ChainId,
        before_ms: u64,
    ) -> Result<bool, StoreError> {
        send(self.jobs(), Prune { chain, before_ms }).await
    }
}

fn attempt_of(row: &Row) -> Result<SettlementAttempt, StoreError> {
    Ok(SettlementAttempt {
        chain: row.chain("chain_id")?,
        payment: row.payment_id("payment_id")?,
        caller: row.maybe_text("caller")?,
        outcome: row.text("outcome")?,
        reason: row.maybe_text("reason")?,
        detail: row.maybe_text("detail")?,
        transaction: row.maybe_hash("transaction_hash")?,
        at_ms: row.number("at_ms")?,
    })
}

const INSERT: &str = "INSERT INTO settlement_attempts (chain_id, payment_id, caller, outcome, reason, detail, transaction_hash,
                                                       at_ms)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

pub(super) fn insert(connection: &mut Connection, attempt: &SettlementAttempt) -> Result<(), StoreError> {
    query(INSERT)
        .bind(chain_id(attempt.chain))
        .bind(attempt.payment.0.to_vec())
        .bind(attempt.caller.clone())
        .bind(attempt.outcome.clone())
        .bind(attempt.reason.clone())
        .bind(attempt.detail.clone())
        .bind(attempt.transaction.map(|hash| hash.to_vec()))
        .bind(clock::now_ms())
        .execute(connection)?;
    Ok(())
}

/// Writes down how a settlement stands now.
pub(super) fn note(connection: &SyncConnection<'_>, row: &SettlementRow) -> Result<(), StoreError> {
    connection.prepare_cached(INSERT)?.execute(params![
        chain_id(row.claimed.chain),
        row.claimed.payment.0.as_slice(),
        row.claimed.caller,
        row.state.name(),
        row.reason,
        row.detail,
        row.transaction.map(|hash| hash.to_vec()),
        clock::now_ms(),
    ])?;
    Ok(())
}

struct Note(SettlementAttempt);

impl Write for Note {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        insert(transaction.connection(), &self.0)
    }
}

struct Prune {
    chain: ChainId,
    before_ms: u64,
}

impl Write for Prune {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        gas::prune(transaction.connection(), self.chain)?;
        let deleted = query(
            "DELETE FROM settlement_attempts
             WHERE id IN (SELECT id FROM settlement_attempts WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)",
        )
        .bind(bound(self.before_ms))
        .bind(AT_A_TIME)
        .execute(transaction.connection())?;
        Ok(deleted.rows_affected() == u64::try_from(AT_A_TIME).unwrap_or(0))
    }
}
