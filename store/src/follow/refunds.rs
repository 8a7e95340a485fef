//! What payees gave back, as rows that follow the chain as payments do.

use std::collections::HashSet;

use salt402_protocol::{Address, B256, ChainId, Refund};

use crate::engine::columns::{amount_bytes, bound, chain_id};
use crate::engine::sync_sql::{SyncConnection, params};
use crate::rows::block::Placed;
use crate::rows::error::StoreError;

/// Inserts refunds, or puts them back on the chain in the block where they were before. One that is on the chain in another
/// block is an error.
pub(super) fn insert(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    rows: &[Placed<Refund>],
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO refunds (chain_id, refund_id, contract, transaction_hash, block_hash, block_number, block_timestamp,
                              reference, payer, payee, asset, amount, canonical)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, TRUE)
         ON CONFLICT (chain_id, refund_id, block_hash) DO UPDATE SET canonical = TRUE",
    )?;
    for Placed { what: refund, block_number, block_hash, block_timestamp } in rows {
        let done = insert.execute_unique(params![
            chain_id(chain),
            refund.id.as_slice(),
            refund.contract.as_slice(),
            refund.transaction.as_slice(),
            block_hash.as_slice(),
            bound(*block_number),
            bound(*block_timestamp),
            refund.reference.as_slice(),
            refund.payer.as_slice(),
            refund.payee.as_slice(),
            refund.asset.address().as_slice(),
            &amount_bytes(refund.amount)[..]
        ])?;
        if done.is_none() {
            let reason = format!("refund {} is on the chain in another block", refund.id);
            return Err(StoreError::BadBatch { chain, reason });
        }
    }
    Ok(())
}

/// Takes what is above a height off the chain.
pub(super) fn undo(connection: &SyncConnection<'_>, chain: ChainId, height: u64) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE refunds SET canonical = FALSE WHERE chain_id = ?1 AND block_number > ?2 AND canonical",
        )?
        .execute(params![chain_id(chain), bound(height)])?;
    Ok(())
}

/// Puts those of blocks back on the chain that are back on it. `lowest` is the lowest of the blocks.
pub(super) fn restore(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    lowest: u64,
    blocks: &HashSet<B256>,
) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT id, block_hash FROM refunds WHERE chain_id = ?1 AND block_number >= ?2 AND NOT canonical",
    )?;
    let mut rows = select.query(params![chain_id(chain), bound(lowest)])?;
    let mut back = Vec::new();
    while let Some(row) = rows.next()? {
        if blocks.contains(&row.hash_at(1, "block_hash")?) {
            back.push(row.get::<i64>(0)?);
        }
    }
    let mut update = connection.prepare_cached(
        "UPDATE refunds SET canonical = TRUE
         WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM refunds rival
                                       WHERE rival.chain_id = refunds.chain_id
                                         AND rival.refund_id = refunds.refund_id AND rival.canonical)",
    )?;
    for row in back {
        update.execute([row])?;
    }
    Ok(())
}

/// Moves those of a transaction on to the chain, or off it, in a block in which they were placed; with `contract`, only its.
pub(super) fn set_placed(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    (transaction, hash, number): (B256, B256, u64),
    contract: Option<Address>,
    on_chain: bool,
) -> Result<usize, StoreError> {
    let sql = if on_chain {
        "UPDATE refunds SET canonical = TRUE
         WHERE chain_id = ?1 AND block_number = ?2 AND transaction_hash = ?3 AND block_hash = ?4
           AND (?5 IS NULL OR contract = ?5) AND NOT canonical
           AND NOT EXISTS (SELECT 1 FROM refunds rival
                           WHERE rival.chain_id = refunds.chain_id AND rival.refund_id = refunds.refund_id
                             AND rival.canonical)"
    } else {
        "UPDATE refunds SET canonical = FALSE
         WHERE chain_id = ?1 AND block_number = ?2 AND transaction_hash = ?3 AND block_hash = ?4
           AND (?5 IS NULL OR contract = ?5) AND canonical"
    };
    connection.prepare_cached(sql)?.execute(params![
        chain_id(chain),
        bound(number),
        transaction.as_slice(),
        hash.as_slice(),
        contract.as_ref().map(|contract| contract.as_slice())
    ])
}
