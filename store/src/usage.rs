//! Payments for several requests.

use salt402_protocol::{PaymentId, RequestDigest};
use sqlx::SqliteConnection;

use crate::columns::{Columns as _, bound, integer};
use crate::{ClaimResult, NewClaim, StoreError};

/// One of the requests that a payment for several requests pays for. The claim's own `request` is then what they have
/// in common, and what the payment was quoted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewUse {
    /// The request that is to be granted. The same request is one use, however often it comes.
    pub request: RequestDigest,
    /// How many different requests the payment pays for; at least 1. It is written down with the first, and what is
    /// written down counts from then on.
    pub most: u32,
    /// Whether only a use that was made before is to be given again, and none made.
    pub again_only: bool,
}

/// Notes the first use, in the transaction that claims.
pub(crate) async fn note(claim: &NewClaim, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let Some(usage) = claim.usage else { return Ok(()) };
    insert(claim.payment, usage.request, claim.now_ms, connection).await
}

/// A further use of a payment that the same claimant has claimed for `uses` requests; `withheld` is why there is to be
/// none now.
pub(crate) async fn further(
    claim: &NewClaim,
    usage: NewUse,
    uses: u64,
    withheld: Option<ClaimResult>,
    connection: &mut SqliteConnection,
) -> Result<ClaimResult, StoreError> {
    let known = sqlx::query("SELECT used_at_ms FROM uses WHERE payment_id = $1 AND request_digest = $2")
        .bind(claim.payment.0.as_slice())
        .bind(usage.request.0.as_slice())
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = known {
        return Ok(ClaimResult::Again { claimed_at_ms: row.number("used_at_ms")? });
    }
    let used = sqlx::query("SELECT COUNT(*) AS used FROM uses WHERE payment_id = $1")
        .bind(claim.payment.0.as_slice())
        .fetch_one(&mut *connection)
        .await?
        .number("used")?;
    // A claim that was made for one request has no row here, and is used up all the same.
    if used.max(1) >= uses {
        return Ok(ClaimResult::UsedUp { uses });
    }
    if let Some(withheld) = withheld {
        return Ok(withheld);
    }
    if usage.again_only {
        return Ok(ClaimResult::NotAgain);
    }
    insert(claim.payment, usage.request, claim.now_ms, connection).await?;
    Ok(ClaimResult::First { claimed_at_ms: claim.now_ms })
}

async fn insert(
    payment: PaymentId,
    request: RequestDigest,
    now_ms: u64,
    connection: &mut SqliteConnection,
) -> Result<(), StoreError> {
    let now_ms = integer("the time of a claim", now_ms)?;
    sqlx::query("INSERT INTO uses (payment_id, request_digest, used_at_ms) VALUES ($1, $2, $3)")
        .bind(payment.0.as_slice())
        .bind(request.0.as_slice())
        .bind(now_ms)
        .execute(connection)
        .await?;
    Ok(())
}

impl NewUse {
    /// As the database holds the number of uses of a claim: 1 for a claim of one request.
    pub(crate) fn most(usage: Option<Self>) -> i64 {
        usage.map_or(1, |usage| bound(u64::from(usage.most.max(1))))
    }
}
