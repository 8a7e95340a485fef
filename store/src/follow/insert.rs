//! Inserts the payments of a step with one prepared statement.

use salt402_protocol::ChainId;

use crate::engine::{SyncConnection, amount_bytes, bound, chain_id, clock, params};
use crate::rows::{PlacedPayment, StoreError};

/// Inserts the payments that are not on the chain yet and returns their number. A payment that is on the chain already
/// is skipped. If it is there in another block, that is an error.
pub(crate) fn insert_payments(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    mut payments: Vec<&PlacedPayment>,
) -> Result<u64, StoreError> {
    // In the order of the index, neighbouring rows change the same pages.
    payments.sort_unstable_by(|a, b| {
        let (a, b) = (&a.payment, &b.payment);
        a.transaction.cmp(&b.transaction).then_with(|| a.id.cmp(&b.id))
    });
    let mut insert = connection.prepare_cached(
        "INSERT INTO payments (chain_id, transaction_hash, payment_id, block_hash, block_number, block_timestamp,
                               position, contract, reference, payer, payee, asset, amount, canonical, seen_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, TRUE, ?14)
         ON CONFLICT (chain_id, transaction_hash, payment_id) WHERE canonical DO NOTHING",
    )?;
    let mut inserted = 0;
    // Values that are the same for all rows are bound once. They stay bound.
    insert.bind(1, chain_id(chain))?;
    insert.bind(14, clock::now_ms())?;
    for placed in payments {
        let payment = &placed.payment;
        insert.bind(2, payment.transaction.as_slice())?;
        insert.bind(3, payment.id.0.as_slice())?;
        insert.bind(4, placed.block_hash.as_slice())?;
        insert.bind(5, bound(placed.block_number))?;
        insert.bind(6, bound(placed.block_timestamp))?;
        insert.bind(7, i64::from(placed.position))?;
        insert.bind(8, payment.contract.as_slice())?;
        insert.bind(9, payment.reference.as_slice())?;
        insert.bind(10, payment.payer.as_slice())?;
        insert.bind(11, payment.payee.as_slice())?;
        insert.bind(12, payment.asset.address().as_slice())?;
        insert.bind(13, amount_bytes(payment.amount).as_slice())?;
        if insert.execute_bound()? == 0 {
            refuse_rival(connection, chain, placed)?;
        } else {
            inserted += 1;
        }
    }
    Ok(inserted)
}

/// An error if a payment is on the chain in another block than this.
fn refuse_rival(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    placed: &PlacedPayment,
) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT block_hash FROM payments
         WHERE chain_id = ?1 AND transaction_hash = ?2 AND payment_id = ?3 AND canonical AND block_hash <> ?4",
    )?;
    let (transaction, id) = (&placed.payment.transaction, placed.payment.id);
    let row = params![chain_id(chain), transaction.as_slice(), id.0.as_slice(), placed.block_hash.as_slice()];
    match select.query_optional(row, |row| row.hash_at(0, "block_hash"))? {
        Some(other) => Err(StoreError::PaymentTwice { chain, payment: id, block: placed.block_hash, other }),
        None => Ok(()),
    }
}
