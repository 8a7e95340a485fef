//! Halts: a chain that is not followed further until the operator acts.
//!
//! A halt is a row, so that it outlives the process and all processes see it. While it is open, [`Store::claim`] grants
//! nothing on the chain and [`Store::apply`] adds nothing to it. The batch that replaces what the operator agreed to
//! give up ends it, in the same transaction. The view `open_halts` says which halts are open.

use salt402_protocol::{Amount, Asset, B256, ChainId, PaymentId};

use crate::engine::{
    Columns as _, Connection, Row, SyncConnection, Write, WriteTransaction, bound, chain_id, clock, integer,
    params, query, send,
};
use crate::rows::{Cursor, HaltKind, StoreError};
use crate::store::Store;

/// An open halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    /// Why.
    pub kind: HaltKind,
    /// How many blocks would leave the chain at the least. 0 for another kind of halt.
    pub depth: u64,
    /// Since when, in milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// The fork that the operator accepted and that is not applied yet.
    pub accepted: Option<AcceptedFork>,
}

/// A fork that the operator accepted. Its first block names it: if the node shows another block there, it is another
/// fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedFork {
    /// The height up to which the stored chain stays.
    pub keep_through: u64,
    /// The hash of the node's block right above that height.
    pub block: B256,
}

/// What would leave the chain together with all blocks above a height.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Above {
    /// Payments on the chain.
    pub payments: u64,
    /// How many of them are claimed.
    pub claimed: u64,
    /// Those that were granted on, the newest block first, as many as were asked for.
    pub grants: Vec<GrantAbove>,
}

/// A payment that was granted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantAbove {
    /// The payment.
    pub payment: PaymentId,
    /// Its transaction.
    pub transaction: B256,
    /// What was paid.
    pub asset: Asset,
    /// How much, in base units.
    pub amount: Amount,
    /// Its block.
    pub block_number: u64,
    /// Who claimed it.
    pub claimant: String,
}

impl Store {
    /// Halts a chain. If the operator had accepted a fork for an open halt, that no longer counts. Durable when this
    /// returns.
    pub async fn halt(&self, chain: ChainId, kind: HaltKind, depth: u64) -> Result<(), StoreError> {
        integer("a reorganization's depth", depth)?;
        send(self.jobs(), Open { chain, kind, depth }).await
    }

    /// Notes that the operator accepts the node's chain from a block on. The follower, now or after its next start,
    /// then replaces what is above [`AcceptedFork::keep_through`]. `false` if no such halt is open, or if the index is
    /// no longer at `seen`, where the operator looked.
    pub async fn accept_fork(
        &self,
        chain: ChainId,
        seen: Option<Cursor>,
        fork: AcceptedFork,
    ) -> Result<bool, StoreError> {
        integer("a block's height", fork.keep_through)?;
        send(self.jobs(), Accept { chain, seen, fork }).await
    }

    /// Ends a halt of this kind and changes nothing else, because its reason is gone. `false` if none was open.
    pub async fn end_halt(&self, chain: ChainId, kind: HaltKind) -> Result<bool, StoreError> {
        send(self.jobs(), End { chain, kind }).await
    }

    /// The highest block of the stored chain at or below a height whose hash is known from a header or a payment.
    /// `None` if there is none.
    pub async fn known_at_or_below(&self, chain: ChainId, height: u64) -> Result<Option<Cursor>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT number, hash FROM (
                 SELECT * FROM (SELECT number, hash FROM blocks
                                WHERE chain_id = $1 AND number <= $2 AND canonical
                                ORDER BY number DESC LIMIT 1)
                 UNION ALL
                 SELECT * FROM (SELECT block_number AS number, block_hash AS hash FROM payments
                                WHERE chain_id = $1 AND block_number <= $2 AND canonical
                                ORDER BY block_number DESC LIMIT 1)) AS known
             ORDER BY number DESC LIMIT 1",
        )
        .bind(chain_id(chain))
        .bind(bound(height))
        .fetch_optional(reader.connection()?)?;
        row.map(|row| Ok(Cursor { number: row.number("number")?, hash: row.hash("hash")? })).transpose()
    }

    /// What would leave the chain together with all blocks above a height, with at most `limit` grants by name.
    pub async fn above(&self, chain: ChainId, height: u64, limit: u32) -> Result<Above, StoreError> {
        let mut reader = self.reader().await?;
        let connection = reader.connection()?;
        let totals = query(
            "SELECT COUNT(*) AS payments, COUNT(k.payment_id) AS claimed
             FROM payments p LEFT JOIN claims k ON k.payment_id = p.payment_id
             WHERE p.chain_id = $1 AND p.block_number > $2 AND p.canonical",
        )
        .bind(chain_id(chain))
        .bind(bound(height))
        .fetch_one(&mut *connection)?;
        let grants = query(
            "SELECT p.payment_id, p.transaction_hash, p.asset, p.amount, p.block_number, k.claimant
             FROM payments p JOIN claims k ON k.payment_id = p.payment_id
             WHERE p.chain_id = $1 AND p.block_number > $2 AND p.canonical
             ORDER BY p.block_number DESC, p.id DESC LIMIT $3",
        )
        .bind(chain_id(chain))
        .bind(bound(height))
        .bind(i64::from(limit))
        .fetch_all(connection)?;
        let grant = |row: &Row| {
            Ok(GrantAbove {
                payment: row.payment_id("payment_id")?,
                transaction: row.hash("transaction_hash")?,
                asset: row.asset("asset")?,
                amount: row.amount("amount")?,
                block_number: row.number("block_number")?,
                claimant: row.text("claimant")?,
            })
        };
        Ok(Above {
            payments: totals.number("payments")?,
            claimed: totals.number("claimed")?,
            grants: grants.iter().map(grant).collect::<Result<_, StoreError>>()?,
        })
    }
}

