//! The statements that find payments: by their transaction, by their name, by their row.

use std::collections::{HashMap, HashSet};

use salt402_protocol::{Amount, Asset, ChainId, Payment, PaymentId, RequestDigest, U256};

use crate::engine::{Params, SyncConnection, SyncRow, chain_id, params};
use crate::payments::refunds::{self, given_back};
use crate::rows::{ClaimRow, Found, IndexedPayment, Key, PlacedPayment, Refunded, Stand, StoreError};

/// Some payments, their claims, and where the index stands. Rows on the chain and other rows have separate indexes, so
/// they are asked for separately.
macro_rules! with_claims {
    ($payments:literal) => {
        concat!(
            "SELECT p.payment_id, p.position, p.block_number, p.block_hash, p.block_timestamp, p.contract,
                    p.reference, p.payer, p.payee, p.asset, p.amount, p.canonical,
                    c.cursor_number, c.lower_fork_at, k.request_digest, k.claimant, k.claimed_at_ms,
                    p.transaction_hash, ",
            given_back!(),
            " AS given_back
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

/// A signed payment is found through the table of settlements, which names every transaction that settled it. An index
/// over the names of all payments would cost a back-fill one changed page per row. The index is named here because
/// SQLite would otherwise choose the table's key and read all of it.
const PAYMENTS_NAMED: &str = with_claims!(
    "SELECT n.* FROM (SELECT DISTINCT transaction_hash FROM settlements INDEXED BY settlements_of_payment
                      WHERE chain_id = ?1 AND payment_id = ?2) AS s CROSS JOIN payments n
     WHERE n.chain_id = ?1 AND n.transaction_hash = s.transaction_hash AND n.payment_id = ?2 AND n.canonical
     UNION ALL
     SELECT n.* FROM (SELECT DISTINCT transaction_hash FROM settlements INDEXED BY settlements_of_payment
                      WHERE chain_id = ?1 AND payment_id = ?2) AS s CROSS JOIN payments n
     WHERE n.chain_id = ?1 AND n.transaction_hash = s.transaction_hash AND n.payment_id = ?2 AND NOT n.canonical"
);

/// Up to this many payments of a transaction are all read and kept in memory, whichever is wanted.
pub const FEW: usize = 16;

/// Whether these are more than [`FEW`] payments. A payment in several blocks counts once.
pub(super) fn are_many(payments: &[IndexedPayment]) -> bool {
    payments.len() > FEW
        && payments.iter().map(|row| row.placed.payment.id).collect::<HashSet<_>>().len() > FEW
}

/// All payments of a transaction: first those on the chain by position, then those of blocks that left it by height and
/// position.
pub(crate) fn read(connection: &SyncConnection<'_>, key: &Key) -> Result<Found, StoreError> {
    read_some(connection, key, None)
}

/// [`read`], of at most this many rows.
pub(super) fn read_some(
    connection: &SyncConnection<'_>,
    (chain, transaction): &Key,
    most: Option<usize>,
) -> Result<Found, StoreError> {
    let most = most.and_then(|most| i64::try_from(most).ok()).unwrap_or(-1);
    let mut found = Found::default();
    let named = params![chain_id(*chain), transaction.as_slice(), most];
    add(&mut found, connection, PAYMENTS_IN, *chain, named)?;
    Ok(in_order(found))
}

/// The payments of some rows of a chain.
pub(super) fn read_rows(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    rows: &[i64],
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    for row in rows {
        add(&mut found, connection, PAYMENT_AT, chain, params![chain_id(chain), row])?;
    }
    Ok(in_order(found))
}

/// The number of the row that was added last. Rows are never deleted, so it is the highest.
pub(super) fn newest_row(connection: &SyncConnection<'_>) -> Result<i64, StoreError> {
    let mut newest = connection.prepare_cached("SELECT COALESCE(MAX(id), 0) FROM payments")?;
    newest.query_row([], |row| row.get(0))
}

fn add(
    found: &mut Found,
    connection: &SyncConnection<'_>,
    sql: &str,
    chain: ChainId,
    named: impl Params,
) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(named)?;
    while let Some(row) = rows.next()? {
        found.stand = Stand {
            cursor: row.maybe_natural(12, "cursor_number")?,
            lower_fork_at: row.maybe_natural(13, "lower_fork_at")?,
        };
        found.payments.push(indexed(chain, found.stand, row)?);
    }
    // Nearly always there are none.
    for payment in found.payments.iter_mut().filter(|payment| payment.refunded.is_some()) {
        payment.refunded = Some(refunds::on_chain(connection, &Refunded::of(&payment.placed.payment))?);
    }
    Ok(())
}

/// Sorted here, since there is mostly one payment and SQLite would build a tree for it.
fn in_order(mut found: Found) -> Found {
    found.payments.sort_by_key(|row| {
        let height = if row.canonical { 0 } else { row.placed.block_number };
        (!row.canonical, height, row.placed.position)
    });
    found
}

/// The transactions of some payments, each once.
pub(crate) fn keys(payments: &[PlacedPayment]) -> Vec<Key> {
    let mut keys: Vec<Key> =
        payments.iter().map(|placed| (placed.payment.chain, placed.payment.transaction)).collect();
    // Equal keys mostly stand together already, and sorting costs more with many.
    keys.dedup();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// A payment that its payer signed for, by its name, in all transactions that hold it.
pub(crate) fn read_signed(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    payment: PaymentId,
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    add(&mut found, connection, PAYMENTS_NAMED, chain, params![chain_id(chain), payment.0.as_slice()])?;
    Ok(in_order(found))
}

/// [`read`] for the transactions of some payments, except those that hold many.
pub(crate) fn read_all(
    connection: &SyncConnection<'_>,
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
fn indexed(chain: ChainId, stand: Stand, row: SyncRow<'_>) -> Result<IndexedPayment, StoreError> {
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
    let claim = match row.is_null(14)? {
        true => None,
        false => Some(ClaimRow {
            request: RequestDigest(row.hash_at(14, "request_digest")?),
            claimant: row.get(15)?,
            claimed_at_ms: row.natural(16, "claimed_at_ms")?,
        }),
    };
    let confirmations = if canonical { stand.depth(placed.block_number) } else { 0 };
    // How much is added up where the rows are read.
    let refunded = row.get::<bool>(18)?.then_some(Amount::ZERO);
    Ok(IndexedPayment { placed, canonical, confirmations, claim, refunded })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{open, sql};

    async fn plan(sql: &str) -> Vec<String> {
        let (_directory, mut connection) = open::empty().await;
        sql::plan(&mut connection, sql)
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
