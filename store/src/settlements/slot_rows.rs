//! The rows of a slot as they are written: its transactions, and which settlements they carry.

use salt402_protocol::ChainId;

use crate::engine::{SyncConnection, bound, chain_id, clock, params};
use crate::rows::{Slot, SlotState, SlotTransaction, StoreError};

pub(super) fn insert(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    transaction: &SlotTransaction,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO settlement_transactions (chain_id, signer, nonce, transaction_hash, raw, carries, gas_limit,
                                                  max_fee_per_gas, tip, state, block_number, block_hash, made_at_ms,
                                                  changed_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)
             ON CONFLICT (chain_id, signer, nonce, transaction_hash) DO UPDATE SET
                 state = excluded.state, block_number = excluded.block_number, block_hash = excluded.block_hash,
                 changed_at_ms = excluded.changed_at_ms",
        )?
        .execute(params![
            chain_id(chain),
            transaction.slot.signer.as_slice(),
            bound(transaction.slot.nonce),
            transaction.hash.as_slice(),
            transaction.raw,
            transaction.carries,
            bound(transaction.gas_limit),
            bound(transaction.max_fee_per_gas),
            bound(transaction.tip),
            transaction.state.name(),
            transaction.block.map(|(number, _)| bound(number)),
            transaction.block.map(|(_, hash)| hash.to_vec()),
            clock::now_ms(),
        ])?;
    Ok(())
}

/// Puts a settlement into a slot. `gas_alone` is what it needs in a transaction of its own. Its gas counts on the day of its claim.
pub(super) fn link(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    slot: Slot,
    number: u64,
    gas_alone: u64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO settlement_slots (chain_id, signer, nonce, order_id, gas_alone, gas_day)
             SELECT ?1, ?2, ?3, o.id, ?5, o.gas_day FROM settlement_orders o WHERE o.id = ?4
             ON CONFLICT (chain_id, signer, nonce, order_id) DO NOTHING",
        )?
        .execute(params![
            chain_id(chain),
            slot.signer.as_slice(),
            bound(slot.nonce),
            bound(number),
            bound(gas_alone)
        ])?;
    Ok(())
}

pub(super) fn is_open(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    slot: Slot,
) -> Result<bool, StoreError> {
    connection
        .prepare_cached(
            "SELECT 1 FROM settlement_transactions
             WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3 AND state = 'open'",
        )?
        .exists(params![chain_id(chain), slot.signer.as_slice(), bound(slot.nonce)])
}

/// Whether a settlement is in a slot of which a transaction that settles it may be mined.
pub(super) fn is_carried(connection: &SyncConnection<'_>, number: u64) -> Result<bool, StoreError> {
    connection
        .prepare_cached(
            "SELECT 1 FROM settlement_slots s
             JOIN settlement_transactions t ON t.chain_id = s.chain_id AND t.signer = s.signer AND t.nonce = s.nonce
             WHERE s.order_id = ?1 AND t.state = 'open' AND t.carries",
        )?
        .exists(params![bound(number)])
}

/// Changes a slot's transactions from one state to another.
pub(super) fn set_states(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    slot: Slot,
    from: SlotState,
    to: SlotState,
) -> Result<usize, StoreError> {
    connection
        .prepare_cached(
            "UPDATE settlement_transactions SET state = ?5, block_number = NULL, block_hash = NULL, changed_at_ms = ?6
             WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3 AND state = ?4",
        )?
        .execute(params![
            chain_id(chain),
            slot.signer.as_slice(),
            bound(slot.nonce),
            from.name(),
            to.name(),
            clock::now_ms(),
        ])
}

pub(super) fn numbers(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    slot: Slot,
) -> Result<Vec<u64>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT order_id FROM settlement_slots WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3",
    )?;
    let mut rows = select.query(params![chain_id(chain), slot.signer.as_slice(), bound(slot.nonce)])?;
    let mut numbers = Vec::new();
    while let Some(row) = rows.next()? {
        numbers.push(row.natural(0, "order_id")?);
    }
    Ok(numbers)
}
