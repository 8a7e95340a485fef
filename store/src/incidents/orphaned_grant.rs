//! Orphaned grants: payments that were granted on and then left the chain.

use std::collections::HashSet;

use salt402_protocol::{ChainId, PaymentId, RequestDigest};

use crate::engine::{SyncConnection, bound, chain_id, clock, params};
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::incidents::outbox::{self, NoticeEvent};
use crate::rows::StoreError;

/// Whether the payment `q`, which is on the chain, is the one that was granted on. It is in the claim's own
/// transaction, or in another with the same payee, asset and reference and at least the same amount. A payer can sign
/// one nonce twice, for other terms, and both have the same payment name.
macro_rules! pays_what_was_granted {
    ($granted:literal) => {
        concat!(
            "(q.transaction_hash = ",
            $granted,
            " OR EXISTS (SELECT 1 FROM payments g
                         WHERE g.chain_id = q.chain_id AND g.transaction_hash = ",
            $granted,
            "              AND g.payment_id = q.payment_id AND NOT g.canonical
                           AND g.payee = q.payee AND g.asset = q.asset AND g.reference = q.reference
                           AND g.amount <= q.amount))"
        )
    };
}
pub(crate) use pays_what_was_granted;

/// Opens an incident for every claimed payment above a height that is in no block of the chain, has no open incident
/// and was not settled. Run it after the new blocks were added, so that it finds only payments that did not come back,
/// in whatever transaction.
pub(crate) fn open_orphaned(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    height: u64,
) -> Result<u64, StoreError> {
    let kind = IncidentKind::PaymentLost;
    let mut select = connection.prepare_cached(concat!(
        "SELECT DISTINCT k.payment_id, k.transaction_hash, k.claimant, k.request_digest, k.block_number, k.block_hash
         FROM payments p JOIN claims k ON k.payment_id = p.payment_id
         WHERE p.chain_id = ?1 AND p.block_number > ?2 AND NOT p.canonical
           AND NOT EXISTS (SELECT 1 FROM payments q
                           WHERE q.chain_id = p.chain_id AND q.transaction_hash = k.transaction_hash
                             AND q.payment_id = p.payment_id AND q.canonical)
           AND NOT EXISTS (SELECT 1 FROM settlements s INDEXED BY settlements_of_payment CROSS JOIN payments q
                           WHERE s.chain_id = p.chain_id AND s.payment_id = p.payment_id
                             AND q.chain_id = s.chain_id AND q.transaction_hash = s.transaction_hash
                             AND q.payment_id = s.payment_id AND q.canonical
                             AND ",
        pays_what_was_granted!("k.transaction_hash"),
        ")
           AND NOT EXISTS (SELECT 1 FROM incidents i
                           WHERE i.chain_id = p.chain_id AND i.payment_id = p.payment_id AND i.kind = ?3
                             AND i.resolved_at_ms IS NULL)
           AND NOT EXISTS (SELECT 1 FROM incidents i
                           WHERE i.chain_id = p.chain_id AND i.payment_id = p.payment_id AND i.settled IS NOT NULL)"
    ))?;
    let mut rows = select.query(params![chain_id(chain), bound(height), kind.name()])?;
    let mut orphaned = Vec::new();
    while let Some(row) = rows.next()? {
        let detail = format!(
            "granted to {:?} for request {} when the payment was in block {} ({}), which is no longer on the chain",
            row.get::<String>(2)?,
            RequestDigest(row.hash_at(3, "request_digest")?),
            row.natural(4, "block_number")?,
            row.hash_at(5, "block_hash")?,
        );
        orphaned.push((row.hash_at(0, "payment_id")?, row.hash_at(1, "transaction_hash")?, detail));
    }
    for (payment, transaction, detail) in &orphaned {
        let new = NewIncident {
            kind,
            chain,
            payment: PaymentId(*payment),
            transaction: *transaction,
            occurrences: 1,
            detail,
        };
        incident::record(connection, &new)?;
    }
    Ok(orphaned.len() as u64)
}

/// The statement that resolves open incidents of a chain whose payment is in a block of it again. The index over
/// settlements is named, because SQLite would otherwise read the whole table by its key.
macro_rules! resolve_those {
    ($which:literal) => {
        concat!(
            "UPDATE incidents SET resolved_at_ms = ?3, changed_at_ms = ?3
             WHERE chain_id = ?1 AND kind = ?2 AND resolved_at_ms IS NULL AND ",
            $which,
            " AND (EXISTS (SELECT 1 FROM payments p
                           WHERE p.chain_id = incidents.chain_id AND p.transaction_hash = incidents.transaction_hash
                             AND p.payment_id = incidents.payment_id AND p.canonical)
                OR EXISTS (SELECT 1 FROM settlements s INDEXED BY settlements_of_payment CROSS JOIN payments q
                           WHERE s.chain_id = incidents.chain_id AND s.payment_id = incidents.payment_id
                             AND q.chain_id = s.chain_id AND q.transaction_hash = s.transaction_hash
                             AND q.payment_id = s.payment_id AND q.canonical
                             AND ",
            pays_what_was_granted!("incidents.transaction_hash"),
            "))
             RETURNING id"
        )
    };
}

const RESOLVE_ALL: &str = resolve_those!("TRUE");
const RESOLVE_ONE: &str = resolve_those!("payment_id = ?4");

/// Resolves the open incidents of payments that came back to a block of the chain. `came` are all payments of the step.
///
/// The cost depends on the length of the step, however many incidents are open. If more incidents are open than
/// payments came, each payment is looked for among the incidents; otherwise each incident among the payments.
pub(crate) fn resolve_returned(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    came: &HashSet<PaymentId>,
) -> Result<(), StoreError> {
    let now = clock::now_ms();
    let (chain, kind) = (chain_id(chain), IncidentKind::PaymentLost.name());
    let few = !more_than(
        connection,
        "SELECT COUNT(*) FROM (SELECT 1 FROM incidents WHERE chain_id = ?1 AND resolved_at_ms IS NULL LIMIT ?2)",
        chain,
        came.len(),
    )?;
    let mut resolved: Vec<i64> = Vec::new();
    if few {
        let mut update = connection.prepare_cached(RESOLVE_ALL)?;
        let mut rows = update.query(params![chain, kind, now])?;
        while let Some(row) = rows.next()? {
            resolved.push(row.get(0)?);
        }
    } else {
        let mut update = connection.prepare_cached(RESOLVE_ONE)?;
        for payment in came {
            let mut rows = update.query(params![chain, kind, now, payment.0.as_slice()])?;
            while let Some(row) = rows.next()? {
                resolved.push(row.get(0)?);
            }
        }
    }
    for id in resolved {
        outbox::write(connection, id, NoticeEvent::Resolved, now)?;
    }
    Ok(())
}

/// Whether a statement that counts rows of a chain, and stops at a limit, finds more than this many.
pub(crate) fn more_than(
    connection: &SyncConnection<'_>,
    counts: &str,
    chain: i64,
    number: usize,
) -> Result<bool, StoreError> {
    let number = i64::try_from(number).unwrap_or(i64::MAX - 1);
    let found: i64 =
        connection.prepare_cached(counts)?.query_row(params![chain, number + 1], |row| row.get(0))?;
    Ok(found > number)
}
