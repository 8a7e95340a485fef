//! The widths that nodes refuse to answer for, so that a process that starts again need not find them anew.

use std::collections::BTreeMap;

use salt402_protocol::ChainId;

use crate::engine::async_sql::query;
use crate::engine::clock;
use crate::engine::columns::{Columns as _, bound, chain_id};
use crate::engine::queue::{Write, send};
use crate::engine::transaction::WriteTransaction;
use crate::rows::error::StoreError;
use crate::store::Store;

/// How long a ceiling is believed that was not noted again: a node may be another one by then. A week.
const BELIEVED_MS: i64 = 7 * 24 * 60 * 60 * 1000;

impl Store {
    /// How many blocks are too many for a question about a range, by the nodes of a chain that refused so many. What was
    /// noted longer than a week ago is not among them.
    pub async fn range_ceilings(&self, chain: ChainId) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT node, blocks FROM range_ceilings WHERE chain_id = $1 AND noted_at_ms >= $2 ORDER BY node",
        )
        .bind(chain_id(chain))
        .bind(clock::now_ms().saturating_sub(BELIEVED_MS))
        .fetch_all(reader.connection()?)
        .await?;
        rows.iter().map(|row| Ok((row.text("node")?, row.number("blocks")?))).collect()
    }

    /// Notes that a node of a chain refuses so many blocks; with `None`, that it is not known to refuse any number. `node` is
    /// its name, and nothing of its address that may be a key.
    pub async fn note_range_ceiling(
        &self,
        chain: ChainId,
        node: &str,
        blocks: Option<u64>,
    ) -> Result<(), StoreError> {
        let at_ms = u64::try_from(clock::now_ms()).unwrap_or(0);
        self.note_range_ceiling_at(chain, node, blocks, at_ms).await
    }

    /// [`Store::note_range_ceiling`] at a moment of the caller's, in milliseconds since 1970 UTC.
    pub async fn note_range_ceiling_at(
        &self,
        chain: ChainId,
        node: &str,
        blocks: Option<u64>,
        at_ms: u64,
    ) -> Result<(), StoreError> {
        send(self.jobs(), NoteCeiling { chain, node: node.to_owned(), blocks, at_ms }).await
    }
}

struct NoteCeiling {
    chain: ChainId,
    node: String,
    blocks: Option<u64>,
    at_ms: u64,
}

impl Write for NoteCeiling {
    type Output = ();

    fn changes_payments(&self) -> bool {
        false
    }

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        // Those of nodes that are configured no more go too, so that the table stays small.
        query("DELETE FROM range_ceilings WHERE (chain_id = $1 AND node = $2) OR noted_at_ms < $3")
            .bind(chain_id(self.chain))
            .bind(self.node.as_str())
            .bind(clock::now_ms().saturating_sub(BELIEVED_MS))
            .execute(transaction.connection())
            .await?;
        if let Some(blocks) = self.blocks {
            query("INSERT INTO range_ceilings (chain_id, node, blocks, noted_at_ms) VALUES ($1, $2, $3, $4)")
                .bind(chain_id(self.chain))
                .bind(self.node.as_str())
                .bind(bound(blocks))
                .bind(bound(self.at_ms))
                .execute(transaction.connection())
                .await?;
        }
        Ok(())
    }
}
