//! Payments that were mined before the database was restored from a backup. A grant on them may be forgotten.

use salt402_protocol::{B256, ChainId, PaymentId};

use crate::engine::{Columns as _, chain_id, query};
use crate::rows::StoreError;
use crate::store::Store;

/// Whether the payment `p` was mined before the database was restored. It may have been in its present block, in a
/// block that left the chain, or in another transaction of the same signature. A payment that may have been used then
/// stays used, wherever a reorganization puts it.
macro_rules! before_restore {
    () => {
        "(p.block_timestamp < (SELECT COALESCE(MAX(refuse_before), 0) FROM restores)
          OR EXISTS (SELECT 1 FROM restores)
             AND (EXISTS (SELECT 1 FROM payments q
                          WHERE q.chain_id = p.chain_id AND q.transaction_hash = p.transaction_hash
                            AND q.payment_id = p.payment_id AND NOT q.canonical
                            AND q.block_timestamp < (SELECT MAX(refuse_before) FROM restores))
                  OR EXISTS (SELECT 1 FROM settlements s INDEXED BY settlements_of_payment CROSS JOIN payments q
                             WHERE s.chain_id = p.chain_id AND s.payment_id = p.payment_id
                               AND q.chain_id = s.chain_id AND q.transaction_hash = s.transaction_hash
                               AND q.payment_id = s.payment_id AND q.canonical
                               AND q.block_timestamp < (SELECT MAX(refuse_before) FROM restores))
                  OR EXISTS (SELECT 1 FROM settlements s INDEXED BY settlements_of_payment CROSS JOIN payments q
                             WHERE s.chain_id = p.chain_id AND s.payment_id = p.payment_id
                               AND q.chain_id = s.chain_id AND q.transaction_hash = s.transaction_hash
                               AND q.payment_id = s.payment_id AND NOT q.canonical
                               AND q.block_timestamp < (SELECT MAX(refuse_before) FROM restores))))"
    };
}
pub(super) use before_restore;

impl Store {
    /// Whether a payment of the chain was mined before this database was restored from a backup. If it has no claim, it
    /// is not granted on ([`ClaimResult::BeforeRestore`](crate::ClaimResult::BeforeRestore)). Blocks that left the
    /// chain count too. `false` if the payment is not known. In a database that was never restored, nothing is read.
    pub async fn is_before_restore(
        &self,
        chain: ChainId,
        transaction: B256,
        payment: PaymentId,
    ) -> Result<bool, StoreError> {
        if self.refuse_before() == 0 {
            return Ok(false);
        }
        let mut reader = self.reader().await?;
        let row = query(concat!(
            "SELECT EXISTS (SELECT 1 FROM payments p
                            WHERE p.chain_id = $1 AND p.transaction_hash = $2 AND p.payment_id = $3 AND p.canonical AND ",
            before_restore!(),
            ") OR EXISTS (SELECT 1 FROM payments q
                          WHERE q.chain_id = $1 AND q.transaction_hash = $2 AND q.payment_id = $3 AND NOT q.canonical
                            AND q.block_timestamp < (SELECT COALESCE(MAX(refuse_before), 0) FROM restores))
              AS before_restore"
        ))
        .bind(chain_id(chain))
        .bind(transaction.as_slice())
        .bind(payment.0.as_slice())
        .fetch_one(reader.connection()?)?;
        row.flag("before_restore")
    }
}
