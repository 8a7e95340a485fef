//! Transactions of merged blocks. Their rows are placed in the block of the selected chain that merged their own block.

use std::collections::{HashMap, HashSet};

use salt402_protocol::{Address, B256, ChainId, PaymentId};

use crate::engine::{Changes, Step, SyncConnection, SyncRow, SyncRows, bound, chain_id, params, send_step};
use crate::follow::batch::{Applied, Batch};
use crate::follow::extras::Extras;
use crate::follow::placed_rows::Placement;
use crate::incidents::orphaned_grant::more_than;
use crate::rows::{PlacedPayment, StoreError};
use crate::store::Store;

/// If a step names at most this many transactions, each is looked for by itself. If it names more, and fewer were
/// placed, all that were placed are read.
const FEW: usize = 256;

impl Store {
    /// [`Store::apply`] for transactions of merged blocks, placed in the blocks that merged them. They stay there until
    /// a step names the transaction in another block. Then that step's rows replace them in its own transaction, and
    /// what was granted on them stays granted.
    pub async fn apply_merged(&self, batch: Batch) -> Result<Applied, StoreError> {
        batch.check()?;
        send_step(self.jobs(), Merged(batch)).await
    }
}

struct Merged(Batch);

impl Step for Merged {
    type Output = Applied;

    const KIND: &'static str = "merged";

    fn write(&self, connection: &SyncConnection<'_>) -> Result<Applied, StoreError> {
        let applied = self.0.write(connection)?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO merged_transactions (chain_id, transaction_hash, block_hash, block_number)
             VALUES (?1, ?2, ?3, ?4) ON CONFLICT (chain_id, transaction_hash, block_hash) DO NOTHING",
        )?;
        for (transaction, (number, hash)) in named(&self.0.payments, &self.0.extras) {
            insert.execute(params![
                chain_id(self.0.chain),
                transaction.as_slice(),
                hash.as_slice(),
                bound(number)
            ])?;
        }
        Ok(applied)
    }

    fn changes(&self, applied: &Applied, connection: &SyncConnection<'_>) -> Changes {
        self.0.changes(applied, connection)
    }
}

/// What was taken off the block that it was placed in.
#[derive(Debug, Default)]
pub(crate) struct Released {
    /// The transactions, each with the block that it was placed in before.
    pub(crate) from: HashSet<(B256, B256)>,
    /// Rows of payments.
    pub(crate) payments: u64,
    /// The height below the lowest block that lost something.
    pub(crate) above: Option<u64>,
}

/// After everything above a height left the chain: a transaction may have moved to one of those blocks from the block
/// that it was placed in. That block is still there and still merges it, so the transaction goes back. Returns the
/// payments, one per row.
///
/// If a transaction was placed in several blocks of the chain, it goes to the lowest: no block merges what was merged
/// before. The other marks stay. If their blocks leave and come back, so may the rows, and rows without a mark would
/// not move when the transaction is mined.
pub(crate) fn reinstate(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    kept: u64,
) -> Result<Vec<PaymentId>, StoreError> {
    // All are found before any is changed, since a transaction moves as a whole. Rows that stayed in the block itself
    // are no rivals: a step of one contract's past moves only that contract's rows.
    let mut select = connection.prepare_cached(
        "SELECT m.transaction_hash, m.block_hash, m.block_number FROM merged_transactions m
         WHERE m.chain_id = ?1 AND m.block_number <= ?2
           AND m.block_number >= (SELECT MIN(b.number) FROM blocks b WHERE b.chain_id = ?1 AND b.canonical)
           AND NOT EXISTS (SELECT 1 FROM payments rival
                           WHERE rival.chain_id = m.chain_id AND rival.transaction_hash = m.transaction_hash
                             AND rival.block_hash <> m.block_hash AND rival.canonical)
           AND EXISTS (SELECT 1 FROM blocks b
                       WHERE b.chain_id = m.chain_id AND b.hash = m.block_hash AND b.canonical)
         ORDER BY m.block_number",
    )?;
    let mut alone = Vec::new();
    let mut known = HashSet::new();
    let mut rows = select.query(params![chain_id(chain), bound(kept)])?;
    while let Some(row) = rows.next()? {
        let mark = placement(row)?;
        if known.insert(mark.transaction) {
            alone.push(mark);
        }
    }
    let mut back = Vec::new();
    for mark in alone {
        back.extend(mark.reinstate(connection, chain)?);
        note_channels(connection, chain, &mark)?;
    }
    Ok(back)
}

/// Whether some row of the mark `m` is on the chain in the block of the mark.
macro_rules! still_there {
    () => {
        "(EXISTS (SELECT 1 FROM payments p
                  WHERE p.chain_id = m.chain_id AND p.transaction_hash = m.transaction_hash
                    AND p.block_hash = m.block_hash AND p.canonical)
          OR EXISTS (SELECT 1 FROM channel_events e
                     WHERE e.chain_id = m.chain_id AND e.block_number = m.block_number
                       AND e.transaction_hash = m.transaction_hash AND e.block_hash = m.block_hash AND e.canonical)
          OR EXISTS (SELECT 1 FROM refunds r
                     WHERE r.chain_id = m.chain_id AND r.block_number = m.block_number
                       AND r.transaction_hash = m.transaction_hash AND r.block_hash = m.block_hash AND r.canonical))"
    };
}

