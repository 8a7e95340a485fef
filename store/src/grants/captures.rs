//! What is charged of an authorization that was reserved: of a signed payment or of a voucher whose amount is a ceiling, or of a balance. Written
//! once; never more than the ceiling; and what was written first stays, so that nothing that comes later raises it.

use crate::accounts;
use crate::channels::voucher::capture;
use crate::engine::{Columns as _, Write, WriteTransaction, amount_bytes, query, send};
use crate::rows::{Captured, NewCapture, StoreError};
use crate::store::Store;

impl Store {
    /// Writes down what is charged of an authorization. Durable when this returns.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn capture(&self, capture: NewCapture) -> Result<Captured, StoreError> {
        send(self.jobs(), capture).await
    }
}

impl Write for NewCapture {
    type Output = Captured;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Captured, StoreError> {
        let reserved = query(
            "SELECT amount, state, captured IS NOT NULL AS is_captured, COALESCE(captured, amount) AS captured
             FROM reservations WHERE payment_id = $1 AND claimant = $2 AND state <> 'released'",
        )
        .bind(self.payment.0.as_slice())
        .bind(self.claimant.as_str())
        .fetch_optional(transaction.connection())?;
        let Some(row) = reserved else {
            let granted = capture::capture(transaction, self.payment, &self.claimant, self.amount)?;
            let captured = match granted {
                Some(captured) => Some(captured),
                None => accounts::capture(transaction, self.payment, &self.claimant, self.amount)?,
            };
            return Ok(captured.unwrap_or(Captured::Unknown));
        };
        if row.flag("is_captured")? {
            let settled = row.text("state")? == "settled";
            return Ok(Captured::Done { amount: row.amount("captured")?, settled });
        }
        let ceiling = row.amount("amount")?;
        if self.amount > ceiling {
            return Ok(Captured::AboveCeiling(ceiling));
        }
        query("UPDATE reservations SET captured = $2 WHERE payment_id = $1")
            .bind(self.payment.0.as_slice())
            .bind(amount_bytes(self.amount).to_vec())
            .execute(transaction.connection())?;
        Ok(Captured::Done { amount: self.amount, settled: false })
    }
}
