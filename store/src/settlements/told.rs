//! Whom the success of a settlement is told: one caller, since whoever is told it serves for it.

use salt402_protocol::{B256, ChainId, PaymentId};

use crate::engine::{Columns as _, Write, WriteTransaction, chain_id, clock, query, send};
use crate::rows::{SettlementState, StoreError, Told};
use crate::store::Store;

impl Store {
    /// Whether a caller may be told that a payment was settled: the first who asks, and after that whoever shows the same key as
    /// the first did. A payment on which a verifier over this database granted is told to nobody, and none is granted on that
    /// was told: it is used up. One whose block has left the chain meanwhile is no success now. Nor is one told that was claimed before
    /// a restore and settled before it too: it may have been told after the backup was taken. Durable when this returns.
    ///
    /// # Errors
    /// The database could not be written. Nobody is told then.
    pub async fn tell_settlement(
        &self,
        chain: ChainId,
        payment: PaymentId,
        key: Option<B256>,
    ) -> Result<Told, StoreError> {
        send(self.jobs(), Tell { chain, payment, key }).await
    }
}

struct Tell {
    chain: ChainId,
    payment: PaymentId,
    key: Option<B256>,
}

impl Write for Tell {
    type Output = Told;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Told, StoreError> {
        let Self { chain, payment, key } = self;
        let connection = transaction.connection();
        let told = query(
            "UPDATE settlement_orders SET told_at_ms = COALESCE(told_at_ms, $4), told_key = $3
             WHERE payment_id = $1 AND chain_id = $2 AND state = 'settled' AND (told_at_ms IS NULL OR told_key = $3)
               AND NOT EXISTS (SELECT 1 FROM claims k WHERE k.payment_id = settlement_orders.payment_id)
               AND (told_at_ms IS NOT NULL OR NOT EXISTS (
                   SELECT 1 FROM restores r
                   WHERE r.restored_at_ms >= settlement_orders.made_at_ms
                     AND r.refuse_before > COALESCE((SELECT b.timestamp FROM blocks b
                                                     WHERE b.chain_id = settlement_orders.chain_id
                                                       AND b.number = settlement_orders.block_number AND b.canonical), 0)))
             RETURNING id",
        )
        .bind(payment.0.to_vec())
        .bind(chain_id(*chain))
        .bind(key.map(|key| key.to_vec()))
        .bind(clock::now_ms())
        .fetch_optional(&mut *connection)?;
        if told.is_some() {
            return Ok(Told::Now);
        }
        let row = query("SELECT state FROM settlement_orders WHERE payment_id = $1 AND chain_id = $2")
            .bind(payment.0.to_vec())
            .bind(chain_id(*chain))
            .fetch_optional(connection)?;
        let state = row.map(|row| row.text("state")).transpose()?;
        Ok(match state.as_deref().and_then(SettlementState::named) {
            Some(SettlementState::Settled) => Told::Before,
            _ => Told::Unsettled,
        })
    }
}
