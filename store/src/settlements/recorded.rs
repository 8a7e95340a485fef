//! What is known here of a signed payment and of its payer, before it is judged.

use salt402_protocol::{Address, Amount, ChainId, PaymentId};

use crate::engine::{Columns as _, SyncConnection, chain_id, params};
use crate::rows::{Recorded, StoreError};
use crate::store::Store;

/// One statement, so that all of it is of one moment. `what` says what a row is.
const RECORDED: &str =
    "SELECT 0 AS what, charge FROM settlement_orders
     WHERE chain_id = ?1 AND payer = ?2 AND token = ?3 AND state IN ('queued', 'sent')
     UNION ALL
     SELECT 1, NULL FROM settlement_orders WHERE payment_id = ?4 AND chain_id = ?1
     UNION ALL
     SELECT 2, NULL WHERE EXISTS (
         SELECT 1 FROM settlements s INDEXED BY settlements_of_payment CROSS JOIN payments p
         WHERE s.chain_id = ?1 AND s.payment_id = ?4
           AND p.chain_id = ?1 AND p.transaction_hash = s.transaction_hash AND p.payment_id = ?4 AND p.canonical)";

impl Store {
    /// What is known of a signed payment, and of what its payer promised in its token.
    ///
    /// Reads the database on the caller's thread, as each request does. That takes microseconds.
    pub async fn recorded(
        &self,
        chain: ChainId,
        payment: PaymentId,
        token: Address,
        payer: Address,
    ) -> Result<Recorded, StoreError> {
        tokio::task::coop::consume_budget().await;
        let read = |connection: &SyncConnection<'_>| {
            let mut select = connection.prepare_cached(RECORDED)?;
            let mut rows = select.query(params![
                chain_id(chain),
                payer.as_slice(),
                token.as_slice(),
                payment.0.as_slice()
            ])?;
            let mut found = Recorded::default();
            while let Some(row) = rows.next()? {
                match row.natural(0, "what")? {
                    0 => {
                        let charge = row.amount("charge")?;
                        found.promised = Amount(found.promised.0.saturating_add(charge.0));
                    }
                    1 => found.is_claimed = true,
                    _ => found.is_on_chain = true,
                }
            }
            Ok(found)
        };
        self.direct().read(read).await
    }
}
