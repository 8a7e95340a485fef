//! Logs of followed contracts that do not decode: kept as they came, for people to look at.

use salt402_protocol::{Address, B256, ChainId};

use crate::columns::{Columns as _, chain_id};
use crate::{Store, StoreError};

/// A log that a followed contract emitted and that is nothing that can be read: no payment, whatever it was meant to
/// be. It never stops a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndecodedLog {
    /// Who emitted it.
    pub contract: Address,
    /// Its transaction.
    pub transaction: B256,
    /// The hash of its block.
    pub block_hash: B256,
    /// The height of its block.
    pub block_number: u64,
    /// Its place among the logs of its transaction that do not decode.
    pub place: u32,
    /// Its topics.
    pub topics: Vec<B256>,
    /// Its data. Stored up to 4,096 bytes.
    pub data: Vec<u8>,
}

impl Store {
    /// Logs that did not decode, the newest first, at most `limit`. The newest 1,000 of a chain are kept; in blocks
    /// that have left the chain, too.
    pub async fn undecoded_logs(&self, chain: ChainId, limit: u32) -> Result<Vec<UndecodedLog>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = sqlx::query(
            "SELECT contract, transaction_hash, block_hash, block_number, place, topics, data FROM undecoded_logs
             WHERE chain_id = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(chain_id(chain))
        .bind(i64::from(limit))
        .fetch_all(reader.connection()?)
        .await?;
        let read = rows.iter().map(|row| {
            let place = u32::try_from(row.number("place")?);
            Ok(UndecodedLog {
                contract: row.address("contract")?,
                transaction: row.hash("transaction_hash")?,
                block_hash: row.hash("block_hash")?,
                block_number: row.number("block_number")?,
                place: place.map_err(|_| StoreError::Corrupt { column: "place" })?,
                topics: topics_of(&row.bytes("topics")?)?,
                data: row.bytes("data")?,
            })
        });
        read.collect()
    }
}

fn topics_of(bytes: &[u8]) -> Result<Vec<B256>, StoreError> {
    match bytes.as_chunks::<32>() {
        (topics, []) => Ok(topics.iter().map(|topic| B256::from(*topic)).collect()),
        _ => Err(StoreError::Corrupt { column: "topics" }),
    }
}
