//! Payments as they are read: what a transaction paid, where, and whether it was used.

use std::collections::HashMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, ToSql, params};
use salt402_protocol::{Amount, Asset, B256, ChainId, Payment, PaymentId, RequestDigest, U256};

use crate::columns::{Places as _, chain_id};
use crate::crowd::FEW;
use crate::recent::{Key, Look};
use crate::{MemoryUse, Store, StoreError};

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
    /// Blocks that contain or follow it: 1 when the index stands at its block, 0 when that block left the chain or is
    /// in doubt ([`Store::doubt`]).
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

/// Some payments with where the index stands and their claims. Those on the chain and the others have an index each;
/// asked for together they would have none.
macro_rules! with_claims {
    ($payments:literal) => {
        concat!(
            "SELECT p.payment_id, p.position, p.block_number, p.block_hash, p.block_timestamp, p.contract,
                    p.reference, p.payer, p.payee, p.asset, p.amount, p.canonical,
                    c.cursor_number, c.doubted_above, k.request_digest, k.claimant, k.claimed_at_ms,
                    p.transaction_hash
             FROM (",
            $payments,
            ") AS p
             JOIN chains c ON c.chain_id = p.chain_id
             LEFT JOIN claims k ON k.payment_id = p.payment_id"
        )
    };
}

const PAYMENTS_IN: &str = concat!(
    with_claims!(
        "SELECT * FROM payments WHERE chain_id = ?1 AND transaction_hash = ?2 AND canonical
         UNION ALL
         SELECT * FROM payments WHERE chain_id = ?1 AND transaction_hash = ?2 AND NOT canonical"
    ),
    " LIMIT ?3"
);

/// One row.
const PAYMENT_AT: &str = with_claims!("SELECT * FROM payments WHERE id = ?2 AND chain_id = ?1");

/// A payment that somebody signed for has been noted with every transaction that settled it. An index over the names of
/// all payments would cost a page of the log for each row of a large back-fill, and this one is there; left to choose,
/// SQLite takes the table's key instead and reads all of it.
const PAYMENTS_NAMED: &str = with_claims!(
    "SELECT n.* FROM (SELECT DISTINCT transaction_hash FROM settlements INDEXED BY settlements_of_payment
                      WHERE chain_id = ?1 AND payment_id = ?2) AS s CROSS JOIN payments n
     WHERE n.chain_id = ?1 AND n.transaction_hash = s.transaction_hash AND n.payment_id = ?2 AND n.canonical
     UNION ALL
     SELECT n.* FROM (SELECT DISTINCT transaction_hash FROM settlements INDEXED BY settlements_of_payment
                      WHERE chain_id = ?1 AND payment_id = ?2) AS s CROSS JOIN payments n
     WHERE n.chain_id = ?1 AND n.transaction_hash = s.transaction_hash AND n.payment_id = ?2 AND NOT n.canonical"
);

/// The payments of a transaction, and where the index stood when they were read; nowhere also where there are none.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) payments: Vec<IndexedPayment>,
    pub(crate) stand: Stand,
}

/// Where an index stands, and how much of it is in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) cursor: Option<u64>,
    /// See [`Store::doubt`].
    pub(crate) doubted_above: Option<u64>,
}

impl Stand {
    /// Blocks that contain or follow a block; none where the block is in doubt.
    pub(crate) fn depth(self, block_number: u64) -> u64 {
        match self.doubted_above {
            Some(above) if block_number > above => 0,
            _ => depth(self.cursor, block_number),
        }
    }
}

impl Store {
    /// The payments of a transaction: those on the chain by position, then those of blocks that left it by height and
    /// position. Empty if the index knows none. Confirmations and claims are of the same moment as the rows.
    ///
    /// From memory where that is certainly what the database says, else from the database, on the caller's thread:
    /// it takes microseconds.
    pub async fn payments_in(
        &self,
        chain: ChainId,
        transaction: B256,
    ) -> Result<Vec<IndexedPayment>, StoreError> {
        // Nothing below waits for another task, so a caller that asks again and again would let no other one run.
        tokio::task::coop::consume_budget().await;
        let key = (chain, transaction);
        let ticket = match self.recent().look(&key) {
            Look::Known(payments) => return Ok(payments),
            Look::Unknown(ticket) => ticket,
        };
        let found = self.direct().read(|connection| read(connection, &key)).await?;
        if let Some(ticket) = ticket {
            self.recent().keep(ticket, key, &found);
        }
        Ok(found.payments)
    }

