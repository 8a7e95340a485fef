//! Whom the success of a settlement is told: one caller, since whoever is told it serves for it.

use salt402_protocol::{B256, ChainId, PaymentId};

use crate::engine::{Write, WriteTransaction, chain_id, clock, query, send};
use crate::rows::StoreError;
use crate::store::Store;

impl Store {
    /// Whether a caller may be told that a payment was settled: the first who asks, and after that whoever shows the same key as
    /// the first did. Durable when this returns.
    ///
    /// # Errors
    /// The database could not be written. Nobody is told then.
    pub async fn tell_settlement(
        &self,
        chain: ChainId,
        payment: PaymentId,
        key: Option<B256>,
    ) -> Result<bool, StoreError> {
        send(self.jobs(), Tell { chain, payment, key }).await
    }
}

struct Tell {
    chain: ChainId,
    payment: PaymentId,
    key: Option<B256>,
}

impl Write for Tell {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = false;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let Self { chain, payment, key } = self;
        let told = query(
            "UPDATE settlement_orders SET told_at_ms = COALESCE(told_at_ms, $4), told_key = $3
             WHERE payment_id = $1 AND chain_id = $2 AND state = 'settled' AND (told_at_ms IS NULL OR told_key = $3)
             RETURNING id",
        )
        .bind(payment.0.to_vec())
        .bind(chain_id(*chain))
        .bind(key.map(|key| key.to_vec()))
        .bind(clock::now_ms())
        .fetch_optional(transaction.connection())
        .await?;
        Ok(told.is_some())
    }
}
