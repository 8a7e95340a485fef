//! Incidents: what went wrong although nobody did, and an operator must know.

use std::fmt;

use rusqlite::{Connection, params};
use salt402_protocol::{Address, B256, ChainId, PaymentId, RequestDigest};
use sqlx::sqlite::SqliteRow;

use crate::columns::{Columns as _, Places as _, bound, chain_id};
use crate::steps::{Step, send_step};
use crate::{Store, StoreError, clock};

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IncidentKind {
    /// A payment was granted on, and then its block left the chain.
    PaymentLost,
}

impl IncidentKind {
    /// Its name in the database and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PaymentLost => "payment_lost",
        }
    }
}

impl fmt::Display for IncidentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that an operator must know of. It is open until what went wrong came right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its number, ascending in time.
    pub id: u64,
    /// What kind it is.
    pub kind: IncidentKind,
    /// The payment.
    pub payment: PaymentId,
    /// The payment's chain.
    pub chain: ChainId,
    /// The payment's transaction.
    pub transaction: B256,
    /// Who paid; `None` where a database from before this was kept does not know.
    pub payer: Option<Address>,
    /// When it began, in milliseconds since 1970 UTC.
    pub opened_at_ms: u64,
    /// When it came right, in milliseconds since 1970 UTC; `None` while it is open.
    pub resolved_at_ms: Option<u64>,
    /// What happened, for people.
    pub detail: String,
    /// What an operator wrote who settled it; `None` where the payment came back, or the incident is open.
    pub settled: Option<String>,
}

impl Store {
    /// Incidents, the newest first, at most `limit`; with `open_only`, those that are still open.
    pub async fn incidents(&self, open_only: bool, limit: u32) -> Result<Vec<Incident>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = sqlx::query(if open_only {
            "SELECT * FROM incidents WHERE resolved_at_ms IS NULL ORDER BY id DESC LIMIT $1"
        } else {
            "SELECT * FROM incidents ORDER BY id DESC LIMIT $1"
        })
        .bind(i64::from(limit))
        .fetch_all(reader.connection()?)
        .await?;
        rows.iter().map(incident_of).collect()
    }

    /// Resolves an incident although its payment did not come back, because an operator says that it was made good.
    /// Says whether it was open. The same payment opens no further one. Durable when this returns.
    pub async fn settle_incident(&self, id: u64, note: String) -> Result<bool, StoreError> {
        send_step(self.jobs(), Settle { id, note }).await
    }
}

struct Settle {
    id: u64,
    note: String,
}

/// A step, because requests may wait for it as they do for payments.
impl Step for Settle {
    type Output = bool;

    fn write(&self, connection: &Connection) -> Result<bool, StoreError> {
        let settled = connection.execute(
            "UPDATE incidents SET resolved_at_ms = ?2, settled = ?3 WHERE id = ?1 AND resolved_at_ms IS NULL",
            params![bound(self.id), clock::now_ms(), self.note],
        )?;
        Ok(settled == 1)
    }
}

/// Opens an incident for every claimed payment above a height that is in no block of the chain, has none open and was
/// not settled. Run after the new blocks are in, it finds those that did not come back.
pub(crate) fn open_lost(connection: &Connection, chain: ChainId, height: u64) -> Result<u64, StoreError> {
    let kind = IncidentKind::PaymentLost.name();
    let mut select = connection.prepare_cached(
        "SELECT DISTINCT k.payment_id, k.transaction_hash, k.claimant, k.request_digest, k.block_number, k.block_hash,
                         p.payer
         FROM payments p JOIN claims k ON k.payment_id = p.payment_id
         WHERE p.chain_id = ?1 AND p.block_number > ?2 AND NOT p.canonical
           AND NOT EXISTS (SELECT 1 FROM payments q
                           WHERE q.chain_id = p.chain_id AND q.transaction_hash = p.transaction_hash
                             AND q.payment_id = p.payment_id AND q.canonical)
           AND NOT EXISTS (SELECT 1 FROM incidents i
                           WHERE i.chain_id = p.chain_id AND i.payment_id = p.payment_id AND i.kind = ?3
                             AND i.resolved_at_ms IS NULL)
           AND NOT EXISTS (SELECT 1 FROM incidents i
                           WHERE i.chain_id = p.chain_id AND i.payment_id = p.payment_id AND i.settled IS NOT NULL)",
    )?;
    let mut rows = select.query(params![chain_id(chain), bound(height), kind])?;
    let mut lost = Vec::new();
    while let Some(row) = rows.next()? {
        let detail = format!(
            "granted to {:?} for request {} when the payment was in block {} ({}), which is no longer on the chain",
            row.get::<_, String>(2)?,
            RequestDigest(row.hash_at(3, "request_digest")?),
            row.natural(4, "block_number")?,
            row.hash_at(5, "block_hash")?,
        );
        let payer: Vec<u8> = row.get(6)?;
        lost.push((row.hash_at(0, "payment_id")?, row.hash_at(1, "transaction_hash")?, detail, payer));
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO incidents (chain_id, kind, payment_id, transaction_hash, opened_at_ms, detail, payer)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for (payment, transaction, detail, payer) in &lost {
        insert.execute(params![
            chain_id(chain),
            kind,
            payment.as_slice(),
            transaction.as_slice(),
            clock::now_ms(),
            detail,
            payer
        ])?;
    }
    Ok(lost.len() as u64)
}

/// Resolves the open incidents whose payment is in a block of the chain again. Costs a look-up for each open one.
pub(crate) fn resolve_found(connection: &Connection, chain: ChainId) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE incidents SET resolved_at_ms = ?3
             WHERE chain_id = ?1 AND kind = ?2 AND resolved_at_ms IS NULL
               AND EXISTS (SELECT 1 FROM payments p
                           WHERE p.chain_id = incidents.chain_id
                             AND p.transaction_hash = incidents.transaction_hash
                             AND p.payment_id = incidents.payment_id AND p.canonical)",
        )?
        .execute(params![chain_id(chain), IncidentKind::PaymentLost.name(), clock::now_ms()])?;
    Ok(())
}

fn incident_of(row: &SqliteRow) -> Result<Incident, StoreError> {
    let kind = match row.text("kind")?.as_str() {
        "payment_lost" => IncidentKind::PaymentLost,
        _ => return Err(StoreError::Corrupt { column: "kind" }),
    };
    Ok(Incident {
        id: row.number("id")?,
        kind,
        payment: row.payment_id("payment_id")?,
        chain: row.chain("chain_id")?,
        transaction: row.hash("transaction_hash")?,
        opened_at_ms: row.number("opened_at_ms")?,
        resolved_at_ms: row.maybe_number("resolved_at_ms")?,
        detail: row.text("detail")?,
        payer: row.maybe_address("payer")?,
        settled: row.maybe_text("settled")?,
    })
}
