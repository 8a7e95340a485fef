//! Exposure: what was granted to a payer on payments that a reorganization may still take back.

use std::collections::HashSet;

use salt402_protocol::{Address, Amount, Asset, ChainId, PaymentId};

use crate::engine::{
    Columns as _, Connection, SyncConnection, Write, WriteTransaction, amount_bytes, bound, chain_id, params,
    query, send,
};
use crate::grants::exposure_sums::{ExposureSums, add};
use crate::incidents::orphaned_grant::{more_than, pays_what_was_granted};
use crate::rows::{ExposureLimit, NewClaim, StoreError};
use crate::store::Store;

/// What was granted on payments of one asset that are not final yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The asset.
    pub asset: Asset,
    /// How much, in base units, of all payers together.
    pub amount: Amount,
    /// How many payers.
    pub payers: u64,
}

impl Store {
    /// Notes the grants of a chain that are not final and were made before a limit was set, so that a limit counts them
    /// too. From then on, grants that a reorganization makes unfinal again are noted too. Call it when a process starts
    /// that sets a limit. Calling it again changes nothing.
    pub async fn note_exposures(&self, chain: ChainId, final_at: u64) -> Result<u64, StoreError> {
        send(self.jobs(), Note { chain, final_at }).await
    }

    /// Forgets the grants of a chain whose payments are final for everybody who set a limit, in whatever process. They
    /// no longer count, and this keeps the table small. `limited` says that the caller has set a limit. A chain that
    /// was unknown when the limit was noted is noted now.
    pub async fn sweep_exposures(
        &self,
        chain: ChainId,
        final_at: u64,
        limited: bool,
    ) -> Result<u64, StoreError> {
        send(self.jobs(), Sweep { chain, final_at, limited }).await
    }

    /// What was granted on a chain's payments that are not final, by asset. Only grants that were noted because of a
    /// limit are known.
    pub async fn exposures(&self, chain: ChainId, final_at: u64) -> Result<Vec<Exposure>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT e.asset, e.payer, e.amount
             FROM exposures e JOIN chains c ON c.chain_id = e.chain_id
             WHERE e.chain_id = $1 AND c.cursor_number - e.block_number + 1 < $2
             ORDER BY e.asset, e.payer",
        )
        .bind(chain_id(chain))
        .bind(bound(final_at))
        .fetch_all(reader.connection()?)?;
        let mut sums: Vec<(Exposure, Address)> = Vec::new();
        for row in &rows {
            let (asset, payer, amount) = (row.asset("asset")?, row.address("payer")?, row.amount("amount")?);
            match sums.last_mut().filter(|(known, _)| known.asset == asset) {
                Some((known, last)) => {
                    known.amount = add(known.amount, amount);
                    known.payers += u64::from(*last != payer);
                    *last = payer;
                }
                None => sums.push((Exposure { asset, amount, payers: 1 }, payer)),
            }
        }
        Ok(sums.into_iter().map(|(exposure, _)| exposure).collect())
    }
}

/// A payment that becomes an exposure if it is granted on.
pub(crate) struct Open {
    chain: ChainId,
    payer: Address,
    asset: Asset,
    amount: Amount,
    block_number: u64,
    /// Blocks that contain or follow it.
    pub(crate) confirmations: u64,
    /// What is granted already, in base units.
    pub(crate) granted: Amount,
}

impl Open {
    /// The exposure that a claim would add to. `None` if it adds none: there is no limit, or the payment is final,
    /// claimed, not deep enough, or not on the chain.
    pub(crate) fn of(
        claim: &NewClaim,
        sums: &mut ExposureSums,
        connection: &mut Connection,
    ) -> Result<Option<Self>, StoreError> {
        let Some(limit) = claim.limits.exposure else { return Ok(None) };
        let row = query(
            "SELECT p.payer, p.asset, p.amount, p.block_number, c.cursor_number - p.block_number + 1 AS confirmations,
                    c.exposure_version
             FROM payments p JOIN chains c ON c.chain_id = p.chain_id
             WHERE p.chain_id = $1 AND p.transaction_hash = $2 AND p.payment_id = $3 AND p.canonical
               AND c.cursor_number - p.block_number + 1 >= $4 AND c.cursor_number - p.block_number + 1 < $5
               AND NOT EXISTS (SELECT 1 FROM claims k WHERE k.payment_id = p.payment_id)",
        )
        .bind(chain_id(claim.chain))
        .bind(claim.transaction.as_slice())
        .bind(claim.payment.0.as_slice())
        .bind(bound(claim.confirmations))
        .bind(bound(limit.final_at))
        .fetch_optional(&mut *connection)?;
        let Some(row) = row else { return Ok(None) };
        let (payer, asset) = (row.address("payer")?, row.asset("asset")?);
        let (block_number, confirmations) = (row.number("block_number")?, row.number("confirmations")?);
        // Payments in lower blocks are final.
        let from = (block_number + confirmations + 1).saturating_sub(limit.final_at);
        sums.at(claim.chain, row.number("exposure_version")?);
        let granted = sums.granted((claim.chain, payer, asset), from, connection)?;
        Ok(Some(Self {
            chain: claim.chain,
            payer,
            asset,
            amount: row.amount("amount")?,
            block_number,
            confirmations,
            granted,
        }))
    }

