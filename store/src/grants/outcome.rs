//! Outcomes: the response that was given for a payment. A retry gets the same response and runs nothing.

use salt402_protocol::{Amount, PaymentId};

use crate::engine::{Columns, SyncConnection, Write, WriteTransaction, bound, clock, query, send};
use crate::grants::{charges, pieces};
use crate::rows::StoreError;
use crate::store::Store;

/// How many outcomes one transaction evicts.
const EVICTED_AT_ONCE: u64 = 256;

/// An HTTP response that was given for a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its status code.
    pub status: u16,
    /// Its headers in their order, with the content type.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// What is known of the response for a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredOutcome {
    /// It is kept.
    Kept {
        /// The response.
        outcome: Outcome,
        /// Since when, in milliseconds since 1970 UTC.
        kept_at_ms: u64,
    },
    /// It was given, but is no longer kept.
    Evicted,
}

impl Store {
    /// Keeps the response for a payment. The first one stays: a second changes nothing, even if the first was evicted.
    /// Returns the time that was stored, in milliseconds since 1970 UTC.
    pub async fn put_outcome(&self, payment: PaymentId, outcome: Outcome) -> Result<u64, StoreError> {
        self.put_charged_outcome(payment, outcome, None).await
    }

    /// The same, with what is charged for it, in base units, in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::AboveCeiling`] if more is charged than was authorized. Nothing was written then.
    pub async fn put_charged_outcome(
        &self,
        payment: PaymentId,
        outcome: Outcome,
        charge: Option<Amount>,
    ) -> Result<u64, StoreError> {
        let now_ms = clock::now_ms().unsigned_abs();
        send(self.jobs(), Put { payment, outcome, evicted: false, charge, now_ms }).await
    }

    /// Notes that the response for a payment was given and is not kept. A response that is kept stays.
    pub async fn put_outcome_unkept(&self, payment: PaymentId) -> Result<(), StoreError> {
        self.put_charged_outcome_unkept(payment, None).await
    }

    /// The same, with what is charged for it, in base units, in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::AboveCeiling`] if more is charged than was authorized. Nothing was written then.
    pub async fn put_charged_outcome_unkept(
        &self,
        payment: PaymentId,
        charge: Option<Amount>,
    ) -> Result<(), StoreError> {
        let outcome = Outcome { status: 200, headers: Vec::new(), body: Vec::new() };
        let put = Put { payment, outcome, evicted: true, charge, now_ms: clock::now_ms().unsigned_abs() };
        send(self.jobs(), put).await.map(drop)
    }

    /// Takes back that the response for a payment was given, which [`Store::put_outcome_unkept`] noted: it did not reach
    /// its client. A response that is kept stays.
    pub async fn retract_outcome_unkept(&self, payment: PaymentId) -> Result<(), StoreError> {
        send(self.jobs(), Retract(payment)).await
    }

    /// The response for a payment; `None` if none was given.
    pub async fn outcome(&self, payment: PaymentId) -> Result<Option<StoredOutcome>, StoreError> {
        let find = |connection: &SyncConnection<'_>| {
            connection
                .prepare_cached(
                    "SELECT status, headers, body, evicted, stored_at_ms FROM outcomes WHERE payment_id = ?1",
                )?
                .query_optional([payment.0.as_slice()], |row| stored_of(&row))
        };
        self.direct().read(find).await
    }

    /// Forgets the contents of outcomes from before `older_than_ms` (milliseconds since 1970 UTC), and of the oldest
    /// ones while all together are larger than `keep_bytes`. It stays known that they were given. Returns how many were
    /// evicted. Writes a few hundred at a time, so that claims come in between.
    pub async fn evict_outcomes(&self, older_than_ms: u64, keep_bytes: u64) -> Result<u64, StoreError> {
        let Some((stored_at_ms, payment)) = self.newest_doomed(older_than_ms, keep_bytes).await? else {
            return Ok(0);
        };
        let mut evicted = 0;
        loop {
            let now = send(self.jobs(), Evict { stored_at_ms, payment }).await?;
            evicted += now;
            if now < EVICTED_AT_ONCE {
                return Ok(evicted);
            }
        }
    }

    /// The newest outcome that must go. All that are older, by time and then by id, go with it.
    async fn newest_doomed(
        &self,
        older_than_ms: u64,
        keep_bytes: u64,
    ) -> Result<Option<(u64, PaymentId)>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT stored_at_ms, payment_id FROM (
                 SELECT stored_at_ms, payment_id,
                        SUM(size) OVER (ORDER BY stored_at_ms DESC, payment_id DESC
                                        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total
                 FROM outcomes WHERE NOT evicted) AS kept
             WHERE stored_at_ms < $1 OR total > $2
             ORDER BY stored_at_ms DESC, payment_id DESC LIMIT 1",
        )
        .bind(bound(older_than_ms))
        .bind(bound(keep_bytes))
        .fetch_optional(reader.connection()?)?;
        row.map(|row| Ok((row.number("stored_at_ms")?, row.payment_id("payment_id")?))).transpose()
    }
}

