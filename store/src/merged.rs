//! Transactions of blocks beside the selected chain, whose rows stand in the block that merged theirs.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};
use salt402_protocol::{B256, ChainId, ChannelEvent};

use crate::columns::{Places as _, bound, chain_id};
use crate::recent::Changes;
use crate::steps::{Step, send_step};
use crate::{Applied, Batch, Placed, PlacedPayment, Store, StoreError};

/// Transactions of a step up to which each is looked for by itself; beyond it, all that were placed are gone through.
const FEW: usize = 256;

impl Store {
    /// [`Store::apply`] for what is in blocks that were merged from beside the selected chain, in the blocks that merged
    /// them. It stays there until a step names its transaction in another block: then what that step says of the
    /// transaction takes its place, in the step's own transaction, and what was granted on it stays granted.
    pub async fn apply_merged(&self, batch: Batch) -> Result<Applied, StoreError> {
        batch.check()?;
        send_step(self.jobs(), Merged(batch)).await
    }
}

struct Merged(Batch);

impl Step for Merged {
    type Output = Applied;

    fn write(&self, connection: &Connection) -> Result<Applied, StoreError> {
        let applied = self.0.write(connection)?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO merged_transactions (chain_id, transaction_hash, block_hash, block_number)
             VALUES (?1, ?2, ?3, ?4) ON CONFLICT (chain_id, transaction_hash, block_hash) DO NOTHING",
        )?;
        for (transaction, (number, hash)) in named(&self.0.payments, &self.0.beside.channels) {
            insert.execute(params![
                chain_id(self.0.chain),
                transaction.as_slice(),
                hash.as_slice(),
                bound(number)
            ])?;
        }
        Ok(applied)
    }

    fn changes(&self, applied: &Applied, connection: &Connection) -> Changes {
        self.0.changes(applied, connection)
    }
}

/// What left its place, to be put on the chain where it was found.
#[derive(Debug, Default)]
pub(crate) struct Released {
    /// Transactions and the blocks in which they were placed, and are no more.
    pub(crate) from: HashSet<(B256, B256)>,
    /// Rows of payments.
    pub(crate) payments: u64,
    /// The height below the lowest block that lost something.
    pub(crate) above: Option<u64>,
}

/// After everything above a height left the chain: a transaction that had moved up from the block in which it was placed is
/// where it was, since that block is still there and has still merged the transaction's. Returns how many rows of payments.
pub(crate) fn reinstate(connection: &Connection, chain: ChainId, kept: u64) -> Result<u64, StoreError> {
    const ALONE: &str = "NOT EXISTS (SELECT 1 FROM payments rival
                                     WHERE rival.chain_id = m.chain_id AND rival.transaction_hash = m.transaction_hash
                                       AND rival.canonical)
                         AND EXISTS (SELECT 1 FROM blocks b
                                     WHERE b.chain_id = m.chain_id AND b.hash = m.block_hash AND b.canonical)";
    let place = params![chain_id(chain), bound(kept)];
    // Both are found before either is changed: a transaction is where it was as a whole.
    let mut select = connection.prepare_cached(&format!(
        "SELECT m.transaction_hash, m.block_hash, m.block_number FROM merged_transactions m
         WHERE m.chain_id = ?1 AND m.block_number <= ?2 AND {ALONE}"
    ))?;
    let mut alone = Vec::new();
    let mut rows = select.query(place)?;
    while let Some(row) = rows.next()? {
        alone.push(Mark::of(row)?);
    }
    let mut back = 0;
    for Mark { transaction, hash, number } in alone {
        let place = params![chain_id(chain), bound(number), transaction.as_slice(), hash.as_slice()];
        back += connection
            .prepare_cached(
                "UPDATE payments SET canonical = TRUE
                 WHERE chain_id = ?1 AND transaction_hash = ?3 AND block_hash = ?4 AND block_number = ?2
                   AND NOT canonical",
            )?
            .execute(place)?;
        connection
            .prepare_cached(
                "UPDATE channel_events SET canonical = TRUE
                 WHERE chain_id = ?1 AND block_number = ?2 AND transaction_hash = ?3 AND block_hash = ?4
                   AND NOT canonical
                   AND NOT EXISTS (SELECT 1 FROM channel_events rival
                                   WHERE rival.chain_id = channel_events.chain_id
                                     AND rival.event_id = channel_events.event_id AND rival.canonical)",
            )?
            .execute(place)?;
        note_channels(connection, chain, &Mark { transaction, hash, number })?;
    }
    Ok(back as u64)
}