    /// A payment that its payer signed for, by its name: where it is on the chain, then in the blocks that left it, the
    /// lowest first. Empty if the index knows it not, or if it is named by its log alone, as one of `SaltPay` is. Two
    /// rows on the chain are of a token that took one nonce twice.
    ///
    /// From the database, on the caller's thread: it takes microseconds.
    pub async fn signed_payments(
        &self,
        chain: ChainId,
        payment: PaymentId,
    ) -> Result<Vec<IndexedPayment>, StoreError> {
        tokio::task::coop::consume_budget().await;
        let named = |connection: &Connection| {
            let mut found = Found::default();
            add(
                &mut found,
                connection,
                PAYMENTS_NAMED,
                chain,
                params![chain_id(chain), payment.0.as_slice()],
            )?;
            Ok(found.in_order())
        };
        Ok(self.direct().read(named).await?.payments)
    }

    /// What the memory of recent payments holds and what it was good for.
    pub fn memory_use(&self) -> MemoryUse {
        self.recent().usage()
    }
}

/// Reads what [`Store::payments_in`] answers.
pub(crate) fn read(connection: &Connection, key: &Key) -> Result<Found, StoreError> {
    read_some(connection, key, None)
}

/// [`read`], of at most so many rows.
pub(crate) fn read_some(
    connection: &Connection,
    (chain, transaction): &Key,
    most: Option<usize>,
) -> Result<Found, StoreError> {
    let most = most.and_then(|most| i64::try_from(most).ok()).unwrap_or(-1);
    let mut found = Found::default();
    let named = params![chain_id(*chain), transaction.as_slice(), most];
    add(&mut found, connection, PAYMENTS_IN, *chain, named)?;
    Ok(found.in_order())
}

/// The payments of some rows of a chain.
pub(crate) fn read_rows(connection: &Connection, chain: ChainId, rows: &[i64]) -> Result<Found, StoreError> {
    let mut found = Found::default();
    for row in rows {
        add(&mut found, connection, PAYMENT_AT, chain, params![chain_id(chain), row])?;
    }
    Ok(found.in_order())
}

/// The number of the row that was added last. Rows are never deleted, so that all others have lower ones.
pub(crate) fn newest_row(connection: &Connection) -> Result<i64, StoreError> {
    let mut newest = connection.prepare_cached("SELECT COALESCE(MAX(id), 0) FROM payments")?;
    Ok(newest.query_row([], |row| row.get(0))?)
}

fn add(
    found: &mut Found,
    connection: &Connection,
    sql: &str,
    chain: ChainId,
    named: &[&dyn ToSql],
) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(named)?;
    while let Some(row) = rows.next()? {
        found.stand = Stand {
            cursor: row.maybe_natural(12, "cursor_number")?,
            doubted_above: row.maybe_natural(13, "doubted_above")?,
        };
        found.payments.push(indexed(chain, found.stand, row)?);
    }
    Ok(())
}

impl Found {
    /// Sorted here: there is mostly one, and SQLite builds a tree to sort it.
    fn in_order(mut self) -> Self {
        self.payments.sort_by_key(|row| {
            let height = if row.canonical { 0 } else { row.placed.block_number };
            (!row.canonical, height, row.placed.position)
        });
        self
    }
}

