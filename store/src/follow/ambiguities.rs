//! Events that may be a payment but can be read in two ways. They count as no payment, and a person must look at them.

use salt402_protocol::{Address, Ambiguity, B256, ChainId};

use crate::engine::{Columns as _, Row, SyncConnection, bound, chain_id, params, query};
use crate::rows::{Placed, StoreError};
use crate::store::Store;

/// An ambiguity as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmbiguityRow {
    /// Its number, ascending.
    pub id: u64,
    /// The transaction.
    pub transaction: B256,
    /// The contract whose event cannot be matched.
    pub contract: Address,
    /// Why, in words.
    pub reason: String,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
}

impl Store {
    /// The ambiguities on a chain, the newest first, at most `limit`, of those with a number below `before`.
    pub async fn ambiguities(
        &self,
        chain: ChainId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AmbiguityRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT id, transaction_hash, contract, reason, block_number, block_hash FROM ambiguities
             WHERE chain_id = $1 AND canonical AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(chain_id(chain))
        .bind(before.map_or(i64::MAX, bound))
        .bind(i64::from(limit))
        .fetch_all(reader.connection()?)?;
        let row = |row: &Row| {
            Ok(AmbiguityRow {
                id: row.number("id")?,
                transaction: row.hash("transaction_hash")?,
                contract: row.address("contract")?,
                reason: row.text("reason")?,
                block_number: row.number("block_number")?,
                block_hash: row.hash("block_hash")?,
            })
        };
        rows.iter().map(row).collect()
    }
}

/// Puts ambiguities on the chain, also those that had left it.
pub(super) fn insert(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    ambiguities: &[Placed<Ambiguity>],
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO ambiguities (chain_id, ambiguity_id, transaction_hash, contract, reason, block_hash,
                                  block_number, canonical)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, TRUE)
         ON CONFLICT (chain_id, ambiguity_id, block_hash) DO UPDATE SET canonical = TRUE",
    )?;
    for Placed { what, block_number, block_hash, .. } in ambiguities {
        insert.execute(params![
            chain_id(chain),
            what.id.as_slice(),
            what.transaction.as_slice(),
            what.contract.as_slice(),
            what.reason,
            block_hash.as_slice(),
            bound(*block_number)
        ])?;
    }
    Ok(())
}
