//! Many rows in few statements, or one statement for many rows.

use rusqlite::{Connection, OptionalExtension as _, params};
use salt402_protocol::ChainId;

use crate::columns::{Places as _, amount_bytes, bound, chain_id};
use crate::{PlacedPayment, StoreError, UndecodedLog, clock};

/// Undecodable logs that are kept of a chain, the newest.
const UNDECODED_KEPT: i64 = 1000;
/// Bytes that are kept of one's data.
const UNDECODED_BYTES: usize = 4096;

/// Rows of one statement. Few lengths, so that any number of rows is a handful of texts that stay prepared.
const ROWS: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

/// Rows cut into slices of the lengths that statements are made for, the longest first.
pub(crate) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = ROWS.into_iter().find(|length| *length <= rows.len())?;
        let (chunk, rest) = rows.split_at(length);
        rows = rest;
        Some(chunk)
    })
}

/// Inserts the payments that are not on the chain yet; returns how many that were. A payment that is on the chain
/// already is passed over, and is an error where it is in another block.
pub(crate) fn insert_payments(
    connection: &Connection,
    chain: ChainId,
    mut payments: Vec<&PlacedPayment>,
) -> Result<u64, StoreError> {
    // In the order of the index, neighbours meet on the same pages.
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
    // Bound one by one, and these once: what stays the same stays bound.
    insert.raw_bind_parameter(1, chain_id(chain))?;
    insert.raw_bind_parameter(14, clock::now_ms())?;
    for placed in payments {
        let payment = &placed.payment;
        insert.raw_bind_parameter(2, payment.transaction.as_slice())?;
        insert.raw_bind_parameter(3, payment.id.0.as_slice())?;
        insert.raw_bind_parameter(4, placed.block_hash.as_slice())?;
        insert.raw_bind_parameter(5, bound(placed.block_number))?;
        insert.raw_bind_parameter(6, bound(placed.block_timestamp))?;
        insert.raw_bind_parameter(7, i64::from(placed.position))?;
        insert.raw_bind_parameter(8, payment.contract.as_slice())?;
        insert.raw_bind_parameter(9, payment.reference.as_slice())?;
        insert.raw_bind_parameter(10, payment.payer.as_slice())?;
        insert.raw_bind_parameter(11, payment.payee.as_slice())?;
        insert.raw_bind_parameter(12, payment.asset.address().as_slice())?;
        insert.raw_bind_parameter(13, amount_bytes(payment.amount).as_slice())?;
        if insert.raw_execute()? == 0 {
            refuse_rival(connection, chain, placed)?;
        } else {
            inserted += 1;
        }
    }
    Ok(inserted)
}

/// An error if a payment is on the chain in another block than this.
fn refuse_rival(connection: &Connection, chain: ChainId, placed: &PlacedPayment) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT block_hash FROM payments
         WHERE chain_id = ?1 AND transaction_hash = ?2 AND payment_id = ?3 AND canonical AND block_hash <> ?4",
    )?;
    let (transaction, id) = (&placed.payment.transaction, placed.payment.id);
    let row = params![chain_id(chain), transaction.as_slice(), id.0.as_slice(), placed.block_hash.as_slice()];
    match select.query_row(row, |row| Ok(row.hash_at(0, "block_hash"))).optional()? {
        Some(other) => {
            Err(StoreError::PaymentTwice { chain, payment: id, block: placed.block_hash, other: other? })
        }
        None => Ok(()),
    }
}

/// Keeps logs that do not decode, each once, and no more of them than the newest; counts them all.
pub(crate) fn insert_undecoded(
    connection: &Connection,
    chain: ChainId,
    logs: &[UndecodedLog],
) -> Result<(), StoreError> {
    if logs.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO undecoded_logs (chain_id, transaction_hash, block_hash, block_number, place, contract, topics,
                                     data, data_bytes, seen_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (chain_id, transaction_hash, block_hash, place) DO NOTHING",
    )?;
    let mut inserted = 0;
    for log in logs {
        inserted += insert.execute(params![
            chain_id(chain),
            log.transaction.as_slice(),
            log.block_hash.as_slice(),
            bound(log.block_number),
            i64::from(log.place),
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
