//! Proofs of payments that were used up, shown for another request.

use rusqlite::{Connection, params};
use salt402_protocol::{B256, ChainId, PaymentId, RequestDigest};

use crate::columns::{Places as _, chain_id};
use crate::incident::{self, IncidentKind, NewIncident};
use crate::recent::Changes;
use crate::steps::{Step, send_step};
use crate::{Store, StoreError};

/// Attempts to use a transaction's payments again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replays {
    /// The chain.
    pub chain: ChainId,
    /// The transaction that was shown.
    pub transaction: B256,
    /// How often.
    pub attempts: u64,
}

impl Store {
    /// Records that used payments were shown again: one incident for each payment of the transactions that is claimed,
    /// with a count. A transaction none of whose payments is claimed leaves nothing.
    pub async fn note_replays(&self, replays: Vec<Replays>) -> Result<(), StoreError> {
        send_step(self.jobs(), Noted(replays)).await
    }
}

struct Noted(Vec<Replays>);

impl Step for Noted {
    type Output = ();

    fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        for replays in &self.0 {
            for (payment, detail) in used(connection, replays)? {
                let new = NewIncident {
                    kind: IncidentKind::ReplayAttempt,
                    chain: replays.chain,
                    payment,
                    transaction: replays.transaction,
                    occurrences: replays.attempts,
                    detail: &detail,
                };
                incident::record(connection, &new)?;
            }
        }
        Ok(())
    }

    fn changes(&self, _noted: &(), _connection: &Connection) -> Changes {
        Changes::default()
    }
}

/// The claimed payments of a transaction, and for what they were used.
fn used(connection: &Connection, replays: &Replays) -> Result<Vec<(PaymentId, String)>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT k.payment_id, k.claimant, k.request_digest
         FROM payments p JOIN claims k ON k.payment_id = p.payment_id
         WHERE p.chain_id = ?1 AND p.transaction_hash = ?2 AND p.canonical",
    )?;
    let mut rows = select.query(params![chain_id(replays.chain), replays.transaction.as_slice()])?;
    let mut used = Vec::new();
    while let Some(row) = rows.next()? {
        let detail = format!(
            "used up by {:?} for request {}, and its proof was shown for another request or by another server",
            row.get::<_, String>(1)?,
            RequestDigest(row.hash_at(2, "request_digest")?),
        );
        used.push((PaymentId(row.hash_at(0, "payment_id")?), detail));
    }
    Ok(used)
}
