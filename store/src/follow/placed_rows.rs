//! The tables whose rows are in a block. When the block leaves the chain, its rows leave; when it comes back, they come
//! back; when their transaction is mined in another block, they leave the one that they were placed in.
//!
//! No row is deleted. A row that is not on the chain is marked: `canonical` is false.

use salt402_protocol::{Address, B256, ChainId, PaymentId};

use crate::engine::{SyncConnection, bound, chain_id, params};
use crate::follow::unreadable;
use crate::rows::StoreError;

/// The statements of one table.
struct Table {
    undo: &'static str,
    orphans: &'static str,
    restore: &'static str,
    release: &'static str,
    reinstate: &'static str,
}

/// `key` tells the rows of a block apart. `own` is true of the rows of the contract `?5`. If a payment or an event is
/// on the chain in another block, the table's unique index refuses a second row, and the row stays off.
#[rustfmt::skip]
macro_rules! table {
    ($name:literal, $key:literal, $own:literal) => {
        Table {
            undo: concat!("UPDATE ", $name, " SET canonical = FALSE
                           WHERE chain_id = ?1 AND block_number > ?2 AND canonical"),
            orphans: concat!("SELECT id, ", $key, ", block_hash, transaction_hash FROM ", $name, "
                              WHERE chain_id = ?1 AND block_number >= ?2 AND NOT canonical ORDER BY id"),
            restore: concat!("UPDATE OR IGNORE ", $name, " SET canonical = TRUE WHERE id = ?1 AND NOT canonical"),
            release: concat!("UPDATE ", $name, " SET canonical = FALSE
                              WHERE chain_id = ?1 AND transaction_hash = ?2 AND block_hash = ?3 AND block_number = ?4
                                AND (?5 IS NULL OR ", $own, ") AND canonical"),
            reinstate: concat!("UPDATE OR IGNORE ", $name, " SET canonical = TRUE
                                WHERE chain_id = ?1 AND transaction_hash = ?2 AND block_hash = ?3 AND block_number = ?4
                                  AND NOT canonical RETURNING ", $key),
        }
    };
}

/// All tables. Add a new one here.
const TABLES: [Table; 5] = [
    table!("payments", "payment_id", "contract = ?5"),
    table!("channel_events", "event_id", "contract = ?5"),
    table!("refunds", "refund_id", "contract = ?5"),
    table!("ambiguities", "ambiguity_id", "contract = ?5"),
    table!("unreadable_transactions", "transaction_hash", "FALSE"),
];

/// What identifies a row of a table: its key, and the hash of its block.
pub(super) type Inclusion = (B256, B256);

/// Runs something for each table and returns the results in the tables' order.
fn each<T>(act: impl Fn(&Table) -> Result<T, StoreError>) -> Result<[T; TABLES.len()], StoreError> {
    let [payments, events, refunds, ambiguities, unreadable] = &TABLES;
    Ok([act(payments)?, act(events)?, act(refunds)?, act(ambiguities)?, act(unreadable)?])
}

/// Takes everything above a height off the chain. Returns the number of payments.
pub(super) fn undo(connection: &SyncConnection<'_>, chain: ChainId, height: u64) -> Result<u64, StoreError> {
    let above = params![chain_id(chain), bound(height)];
    let [payments, .., unreadable] = each(|table| connection.prepare_cached(table.undo)?.execute(above))?;
    unreadable::count(connection, chain, 0, unreadable)?;
    Ok(payments as u64)
}

/// Puts rows at or above a height back on the chain, if `comes_back` says so. It is given what identifies the row, and
/// its transaction. Returns the payments.
pub(super) fn restore(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    lowest: u64,
    comes_back: impl Fn(Inclusion, B256) -> bool,
) -> Result<Vec<Inclusion>, StoreError> {
    let [payments, .., unreadable] = each(|table| {
        let mut select = connection.prepare_cached(table.orphans)?;
        let mut orphans = select.query(params![chain_id(chain), bound(lowest)])?;
        let mut found = Vec::new();
        while let Some(row) = orphans.next()? {
            let inclusion = (row.hash_at(1, "key")?, row.hash_at(2, "block_hash")?);
            if comes_back(inclusion, row.hash_at(3, "transaction_hash")?) {
                found.push((row.get::<i64>(0)?, inclusion));
            }
        }
        let mut update = connection.prepare_cached(table.restore)?;
        let mut restored = Vec::new();
        for (row, inclusion) in found {
            restored.extend((update.execute([row])? == 1).then_some(inclusion));
        }
        Ok(restored)
    })?;
    unreadable::count(connection, chain, unreadable.len(), 0)?;
    Ok(payments)
}

/// A transaction, and a block that it was placed in.
pub(super) struct Placement {
    pub(super) transaction: B256,
    pub(super) hash: B256,
    pub(super) number: u64,
}

impl Placement {
    /// Takes the transaction's rows off the block. With `own`, only those of this contract. Returns the number of rows
    /// per table, payments first.
    pub(super) fn release(
        &self,
        connection: &SyncConnection<'_>,
        chain: ChainId,
        own: Option<Address>,
    ) -> Result<[usize; TABLES.len()], StoreError> {
        let Self { transaction, hash, number } = self;
        let own = own.as_ref().map(|own| own.as_slice());
        let placed = params![chain_id(chain), transaction.as_slice(), hash.as_slice(), bound(*number), own];
        let rows = each(|table| connection.prepare_cached(table.release)?.execute(placed))?;
        let [.., unreadable] = rows;
        unreadable::count(connection, chain, 0, unreadable)?;
        Ok(rows)
    }

    /// Puts the transaction's rows back on the chain in the block. Returns the payments.
    pub(super) fn reinstate(
        &self,
        connection: &SyncConnection<'_>,
        chain: ChainId,
    ) -> Result<Vec<PaymentId>, StoreError> {
        let Self { transaction, hash, number } = self;
        let placed = params![chain_id(chain), transaction.as_slice(), hash.as_slice(), bound(*number)];
        let [payments, .., unreadable] = each(|table| {
            let mut update = connection.prepare_cached(table.reinstate)?;
            let mut rows = update.query(placed)?;
            let mut back = Vec::new();
            while let Some(row) = rows.next()? {
                back.push(PaymentId(row.hash_at(0, "key")?));
            }
            Ok(back)
        })?;
        unreadable::count(connection, chain, unreadable.len(), 0)?;
        Ok(payments)
    }
}
