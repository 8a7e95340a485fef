//! Whether the rows of a step are in blocks of the stored chain, by the stored headers.

use std::collections::HashMap;

use salt402_protocol::{B256, ChainId};

use crate::engine::{SyncConnection, bound, chain_id, params};
use crate::rows::{PlacedPayment, StoreError};

/// An error if a payment is in another block than the chain's block of that height.
pub(crate) fn check_blocks<'a>(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    payments: impl Iterator<Item = &'a PlacedPayment> + Clone,
) -> Result<(), StoreError> {
    let heights = payments.clone().map(|placed| placed.block_number);
    let (Some(lowest), Some(highest)) = (heights.clone().min(), heights.max()) else { return Ok(()) };
    let stored = stored_hashes(connection, chain, lowest, highest)?;
    if stored.is_empty() {
        return Ok(());
    }
    let is_elsewhere = |placed: &&PlacedPayment| {
        stored.get(&placed.block_number).is_some_and(|hash| *hash != placed.block_hash)
    };
    let mut payments = payments;
    match payments.find(is_elsewhere) {
        Some(placed) => Err(StoreError::BadBatch {
            chain,
            reason: format!("payment {} is in a block that is not on the chain", placed.payment.id),
        }),
        None => Ok(()),
    }
}

/// The same for events that are no payments.
pub(crate) fn check_events(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    blocks: Vec<(u64, B256)>,
) -> Result<(), StoreError> {
    let heights = || blocks.iter().map(|(number, _)| *number);
    let (Some(lowest), Some(highest)) = (heights().min(), heights().max()) else { return Ok(()) };
    let stored = stored_hashes(connection, chain, lowest, highest)?;
    match blocks.iter().find(|(number, hash)| stored.get(number).is_some_and(|own| own != hash)) {
        Some((number, _)) => Err(StoreError::BadBatch {
            chain,
            reason: format!("an event is in a block {number} that is not on the chain"),
        }),
        None => Ok(()),
    }
}

/// The hashes of the chain's blocks at some heights, as far as headers are kept.
pub(crate) fn stored_hashes(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    lowest: u64,
    highest: u64,
) -> Result<HashMap<u64, B256>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT number, hash FROM blocks WHERE chain_id = ?1 AND number BETWEEN ?2 AND ?3 AND canonical",
    )?;
    let mut rows = select.query(params![chain_id(chain), bound(lowest), bound(highest)])?;
    let mut hashes = HashMap::new();
    while let Some(row) = rows.next()? {
        hashes.insert(row.natural(0, "number")?, row.hash_at(1, "hash")?);
    }
    Ok(hashes)
}

/// Whether a block is on the chain, by its header.
pub(crate) fn is_canonical(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    number: u64,
    hash: B256,
) -> Result<bool, StoreError> {
    let found = connection
        .prepare_cached("SELECT number FROM blocks WHERE chain_id = ?1 AND hash = ?2 AND canonical")?
        .query_optional(params![chain_id(chain), hash.as_slice()], |row| row.get::<i64>(0))?;
    Ok(found == Some(bound(number)))
}