    /// Whether it may be granted too.
    pub(crate) fn fits(&self, limit: ExposureLimit) -> bool {
        add(self.granted, self.amount) <= limit.most
    }

    /// Notes it, in the transaction that grants.
    pub(crate) fn note(
        &self,
        claim: &NewClaim,
        sums: &mut ExposureSums,
        connection: &mut Connection,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO exposures (chain_id, payer, asset, payment_id, transaction_hash, amount, block_number)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(chain_id(self.chain))
        .bind(self.payer.as_slice())
        .bind(self.asset.address().as_slice())
        .bind(claim.payment.0.as_slice())
        .bind(claim.transaction.as_slice())
        .bind(amount_bytes(self.amount).to_vec())
        .bind(bound(self.block_number))
        .execute(connection)?;
        sums.noted((self.chain, self.payer, self.asset), self.block_number, self.amount);
        Ok(())
    }
}

/// Notes grants that are not final any more after blocks above a height leave the chain: those above it, and those
/// below it if the chain becomes shorter. Run it before the blocks leave. If no limit was ever set, nothing is noted.
pub(crate) fn note_undone(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    height: u64,
    cursor: u64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO exposures (chain_id, payer, asset, payment_id, transaction_hash, amount, block_number)
             SELECT p.chain_id, p.payer, p.asset, p.payment_id, p.transaction_hash, p.amount, p.block_number
             FROM chains c CROSS JOIN payments p CROSS JOIN claims k
             WHERE c.chain_id = ?1 AND c.final_at > 0
               AND p.chain_id = c.chain_id AND p.canonical AND p.block_number > MIN(?2, ?3 + 1 - c.final_at)
               AND k.payment_id = p.payment_id
             ON CONFLICT (chain_id, payer, asset, payment_id) DO NOTHING",
        )?
        .execute([chain_id(chain), bound(height), bound(cursor)])?;
    Ok(())
}

/// Where a payment is on the chain: in its transaction, or in another one that settled the same signature. If a token
/// took a nonce twice, the newer one counts, since it is final later. The index over settlements is named, because
/// SQLite would otherwise read the whole table by its key.
const ON_CHAIN: &str = concat!(
    "SELECT q.block_number, q.transaction_hash
     FROM (SELECT exposures.transaction_hash AS transaction_hash
           UNION
           SELECT s.transaction_hash FROM settlements s INDEXED BY settlements_of_payment
           WHERE s.chain_id = exposures.chain_id AND s.payment_id = exposures.payment_id) AS t
     CROSS JOIN payments q
     WHERE q.chain_id = exposures.chain_id AND q.transaction_hash = t.transaction_hash
       AND q.payment_id = exposures.payment_id AND q.canonical
       AND ",
    pays_what_was_granted!(
        "(SELECT k.transaction_hash FROM claims k WHERE k.payment_id = exposures.payment_id)"
    ),
    " ORDER BY q.block_number DESC LIMIT 1"
);

/// Moves exposures to the blocks that their payments are in now, after blocks above a height left the chain or payments
/// came back. `came` are all payments that came. The cost depends on the length of the step, as in
/// [`resolve_returned`](crate::incidents::orphaned_grant::resolve_returned).
pub(crate) fn follow(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    came: &HashSet<PaymentId>,
    above: Option<u64>,
) -> Result<(), StoreError> {
    let many = more_than(
        connection,
        "SELECT COUNT(*) FROM (SELECT 1 FROM exposures INDEXED BY exposures_orphaned
                               WHERE chain_id = ?1 AND block_number IS NULL LIMIT ?2)",
        chain_id(chain),
        came.len(),
    )?;
    if many {
        let back = follow_those("INDEXED BY exposures_orphaned", "block_number IS NULL AND payment_id = ?2");
        let mut update = connection.prepare_cached(&back)?;
        for payment in came {
            update.execute(params![chain_id(chain), payment.0.as_slice()])?;
        }
    } else {
        let lost = follow_those("INDEXED BY exposures_orphaned", "block_number IS NULL");
        connection.prepare_cached(&lost)?.execute([chain_id(chain)])?;
    }
    if let Some(height) = above {
        let moved = follow_those("", "block_number > ?2");
        connection.prepare_cached(&moved)?.execute([chain_id(chain), bound(height)])?;
    }
    Ok(())
}