/// What becomes of the channels of a transaction is looked at in this step, also where the step does not name them.
fn note_channels(connection: &Connection, chain: ChainId, mark: &Mark) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO channels_unchecked (chain_id, contract, channel)
             SELECT DISTINCT chain_id, contract, channel FROM channel_events
             WHERE chain_id = ?1 AND block_number = ?2 AND transaction_hash = ?3 AND block_hash = ?4 AND canonical
             ON CONFLICT (chain_id, contract, channel) DO NOTHING",
        )?
        .execute(params![
            chain_id(chain),
            bound(mark.number),
            mark.transaction.as_slice(),
            mark.hash.as_slice()
        ])?;
    Ok(())
}

/// Takes the transactions that a step has in other blocks off the blocks in which they were placed. Before the step's own
/// rows are written: a row of the same inclusion may be there already.
pub(crate) fn release(
    connection: &Connection,
    chain: ChainId,
    payments: &[PlacedPayment],
    channels: &[Placed<ChannelEvent>],
) -> Result<Released, StoreError> {
    let mut released = Released::default();
    // Nearly every chain has none, and then nothing is gathered.
    let any: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM merged_transactions WHERE chain_id = ?1)")?
        .query_row([chain_id(chain)], |row| row.get(0))?;
    if !any {
        return Ok(released);
    }
    let named = named(payments, channels);
    for Mark { transaction, hash, number } in marks(connection, chain, &named)? {
        if named.get(&transaction).is_none_or(|(_, own)| *own == hash) {
            continue;
        }
        released.from.insert((transaction, hash));
        let place = params![chain_id(chain), bound(number), transaction.as_slice(), hash.as_slice()];
        let moved = connection
            .prepare_cached(
                "UPDATE payments SET canonical = FALSE
                 WHERE chain_id = ?1 AND transaction_hash = ?3 AND block_hash = ?4 AND block_number = ?2
                   AND canonical",
            )?
            .execute(place)?;
        note_channels(connection, chain, &Mark { transaction, hash, number })?;
        let events = connection
            .prepare_cached(
                "UPDATE channel_events SET canonical = FALSE
                 WHERE chain_id = ?1 AND block_number = ?2 AND transaction_hash = ?3 AND block_hash = ?4 AND canonical",
            )?
            .execute(place)?;
        released.payments += moved as u64;
        if moved + events > 0 {
            let below = number.saturating_sub(1);
            released.above = Some(released.above.map_or(below, |above| above.min(below)));
        }
    }
    Ok(released)
}

/// A transaction and the block in which it was placed.
struct Mark {
    transaction: B256,
    hash: B256,
    number: u64,
}

impl Mark {
    fn of(row: &rusqlite::Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            transaction: row.hash_at(0, "transaction_hash")?,
            hash: row.hash_at(1, "block_hash")?,
            number: row.natural(2, "block_number")?,
        })
    }
}

/// Those that may be named, and maybe more.
fn marks(
    connection: &Connection,
    chain: ChainId,
    named: &HashMap<B256, (u64, B256)>,
) -> Result<Vec<Mark>, StoreError> {
    const SELECT: &str = "SELECT transaction_hash, block_hash, block_number FROM merged_transactions
                          WHERE chain_id = ?1";
    let mut found = Vec::new();
    let mut gather = |mut rows: rusqlite::Rows<'_>| -> Result<(), StoreError> {
        while let Some(row) = rows.next()? {
            found.push(Mark::of(row)?);
        }
        Ok(())
    };
    if named.len() > FEW {
        gather(connection.prepare_cached(SELECT)?.query([chain_id(chain)])?)?;
        return Ok(found);
    }
    let mut select = connection.prepare_cached(&format!("{SELECT} AND transaction_hash = ?2"))?;
    for transaction in named.keys() {
        gather(select.query(params![chain_id(chain), transaction.as_slice()])?)?;
    }
    Ok(found)
}

/// The transactions of some rows, each with its block.
fn named(payments: &[PlacedPayment], channels: &[Placed<ChannelEvent>]) -> HashMap<B256, (u64, B256)> {
    let payments =
        payments.iter().map(|placed| (placed.payment.transaction, (placed.block_number, placed.block_hash)));
    let events =
        channels.iter().map(|placed| (placed.what.transaction, (placed.block_number, placed.block_hash)));
    payments.chain(events).collect()
}
