//! Proofs of used payments that were shown for another request.

use salt402_protocol::{B256, ChainId, PaymentId, RequestDigest};

use crate::engine::{Changes, Step, SyncConnection, bound, chain_id, params, send_step};
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::rows::StoreError;
use crate::store::Store;

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

/// How many transactions one step notes. Whoever shows used proofs chooses how many there are. Claims wait for a step
/// and come in between two of them.
const AT_ONCE: usize = 64;

impl Store {
    /// Records that used payments were shown again. Each claimed payment of the transactions has one incident with a
    /// count; of one transaction at most 64 are recorded. A transaction without a claimed payment leaves nothing. Some
    /// are written at a time, with claims in between. An error is the first of several; the rest was tried all the
    /// same.
    pub async fn note_replays(&self, replays: Vec<Replays>) -> Result<(), StoreError> {
        let mut result = Ok(());
        for some in replays.chunks(AT_ONCE) {
            let noted = send_step(self.jobs(), Noted(some.to_vec())).await;
            result = result.and(noted);
        }
        result
    }
}

struct Noted(Vec<Replays>);

impl Step for Noted {
    type Output = ();

    const KIND: &'static str = "replays";

    // It grants nothing, and no request waits for it.
    const WAKES: bool = false;

    fn write(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
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

    fn changes(&self, _noted: &(), _connection: &SyncConnection<'_>) -> Changes {
        Changes::default()
    }
}

/// The claimed payments of a transaction, and what they were used for. If there are many, always the same part of them.
fn used(connection: &SyncConnection<'_>, replays: &Replays) -> Result<Vec<(PaymentId, String)>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT k.payment_id, k.claimant, k.request_digest
         FROM payments p JOIN claims k ON k.payment_id = p.payment_id
         WHERE p.chain_id = ?1 AND p.transaction_hash = ?2 AND p.canonical LIMIT ?3",
    )?;
    let shown =
        params![chain_id(replays.chain), replays.transaction.as_slice(), bound(incident::MOST as u64 + 1)];
    let mut rows = select.query(shown)?;
    let mut used = Vec::new();
    while let Some(row) = rows.next()? {
        if used.len() == incident::MOST {
            incident::note_cut(IncidentKind::ReplayAttempt, 1);
            break;
        }
        let detail = format!(
            "used up by {:?} for request {}, and its proof was shown for another request or by another server",
            row.get::<String>(1)?,
            RequestDigest(row.hash_at(2, "request_digest")?),
        );
        used.push((PaymentId(row.hash_at(0, "payment_id")?), detail));
    }
    Ok(used)
}
