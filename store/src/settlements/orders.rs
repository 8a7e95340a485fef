//! Settlements as they are read.

use salt402_protocol::{B256, ChainId, PaymentId};

use crate::engine::{
    Columns, Connection, SyncConnection, Write, WriteTransaction, bound, chain_id, clock, params, query, send,
};
use crate::rows::{NewSettlement, SettlementFilter, SettlementRow, SettlementState, StoreError};
use crate::store::Store;

/// The columns of a row, of `settlement_orders` as `o`.
macro_rules! columns {
    () => {
        "o.*, (SELECT COUNT(*) FROM settlement_slots s WHERE s.order_id = o.id) AS slots"
    };
}
pub(super) use columns;

impl Store {
    /// The settlement of a payment. `None` if it was not claimed here.
    ///
    /// Reads the database on the caller's thread, as each request does. That takes microseconds.
    pub async fn settlement(
        &self,
        chain: ChainId,
        payment: PaymentId,
    ) -> Result<Option<SettlementRow>, StoreError> {
        tokio::task::coop::consume_budget().await;
        let read = |connection: &SyncConnection<'_>| {
            connection
                .prepare_cached(OF_PAYMENT)?
                .query_optional(params![payment.0.as_slice(), chain_id(chain)], |row| row_of(&row))
        };
        self.direct().read(read).await
    }

    /// The settlements of a chain that wait to be sent and have a higher number, the first claimed first, at most `limit`.
    pub async fn queued_settlements(
        &self,
        chain: ChainId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<SettlementRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(concat!(
            "SELECT ",
            columns!(),
            " FROM settlement_orders o WHERE o.chain_id = $1 AND o.id > $2 AND o.state = 'queued' ORDER BY o.id LIMIT $3"
        ))
        .bind(chain_id(chain))
        .bind(bound(after))
        .bind(i64::from(limit))
        .fetch_all(reader.connection()?)?;
        rows.iter().map(row_of).collect()
    }

    /// Whether that many settlements of a chain wait to be sent, or more. `false` for 0.
    pub async fn queued_settlements_at_least(&self, chain: ChainId, number: u32) -> Result<bool, StoreError> {
        let Some(skipped) = number.checked_sub(1) else { return Ok(false) };
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT id FROM settlement_orders WHERE chain_id = $1 AND id > 0 AND state = 'queued'
             ORDER BY id LIMIT 1 OFFSET $2",
        )
        .bind(chain_id(chain))
        .bind(i64::from(skipped))
        .fetch_optional(reader.connection()?)?;
        Ok(row.is_some())
    }

    /// The settlements with these numbers, as far as there are such.
    pub async fn settlements_numbered(&self, numbers: &[u64]) -> Result<Vec<SettlementRow>, StoreError> {
        let mut reader = self.reader().await?;
        let mut rows = Vec::with_capacity(numbers.len());
        for number in numbers {
            let row = query(concat!("SELECT ", columns!(), " FROM settlement_orders o WHERE o.id = $1"))
                .bind(bound(*number))
                .fetch_optional(reader.connection()?)?;
            rows.extend(row.as_ref().map(row_of).transpose()?);
        }
        Ok(rows)
    }

    /// Settlements, the newest first, at most `limit`. However many there are, no more than that are read of each chain and
    /// state.
    pub async fn settlements_where(
        &self,
        filter: &SettlementFilter,
        limit: u32,
    ) -> Result<Vec<SettlementRow>, StoreError> {
        let mut reader = self.reader().await?;
        let connection = reader.connection()?;
        let (before, limit) = (filter.before.map_or(i64::MAX, bound), i64::from(limit));
        if filter.chain.is_none() && filter.state.is_none() {
            let rows = query(concat!(
                "SELECT ",
                columns!(),
                " FROM settlement_orders o WHERE o.id < $1 ORDER BY o.id DESC LIMIT $2"
            ))
            .bind(before)
            .bind(limit)
            .fetch_all(connection)?;
            return rows.iter().map(row_of).collect();
        }
        let chains = match filter.chain {
            Some(chain) => vec![chain_id(chain)],
            None => chains(connection)?,
        };
        let states = filter.state.map_or_else(|| SettlementState::ALL.to_vec(), |state| vec![state]);
        let mut found = Vec::new();
        for (chain, state) in chains.iter().flat_map(|chain| states.iter().map(move |state| (chain, state))) {
            let rows = query(concat!(
                "SELECT ",
                columns!(),
                " FROM settlement_orders o WHERE o.chain_id = $1 AND o.state = $2 AND o.id < $3 ORDER BY o.id DESC LIMIT $4"
            ))
            .bind(*chain)
            .bind(state.name())
            .bind(before)
            .bind(limit)
            .fetch_all(&mut *connection)?;
            found.extend(rows.iter().map(row_of).collect::<Result<Vec<_>, _>>()?);
        }
        found.sort_by_key(|row| std::cmp::Reverse(row.number));
        // One whose state changed meanwhile is read in both.
        found.dedup_by_key(|row| row.number);
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Whether another settlement than the one with this number was settled in a transaction, or failed in it.
    pub async fn is_settled_in(
        &self,
        chain: ChainId,
        transaction: B256,
        number: u64,
    ) -> Result<bool, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT id FROM settlement_orders
             WHERE transaction_hash = $1 AND chain_id = $2 AND id <> $3 AND transaction_hash IS NOT NULL LIMIT 1",
        )
        .bind(transaction.to_vec())
        .bind(chain_id(chain))
        .bind(bound(number))
        .fetch_optional(reader.connection()?)?;
        Ok(row.is_some())
    }

    /// Lets a failed settlement be tried once more, because its operator says so. Returns whether there was such a one whose
    /// signature is kept.
    /// Nothing is sent if it can only fail: whoever sends asks the chain first. Durable when this returns.
    pub async fn retry_settlement(&self, chain: ChainId, payment: PaymentId) -> Result<bool, StoreError> {
        send(self.jobs(), Retry { chain, payment }).await
    }
}

