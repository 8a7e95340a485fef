//! Claims. Only a claim grants on a payment.

use salt402_protocol::PaymentId;

use crate::accounts::credit::Credits;
use crate::chains::chain::count_claim;
use crate::engine::{Batched, Columns as _, WriteTransaction, bound, chain_id, integer, query, send_batched};
use crate::grants::before_restore::before_restore;
use crate::grants::exposure::Open;
use crate::grants::exposure_sums::ExposureSums;
use crate::grants::uses;
use crate::payments::refunds::given_back;
use crate::rows::{ClaimResult, NewClaim, Stand, StoreError};
use crate::store::{Store, lease};

/// Whether the payment `p` was settled by the facilitator, and a caller of it was told so. Whoever is told serves for it, so it
/// is used up, unless it was kept for this request of this claimant, who was the one that was told. Telling and claiming look for
/// each other in transactions of one writer.
macro_rules! was_told {
    ($request:literal, $claimant:literal) => {
        concat!(
            "(EXISTS (SELECT 1 FROM settlement_orders o
                      WHERE o.payment_id = p.payment_id AND o.chain_id = p.chain_id AND o.told_at_ms IS NOT NULL)
              AND NOT EXISTS (SELECT 1 FROM reservations r
                              WHERE r.payment_id = p.payment_id AND r.state = 'settled'
                                AND r.request_digest = ", $request, " AND r.claimant = ", $claimant, ")
              OR EXISTS (SELECT 1 FROM reservations r
                         WHERE r.payment_id = p.payment_id AND r.state <> 'released'
                           AND NOT (r.request_digest = ", $request, " AND r.claimant = ", $claimant, ")))"
        )
    };
}

impl Store {
    /// Uses a payment up. Durable when this returns. If the caller stops waiting, the claim may have been made, and
    /// asking again then returns [`ClaimResult::Again`].
    pub async fn claim(&self, claim: NewClaim) -> Result<ClaimResult, StoreError> {
        send_batched(self.jobs(), claim).await
    }
}

impl Batched for NewClaim {
    type Output = ClaimResult;
    type State = ExposureSums;

    const KIND: &'static str = "claims";

    fn payment(&self) -> PaymentId {
        self.payment
    }

    /// If one call has several claims of a payment, one of them is first. `sums` are true only if the transaction
    /// commits.
    fn write(
        transaction: &mut WriteTransaction<'_>,
        claims: &[&Self],
        sums: &mut ExposureSums,
    ) -> Result<Vec<ClaimResult>, StoreError> {
        let mut results = Vec::with_capacity(claims.len());
        for claim in claims {
            results.push(claim.write(transaction, sums)?);
        }
        Ok(results)
    }

    fn was_written(result: &ClaimResult) -> bool {
        matches!(result, ClaimResult::First { .. })
    }
}

/// The claiming statement itself checks everything that must be true. The primary key decides between rivals.
///
/// `CROSS JOIN` also sets an order: the payment is found by its index. Without it, SQLite likes to begin with the largest table.
const CLAIM: &str = concat!(
    "INSERT INTO claims (payment_id, chain_id, transaction_hash, request_digest, reference, claimant,
                         claimed_at_ms, block_number, block_hash, uses)
     SELECT p.payment_id, p.chain_id, p.transaction_hash, $4, p.reference, $5, $6, p.block_number, p.block_hash, $9
     FROM payments p CROSS JOIN chains c
     WHERE p.chain_id = $1 AND p.transaction_hash = $2 AND p.payment_id = $3 AND p.canonical
       AND c.chain_id = p.chain_id AND c.cursor_number - p.block_number + 1 >= $7
       AND p.block_number <= COALESCE(c.lower_fork_at, p.block_number)
       AND (c.cursor_number - p.block_number + 1 >= $8
            OR NOT EXISTS (SELECT 1 FROM incidents i
                           WHERE i.chain_id = p.chain_id AND i.payer = p.payer AND i.resolved_at_ms IS NULL))
       AND NOT EXISTS (SELECT 1 FROM open_halts h WHERE h.chain_id = p.chain_id)
       AND NOT EXISTS (SELECT 1 FROM leases l
                       WHERE l.claimant = $5 AND l.instance IS NOT $10
                         AND (l.instance IS NOT $11 OR l.renewals IS NOT $12))
       AND NOT ", given_back!(), "
       AND NOT ", was_told!("$4", "$5"), "
       AND NOT ", before_restore!(), "
     ON CONFLICT (payment_id) DO NOTHING"
);

impl NewClaim {
    /// There is only one writer, so no other claim comes between the statements.
    fn write(
        &self,
        transaction: &mut WriteTransaction<'_>,
        sums: &mut ExposureSums,
    ) -> Result<ClaimResult, StoreError> {
        let credits = self.credit.as_deref().map(|credit| (self.credits(), credit));
        if let Some((credits, credit)) = &credits
            && !credits.fits(transaction.connection(), credit)?
        {
            return Ok(ClaimResult::AccountClosed);
        }
        let open = Open::of(self, sums, transaction.connection())?;
        if let (Some(limit), Some(open)) = (self.limits.exposure, &open)
            && !open.fits(limit)
        {
            let Open { confirmations, granted, .. } = *open;
            return Ok(ClaimResult::Exposed { confirmations, granted });
        }
        if !self.claims(transaction)? {
            return self.why_not(transaction);
        }
        if let Some(open) = open {
            open.note(self, sums, transaction.connection())?;
        }
        uses::note(self, transaction.connection())?;
        if let Some((credits, credit)) = &credits {
            credits.write(transaction.connection(), credit)?;
        }
        count_claim(transaction, self.chain);
        Ok(ClaimResult::First { claimed_at_ms: self.now_ms })
    }

