//! Payments that were granted on and left the chain.

use salt402_protocol::ChainId;
use sqlx::SqliteConnection;

use crate::columns::{Columns as _, bound, chain_id};
use crate::incident::{self, IncidentKind, NewIncident};
use crate::notice::{self, NoticeEvent};
use crate::{StoreError, clock};

/// Opens an incident for every claimed payment above a height that is in no block of the chain and has none open.
/// Run after the new blocks are in, it finds those that did not come back.
pub(crate) async fn open_lost(
    connection: &mut SqliteConnection,
    chain: ChainId,
    height: u64,
) -> Result<u64, StoreError> {
    let kind = IncidentKind::PaymentLost;
    let lost = sqlx::query(
        "SELECT DISTINCT k.payment_id, k.transaction_hash, k.claimant, k.request_digest, k.block_number, k.block_hash
         FROM payments p JOIN claims k ON k.payment_id = p.payment_id
         WHERE p.chain_id = $1 AND p.block_number > $2 AND NOT p.canonical
           AND NOT EXISTS (SELECT 1 FROM payments q
                           WHERE q.chain_id = p.chain_id AND q.transaction_hash = p.transaction_hash
                             AND q.payment_id = p.payment_id AND q.canonical)
           AND NOT EXISTS (SELECT 1 FROM incidents i
                           WHERE i.chain_id = p.chain_id AND i.payment_id = p.payment_id AND i.kind = $3
                             AND i.resolved_at_ms IS NULL)",
    )
    .bind(chain_id(chain))
    .bind(bound(height))
    .bind(kind.name())
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
        let new = NewIncident {
            kind,
            chain,
            payment: row.payment_id("payment_id")?,
            transaction: row.hash("transaction_hash")?,
            occurrences: 1,
            detail: &detail,
        };
        incident::record(connection, &new).await?;
    }
    Ok(lost.len() as u64)
}

/// Resolves the open incidents whose payment is in a block of the chain again. Costs a look-up for each open one.
pub(crate) async fn resolve_found(
    connection: &mut SqliteConnection,
    chain: ChainId,
) -> Result<(), StoreError> {
    let now = clock::now_ms();
    let resolved = sqlx::query(
        "UPDATE incidents SET resolved_at_ms = $3, changed_at_ms = $3
         WHERE chain_id = $1 AND kind = $2 AND resolved_at_ms IS NULL
           AND EXISTS (SELECT 1 FROM payments p
                       WHERE p.chain_id = incidents.chain_id AND p.transaction_hash = incidents.transaction_hash
                         AND p.payment_id = incidents.payment_id AND p.canonical)
         RETURNING id",
    )
    .bind(chain_id(chain))
    .bind(IncidentKind::PaymentLost.name())
    .bind(now)
    .fetch_all(&mut *connection)
    .await?;
    for row in &resolved {
        notice::write(connection, row.number("id")?, NoticeEvent::Resolved, now).await?;
    }
    Ok(())
}
