//! Which signed payments were called valid, and to whom, so that the next process knows it too.
//!
//! What was used up on the chain is a success only for whoever showed it before that: anybody can read it there. So this is on disk before
//! anybody is told that a payment is valid.

use salt402_protocol::{ChainId, PaymentId};

use crate::engine::{
    Columns as _, Connection, SyncConnection, Write, WriteTransaction, bound, chain_id, params, query, send,
};
use crate::rows::{CalledValid, StoreError, ValidCall};
use crate::store::Store;

/// How many are kept. Each costs its maker a signature over money that is there.
const MOST: u64 = 200_000;
/// After how many new ones the oldest are deleted.
const AT_A_TIME: u64 = 256;

impl Store {
    /// Writes down that signed payments are called valid, all in one transaction. Of each: `false`, and nothing is written, if it was
    /// called so to another caller, and is exclusive: it is valid for that one alone. Durable when this returns.
    ///
    /// # Errors
    /// The database could not be written. Nobody is told then.
    pub async fn call_valid(&self, calls: Vec<ValidCall>) -> Result<Vec<bool>, StoreError> {
        send(self.jobs(), Calls(calls)).await
    }

    /// What was called valid of a signed payment, and to whom. `None`: nothing, or it is long ago.
    ///
    /// Reads the database on the caller's thread. That takes microseconds.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn called_valid(
        &self,
        chain: ChainId,
        payment: PaymentId,
    ) -> Result<Option<CalledValid>, StoreError> {
        tokio::task::coop::consume_budget().await;
        let read = |connection: &SyncConnection<'_>| {
            connection
                .prepare_cached(
                    "SELECT signed, caller FROM called_valid WHERE payment_id = ?1 AND chain_id = ?2",
                )?
                .query_optional(params![payment.0.as_slice(), chain_id(chain)], |row| {
                    Ok(CalledValid {
                        chain,
                        payment,
                        signed: row.hash("signed")?,
                        caller: row.maybe_text("caller")?,
                    })
                })
        };
        self.direct().read(read).await
    }
}

struct Calls(Vec<ValidCall>);

impl Write for Calls {
    type Output = Vec<bool>;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Vec<bool>, StoreError> {
        let connection = transaction.connection();
        self.0.iter().map(|call| write(connection, call)).collect()
    }
}

fn write(connection: &mut Connection, call: &ValidCall) -> Result<bool, StoreError> {
    let ValidCall { valid, is_exclusive } = call;
    let row = query(
        "INSERT INTO called_valid (chain_id, payment_id, signed, caller) VALUES ($1, $2, $3, $4)
         ON CONFLICT (payment_id, chain_id) DO UPDATE SET signed = excluded.signed, caller = excluded.caller
         WHERE caller IS excluded.caller OR caller IS NULL OR NOT $5
         RETURNING id",
    )
    .bind(chain_id(valid.chain))
    .bind(valid.payment.0.to_vec())
    .bind(valid.signed.to_vec())
    .bind(valid.caller.clone())
    .bind(*is_exclusive)
    .fetch_optional(&mut *connection)?;
    let Some(row) = row else { return Ok(false) };
    let id = row.number("id")?;
    if id.is_multiple_of(AT_A_TIME) {
        query("DELETE FROM called_valid WHERE id <= $1")
            .bind(bound(id.saturating_sub(MOST)))
            .execute(connection)?;
    }
    Ok(true)
}
