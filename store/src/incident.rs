//! Incidents: what went wrong although nobody did, and an operator must know.

use std::fmt;

use salt402_protocol::{Address, B256, ChainId, PaymentId};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::columns::{Columns as _, bound, chain_id};
use crate::transaction::WriteTransaction;
use crate::work::{Write, send};
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
        send(self.jobs(), Settle { id, note }).await
    }
}

struct Settle {
    id: u64,
    note: String,
}

impl Write for Settle {
    type Output = bool;

    /// Requests may wait for it.
    const CHANGES_CHAIN: bool = true;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE incidents SET resolved_at_ms = $2, settled = $3 WHERE id = $1 AND resolved_at_ms IS NULL",
        )
        .bind(bound(self.id))
        .bind(clock::now_ms())
        .bind(&self.note)
        .execute(transaction.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Opens an incident for every claimed payment above a height that is in no block of the chain, has none open and was
/// not settled. Run after the new blocks are in, it finds those that did not come back.
pub(crate) async fn open_lost(
    connection: &mut SqliteConnection,
    chain: ChainId,
    height: u64,
) -> Result<u64, StoreError> {
    let kind = IncidentKind::PaymentLost.name();
    let lost = sqlx::query(
        "SELECT DISTINCT k.payment_id, k.transaction_hash, k.claimant, k.request_digest, k.block_number, k.block_hash,
                         p.payer
         FROM payments p JOIN claims k ON k.payment_id = p.payment_id
         WHERE p.chain_id = $1 AND p.block_number > $2 AND NOT p.canonical
           AND NOT EXISTS (SELECT 1 FROM payments q
                           WHERE q.chain_id = p.chain_id AND q.transaction_hash = p.transaction_hash
                             AND q.payment_id = p.payment_id AND q.canonical)
           AND NOT EXISTS (SELECT 1 FROM incidents i
                           WHERE i.chain_id = p.chain_id AND i.payment_id = p.payment_id AND i.kind = $3
                             AND i.resolved_at_ms IS NULL)
           AND NOT EXISTS (SELECT 1 FROM incidents i
                           WHERE i.chain_id = p.chain_id AND i.payment_id = p.payment_id AND i.settled IS NOT NULL)",
    )
    .bind(chain_id(chain))
    .bind(bound(height))
    .bind(kind)
    .fetch_all(&mut *connection)
    .await?;
    for row in &lost {
        let detail = format!(
            "granted to {:?} for request {} when the payment was in block {} ({}), which is no longer on the chain",
            row.text("claimant")?,
            row.digest("request_digest")?,
            row.number("block_number")?,
            row.hash("block_hash")?,
        );
        sqlx::query(
            "INSERT INTO incidents (chain_id, kind, payment_id, transaction_hash, opened_at_ms, detail, payer)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(chain_id(chain))
        .bind(kind)
        .bind(row.bytes("payment_id")?)
        .bind(row.bytes("transaction_hash")?)
        .bind(clock::now_ms())
        .bind(detail)
        .bind(row.bytes("payer")?)
        .execute(&mut *connection)
        .await?;
    }
    Ok(lost.len() as u64)
}

/// Resolves the open incidents whose payment is in a block of the chain again. Costs a look-up for each open one.
pub(crate) async fn resolve_found(
    connection: &mut SqliteConnection,
    chain: ChainId,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE incidents SET resolved_at_ms = $3
         WHERE chain_id = $1 AND kind = $2 AND resolved_at_ms IS NULL
           AND EXISTS (SELECT 1 FROM payments p
                       WHERE p.chain_id = incidents.chain_id AND p.transaction_hash = incidents.transaction_hash
                         AND p.payment_id = incidents.payment_id AND p.canonical)",
    )
    .bind(chain_id(chain))
    .bind(IncidentKind::PaymentLost.name())
    .bind(clock::now_ms())
    .execute(connection)
    .await?;
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
