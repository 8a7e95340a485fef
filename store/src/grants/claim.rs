//! Claims. Only a claim grants on a payment.

use std::collections::HashMap;

use salt402_protocol::{B256, PaymentId};

use crate::chains::chain::count_claim;
use crate::engine::{
    AsyncQueryBuilder, Batched, Columns as _, WriteTransaction, bound, chain_id, integer, query, send_batched,
};
use crate::grants::before_restore::before_restore;
use crate::grants::exposure::Open;
use crate::grants::exposure_sums::ExposureSums;
use crate::grants::uses;
use crate::payments::refunds::given_back;
use crate::rows::{ClaimResult, NewClaim, Stand, StoreError};
use crate::store::{Store, lease};

/// How many rows one statement may have. With these few lengths, any number of claims needs few statements, which stay
/// prepared.
const ROWS: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

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

/// Cuts rows into slices of the lengths in [`ROWS`], the longest first.
fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = ROWS.into_iter().find(|length| *length <= rows.len())?;
        let (chunk, rest) = rows.split_at(length);
        rows = rest;
        Some(chunk)
    })
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
    async fn write(
        transaction: &mut WriteTransaction<'_>,
        claims: &[&Self],
        sums: &mut ExposureSums,
    ) -> Result<Vec<ClaimResult>, StoreError> {
        let plain: Vec<&Self> = claims.iter().copied().filter(|claim| claim.is_plain()).collect();
        let mut plain = write_plain(transaction, &plain).await?.into_iter();
        let mut results = Vec::with_capacity(claims.len());
        for claim in claims {
            let result = if claim.is_plain() { plain.next() } else { None };
            results.push(match result {
                Some(result) => result,
                None => claim.write_alone(transaction, sums).await?,
            });
        }
        Ok(results)
    }

    fn was_written(result: &ClaimResult) -> bool {
        matches!(result, ClaimResult::First { .. })
    }
}

/// Makes claims for which one statement checks everything. Many are made by one statement, so that they share one turn
/// of the connection's thread.
async fn write_plain(
    transaction: &mut WriteTransaction<'_>,
    claims: &[&NewClaim],
) -> Result<Vec<ClaimResult>, StoreError> {
    let mut results = Vec::with_capacity(claims.len());
    for claims in chunks(claims) {
        let mut made: HashMap<PaymentId, (B256, String)> = HashMap::with_capacity(claims.len());
        for row in insert(claims)?.build().fetch_all(transaction.connection()).await? {
            made.insert(row.payment_id("payment_id")?, (row.hash("request_digest")?, row.text("claimant")?));
        }
        for claim in claims {
            let first = made.get(&claim.payment).is_some_and(|(request, claimant)| {
                *request == claim.request.0 && *claimant == claim.claimant
            });
            if first {
                // Removed, so that the same claim twice in one call is first only once.
                made.remove(&claim.payment);
                count_claim(transaction, claim.chain);
                results.push(ClaimResult::First { claimed_at_ms: claim.now_ms });
            } else {
                results.push(claim.why_not(transaction).await?);
            }
        }
    }
    Ok(results)
}

