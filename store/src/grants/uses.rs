//! Payments for several requests.

use salt402_protocol::{PaymentId, RequestDigest};

use crate::engine::{Columns as _, Connection, bound, integer, query};
use crate::rows::{ClaimResult, NewClaim, NewUse, StoreError};

/// Notes the first use, in the transaction that claims.
pub(crate) fn note(claim: &NewClaim, connection: &mut Connection) -> Result<(), StoreError> {
    let Some(usage) = claim.usage else { return Ok(()) };
    insert(claim.payment, usage.request, claim.now_ms, connection)
}

/// A further use of a payment that the same claimant has claimed for `uses` requests. `withheld` says why no use may be
/// made now.
pub(crate) fn further(
    claim: &NewClaim,
    usage: NewUse,
    uses: u64,
    withheld: Option<ClaimResult>,
    connection: &mut Connection,
) -> Result<ClaimResult, StoreError> {
    let known = query("SELECT used_at_ms FROM uses WHERE payment_id = $1 AND request_digest = $2")
        .bind(claim.payment.0.as_slice())
        .bind(usage.request.0.as_slice())
        .fetch_optional(&mut *connection)?;
    if let Some(row) = known {
        return Ok(ClaimResult::Again { claimed_at_ms: row.number("used_at_ms")? });
    }
    let used = query("SELECT COUNT(*) AS used FROM uses WHERE payment_id = $1")
        .bind(claim.payment.0.as_slice())
        .fetch_one(&mut *connection)?
        .number("used")?;
    // A claim for one request has no row here. It is used up all the same.
    if used.max(1) >= uses {
        return Ok(ClaimResult::UsedUp { uses });
    }
    if let Some(withheld) = withheld {
        return Ok(withheld);
    }
    if usage.again_only {
        return Ok(ClaimResult::NotAgain);
    }
    insert(claim.payment, usage.request, claim.now_ms, connection)?;
    Ok(ClaimResult::First { claimed_at_ms: claim.now_ms })
}

fn insert(
    payment: PaymentId,
    request: RequestDigest,
    now_ms: u64,
    connection: &mut Connection,
) -> Result<(), StoreError> {
    let now_ms = integer("the time of a claim", now_ms)?;
    query("INSERT INTO uses (payment_id, request_digest, used_at_ms) VALUES ($1, $2, $3)")
        .bind(payment.0.as_slice())
        .bind(request.0.as_slice())
        .bind(now_ms)
        .execute(connection)?;
    Ok(())
}

/// The number of uses as a claim stores it. 1 for a claim of one request.
pub(crate) fn most(usage: Option<NewUse>) -> i64 {
    usage.map_or(1, |usage| bound(u64::from(usage.most.max(1))))
}
