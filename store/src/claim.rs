//! Claims: the one thing that grants.

use salt402_protocol::{B256, ChainId, PaymentId, RequestDigest};

use crate::columns::{Columns as _, bound, chain_id, integer};
use crate::payment::depth;
use crate::transaction::WriteTransaction;
use crate::writer::{Write, send};
use crate::{Store, StoreError};

/// A payment that is to be used up for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewClaim {
    /// The payment.
    pub payment: PaymentId,
    /// Its chain.
    pub chain: ChainId,
    /// Its transaction.
    pub transaction: B256,
    /// The request that is to be granted.
    pub request: RequestDigest,
    /// Who claims: the same name and the same request get the same claim again.
    pub claimant: String,
    /// Blocks that must contain or follow the payment; 1 is its own block, and less is the same. Checked in the
    /// transaction that claims, against the chain as it is then.
    pub confirmations: u64,
    /// Now, in milliseconds since 1970 UTC.
    pub now_ms: u64,
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
    /// It is not on the chain: never was, or its block left. Said before anything else, so that nothing is granted
    /// again on a payment that is gone.
    NotCanonical,
    /// It is unclaimed and on the chain, but not deep enough.
    TooShallow {
        /// Its depth: 1 when the index stands at its block.
        confirmations: u64,
    },
}

impl Store {
    /// Uses a payment up. Durable when this returns; when it is dropped before, the claim may have been made, and
    /// asking again then says [`ClaimResult::Again`].
    pub async fn claim(&self, claim: NewClaim) -> Result<ClaimResult, StoreError> {
        send(self.jobs(), claim).await
    }
}

impl Write for NewClaim {
    type Output = ClaimResult;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<ClaimResult, StoreError> {
        // Everything that must hold is in the one statement that claims; the primary key decides between rivals.
        let claimed = sqlx::query(
            "INSERT INTO claims (payment_id, chain_id, transaction_hash, request_digest, reference, claimant,
                                 claimed_at_ms, block_number, block_hash)
             SELECT p.payment_id, p.chain_id, p.transaction_hash, $4, p.reference, $5, $6, p.block_number, p.block_hash
             FROM payments p JOIN chains c ON c.chain_id = p.chain_id
             WHERE p.chain_id = $1 AND p.transaction_hash = $2 AND p.payment_id = $3 AND p.canonical
               AND c.cursor_number - p.block_number + 1 >= $7
             ON CONFLICT (payment_id) DO NOTHING",
        )
        .bind(chain_id(self.chain))
        .bind(self.transaction.as_slice())
        .bind(self.payment.0.as_slice())
        .bind(self.request.0.as_slice())
        .bind(self.claimant.as_str())
        .bind(integer("the time of a claim", self.now_ms)?)
        .bind(bound(self.confirmations))
        .execute(transaction.connection())
        .await?;
        if claimed.rows_affected() == 1 {
            transaction.count_claim(self.chain);
            return Ok(ClaimResult::First { claimed_at_ms: self.now_ms });
        }
        self.why_not(transaction).await
    }
}

impl NewClaim {
    async fn why_not(&self, transaction: &mut WriteTransaction<'_>) -> Result<ClaimResult, StoreError> {
        let row = sqlx::query(
            "SELECT p.block_number, c.cursor_number, k.request_digest, k.claimant, k.claimed_at_ms
             FROM payments p JOIN chains c ON c.chain_id = p.chain_id
             LEFT JOIN claims k ON k.payment_id = p.payment_id
             WHERE p.chain_id = $1 AND p.transaction_hash = $2 AND p.payment_id = $3 AND p.canonical",
        )
        .bind(chain_id(self.chain))
        .bind(self.transaction.as_slice())
        .bind(self.payment.0.as_slice())
        .fetch_optional(transaction.connection())
        .await?;
        let Some(row) = row else { return Ok(ClaimResult::NotCanonical) };
        let Some(request) = row.maybe_hash("request_digest")? else {
            let confirmations = depth(row.maybe_number("cursor_number")?, row.number("block_number")?);
            return Ok(ClaimResult::TooShallow { confirmations });
        };
        if request == self.request.0 && row.text("claimant")? == self.claimant {
            Ok(ClaimResult::Again { claimed_at_ms: row.number("claimed_at_ms")? })
        } else {
            Ok(ClaimResult::Taken)
        }
    }
}