/// The settlement of a payment on a chain.
const OF_PAYMENT: &str =
    concat!("SELECT ", columns!(), " FROM settlement_orders o WHERE o.payment_id = ?1 AND o.chain_id = ?2");

/// The settlement of a payment, in a transaction that writes.
pub(super) fn of_payment(
    connection: &mut Connection,
    chain: ChainId,
    payment: PaymentId,
) -> Result<Option<SettlementRow>, StoreError> {
    let row = query(OF_PAYMENT).bind(payment.0.to_vec()).bind(chain_id(chain)).fetch_optional(connection)?;
    row.as_ref().map(row_of).transpose()
}

/// The chains that settlements can be on.
fn chains(connection: &mut Connection) -> Result<Vec<i64>, StoreError> {
    let rows = query("SELECT chain_id FROM chains").fetch_all(connection)?;
    rows.iter().map(|row| row.number("chain_id").map(bound)).collect()
}

/// A settlement by its number, with the day in whose sums its gas is.
pub(super) fn numbered(
    connection: &SyncConnection<'_>,
    number: u64,
) -> Result<Option<(SettlementRow, i64)>, StoreError> {
    connection
        .prepare_cached(concat!("SELECT ", columns!(), " FROM settlement_orders o WHERE o.id = ?1"))?
        .query_optional(params![bound(number)], |row| Ok((row_of(&row)?, bound(row.number("gas_day")?))))
}

pub(super) fn row_of(row: &impl Columns) -> Result<SettlementRow, StoreError> {
    Ok(SettlementRow {
        number: row.number("id")?,
        claimed: claimed_of(row)?,
        state: SettlementState::named(&row.text("state")?).ok_or(StoreError::Corrupt { column: "state" })?,
        reason: row.maybe_text("reason")?,
        detail: row.maybe_text("detail")?,
        again: row.flag("again")?,
        settled_once: row.flag("settled_once")?,
        transaction: row.maybe_hash("transaction_hash")?,
        block: row.maybe_number("block_number")?,
        gas_used: row.number("gas_used")?,
        fee: row.amount("fee")?,
        slots: row.number("slots")?,
        made_at_ms: row.number("made_at_ms")?,
        changed_at_ms: row.number("changed_at_ms")?,
    })
}

fn claimed_of(row: &impl Columns) -> Result<NewSettlement, StoreError> {
    Ok(NewSettlement {
        chain: row.chain("chain_id")?,
        payment: row.payment_id("payment_id")?,
        token: row.address("token")?,
        payer: row.address("payer")?,
        payee: row.address("payee")?,
        amount: row.amount("amount")?,
        charge: row.amount("charge")?,
        method: row.text("method")?,
        payload: row.bytes("payload")?,
        sender: row.maybe_address("sender")?,
        caller: row.maybe_text("caller")?,
        since_block: row.number("since_block")?,
        gas: row.number("gas_cap")?,
    })
}

struct Retry {
    chain: ChainId,
    payment: PaymentId,
}

impl Write for Retry {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let row = query(
            "UPDATE settlement_orders
             SET state = CASE WHEN EXISTS (SELECT 1 FROM settlement_slots s JOIN settlement_transactions t
                                             ON t.chain_id = s.chain_id AND t.signer = s.signer AND t.nonce = s.nonce
                                           WHERE s.order_id = settlement_orders.id AND t.state = 'open' AND t.carries)
                              THEN 'sent' ELSE 'queued' END, reason = NULL, detail = NULL, again = FALSE, gas_cap = 0, changed_at_ms = $3
             WHERE payment_id = $1 AND chain_id = $2 AND state = 'failed' AND is_signed RETURNING id",
        )
        .bind(self.payment.0.to_vec())
        .bind(chain_id(self.chain))
        .bind(clock::now_ms())
        .fetch_optional(transaction.connection())?;
        Ok(row.is_some())
    }
}
