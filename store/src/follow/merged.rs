//! Transactions of blocks beside the selected chain, whose rows stand in the block that merged theirs.

use std::collections::{HashMap, HashSet};

use salt402_protocol::{Address, B256, ChainId, PaymentId};

use crate::engine::changes::Changes;
use crate::engine::columns::{bound, chain_id};
use crate::engine::steps::{Step, send_step};
use crate::engine::sync_sql::{SyncConnection, SyncRow, SyncRows, params};
use crate::follow::batch::{Applied, Batch};
use crate::follow::extras::Extras;
use crate::follow::refunds;
use crate::incidents::orphaned_grant::more_than;
use crate::rows::error::StoreError;
use crate::rows::payment::PlacedPayment;
use crate::store::Store;

/// Transactions of a step up to which each is looked for by itself; beyond it, all that were placed are gone through, where
/// those are no more.
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
/// where it was, since that block is still there and has still merged the transaction's. Returns the payments, one for each row.
///
/// A transaction that was placed in several blocks which are all on the chain is in the lowest of them: what is merged once
/// is not merged again. The other marks stay: if the blocks leave and come back, so may the rows of any of them, and rows
/// without a mark would not move when the transaction is mined.
pub(crate) fn reinstate(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    kept: u64,
) -> Result<Vec<PaymentId>, StoreError> {
    // Both are found before either is changed: a transaction is where it was as a whole. What is left of it in the block
    // itself is no rival: a step of one contract's past takes only its own.
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
        let mark = Mark::of(row)?;
        if known.insert(mark.transaction) {
            alone.push(mark);
        }
    }
    let mut back = Vec::new();
    for mark in alone {
        let mark_of =
            params![chain_id(chain), bound(mark.number), mark.transaction.as_slice(), mark.hash.as_slice()];
        let mut update = connection.prepare_cached(
            "UPDATE payments SET canonical = TRUE
                 WHERE chain_id = ?1 AND transaction_hash = ?3 AND block_hash = ?4 AND block_number = ?2
                   AND NOT canonical
                   AND NOT EXISTS (SELECT 1 FROM payments rival
                                   WHERE rival.chain_id = payments.chain_id
                                     AND rival.transaction_hash = payments.transaction_hash
                                     AND rival.payment_id = payments.payment_id AND rival.canonical)
                 RETURNING payment_id",
        )?;
        let mut rows = update.query(mark_of)?;
        while let Some(row) = rows.next()? {
            back.push(PaymentId(row.hash_at(0, "payment_id")?));
        }
        connection
            .prepare_cached(
                "UPDATE channel_events SET canonical = TRUE
                 WHERE chain_id = ?1 AND block_number = ?2 AND transaction_hash = ?3 AND block_hash = ?4
                   AND NOT canonical
                   AND NOT EXISTS (SELECT 1 FROM channel_events rival
                                   WHERE rival.chain_id = channel_events.chain_id
                                     AND rival.event_id = channel_events.event_id AND rival.canonical)",
            )?
            .execute(mark_of)?;
        refunds::set_placed(connection, chain, mark.placed(), None, true)?;
        note_channels(connection, chain, &mark)?;
    }
    Ok(back)
}

/// Whether something of the mark `m` stands where it was placed.
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

/// Forgets the marks in the headers below a height, which the step is about to forget: without its header, nothing is
/// reinstated in a block.
///
/// Not those of which something still stands there. A transaction of a merged block may be mined again in a selected block
/// however much later: nothing but its nonce says when, and a block that is final says nothing of it. Without its mark that
/// would be a payment in two blocks, and the follower would stop for good. [`release`] forgets such a mark when it moves.
/// Nor those of blocks that left the chain: if one comes back, its rows do.
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

/// Forgets a mark of which nothing stands in its block any more, if the block's header was forgotten before.
fn forget_moved(connection: &SyncConnection<'_>, chain: ChainId, mark: &Mark) -> Result<(), StoreError> {
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

/// What becomes of the channels of a transaction is looked at in this step, also where the step does not name them. The
/// index is named: for the sake of DISTINCT, SQLite otherwise goes through all events of the chain.
fn note_channels(connection: &SyncConnection<'_>, chain: ChainId, mark: &Mark) -> Result<(), StoreError> {
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

/// Takes the transactions that a step has in other blocks off the blocks in which they were placed. Before the step's own
/// rows are written: a row of the same inclusion may be there already.
///
/// With `own`, only the rows of a contract, and of those through which the payments of the step are: a step that has read
/// one contract's past does not put back what is of others.
pub(crate) fn release(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    payments: &[PlacedPayment],
    extras: &Extras,
    own: Option<Address>,
) -> Result<Released, StoreError> {
    let mut released = Released::default();
    // Nearly every chain has none, and then nothing is gathered.
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
    for Mark { transaction, hash, number } in marks(connection, chain, &named)? {
        if named.get(&transaction).is_none_or(|(_, own)| *own == hash) {
            continue;
        }
        released.from.insert((transaction, hash));
        let mark = Mark { transaction, hash, number };
        note_channels(connection, chain, &mark)?;
        let (mut moved, mut events) = (0, 0);
        for contract in &contracts {
            let placed = params![
                chain_id(chain),
                bound(number),
                transaction.as_slice(),
                hash.as_slice(),
                contract.as_ref().map(|contract| contract.as_slice())
            ];
            moved += connection
                .prepare_cached(
                    "UPDATE payments SET canonical = FALSE
                     WHERE chain_id = ?1 AND transaction_hash = ?3 AND block_hash = ?4 AND block_number = ?2
                       AND (?5 IS NULL OR contract = ?5) AND canonical",
                )?
                .execute(placed)?;
            events += connection
                .prepare_cached(
                    "UPDATE channel_events SET canonical = FALSE
                     WHERE chain_id = ?1 AND block_number = ?2 AND transaction_hash = ?3 AND block_hash = ?4
                       AND (?5 IS NULL OR contract = ?5) AND canonical",
                )?
                .execute(placed)?;
            events += refunds::set_placed(connection, chain, mark.placed(), *contract, false)?;
        }
        forget_moved(connection, chain, &mark)?;
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
    /// The transaction, the hash of its block and its height.
    fn placed(&self) -> (B256, B256, u64) {
        (self.transaction, self.hash, self.number)
    }

    fn of(row: SyncRow<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            transaction: row.hash_at(0, "transaction_hash")?,
            hash: row.hash_at(1, "block_hash")?,
            number: row.natural(2, "block_number")?,
        })
    }
}

/// Those that may be named, and maybe more.
fn marks(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    named: &HashMap<B256, (u64, B256)>,
) -> Result<Vec<Mark>, StoreError> {
    const SELECT: &str = "SELECT transaction_hash, block_hash, block_number FROM merged_transactions
                          WHERE chain_id = ?1";
    let mut found = Vec::new();
    let mut gather = |mut rows: SyncRows<'_>| -> Result<(), StoreError> {
        while let Some(row) = rows.next()? {
            found.push(Mark::of(row)?);
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
