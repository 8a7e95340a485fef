//! What payees gave back, as rows that follow the chain as payments do.

use salt402_protocol::{ChainId, Refund};

use crate::engine::{SyncConnection, amount_bytes, bound, chain_id, params};
use crate::rows::{Placed, StoreError};

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
