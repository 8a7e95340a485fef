//! Transactions that could not be read. What they paid is not known until they can be.
//!
//! Anybody can send such a transaction in every block. So a row is small, all of a chain are one incident with a count,
//! and their number is stored.

use std::time::Duration;

use salt402_protocol::{B256, ChainId, PaymentId};

use crate::engine::{Columns as _, Row, SyncConnection, bound, chain_id, clock, params, query};
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::incidents::outbox::{self, NoticeEvent};
use crate::rows::{Placed, StoreError};
use crate::store::Store;

/// How many characters of a reason are kept.
const REASON: usize = 512;

/// A transaction that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableTransaction {
    /// The transaction.
    pub transaction: B256,
    /// Its position among the transactions of its block; `None` if it is not known.
    pub position: Option<u32>,
    /// How long the answer is at the least, in bytes.
    pub bytes: u64,
    /// The longest answer that was accepted then, in bytes. `None` if the node did not give the answer.
    pub bound: Option<u64>,
    /// Why, in words.
    pub reason: String,
}

impl Store {
    /// A transaction of the chain that could not be read. `None` if it could be read or is not on the chain.
    pub async fn unreadable(
        &self,
        chain: ChainId,
        transaction: B256,
    ) -> Result<Option<Placed<UnreadableTransaction>>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT * FROM unreadable_transactions WHERE chain_id = $1 AND transaction_hash = $2 AND canonical LIMIT 1",
        )
        .bind(chain_id(chain))
        .bind(transaction.as_slice())
        .fetch_optional(reader.connection()?)?;
        row.as_ref().map(placed_of).transpose()
    }

    /// Whether a block of the chain of this time or later holds a transaction that could not be read. In seconds since
    /// 1970 UTC.
    pub async fn is_unreadable_since(&self, chain: ChainId, time: u64) -> Result<bool, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT id FROM unreadable_transactions WHERE chain_id = $1 AND block_timestamp >= $2 AND canonical LIMIT 1",
        )
        .bind(chain_id(chain))
        .bind(bound(time))
        .fetch_optional(reader.connection()?)?;
        Ok(row.is_some())
    }

    /// Transactions of the chain that are worth another try, at most `limit` of each kind: those that were too long for
    /// less than `longest` bytes, and those that were not tried for `rested`.
    pub async fn unreadable_due(
        &self,
        chain: ChainId,
        longest: u64,
        rested: Duration,
        limit: u32,
    ) -> Result<Vec<B256>, StoreError> {
        let rested = i64::try_from(rested.as_millis()).unwrap_or(i64::MAX);
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT transaction_hash FROM (SELECT transaction_hash FROM unreadable_transactions
                                           WHERE chain_id = $1 AND bound < $2 AND canonical ORDER BY bound LIMIT $4)
             UNION
             SELECT transaction_hash FROM (SELECT transaction_hash FROM unreadable_transactions
                                           WHERE chain_id = $1 AND tried_at_ms <= $3 AND canonical
                                           ORDER BY tried_at_ms LIMIT $4)",
        )
        .bind(chain_id(chain))
        .bind(bound(longest))
        .bind(clock::now_ms().saturating_sub(rested))
        .bind(i64::from(limit))
        .fetch_all(reader.connection()?)?;
        rows.iter().map(|row| row.hash("transaction_hash")).collect()
    }
}

fn placed_of(row: &Row) -> Result<Placed<UnreadableTransaction>, StoreError> {
    let position = row.maybe_number("position")?.map(u32::try_from).transpose();
    Ok(Placed {
        what: UnreadableTransaction {
            transaction: row.hash("transaction_hash")?,
            position: position.map_err(|_| StoreError::Corrupt { column: "position" })?,
            bytes: row.number("bytes")?,
            bound: row.maybe_number("bound")?,
            reason: row.text("reason")?,
        },
        block_number: row.number("block_number")?,
        block_hash: row.hash("block_hash")?,
        block_timestamp: row.number("block_timestamp")?,
    })
}

