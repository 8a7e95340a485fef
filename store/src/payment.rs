//! Payments as they are read: what a transaction paid, where, and whether it was used.

use salt402_protocol::{B256, ChainId, Payment, RequestDigest};
use sqlx::sqlite::SqliteRow;

use crate::columns::{Columns as _, chain_id};
use crate::{Store, StoreError};

/// A payment and the block it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedPayment {
    /// The payment.
    pub payment: Payment,
    /// Its place among the payments of its transaction, in the order of their logs.
    pub position: u32,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// The time of its block, in seconds since 1970 UTC.
    pub block_timestamp: u64,
}

/// A payment as the index knows it, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedPayment {
    /// The payment and its block.
    pub placed: PlacedPayment,
    /// Whether its block is on the chain.
    pub canonical: bool,
    /// Blocks that contain or follow it: 1 when the index stands at its block, 0 when that block left the chain.
    pub confirmations: u64,
    /// Its claim. One payment has one claim, in whatever block it is; all its inclusions show it.
    pub claim: Option<ClaimRow>,
}

/// Who used a payment up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRow {
    /// The request that was granted.
    pub request: RequestDigest,
    /// Who claimed.
    pub claimant: String,
    /// When, in milliseconds since 1970 UTC.
    pub claimed_at_ms: u64,
}

/// The two halves have an index each; together they would have none.
const PAYMENTS_IN: &str = "SELECT p.payment_id, p.position, p.block_number, p.block_hash, p.block_timestamp, p.contract,
                    p.reference, p.payer, p.payee, p.asset, p.amount, p.canonical,
                    c.cursor_number, k.request_digest, k.claimant, k.claimed_at_ms
             FROM (SELECT * FROM payments WHERE chain_id = $1 AND transaction_hash = $2 AND canonical
                   UNION ALL
                   SELECT * FROM payments WHERE chain_id = $1 AND transaction_hash = $2 AND NOT canonical) AS p
             JOIN chains c ON c.chain_id = p.chain_id
             LEFT JOIN claims k ON k.payment_id = p.payment_id";

impl Store {
    /// The payments of a transaction: those on the chain by position, then those of blocks that left it by height and
    /// position. Empty if the index knows none. Confirmations and claims are of the same moment as the rows.
    pub async fn payments_in(
        &self,
        chain: ChainId,
        transaction: B256,
    ) -> Result<Vec<IndexedPayment>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = sqlx::query(PAYMENTS_IN)
            .bind(chain_id(chain))
            .bind(transaction.as_slice())
            .fetch_all(reader.connection()?)
            .await?;
        let mut payments: Vec<IndexedPayment> =
            rows.iter().map(|row| indexed(chain, transaction, row)).collect::<Result<_, _>>()?;
        // Sorted here: there is mostly one, and SQLite builds a tree to sort it.
        payments.sort_by_key(|row| {
            let height = if row.canonical { 0 } else { row.placed.block_number };
            (!row.canonical, height, row.placed.position)
        });
        Ok(payments)
    }
}

fn indexed(chain: ChainId, transaction: B256, row: &SqliteRow) -> Result<IndexedPayment, StoreError> {
    let canonical = row.flag("canonical")?;
    let block_number = row.number("block_number")?;
    let cursor = row.maybe_number("cursor_number")?;
    let claim = match row.maybe_hash("request_digest")? {
        None => None,
        Some(digest) => Some(ClaimRow {
            request: RequestDigest(digest),
            claimant: row.text("claimant")?,
            claimed_at_ms: row.number("claimed_at_ms")?,
        }),
    };
    let payment = Payment {
        id: row.payment_id("payment_id")?,
        chain,
        contract: row.address("contract")?,
        transaction,
        reference: row.hash("reference")?,
        payer: row.address("payer")?,
        payee: row.address("payee")?,
        asset: row.asset("asset")?,
        amount: row.amount("amount")?,
    };
    let position = row.number("position")?;
    Ok(IndexedPayment {
        placed: PlacedPayment {
            payment,
            position: u32::try_from(position).map_err(|_| StoreError::Corrupt { column: "position" })?,
            block_number,
            block_hash: row.hash("block_hash")?,
            block_timestamp: row.number("block_timestamp")?,
        },
        canonical,
        confirmations: if canonical { depth(cursor, block_number) } else { 0 },
        claim,
    })
}

/// Blocks that contain or follow a block, when the index stands at `cursor`.
pub(crate) fn depth(cursor: Option<u64>, block_number: u64) -> u64 {
    cursor.and_then(|cursor| cursor.checked_sub(block_number)).map_or(0, |above| above + 1)
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;
    use crate::{Options, open};

    #[tokio::test]
    async fn payments_are_found_by_their_transaction() {
        let directory = tempfile::tempdir().unwrap();
        let mut opened = open::open(&Options::new(directory.path().join("plan.db"))).await.unwrap();
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {PAYMENTS_IN}"));
        let plan = sqlx::query(explain).fetch_all(&mut opened.writer).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        for index in ["payments_on_chain", "payments_orphaned"] {
            let by_index = format!("SEARCH payments USING INDEX {index} (chain_id=? AND transaction_hash=?)");
            assert!(plan.contains(&by_index), "{plan:?}");
        }
    }
}
