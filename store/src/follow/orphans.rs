//! Orphaned transactions that matter: their block left the chain, and something was granted on them.

use salt402_protocol::{B256, ChainId};

use crate::engine::{Columns as _, bound, chain_id, query};
use crate::rows::StoreError;
use crate::store::Store;

impl Store {
    /// Transactions of blocks that left the chain, above a height, that are in no block of the chain now. Only those
    /// with a payment that was granted on, or with an event of a channel. The newest come first, at most `limit`.
    pub async fn orphaned_transactions(
        &self,
        chain: ChainId,
        above: u64,
        limit: u32,
    ) -> Result<Vec<B256>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(ORPHANED)
            .bind(chain_id(chain))
            .bind(bound(above))
            .bind(limit)
            .fetch_all(reader.connection()?)?;
        rows.iter().map(|row| row.hash("transaction_hash")).collect()
    }
}

/// Within a block they are ordered by hash, so that the order is always the same.
const ORPHANED: &str = "SELECT transaction_hash, MAX(block_number) AS newest FROM (
         SELECT p.transaction_hash, p.block_number
         FROM payments p CROSS JOIN claims k
         WHERE p.chain_id = $1 AND p.block_number > $2 AND NOT p.canonical AND k.payment_id = p.payment_id
           AND NOT EXISTS (SELECT 1 FROM payments q
                           WHERE q.chain_id = p.chain_id AND q.transaction_hash = p.transaction_hash
                             AND q.payment_id = p.payment_id AND q.canonical)
         UNION ALL
         SELECT e.transaction_hash, e.block_number
         FROM channel_events e
         WHERE e.chain_id = $1 AND e.block_number > $2 AND NOT e.canonical
           AND NOT EXISTS (SELECT 1 FROM channel_events f
                           WHERE f.chain_id = e.chain_id AND f.event_id = e.event_id AND f.canonical))
     GROUP BY transaction_hash
     ORDER BY newest DESC, transaction_hash LIMIT $3";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{open, sql};

    #[tokio::test]
    async fn orphaned_transactions_are_found_by_indexes() {
        let (_directory, mut connection) = open::empty().await;
        let plan = sql::plan(&mut connection, ORPHANED);
        for line in [
            "SEARCH p USING INDEX payments_orphaned_by_height (chain_id=? AND block_number>?)",
            "SEARCH e USING INDEX channel_events_orphaned_by_height (chain_id=? AND block_number>?)",
        ] {
            assert!(plan.iter().any(|known| known == line), "{plan:?}");
        }
        assert!(
            !plan.iter().any(|line| line.starts_with("SCAN p") || line.starts_with("SCAN e")),
            "{plan:?}"
        );
    }
}