/// The claiming statement itself checks everything that must be true. The primary key decides between rivals.
fn insert(claims: &[&NewClaim]) -> Result<AsyncQueryBuilder, StoreError> {
    let mut insert = AsyncQueryBuilder::new(
        "INSERT INTO claims (payment_id, chain_id, transaction_hash, request_digest, reference, claimant,
                             claimed_at_ms, block_number, block_hash, uses)
         SELECT p.payment_id, p.chain_id, p.transaction_hash, v.column4, p.reference, v.column5,
                v.column6, p.block_number, p.block_hash, v.column9
         FROM (",
    );
    let times: Vec<i64> =
        claims.iter().map(|claim| integer("the time of a claim", claim.now_ms)).collect::<Result<_, _>>()?;
    insert.push_values(claims.iter().zip(times), |mut row, (claim, now_ms)| {
        row.push_bind(chain_id(claim.chain))
            .push_bind(claim.transaction.to_vec())
            .push_bind(claim.payment.0.to_vec())
            .push_bind(claim.request.0.to_vec())
            .push_bind(claim.claimant.clone())
            .push_bind(now_ms)
            .push_bind(bound(claim.confirmations))
            .push_bind(bound(claim.limits.after_loss))
            .push_bind(uses::most(claim.usage));
        let (instance, lapsed, renewals) = lease::bindings(&claim.holder);
        row.push_bind(instance).push_bind(lapsed).push_bind(renewals);
    });
    insert.push(
        // CROSS JOIN also sets an order: first the claims, then the payment of each by its index. Without it, SQLite
        // reads all payments and looks for each among the claims.
        concat!(") AS v CROSS JOIN payments p CROSS JOIN chains c
         WHERE p.chain_id = v.column1 AND p.transaction_hash = v.column2 AND p.payment_id = v.column3 AND p.canonical
           AND c.chain_id = p.chain_id AND c.cursor_number - p.block_number + 1 >= v.column7
           AND p.block_number <= COALESCE(c.lower_fork_at, p.block_number)
           AND (c.cursor_number - p.block_number + 1 >= v.column8
                OR NOT EXISTS (SELECT 1 FROM incidents i
                               WHERE i.chain_id = p.chain_id AND i.payer = p.payer AND i.resolved_at_ms IS NULL))
           AND NOT EXISTS (SELECT 1 FROM open_halts h WHERE h.chain_id = p.chain_id)
           AND NOT EXISTS (SELECT 1 FROM leases l
                           WHERE l.claimant = v.column5 AND l.instance IS NOT v.column10
                             AND (l.instance IS NOT v.column11 OR l.renewals IS NOT v.column12))
           AND NOT ", given_back!(), "
           AND NOT ", was_told!("v.column4", "v.column5"), "
           AND NOT ", before_restore!(), "
         ON CONFLICT (payment_id) DO NOTHING
         RETURNING payment_id, request_digest, claimant"),
    );
    Ok(insert)
}

impl NewClaim {
    /// Whether one statement checks all of it.
    fn is_plain(&self) -> bool {
        self.limits.exposure.is_none() && self.usage.is_none()
    }

    /// Makes the claim in several statements. There is only one writer, so no other claim comes between them.
    async fn write_alone(
        &self,
        transaction: &mut WriteTransaction<'_>,
        sums: &mut ExposureSums,
    ) -> Result<ClaimResult, StoreError> {
        let open = Open::of(self, sums, transaction.connection()).await?;
        if let (Some(limit), Some(open)) = (self.limits.exposure, &open)
            && !open.fits(limit)
        {
            let Open { confirmations, granted, .. } = *open;
            return Ok(ClaimResult::Exposed { confirmations, granted });
        }
        if insert(&[self])?.build().fetch_optional(transaction.connection()).await?.is_none() {
            return self.why_not(transaction).await;
        }
        if let Some(open) = open {
            open.note(self, sums, transaction.connection()).await?;
        }
        uses::note(self, transaction.connection()).await?;
        count_claim(transaction, self.chain);
        Ok(ClaimResult::First { claimed_at_ms: self.now_ms })
    }

    /// Why there is no new claim. A further use of an earlier claim is made here.
    async fn why_not(&self, transaction: &mut WriteTransaction<'_>) -> Result<ClaimResult, StoreError> {
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
        .fetch_optional(transaction.connection())
        .await?;
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
                uses::further(self, usage, uses, withheld, transaction.connection()).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::{ChainId, RequestDigest};

    use super::*;
    use crate::engine::{async_sql, open};
    use crate::rows::claim::ClaimLimits;

    /// Without statistics, SQLite likes to begin with the largest table.
    #[tokio::test]
    async fn claims_find_their_payments_by_the_index_however_many_they_are() {
        let (_directory, mut connection) = open::empty().await;
        let claim = NewClaim {
            payment: PaymentId(B256::ZERO),
            chain: ChainId::CITRATE,
            transaction: B256::ZERO,
            request: RequestDigest(B256::ZERO),
            claimant: String::new(),
            holder: Default::default(),
            confirmations: 1,
            limits: ClaimLimits::default(),
            usage: None,
            now_ms: 0,
        };
        for count in [1, 2, 4, 8, 16, 32, 64] {
            let sql = insert(&vec![&claim; count]).unwrap().sql();
            let plan = async_sql::plan(&mut connection, sql.as_str()).await;
            let by_index =
                "SEARCH p USING INDEX payments_on_chain (chain_id=? AND transaction_hash=? AND payment_id=?)";
            assert!(plan.iter().any(|line| line == by_index), "{count} claims: {plan:?}");
            let by_payer = "SEARCH i USING INDEX incidents_open_by_payer (chain_id=? AND payer=?)";
            assert!(plan.iter().any(|line| line == by_payer), "{count} claims: {plan:?}");
        }
    }
}