/// Forgets the marks below a height whose headers the step is about to forget. Nothing is put back in a block without a
/// header.
///
/// A mark stays if some row is still on the chain in its block. A merged transaction may be mined again in a selected
/// block at any later time. Without the mark, its payment would be in two blocks, and the follower would stop for good.
/// [`release`] forgets such a mark when the rows move. Marks of blocks that left the chain stay too: if the block comes
/// back, so do its rows.
pub(crate) fn prune(connection: &SyncConnection<'_>, chain: ChainId, height: u64) -> Result<(), StoreError> {
    connection
        .prepare_cached(concat!(
            "DELETE FROM merged_transactions AS m
             WHERE m.chain_id = ?1 AND m.block_number < ?2
               AND m.block_number >= (SELECT MIN(b.number) FROM blocks b WHERE b.chain_id = ?1 AND b.canonical)
               AND EXISTS (SELECT 1 FROM blocks b
                           WHERE b.chain_id = m.chain_id AND b.hash = m.block_hash AND b.canonical)
               AND NOT ",
            still_there!()
        ))?
        .execute(params![chain_id(chain), bound(height)])?;
    Ok(())
}

/// Forgets a mark if no row is left on the chain in its block and the block's header was forgotten before.
fn forget_moved(connection: &SyncConnection<'_>, chain: ChainId, mark: &Placement) -> Result<(), StoreError> {
    connection
        .prepare_cached(concat!(
            "DELETE FROM merged_transactions AS m
             WHERE m.chain_id = ?1 AND m.transaction_hash = ?2 AND m.block_hash = ?3
               AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.chain_id = m.chain_id AND b.hash = m.block_hash)
               AND NOT ",
            still_there!()
        ))?
        .execute(params![chain_id(chain), mark.transaction.as_slice(), mark.hash.as_slice()])?;
    Ok(())
}

/// Notes the channels of a transaction, so that this step looks at them even if it does not name them. The index is
/// named, because for DISTINCT SQLite would otherwise read all events of the chain.
fn note_channels(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    mark: &Placement,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO channels_unchecked (chain_id, contract, channel)
             SELECT DISTINCT chain_id, contract, channel FROM channel_events INDEXED BY channel_events_by_height
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

/// Takes transactions that a step has in other blocks off the blocks that they were placed in. This is done before the
/// step's rows are written, because a row of the same block may exist already.
///
/// With `own`, only rows of that contract and of the contracts of the step's payments move: a step that reads one
/// contract's past does not bring the rows of the others.
pub(crate) fn release(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    payments: &[PlacedPayment],
    extras: &Extras,
    own: Option<Address>,
) -> Result<Released, StoreError> {
    let mut released = Released::default();
    // Nearly every chain has none. Then nothing more is read.
    let any: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM merged_transactions WHERE chain_id = ?1)")?
        .query_row([chain_id(chain)], |row| row.get(0))?;
    if !any {
        return Ok(released);
    }
    let contracts: HashSet<Option<Address>> = match own {
        Some(own) => {
            let through = payments.iter().map(|placed| placed.payment.contract);
            through.chain([own]).map(Some).collect()
        }
        None => HashSet::from([None]),
    };
    let named = named(payments, extras);
    for Placement { transaction, hash, number } in marks(connection, chain, &named)? {
        if named.get(&transaction).is_none_or(|(_, own)| *own == hash) {
            continue;
        }
        released.from.insert((transaction, hash));
        let mark = Placement { transaction, hash, number };
        note_channels(connection, chain, &mark)?;
        for contract in &contracts {
            let rows = mark.release(connection, chain, *contract)?;
            released.payments += rows[0] as u64;
            if rows.iter().any(|rows| *rows > 0) {
                let below = number.saturating_sub(1);
                released.above = Some(released.above.map_or(below, |above| above.min(below)));
            }
        }
        forget_moved(connection, chain, &mark)?;
    }
    Ok(released)
}

fn placement(row: SyncRow<'_>) -> Result<Placement, StoreError> {
    Ok(Placement {
        transaction: row.hash_at(0, "transaction_hash")?,
        hash: row.hash_at(1, "block_hash")?,
        number: row.natural(2, "block_number")?,
    })
}

/// The marks of the named transactions. There may be others among them.
fn marks(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    named: &HashMap<B256, (u64, B256)>,
) -> Result<Vec<Placement>, StoreError> {
    const SELECT: &str = "SELECT transaction_hash, block_hash, block_number FROM merged_transactions
                          WHERE chain_id = ?1";
    let mut found = Vec::new();
    let mut gather = |mut rows: SyncRows<'_>| -> Result<(), StoreError> {
        while let Some(row) = rows.next()? {
            found.push(placement(row)?);
        }
        Ok(())
    };
    let counts = "SELECT COUNT(*) FROM (SELECT 1 FROM merged_transactions WHERE chain_id = ?1 LIMIT ?2)";
    if named.len() > FEW && !more_than(connection, counts, chain_id(chain), named.len())? {
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
fn named(payments: &[PlacedPayment], extras: &Extras) -> HashMap<B256, (u64, B256)> {
    let payments =
        payments.iter().map(|placed| (placed.payment.transaction, (placed.block_number, placed.block_hash)));
    let events = extras
        .channels
        .iter()
        .map(|placed| (placed.what.transaction, (placed.block_number, placed.block_hash)));
    let refunds = extras
        .refunds
        .iter()
        .map(|placed| (placed.what.transaction, (placed.block_number, placed.block_hash)));
    payments.chain(events).chain(refunds).collect()
}