    fn credits(&self) -> Credits<'_> {
        let Self { payment, chain, ref claimant, now_ms, .. } = *self;
        Credits { payment, claimant, chain, now_ms }
    }

    /// Whether it is made.
    fn claims(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let (instance, lapsed, renewals) = lease::bindings(&self.holder);
        let made = query(CLAIM)
            .bind(chain_id(self.chain))
            .bind(self.transaction.as_slice())
            .bind(self.payment.0.as_slice())
            .bind(self.request.0.as_slice())
            .bind(self.claimant.as_str())
            .bind(integer("the time of a claim", self.now_ms)?)
            .bind(bound(self.confirmations))
            .bind(bound(self.limits.after_loss))
            .bind(uses::most(self.usage))
            .bind(instance)
            .bind(lapsed)
            .bind(renewals)
            .execute(transaction.connection())?;
        Ok(made.rows_affected() > 0)
    }

    /// Why there is no new claim. A further use of an earlier claim is made here.
    fn why_not(&self, transaction: &mut WriteTransaction<'_>) -> Result<ClaimResult, StoreError> {
        let row = query(concat!(
            "SELECT p.block_number, c.cursor_number, c.lower_fork_at, k.request_digest, k.claimant, k.claimed_at_ms, k.uses,
                    l.instance, l.renewals,
                    EXISTS (SELECT 1 FROM open_halts h WHERE h.chain_id = p.chain_id) AS halted,
                    EXISTS (SELECT 1 FROM incidents i
                            WHERE i.chain_id = p.chain_id AND i.payer = p.payer AND i.resolved_at_ms IS NULL) AS loss,
                    ", given_back!(), " AS given_back,
                    ", was_told!("$5", "$4"), " AS was_told,
                    ", before_restore!(), " AS before_restore
             FROM payments p JOIN chains c ON c.chain_id = p.chain_id
             LEFT JOIN claims k ON k.payment_id = p.payment_id
             LEFT JOIN leases l ON l.claimant = $4
             WHERE p.chain_id = $1 AND p.transaction_hash = $2 AND p.payment_id = $3 AND p.canonical",
        ))
        .bind(chain_id(self.chain))
        .bind(self.transaction.as_slice())
        .bind(self.payment.0.as_slice())
        .bind(self.claimant.as_str())
        .bind(self.request.0.as_slice())
        .fetch_optional(transaction.connection())?;
        let Some(row) = row else { return Ok(ClaimResult::NotCanonical) };
        let stand = Stand {
            cursor: row.maybe_number("cursor_number")?,
            lower_fork_at: row.maybe_number("lower_fork_at")?,
        };
        let confirmations = stand.depth(row.number("block_number")?);
        // Whoever got the money back gets nothing for it, not even what was granted before.
        let given_back = row.flag("given_back")?;
        let held = lease::joined(&row)?.filter(|lease| self.holder.is_shut_out_by(lease));
        let Some(request) = row.maybe_hash("request_digest")? else {
            if given_back {
                return Ok(ClaimResult::Refunded);
            }
            if row.flag("was_told")? {
                return Ok(ClaimResult::Taken);
            }
            if row.flag("before_restore")? {
                return Ok(ClaimResult::BeforeRestore);
            }
            if let Some(lease) = held {
                return Ok(ClaimResult::HeldElsewhere(lease));
            }
            if row.flag("halted")? {
                return Ok(ClaimResult::Halted);
            }
            return Ok(if confirmations < self.confirmations.max(1) {
                ClaimResult::TooShallow { confirmations }
            } else {
                ClaimResult::AfterLoss { confirmations }
            });
        };
        if request != self.request.0 || row.text("claimant")? != self.claimant {
            return Ok(ClaimResult::Taken);
        }
        if given_back {
            return Ok(ClaimResult::Refunded);
        }
        if let Some(lease) = held {
            return Ok(ClaimResult::HeldElsewhere(lease));
        }
        match self.usage {
            None => Ok(ClaimResult::Again { claimed_at_ms: row.number("claimed_at_ms")? }),
            Some(usage) => {
                // A further use has the same limits: uses may be forgotten by a restore, and the payment may be in a
                // newer block than at its first use.
                let loss = row.flag("loss")? && confirmations < self.limits.after_loss;
                let withheld = match (row.flag("before_restore")?, row.flag("halted")?) {
                    (true, _) => Some(ClaimResult::BeforeRestore),
                    (_, true) => Some(ClaimResult::Halted),
                    _ if confirmations < self.confirmations.max(1) => {
                        Some(ClaimResult::TooShallow { confirmations })
                    }
                    _ => loss.then_some(ClaimResult::AfterLoss { confirmations }),
                };
                let uses = row.number("uses")?;
                uses::further(self, usage, uses, withheld, transaction.connection())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{open, sql};

    /// Without statistics, SQLite likes to begin with the largest table.
    #[tokio::test]
    async fn a_claim_finds_its_payment_by_the_index() {
        let (_directory, mut connection) = open::empty().await;
        let plan = sql::plan(&mut connection, CLAIM);
        let by_index =
            "SEARCH p USING INDEX payments_on_chain (chain_id=? AND transaction_hash=? AND payment_id=?)";
        assert!(plan.iter().any(|line| line == by_index), "{plan:?}");
        let by_payer = "SEARCH i USING INDEX incidents_open_by_payer (chain_id=? AND payer=?)";
        assert!(plan.iter().any(|line| line == by_payer), "{plan:?}");
    }
}
