//! Charges as an operator sees them, and those that are asked for no more.

use salt402_protocol::PaymentId;

use crate::engine::{Write, WriteTransaction, clock, query, send};
use crate::grants::charges::{charge, charge_columns};
use crate::rows::{Charge, StoreError};
use crate::store::Store;

impl Store {
    /// Charges that are open, those that nothing tries any more first, at most `limit`. With `all`, also those that were settled or
    /// written off, the newest first.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn charges(&self, all: bool, limit: u32) -> Result<Vec<Charge>, StoreError> {
        let mut reader = self.reader().await?;
        let sql = if all {
            concat!("SELECT ", charge_columns!(), " FROM charges ORDER BY rowid DESC LIMIT $1")
        } else {
            concat!(
                "SELECT ",
                charge_columns!(),
                " FROM charges WHERE due_ms IS NOT NULL ORDER BY due_ms DESC LIMIT $1"
            )
        };
        let rows = query(sql).bind(i64::from(limit)).fetch_all(reader.connection()?)?;
        rows.iter().map(charge).collect()
    }

    /// Writes down that an operator asks no more for a charge: it could not be moved, or its authorization has ended and nobody
    /// knows. Returns whether there was such a charge. Durable when this returns.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn write_charge_off(&self, payment: PaymentId, note: String) -> Result<bool, StoreError> {
        send(self.jobs(), WriteOff { payment, note }).await
    }
}

struct WriteOff {
    payment: PaymentId,
    note: String,
}

impl Write for WriteOff {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE charges SET state = 'written_off', note = $2, due_ms = NULL, changed_at_ms = $3
             WHERE payment_id = $1 AND (state = 'unpaid' OR state = 'charged' AND ends_at_ms < $3)",
        )
        .bind(self.payment.0.as_slice())
        .bind(self.note.as_str())
        .bind(clock::now_ms())
        .execute(transaction.connection())?;
        Ok(done.rows_affected() == 1)
    }
}
