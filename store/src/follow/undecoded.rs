//! Logs of followed contracts that do not decode. They are kept as they came, for people to look at.

use salt402_protocol::{Address, B256, ChainId};

use crate::engine::{Columns as _, SyncConnection, bound, chain_id, clock, params, query};
use crate::rows::StoreError;
use crate::store::Store;

/// How many undecodable logs are kept per chain, the newest.
const UNDECODED_KEPT: i64 = 1000;
/// How many bytes of a log's data are kept.
const UNDECODED_BYTES: usize = 4096;

/// A log of a followed contract that cannot be read, so it is no payment. It never stops a follower.
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
    /// Its position among the undecodable logs of its transaction.
    pub position: u32,
    /// Its topics.
    pub topics: Vec<B256>,
    /// Its data. Stored up to 4,096 bytes.
    pub data: Vec<u8>,
}

impl Store {
    /// Logs that did not decode, the newest first, at most `limit`. The newest 1,000 of a chain are kept, also those in
    /// blocks that left the chain.
    pub async fn undecoded_logs(&self, chain: ChainId, limit: u32) -> Result<Vec<UndecodedLog>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT contract, transaction_hash, block_hash, block_number, position, topics, data FROM undecoded_logs
             WHERE chain_id = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(chain_id(chain))
        .bind(i64::from(limit))
        .fetch_all(reader.connection()?)?;
        let read = rows.iter().map(|row| {
            let position = u32::try_from(row.number("position")?);
            Ok(UndecodedLog {
                contract: row.address("contract")?,
                transaction: row.hash("transaction_hash")?,
                block_hash: row.hash("block_hash")?,
                block_number: row.number("block_number")?,
                position: position.map_err(|_| StoreError::Corrupt { column: "position" })?,
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

/// Keeps each log that does not decode once, and only the newest of all. Counts them all.
pub(crate) fn insert_undecoded(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    logs: &[UndecodedLog],
) -> Result<(), StoreError> {
    if logs.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO undecoded_logs (chain_id, transaction_hash, block_hash, block_number, position, contract, topics,
                                     data, data_bytes, seen_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (chain_id, transaction_hash, block_hash, position) DO NOTHING",
    )?;
    let mut inserted = 0;
    for log in logs {
        inserted += insert.execute(params![
            chain_id(chain),
            log.transaction.as_slice(),
            log.block_hash.as_slice(),
            bound(log.block_number),
            i64::from(log.position),
            log.contract.as_slice(),
            log.topics.iter().flat_map(|topic| topic.0).collect::<Vec<u8>>(),
            log.data.get(..UNDECODED_BYTES).unwrap_or(&log.data),
            i64::try_from(log.data.len()).unwrap_or(i64::MAX),
            clock::now_ms()
        ])?;
    }
    connection
        .prepare_cached("UPDATE chains SET undecoded = undecoded + ?2 WHERE chain_id = ?1")?
        .execute(params![chain_id(chain), i64::try_from(inserted).unwrap_or(i64::MAX)])?;
    connection
        .prepare_cached(
            "DELETE FROM undecoded_logs WHERE chain_id = ?1 AND id <=
             (SELECT id FROM undecoded_logs WHERE chain_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![chain_id(chain), UNDECODED_KEPT])?;
    Ok(())
}
