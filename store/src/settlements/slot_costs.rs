//! What a settlement cost in one of its slots. The last that was known counts, so that nothing counts twice.

use salt402_protocol::{Amount, ChainId};

use crate::engine::{Columns as _, SyncConnection, amount_bytes, bound, chain_id, params};
use crate::rows::{GasCost, Slot, StoreError};
use crate::settlements::{gas, orders};

/// Writes down what a settlement cost in a slot, in place of what was known of that, and changes all sums by the difference.
pub(super) fn note(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    slot: Slot,
    number: u64,
    cost: GasCost,
) -> Result<(), StoreError> {
    let known = connection
        .prepare_cached(
            "SELECT gas_used, fee, gas_day FROM settlement_slots
             WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3 AND order_id = ?4",
        )?
        .query_optional(
            params![chain_id(chain), slot.signer.as_slice(), bound(slot.nonce), bound(number)],
            |row| {
                let known = GasCost { gas: row.natural(0, "gas_used")?, fee: row.amount("fee")? };
                Ok((known, row.natural(2, "gas_day")?))
            },
        )?;
    let Some((known, day)) = known else { return Ok(()) };
    let Some((order, _)) = orders::numbered(connection, number)? else { return Ok(()) };
    if known == cost {
        return Ok(());
    }
    connection
        .prepare_cached(
            "UPDATE settlement_slots SET gas_used = ?5, fee = ?6
             WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3 AND order_id = ?4",
        )?
        .execute(params![
            chain_id(chain),
            slot.signer.as_slice(),
            bound(slot.nonce),
            bound(number),
            bound(cost.gas),
            amount_bytes(cost.fee).as_slice()
        ])?;
    let gas_used = order.gas_used.saturating_sub(known.gas).saturating_add(cost.gas);
    let fee = order.fee.0.saturating_sub(known.fee.0).saturating_add(cost.fee.0);
    connection
        .prepare_cached("UPDATE settlement_orders SET gas_used = ?2, fee = ?3 WHERE id = ?1")?
        .execute(params![bound(number), bound(gas_used), amount_bytes(Amount(fee)).as_slice()])?;
    gas::change(connection, &order, bound(day), bound(cost.gas).saturating_sub(bound(known.gas)))
}
