//! Claims: the one thing that grants.

use std::collections::HashMap;

use salt402_protocol::{Amount, B256, ChainId, PaymentId, RequestDigest};
use sqlx::QueryBuilder;
use sqlx::sqlite::Sqlite;

use crate::bulk::chunks;
use crate::columns::{Columns as _, bound, chain_id, integer};
use crate::exposure::Open;
use crate::payment::Stand;
use crate::sums::Sums;
use crate::transaction::WriteTransaction;
use crate::work::send_claim;
use crate::{ExposureLimit, Holder, Lease, NewUse, Store, StoreError, lease, usage};

/// Whether the payment `p` was mined before the database was restored: in the block where it is, or, as far as that was
/// seen, in one that left the chain, also by another transaction of the same signature. What was used then stays used,
/// wherever a reorganization puts it.
macro_rules! before_restore {
    () => {
        "(p.block_timestamp < (SELECT COALESCE(MAX(refuse_before), 0) FROM restores)
          OR EXISTS (SELECT 1 FROM restores)
             AND (EXISTS (SELECT 1 FROM payments q
                          WHERE q.chain_id = p.chain_id AND q.transaction_hash = p.transaction_hash
                            AND q.payment_id = p.payment_id AND NOT q.canonical
                            AND q.block_timestamp < (SELECT MAX(refuse_before) FROM restores))
                  OR EXISTS (SELECT 1 FROM settlements s INDEXED BY settlements_of_payment CROSS JOIN payments q
                             WHERE s.chain_id = p.chain_id AND s.payment_id = p.payment_id
                               AND q.chain_id = s.chain_id AND q.transaction_hash = s.transaction_hash
                               AND q.payment_id = s.payment_id AND NOT q.canonical
                               AND q.block_timestamp < (SELECT MAX(refuse_before) FROM restores))))"
    };
}

/// A payment that is to be used up for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewClaim {
    /// The payment.
    pub payment: PaymentId,
    /// Its chain.
    pub chain: ChainId,
    /// Its transaction.
    pub transaction: B256,
    /// The request that is to be granted; with `usage`, what its requests have in common.
    pub request: RequestDigest,
    /// Who claims: the same name and the same request get the same claim again.
    pub claimant: String,
    /// Which process of the claimant asks. Checked in the same transaction: of several one runs what is paid for.
    pub holder: Holder,
    /// Blocks that must contain or follow the payment; 1 is its own block, and less is the same. Checked in the
    /// transaction that claims, against the chain as it is then.
    pub confirmations: u64,
    /// What else must hold of the payer. Checked in the same transaction.
    pub limits: ClaimLimits,
    /// Which of several requests this is; `None` where a payment pays for one.
    pub usage: Option<NewUse>,
    /// Now, in milliseconds since 1970 UTC.
    pub now_ms: u64,
}

/// What must hold of a payer before a payment of its is granted. The default asks for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Blocks that must contain or follow the payment while the payer has an open incident on its chain; 0 makes no
    /// difference, `u64::MAX` is never.
    pub after_loss: u64,
    /// How much may be granted to the payer on payments that are not final.
    pub exposure: Option<ExposureLimit>,
}

/// What became of a [`NewClaim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimResult {
    /// The payment is now used up for this request, and that is on disk.
    First {
        /// When, in milliseconds since 1970 UTC.
        claimed_at_ms: u64,
    },
    /// The same claimant had claimed it for the same request.
    Again {
        /// When that was, in milliseconds since 1970 UTC.
        claimed_at_ms: u64,
    },
    /// Another request, or another claimant, had claimed it.
    Taken,
    /// The same claimant had claimed it, for as many other requests as it pays for.
    UsedUp {
        /// How many those are.
        uses: u64,
    },
    /// It is not on the chain: never was, or its block left. Said before anything else, so that nothing is granted
    /// again on a payment that is gone.
    NotCanonical,
    /// It is unclaimed or claimed by this claimant, but another live process holds the claimant's name.
    HeldElsewhere(Lease),
    /// It is unclaimed, and its chain is halted until the operator acts: whether the payment stays is not known.
    Halted,
    /// It has no claim in this database, but the database was put back from a backup and the payment was mined before
    /// that: a claim made in between would be forgotten.
    BeforeRestore,
    /// It is claimed for several requests and not for this one yet, and none was to be made ([`NewUse::again_only`]).
    NotAgain,
    /// It is unclaimed and on the chain, but not deep enough; or claimed for several requests, and not deep enough for a
    /// further one.
    TooShallow {
        /// Its depth: 1 when the index stands at its block, 0 when that block is in doubt ([`Store::doubt`]).
        confirmations: u64,
    },
    /// It is unclaimed and deep enough for others, but not while its payer has an open incident.
    AfterLoss {
        /// Its depth.
        confirmations: u64,
    },
    /// It is unclaimed and deep enough, but too much was granted to its payer on payments that are not final.
    Exposed {
        /// Its depth.
        confirmations: u64,
        /// How much was granted, in base units.
        granted: Amount,
    },
}

impl Store {
    /// Uses a payment up. Durable when this returns; when it is dropped before, the claim may have been made, and
    /// asking again then says [`ClaimResult::Again`].
    pub async fn claim(&self, claim: NewClaim) -> Result<ClaimResult, StoreError> {
        send_claim(self.jobs(), claim).await
    }
}

