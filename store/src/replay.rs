//! Proofs of payments that were used up, shown for another request.

use salt402_protocol::{B256, ChainId};

use crate::columns::{Columns as _, chain_id};
use crate::incident::{self, IncidentKind, NewIncident};
use crate::transaction::WriteTransaction;
use crate::work::{Write, send};
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
        send(self.jobs(), Noted(replays)).await
    }
}

struct Noted(Vec<Replays>);

impl Write for Noted {
    type Output = ();

    fn rows(&self) -> usize {
        self.0.len()
    }

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        let connection = transaction.connection();
        for replays in &self.0 {
            let used = sqlx::query(
                "SELECT k.payment_id, k.claimant, k.request_digest
                 FROM payments p JOIN claims k ON k.payment_id = p.payment_id
                 WHERE p.chain_id = $1 AND p.transaction_hash = $2 AND p.canonical",
            )
            .bind(chain_id(replays.chain))
            .bind(replays.transaction.as_slice())
            .fetch_all(&mut *connection)
            .await?;
            for row in &used {
                let detail = format!(
                    "used up by {:?} for request {}, and its proof was shown for another request or by another server",
                    row.text("claimant")?,
                    row.digest("request_digest")?,
                );
                let new = NewIncident {
                    kind: IncidentKind::ReplayAttempt,
                    chain: replays.chain,
                    payment: row.payment_id("payment_id")?,
                    transaction: replays.transaction,
                    occurrences: replays.attempts,
                    detail: &detail,
                };
                incident::record(connection, &new).await?;
            }
        }
        Ok(())
    }
}