/// The transactions of some payments, each once.
pub(crate) fn keys(payments: &[PlacedPayment]) -> Vec<Key> {
    let mut keys: Vec<Key> =
        payments.iter().map(|placed| (placed.payment.chain, placed.payment.transaction)).collect();
    // Most stand together already, and sorting is the longer the more there are.
    keys.dedup();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// [`read`] for the transactions of some payments, but for those that hold many.
pub(crate) fn read_all(
    connection: &Connection,
    payments: &[PlacedPayment],
) -> Result<Vec<(Key, Found)>, StoreError> {
    let mut counts: HashMap<Key, usize> = HashMap::new();
    for placed in payments {
        *counts.entry((placed.payment.chain, placed.payment.transaction)).or_default() += 1;
    }
    let few = keys(payments).into_iter().filter(|key| counts.get(key).is_none_or(|count| *count <= FEW));
    few.map(|key| Ok((key, read(connection, &key)?))).collect()
}

/// A row of [`PAYMENTS_IN`], [`PAYMENTS_NAMED`] or [`PAYMENT_AT`].
fn indexed(chain: ChainId, stand: Stand, row: &Row<'_>) -> Result<IndexedPayment, StoreError> {
    let payment = Payment {
        id: PaymentId(row.hash_at(0, "payment_id")?),
        chain,
        contract: row.address_at(5, "contract")?,
        transaction: row.hash_at(17, "transaction_hash")?,
        reference: row.hash_at(6, "reference")?,
        payer: row.address_at(7, "payer")?,
        payee: row.address_at(8, "payee")?,
        asset: Asset::from_address(row.address_at(9, "asset")?),
        amount: Amount(U256::from_be_bytes(row.hash_at(10, "amount")?.0)),
    };
    let placed = PlacedPayment {
        payment,
        position: row.natural(1, "position").and_then(|position| {
            u32::try_from(position).map_err(|_| StoreError::Corrupt { column: "position" })
        })?,
        block_number: row.natural(2, "block_number")?,
        block_hash: row.hash_at(3, "block_hash")?,
        block_timestamp: row.natural(4, "block_timestamp")?,
    };
    let canonical: bool = row.get(11)?;
    let claim = match row.get_ref(14)? {
        ValueRef::Null => None,
        _ => Some(ClaimRow {
            request: RequestDigest(row.hash_at(14, "request_digest")?),
            claimant: row.get(15)?,
            claimed_at_ms: row.natural(16, "claimed_at_ms")?,
        }),
    };
    let confirmations = if canonical { stand.depth(placed.block_number) } else { 0 };
    Ok(IndexedPayment { placed, canonical, confirmations, claim })
}

/// Blocks that contain or follow a block, when the index stands at `cursor`.
fn depth(cursor: Option<u64>, block_number: u64) -> u64 {
    cursor.and_then(|cursor| cursor.checked_sub(block_number)).map_or(0, |above| above + 1)
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;
    use crate::{Options, open};

    async fn plan(sql: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let mut opened = open::open(&Options::new(directory.path().join("plan.db"))).await.unwrap();
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let plan = sqlx::query(explain).fetch_all(&mut opened.writer).await.unwrap();
        plan.iter().map(|row| row.get("detail")).collect()
    }

    #[tokio::test]
    async fn payments_are_found_by_their_transaction() {
        let plan = plan(PAYMENTS_IN).await;
        for index in ["payments_on_chain", "payments_orphaned"] {
            let by_index = format!("SEARCH payments USING INDEX {index} (chain_id=? AND transaction_hash=?)");
            assert!(plan.contains(&by_index), "{plan:?}");
        }
    }

    #[tokio::test]
    async fn signed_payments_are_found_by_their_name() {
        let plan = plan(PAYMENTS_NAMED).await;
        let named = "SEARCH settlements USING INDEX settlements_of_payment (chain_id=? AND payment_id=?)";
        assert_eq!(plan.iter().filter(|line| *line == named).count(), 2, "{plan:?}");
        for index in ["payments_on_chain", "payments_orphaned"] {
            let key = "chain_id=? AND transaction_hash=? AND payment_id=?";
            let by_index = format!("SEARCH n USING INDEX {index} ({key})");
            assert!(plan.contains(&by_index), "{plan:?}");
        }
        assert!(!plan.iter().any(|line| line.starts_with("SCAN") && !line.starts_with("SCAN s")), "{plan:?}");
    }
}