/// Makes claims. The results are in the order of the claims; of rivals in one call, one is first. `sums` are true only if
/// the transaction commits.
pub(crate) async fn write(
    transaction: &mut WriteTransaction<'_>,
    claims: &[&NewClaim],
    sums: &mut Sums,
) -> Result<Vec<ClaimResult>, StoreError> {
    let plain: Vec<&NewClaim> = claims.iter().copied().filter(|claim| claim.is_plain()).collect();
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

/// Makes claims of which everything can be checked in one statement, as many at once as there are: the statement costs
/// a turn of the connection's thread, which a crowd then shares.
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
                // Taken out, so that the same claim twice in one call is first once.
                made.remove(&claim.payment);
                transaction.count_claim(claim.chain);
                results.push(ClaimResult::First { claimed_at_ms: claim.now_ms });
            } else {
                results.push(claim.why_not(transaction).await?);
            }
        }
    }
    Ok(results)
}

/// Everything that must hold is in the one statement that claims; the primary key decides between rivals.
fn insert(claims: &[&NewClaim]) -> Result<QueryBuilder<Sqlite>, StoreError> {
    let mut insert = QueryBuilder::new(
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
            .push_bind(NewUse::most(claim.usage));
        let (instance, lapsed, renewals) = claim.holder.bindings();
        row.push_bind(instance).push_bind(lapsed).push_bind(renewals);
    });
    insert.push(
        // CROSS JOIN is also an order: claims first, then the payment of each by its index. Left to choose, SQLite
        // reads every payment there is and looks for it among the claims.
        concat!(") AS v CROSS JOIN payments p CROSS JOIN chains c
         WHERE p.chain_id = v.column1 AND p.transaction_hash = v.column2 AND p.payment_id = v.column3 AND p.canonical
           AND c.chain_id = p.chain_id AND c.cursor_number - p.block_number + 1 >= v.column7
           AND p.block_number <= COALESCE(c.doubted_above, p.block_number)
           AND (c.cursor_number - p.block_number + 1 >= v.column8
                OR NOT EXISTS (SELECT 1 FROM incidents i
                               WHERE i.chain_id = p.chain_id AND i.payer = p.payer AND i.resolved_at_ms IS NULL))
           AND NOT EXISTS (SELECT 1 FROM halts h WHERE h.chain_id = p.chain_id AND h.resolved_at_ms IS NULL)
           AND NOT EXISTS (SELECT 1 FROM leases l
                           WHERE l.claimant = v.column5 AND l.instance IS NOT v.column10
                             AND (l.instance IS NOT v.column11 OR l.renewals IS NOT v.column12))
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

    /// Makes the claim in steps. No other claim comes between them: there is one writer at a time.
    async fn write_alone(
        &self,
        transaction: &mut WriteTransaction<'_>,
        sums: &mut Sums,
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
        usage::note(self, transaction.connection()).await?;
        transaction.count_claim(self.chain);
        Ok(ClaimResult::First { claimed_at_ms: self.now_ms })
    }

    /// Why there is no new claim. A further use of a claim that was made before is made here.
    async fn why_not(&self, transaction: &mut WriteTransaction<'_>) -> Result<ClaimResult, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT p.block_number, c.cursor_number, c.doubted_above, k.request_digest, k.claimant, k.claimed_at_ms, k.uses,
                    l.instance, l.renewals,
                    EXISTS (SELECT 1 FROM halts h WHERE h.chain_id = p.chain_id AND h.resolved_at_ms IS NULL)
                        AS halted,
                    EXISTS (SELECT 1 FROM incidents i
                            WHERE i.chain_id = p.chain_id AND i.payer = p.payer AND i.resolved_at_ms IS NULL) AS loss,
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
        .fetch_optional(transaction.connection())
        .await?;
        let Some(row) = row else { return Ok(ClaimResult::NotCanonical) };
        let stand = Stand {
            cursor: row.maybe_number("cursor_number")?,
            doubted_above: row.maybe_number("doubted_above")?,
        };
        let confirmations = stand.depth(row.number("block_number")?);
        let held = lease::joined(&row)?.filter(|lease| self.holder.is_shut_out_by(lease));
        let Some(request) = row.maybe_hash("request_digest")? else {
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
        if let Some(lease) = held {
            return Ok(ClaimResult::HeldElsewhere(lease));
        }
        match self.usage {
            None => Ok(ClaimResult::Again { claimed_at_ms: row.number("claimed_at_ms")? }),
            Some(usage) => {
                // Of further uses, too, some may be forgotten, or be of a payment that does not stay: it may have moved to
                // a newer block since the first.
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
                usage::further(self, usage, uses, withheld, transaction.connection()).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;
    use crate::{Options, open};

    /// SQLite without statistics likes to begin with the largest table.
    #[tokio::test]
    async fn claims_find_their_payments_by_the_index_however_many_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let mut opened = open::open(&Options::new(directory.path().join("plan.db"))).await.unwrap();
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
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.as_str()));
            let plan = sqlx::query(explain).fetch_all(&mut opened.writer).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
            let by_index =
                "SEARCH p USING INDEX payments_on_chain (chain_id=? AND transaction_hash=? AND payment_id=?)";
            assert!(plan.iter().any(|line| line == by_index), "{count} claims: {plan:?}");
            let by_payer = "SEARCH i USING INDEX incidents_open_by_payer (chain_id=? AND payer=?)";
            assert!(plan.iter().any(|line| line == by_payer), "{count} claims: {plan:?}");
        }
    }
}
