//! Signatures of settlements that ended are not kept: what is left of them is a hash, by which a retry is known.

use crate::engine::{SyncConnection, Write, WriteTransaction, bound, params, query, send};
use crate::rows::{SettlementRow, SettlementState, StoreError};
use crate::settlements::orders::{columns, row_of};
use crate::store::Store;

impl Store {
    /// Settlements in a state whose signature is kept though they have not changed since a time, in milliseconds since
    /// 1970 UTC, and no transaction of theirs can be mined or leave the chain any more. At most `limit`, the oldest first.
    pub async fn settlements_still_signed(
        &self,
        state: SettlementState,
        before_ms: u64,
        limit: u32,
    ) -> Result<Vec<SettlementRow>, StoreError> {
        let read = |connection: &SyncConnection<'_>| {
            let mut select = connection.prepare_cached(concat!(
                "SELECT ",
                columns!(),
                " FROM settlement_orders o
                 WHERE o.is_signed AND o.state = ?1 AND o.changed_at_ms < ?2
                   AND NOT EXISTS (SELECT 1 FROM settlement_slots s JOIN settlement_transactions t
                                     ON t.chain_id = s.chain_id AND t.signer = s.signer AND t.nonce = s.nonce
                                   WHERE s.order_id = o.id AND t.state IN ('open', 'mined'))
                 ORDER BY o.changed_at_ms LIMIT ?3"
            ))?;
            let mut rows = select.query(params![state.name(), bound(before_ms), i64::from(limit)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(row_of(&row)?);
            }
            Ok(found)
        };
        self.direct().read(read).await
    }

    /// Replaces the payloads of settlements by ones without signature, where they are as they were read.
    pub async fn forget_signatures(&self, rows: Vec<SettlementRow>) -> Result<(), StoreError> {
        send(self.jobs(), Forget(rows)).await
    }
}

/// Settlements with the payloads that are left of them.
struct Forget(Vec<SettlementRow>);

impl Write for Forget {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        for row in &self.0 {
            query(
                "UPDATE settlement_orders SET payload = $2, is_signed = FALSE
                 WHERE id = $1 AND state = $3 AND changed_at_ms = $4 AND is_signed",
            )
            .bind(bound(row.number))
            .bind(row.claimed.payload.clone())
            .bind(row.state.name())
            .bind(bound(row.changed_at_ms))
            .execute(transaction.connection())?;
        }
        Ok(())
    }
}