/// Whether a batch may be applied: no halt is open, or the batch replaces exactly what the operator accepted. Returns
/// whether it ends a halt.
pub(crate) fn permit(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    keep_through: Option<u64>,
) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT kind, accepted_hash IS NOT NULL, COALESCE(keep_through, 0) FROM open_halts
         WHERE chain_id = ?1",
    )?;
    let mut rows = select.query([chain_id(chain)])?;
    let Some(row) = rows.next()? else { return Ok(false) };
    let kind = kind_of(&row.get::<String>(0)?)?;
    if row.get::<bool>(1)? && keep_through == Some(row.natural(2, "keep_through")?) {
        Ok(true)
    } else {
        Err(StoreError::Halted { chain, kind })
    }
}

/// [`close`] on the connection that steps are written on.
pub(crate) fn close_in_step(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    kind: HaltKind,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE halts SET resolved_at_ms = ?3 WHERE chain_id = ?1 AND kind = ?2 AND resolved_at_ms IS NULL",
        )?
        .execute(params![chain_id(chain), kind.name(), clock::now_ms()])?;
    Ok(())
}

fn kind_of(name: &str) -> Result<HaltKind, StoreError> {
    match name {
        "fork" => Ok(HaltKind::Fork),
        "genesis" => Ok(HaltKind::Genesis),
        _ => Err(StoreError::Corrupt { column: "kind" }),
    }
}

/// Closes the open halt of a chain.
pub(crate) fn close(connection: &mut Connection, chain: ChainId, kind: HaltKind) -> Result<bool, StoreError> {
    let done = query(
        "UPDATE halts SET resolved_at_ms = $3 WHERE chain_id = $1 AND kind = $2 AND resolved_at_ms IS NULL",
    )
    .bind(chain_id(chain))
    .bind(kind.name())
    .bind(clock::now_ms())
    .execute(connection)?;
    Ok(done.rows_affected() > 0)
}

/// The halt in a row that was joined with `open_halts`. `None` if there is none.
pub(crate) fn of(row: &Row) -> Result<Option<Halt>, StoreError> {
    let Some(at_ms) = row.maybe_number("halted_at_ms")? else { return Ok(None) };
    let kind = kind_of(&row.text("halt_kind")?)?;
    let accepted = row.maybe_number("keep_through")?.zip(row.maybe_hash("accepted_hash")?);
    Ok(Some(Halt {
        kind,
        depth: row.number("halt_depth")?,
        at_ms,
        accepted: accepted.map(|(keep_through, block)| AcceptedFork { keep_through, block }),
    }))
}

struct Open {
    chain: ChainId,
    kind: HaltKind,
    depth: u64,
}

impl Write for Open {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        // A chain without anything stored needs no halt.
        query(
            "INSERT INTO halts (chain_id, kind, depth, halted_at_ms)
             SELECT chain_id, $2, $3, $4 FROM chains WHERE chain_id = $1
             ON CONFLICT (chain_id) WHERE resolved_at_ms IS NULL
             DO UPDATE SET kind = excluded.kind, depth = excluded.depth,
                           accepted_at_ms = NULL, keep_through = NULL, accepted_hash = NULL",
        )
        .bind(chain_id(self.chain))
        .bind(self.kind.name())
        .bind(bound(self.depth))
        .bind(clock::now_ms())
        .execute(transaction.connection())?;
        Ok(())
    }
}

struct Accept {
    chain: ChainId,
    seen: Option<Cursor>,
    fork: AcceptedFork,
}

impl Write for Accept {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE halts SET accepted_at_ms = $3, keep_through = $4, accepted_hash = $5
             WHERE chain_id = $1 AND kind = $2 AND resolved_at_ms IS NULL
               AND EXISTS (SELECT 1 FROM chains c WHERE c.chain_id = $1 AND c.cursor_hash IS $6)",
        )
        .bind(chain_id(self.chain))
        .bind(HaltKind::Fork.name())
        .bind(clock::now_ms())
        .bind(bound(self.fork.keep_through))
        .bind(self.fork.block.as_slice())
        .bind(self.seen.map(|seen| seen.hash.to_vec()))
        .execute(transaction.connection())?;
        Ok(done.rows_affected() > 0)
    }
}

struct End {
    chain: ChainId,
    kind: HaltKind,
}

impl Write for End {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        close(transaction.connection(), self.chain, self.kind)
    }
}
