//! What runs have used that nobody got an answer of, because their payer left: it is charged with the answer, or alone.

use salt402_protocol::{Amount, PaymentId};

use crate::engine::{Columns as _, Write, WriteTransaction, amount_bytes, bound, query, send};
use crate::rows::StoreError;
use crate::store::Store;

impl Store {
    /// Writes down that a run has used so much, in base units, and that its payer left before it got anything of the answer. What is
    /// sunk so in a request that is under way is within its ceiling. What a facilitator settles is given up in time to be settled:
    /// `margin_ms` before it ends.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn sink(&self, payment: PaymentId, amount: Amount, margin_ms: u64) -> Result<(), StoreError> {
        send(self.jobs(), Sink { payment, amount, margin_ms }).await
    }

    /// What was sunk in a request, in base units.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn sunk(&self, payment: PaymentId) -> Result<Amount, StoreError> {
        let mut reader = self.reader().await?;
        let row = query("SELECT sunk FROM charges WHERE payment_id = $1")
            .bind(payment.0.as_slice())
            .fetch_optional(reader.connection()?)?;
        row.map_or(Ok(Amount::ZERO), |row| row.amount("sunk"))
    }
}

struct Sink {
    payment: PaymentId,
    amount: Amount,
    margin_ms: u64,
}

impl Write for Sink {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        let row = query("SELECT ceiling, sunk FROM charges WHERE payment_id = $1 AND state = 'running'")
            .bind(self.payment.0.as_slice())
            .fetch_optional(transaction.connection())?;
        let Some(row) = row else { return Ok(()) };
        let sunk = Amount(row.amount("sunk")?.0.saturating_add(self.amount.0)).min(row.amount("ceiling")?);
        query(
            "UPDATE charges SET sunk = $2, due_ms = CASE WHEN question IS NULL THEN due_ms ELSE MAX(ends_at_ms - $3, 0) END
             WHERE payment_id = $1",
        )
        .bind(self.payment.0.as_slice())
        .bind(amount_bytes(sunk).to_vec())
        .bind(bound(self.margin_ms))
        .execute(transaction.connection())?;
        Ok(())
    }
}