fn stored_of(row: &impl Columns) -> Result<StoredOutcome, StoreError> {
    if row.flag("evicted")? {
        return Ok(StoredOutcome::Evicted);
    }
    let status =
        u16::try_from(row.number("status")?).map_err(|_| StoreError::Corrupt { column: "status" })?;
    let headers =
        serde_json::from_str(&row.text("headers")?).map_err(|_| StoreError::Corrupt { column: "headers" })?;
    let outcome = Outcome { status, headers, body: row.bytes("body")? };
    Ok(StoredOutcome::Kept { outcome, kept_at_ms: row.number("stored_at_ms")? })
}

pub(super) struct Put {
    pub(super) payment: PaymentId,
    pub(super) outcome: Outcome,
    /// Whether only that it was given is noted.
    pub(super) evicted: bool,
    /// What is charged, where that is known with the response.
    pub(super) charge: Option<Amount>,
    pub(super) now_ms: u64,
}

impl Write for Put {
    type Output = u64;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<u64, StoreError> {
        let Outcome { status, headers, body } = &self.outcome;
        let headers =
            serde_json::to_string(headers).map_err(|_| StoreError::Corrupt { column: "headers" })?;
        query(
            "INSERT INTO outcomes (payment_id, status, headers, body, size, stored_at_ms, evicted)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (payment_id) DO NOTHING",
        )
        .bind(self.payment.0.as_slice())
        .bind(i64::from(*status))
        .bind(headers.as_str())
        .bind(body.as_slice())
        .bind(bound(if self.evicted { 0 } else { (headers.len() + body.len()) as u64 }))
        .bind(bound(self.now_ms))
        .bind(self.evicted)
        .execute(transaction.connection())?;
        if let Some(amount) = self.charge {
            charges::put(transaction, self.payment, amount, self.now_ms)?;
            pieces::forget(transaction, self.payment)?;
        }
        query("DELETE FROM unserved WHERE payment_id = $1")
            .bind(self.payment.0.as_slice())
            .execute(transaction.connection())?;
        Ok(self.now_ms)
    }
}

struct Retract(PaymentId);

impl Write for Retract {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        query("DELETE FROM outcomes WHERE payment_id = $1 AND evicted")
            .bind(self.0.0.as_slice())
            .execute(transaction.connection())?;
        Ok(())
    }
}

/// Evicts some of the oldest outcomes, up to and with this one.
struct Evict {
    stored_at_ms: u64,
    payment: PaymentId,
}

impl Write for Evict {
    type Output = u64;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<u64, StoreError> {
        let done = query(
            "UPDATE outcomes SET headers = '[]', body = $4, size = 0, evicted = TRUE
             WHERE payment_id IN (SELECT payment_id FROM outcomes
                                  WHERE NOT evicted AND (stored_at_ms, payment_id) <= ($1, $2)
                                  ORDER BY stored_at_ms, payment_id LIMIT $3)",
        )
        .bind(bound(self.stored_at_ms))
        .bind(self.payment.0.as_slice())
        .bind(bound(EVICTED_AT_ONCE))
        .bind(&[][..] as &[u8])
        .execute(transaction.connection())?;
        Ok(done.rows_affected())
    }
}