/// Puts transactions on the chain, also those that had left it. An incident tells of the newest one.
pub(crate) fn insert(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    unreadable: &[Placed<UnreadableTransaction>],
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO unreadable_transactions (chain_id, transaction_hash, block_hash, block_number, block_timestamp,
                                              position, bytes, bound, reason, canonical, seen_at_ms, tried_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, TRUE, ?10, ?10)
         ON CONFLICT (chain_id, transaction_hash, block_hash) DO UPDATE SET canonical = TRUE WHERE NOT canonical",
    )?;
    let (mut newest, mut inserted) = (None, 0);
    for placed in unreadable {
        let Placed { what, block_number, block_hash, block_timestamp } = placed;
        let reason: String = what.reason.chars().take(REASON).collect();
        let new = insert.execute(params![
            chain_id(chain),
            what.transaction.as_slice(),
            block_hash.as_slice(),
            bound(*block_number),
            bound(*block_timestamp),
            what.position,
            bound(what.bytes),
            what.bound.map(bound),
            reason,
            clock::now_ms()
        ])?;
        inserted += new;
        newest = if new > 0 { Some(placed) } else { newest };
    }
    count(connection, chain, inserted, 0)?;
    match newest {
        Some(newest) => tell(connection, chain, newest, inserted),
        None => Ok(()),
    }
}

/// Updates the number of unreadable transactions on the chain.
pub(super) fn count(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    more: usize,
    fewer: usize,
) -> Result<(), StoreError> {
    if more == fewer {
        return Ok(());
    }
    let number = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
    connection
        .prepare_cached("UPDATE chains SET unreadable = unreadable + ?2 - ?3 WHERE chain_id = ?1")?
        .execute(params![chain_id(chain), number(more), number(fewer)])?;
    Ok(())
}

fn open_incident(connection: &SyncConnection<'_>, chain: ChainId) -> Result<Option<i64>, StoreError> {
    let open = connection
        .prepare_cached(
            "SELECT id FROM incidents
             WHERE chain_id = ?1 AND kind = 'unreadable_transaction' AND resolved_at_ms IS NULL LIMIT 1",
        )?
        .query_optional([chain_id(chain)], |row| row.get(0))?;
    Ok(open)
}

/// Opens the chain's incident, or adds to the one that is open.
fn tell(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    newest: &Placed<UnreadableTransaction>,
    more: usize,
) -> Result<(), StoreError> {
    let UnreadableTransaction { transaction, reason, .. } = &newest.what;
    let detail = format!(
        "what transaction {transaction} of block {} paid is not known, because it could not be read ({reason}): its proof \
         is answered with 409; raise max_answer_bytes of the chain's nodes, or name another node, and it is read",
        newest.block_number
    );
    if let Some(open) = open_incident(connection, chain)? {
        connection
            .prepare_cached(
                "UPDATE incidents SET occurrences = occurrences + ?2, changed_at_ms = ?3, detail = ?4 WHERE id = ?1",
            )?
            .execute(params![open, i64::try_from(more).unwrap_or(i64::MAX), clock::now_ms(), detail])?;
        return Ok(());
    }
    let new = NewIncident {
        kind: IncidentKind::UnreadableTransaction,
        chain,
        payment: PaymentId(B256::ZERO),
        transaction: *transaction,
        occurrences: more as u64,
        detail: &detail,
    };
    incident::record(connection, &new)?;
    Ok(())
}

/// Resolves the chain's incident once all transactions were read or left the chain. Run it at the end of a step that
/// may have changed that.
pub(crate) fn follow(connection: &SyncConnection<'_>, chain: ChainId) -> Result<(), StoreError> {
    let Some(open) = open_incident(connection, chain)? else { return Ok(()) };
    let left: i64 = connection
        .prepare_cached("SELECT unreadable FROM chains WHERE chain_id = ?1")?
        .query_row([chain_id(chain)], |row| row.get(0))?;
    if left > 0 {
        return Ok(());
    }
    let now = clock::now_ms();
    connection
        .prepare_cached("UPDATE incidents SET resolved_at_ms = ?2, changed_at_ms = ?2 WHERE id = ?1")?
        .execute(params![open, now])?;
    outbox::write(connection, open, NoticeEvent::Resolved, now)
}