/// The statement that moves some exposures of a chain to the blocks of their payments. If a payment is in no block, its
/// exposure keeps the transaction.
fn follow_those(index: &str, which: &str) -> String {
    format!(
        "UPDATE exposures {index} SET (block_number, transaction_hash) =
             (SELECT w.block_number, COALESCE(w.transaction_hash, exposures.transaction_hash)
              FROM (SELECT 1) LEFT JOIN ({ON_CHAIN}) AS w)
         WHERE chain_id = ?1 AND {which}"
    )
}

struct Note {
    chain: ChainId,
    final_at: u64,
}

impl Write for Note {
    type Output = u64;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<u64, StoreError> {
        note_final(self.chain, self.final_at, transaction)?;
        let on_chain = query(
            "INSERT INTO exposures (chain_id, payer, asset, payment_id, transaction_hash, amount, block_number)
             SELECT p.chain_id, p.payer, p.asset, p.payment_id, p.transaction_hash, p.amount, p.block_number
             FROM chains c JOIN payments p ON p.chain_id = c.chain_id JOIN claims k ON k.payment_id = p.payment_id
             WHERE c.chain_id = $1 AND p.canonical AND p.block_number > c.cursor_number + 1 - $2
             ON CONFLICT (chain_id, payer, asset, payment_id) DO NOTHING",
        )
        .bind(chain_id(self.chain))
        .bind(bound(self.final_at))
        .execute(transaction.connection())?;
        let lost = query(
            "INSERT INTO exposures (chain_id, payer, asset, payment_id, transaction_hash, amount, block_number)
             SELECT DISTINCT p.chain_id, p.payer, p.asset, p.payment_id, p.transaction_hash, p.amount, NULL
             FROM incidents i CROSS JOIN payments p
             WHERE i.chain_id = $1 AND i.resolved_at_ms IS NULL
               AND p.chain_id = i.chain_id AND p.transaction_hash = i.transaction_hash
               AND p.payment_id = i.payment_id AND NOT p.canonical
             ON CONFLICT (chain_id, payer, asset, payment_id) DO NOTHING",
        )
        .bind(chain_id(self.chain))
        .execute(transaction.connection())?;
        Ok(on_chain.rows_affected() + lost.rows_affected())
    }
}

/// If several processes set limits, the longest wait counts. If it is noted already, nothing is written.
fn note_final(
    chain: ChainId,
    final_at: u64,
    transaction: &mut WriteTransaction<'_>,
) -> Result<(), StoreError> {
    query("UPDATE chains SET final_at = $2 WHERE chain_id = $1 AND final_at < $2")
        .bind(chain_id(chain))
        .bind(bound(final_at))
        .execute(transaction.connection())?;
    Ok(())
}

struct Sweep {
    chain: ChainId,
    final_at: u64,
    limited: bool,
}

impl Write for Sweep {
    type Output = u64;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<u64, StoreError> {
        if self.limited {
            note_final(self.chain, self.final_at, transaction)?;
        }
        let done = query(
            "DELETE FROM exposures
             WHERE chain_id = $1
               AND block_number <= (SELECT c.cursor_number + 1 - MAX(c.final_at, $2) FROM chains c
                                    WHERE c.chain_id = $1)",
        )
        .bind(chain_id(self.chain))
        .bind(bound(self.final_at))
        .execute(transaction.connection())?;
        Ok(done.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{open, sql};

    #[tokio::test]
    async fn exposures_that_moved_are_found_by_indexes() {
        let (_directory, mut connection) = open::empty().await;
        let moved = follow_those("", "block_number > ?2");
        let plan = sql::plan(&mut connection, &moved);
        for line in [
            "SEARCH s USING INDEX settlements_of_payment (chain_id=? AND payment_id=?)",
            "SEARCH q USING INDEX payments_on_chain (chain_id=? AND transaction_hash=? AND payment_id=?)",
        ] {
            assert!(plan.iter().any(|known| known == line), "{plan:?}");
        }
    }
}
