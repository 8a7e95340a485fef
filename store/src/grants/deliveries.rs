//! Streams that are paid as they go: what was given of them, and what that costs, on disk before it is given.
//!
//! ```text
//! running ──each piece, with what all costs so far──▶ running ──the end──▶ charged, with the answer
//!    └── nobody runs it any more: what was given is the answer, and what it costs is charged ──▶ ┘
//! ```

use salt402_protocol::{Amount, PaymentId};

use crate::engine::{Columns as _, Write, WriteTransaction, amount_bytes, bound, clock, query, send};
use crate::grants::outcome::{Outcome, Put};
use crate::grants::{charges, pieces};
use crate::rows::{NewPiece, StoreError};
use crate::store::Store;

impl Store {
    /// Writes down that more may be charged of a request that is under way, in base units. What is more already stays.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn raise_charge(&self, payment: PaymentId, ceiling: Amount) -> Result<(), StoreError> {
        send(self.jobs(), Raise { payment, ceiling }).await
    }

    /// Writes down that a piece of a stream is given, and what all that was given costs then. Durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::AboveCeiling`] if that is more than was authorized, or nothing is under way. Nothing was written then.
    pub async fn deliver(&self, piece: NewPiece) -> Result<(), StoreError> {
        send(self.jobs(), piece).await
    }

    /// Ends a stream that nobody runs any more: what was given of it is its answer, and what that costs is charged. Returns whether
    /// anything was given.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn end_delivery(&self, payment: PaymentId) -> Result<bool, StoreError> {
        send(self.jobs(), End { payment, now_ms: clock::now_ms().unsigned_abs() }).await
    }

    /// The streams of which something was given and that have not ended, after a payment in the order of their ids, at most `most`.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn open_deliveries(
        &self,
        after: Option<PaymentId>,
        most: u32,
    ) -> Result<Vec<PaymentId>, StoreError> {
        let mut reader = self.reader().await?;
        let rows =
            query("SELECT payment_id FROM deliveries WHERE payment_id > $1 ORDER BY payment_id LIMIT $2")
                .bind(after.map(|payment| payment.0.to_vec()).unwrap_or_default())
                .bind(i64::from(most))
                .fetch_all(reader.connection()?)?;
        rows.iter().map(|row| row.payment_id("payment_id")).collect()
    }
}

impl Write for NewPiece {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        charges::check(transaction, self.payment, self.amount)?;
        let headers =
            serde_json::to_string(&self.headers).map_err(|_| StoreError::Corrupt { column: "headers" })?;
        let kept = self.keeps.then_some(&self.bytes);
        query(
            "INSERT INTO deliveries (payment_id, headers, amount, size, is_kept) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (payment_id) DO UPDATE SET amount = excluded.amount, size = size + excluded.size,
                                                    is_kept = is_kept AND excluded.is_kept",
        )
        .bind(self.payment.0.as_slice())
        .bind(headers.as_str())
        .bind(amount_bytes(self.amount).to_vec())
        .bind(bound(self.bytes.len() as u64))
        .bind(self.keeps)
        .execute(transaction.connection())?;
        let Some(bytes) = kept else { return pieces::forget_pieces(transaction, self.payment) };
        query(
            "INSERT INTO delivery_pieces (payment_id, place, bytes)
             SELECT payment_id, size - $2, $3 FROM deliveries WHERE payment_id = $1 AND is_kept",
        )
        .bind(self.payment.0.as_slice())
        .bind(bound(bytes.len() as u64))
        .bind(bytes.as_slice())
        .execute(transaction.connection())?;
        Ok(())
    }
}

struct Raise {
    payment: PaymentId,
    ceiling: Amount,
}

impl Write for Raise {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        charges::raise(transaction, self.payment, self.ceiling)
    }
}

struct End {
    payment: PaymentId,
    now_ms: u64,
}

impl Write for End {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let row = query("SELECT headers, amount, is_kept FROM deliveries WHERE payment_id = $1")
            .bind(self.payment.0.as_slice())
            .fetch_optional(transaction.connection())?;
        let Some(row) = row else { return Ok(false) };
        let headers = serde_json::from_str(&row.text("headers")?)
            .map_err(|_| StoreError::Corrupt { column: "headers" })?;
        let pieces = query("SELECT bytes FROM delivery_pieces WHERE payment_id = $1 ORDER BY place")
            .bind(self.payment.0.as_slice())
            .fetch_all(transaction.connection())?;
        let mut body = Vec::new();
        for piece in &pieces {
            body.extend(piece.bytes("bytes")?);
        }
        let put = Put {
            payment: self.payment,
            outcome: Outcome { status: 200, headers, body },
            evicted: !row.flag("is_kept")?,
            charge: Some(row.amount("amount")?),
            now_ms: self.now_ms,
        };
        put.write(transaction)?;
        Ok(true)
    }
}
