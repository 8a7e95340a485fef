//! What is given back: what the index has of it, and what is sent from here, which is on disk before it is sent.

use salt402_protocol::{Address, B256, ChainId};

use crate::channels::events::GIVEN_BACK;
use crate::engine::{
    Changes, Columns as _, Connection, Row, Step, SyncConnection, Write, WriteTransaction, bound, chain_id,
    clock, params, query, send, send_step,
};
use crate::incidents::refund_lost;
use crate::payments::refunds::{amount, bindings, refund_of};
use crate::rows::refund::{RefundOrder, RefundState, Refunds};
use crate::rows::{IndexedRefund, Refunded, StoreError};
use crate::store::Store;

impl Store {
    /// All that is known of what was given back for a reference.
    pub async fn refunds(&self, of: Refunded) -> Result<Refunds, StoreError> {
        let mut reader = self.reader().await?;
        read(reader.connection()?, &of)
    }

    /// A refund on the chain, in whatever block; `None` where the index knows it not, or it left the chain.
    pub async fn refund_on_chain(
        &self,
        chain: ChainId,
        refund: B256,
    ) -> Result<Option<IndexedRefund>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query("SELECT * FROM refunds WHERE chain_id = $1 AND refund_id = $2 AND canonical")
            .bind(chain_id(chain))
            .bind(refund.as_slice())
            .fetch_optional(reader.connection()?)?;
        row.as_ref().map(refund_of).transpose()
    }

    /// The nonces of an account's refunds that are on their way, of whatever payment.
    pub async fn open_refund_nonces(&self, chain: ChainId, payee: Address) -> Result<Vec<u64>, StoreError> {
        let mut reader = self.reader().await?;
        let rows =
            query("SELECT nonce FROM refund_orders WHERE chain_id = $1 AND payee = $2 AND state = 'open'")
                .bind(chain_id(chain))
                .bind(payee.to_vec())
                .fetch_all(reader.connection()?)?;
        rows.iter().map(|row| row.number("nonce")).collect()
    }

    /// Writes a refund down before it is sent, if what was given back is still what `known` says: else somebody else is about to
    /// give the same back, and nothing is written. From then on nothing is granted on its payments. Durable when this returns.
    pub async fn order_refund(&self, order: RefundOrder, known: Refunds) -> Result<bool, StoreError> {
        send(self.jobs(), Order { order, known }).await
    }

    /// Writes down that a refund which was not ordered here is void: its block left the chain, and another transaction used its
    /// nonce for good. Its payments can be granted on again, and given back again. Durable when this returns.
    ///
    /// `false`, and nothing is written, if it is on the chain, is not known, or was ordered here: what becomes of those is seen
    /// on the chain.
    pub async fn void_refund(&self, of: Refunded, transaction: B256) -> Result<bool, StoreError> {
        send(self.jobs(), Void { of, transaction }).await
    }

    /// Writes down how a refund stands that was ordered: `state`, `overtaken_at` and `mined_in` of the order. One that is mined
    /// and that the index does not have on its chain is an incident. Durable when this returns.
    pub async fn note_refund(&self, order: RefundOrder) -> Result<(), StoreError> {
        send_step(self.jobs(), Note(order)).await
    }
}

fn read(connection: &mut Connection, of: &Refunded) -> Result<Refunds, StoreError> {
    let (chain, reference, payer, payee, asset) = bindings(of);
    let mut indexed = match of.channels {
        None => indexed(connection, of)?,
        Some(contract) => given_back_of_channel(connection, of, contract)?,
    };
    let orders = query(
        "SELECT * FROM refund_orders
         WHERE chain_id = $1 AND reference = $2 AND payer = $3 AND payee = $4 AND asset = $5 AND state <> 'void'
           AND (CASE WHEN of_channel THEN contract END) IS $6",
    )
    .bind(chain)
    .bind(reference)
    .bind(payer)
    .bind(payee)
    .bind(asset)
    .bind(of.channels.map(|contract| contract.to_vec()))
    .fetch_all(connection)?;
    indexed.sort_by_key(|refund| (refund.block_number, refund.id));
    let orders = orders.iter().map(|row| order_of(row, of.channels)).collect::<Result<Vec<_>, _>>()?;
    Ok(Refunds { indexed, orders })
}

/// As where a payment is read: what left the chain and is void is left out.
fn indexed(connection: &mut Connection, of: &Refunded) -> Result<Vec<IndexedRefund>, StoreError> {
    let (chain, reference, payer, payee, asset) = bindings(of);
    let rows = query(
        "SELECT * FROM refunds g
         WHERE g.chain_id = $1 AND g.reference = $2 AND g.payer = $3 AND g.payee = $4 AND g.asset = $5
           AND (g.canonical OR NOT EXISTS (SELECT 1 FROM refund_orders v
                                           WHERE v.chain_id = g.chain_id AND v.transaction_hash = g.transaction_hash
                                             AND v.state = 'void'))",
    )
    .bind(chain)
    .bind(reference)
    .bind(payer)
    .bind(payee)
    .bind(asset)
    .fetch_all(connection)?;
    rows.iter().map(refund_of).collect()
}

/// The same of a channel, whose events name neither payer nor asset: both are the channel's own.
fn given_back_of_channel(
    connection: &mut Connection,
    of: &Refunded,
    contract: Address,
) -> Result<Vec<IndexedRefund>, StoreError> {
    let rows = query(
        "SELECT * FROM (SELECT * FROM channel_events INDEXED BY channel_events_of
                        WHERE chain_id = $1 AND contract = $2 AND channel = $3 AND kind = $4 AND canonical
                        UNION ALL
                        SELECT * FROM channel_events INDEXED BY channel_events_orphaned_of
                        WHERE chain_id = $1 AND contract = $2 AND channel = $3 AND kind = $4 AND NOT canonical) AS g
         WHERE g.canonical OR NOT EXISTS (SELECT 1 FROM refund_orders v
                                          WHERE v.chain_id = g.chain_id AND v.transaction_hash = g.transaction_hash
                                            AND v.state = 'void')",
    )
    .bind(chain_id(of.chain))
    .bind(contract.to_vec())
    .bind(of.reference.to_vec())
    .bind(GIVEN_BACK)
    .fetch_all(connection)?;
    let refund = |row: &Row| {
        Ok(IndexedRefund {
            id: row.hash("event_id")?,
            contract,
            transaction: row.hash("transaction_hash")?,
            amount: row.amount("amount")?,
            block_number: row.number("block_number")?,
            block_hash: row.hash("block_hash")?,
            block_timestamp: row.maybe_number("block_timestamp")?.unwrap_or(0),
            canonical: row.flag("canonical")?,
        })
    };
    rows.iter().map(refund).collect()
}

fn order_of(row: &Row, channels: Option<Address>) -> Result<RefundOrder, StoreError> {
    Ok(RefundOrder {
        of: Refunded {
            chain: row.chain("chain_id")?,
            reference: row.hash("reference")?,
            channels,
            payer: row.address("payer")?,
            payee: row.address("payee")?,
            asset: row.asset("asset")?,
        },
        contract: row.address("contract")?,
        amount: row.amount("amount")?,
        transaction: row.hash("transaction_hash")?,
        nonce: row.number("nonce")?,
        raw: row.bytes("raw")?,
        state: RefundState::named(&row.text("state")?).ok_or(StoreError::Corrupt { column: "state" })?,
        overtaken_at: row.maybe_number("overtaken_at")?,
        mined_in: row.maybe_number("mined_in")?,
    })
}

struct Order {
    order: RefundOrder,
    known: Refunds,
}

impl Write for Order {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = true;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let Self { order, known } = self;
        let now = read(transaction.connection(), &order.of)?;
        if now != *known || now.open().is_some() {
            return Ok(false);
        }
        let (chain, reference, payer, payee, asset) = bindings(&order.of);
        query(
            "INSERT INTO refund_orders (chain_id, transaction_hash, contract, reference, payer, payee, asset, amount, nonce,
                                        raw, state, made_at_ms, changed_at_ms, of_channel)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', $11, $11, $12)",
        )
        .bind(chain)
        .bind(order.transaction.to_vec())
        .bind(order.contract.to_vec())
        .bind(reference)
        .bind(payer)
        .bind(payee)
        .bind(asset)
        .bind(amount(order.amount))
        .bind(bound(order.nonce))
        .bind(order.raw.clone())
        .bind(clock::now_ms())
        .bind(order.of.channels.is_some())
        .execute(transaction.connection())?;
        Ok(true)
    }
}

struct Void {
    of: Refunded,
    transaction: B256,
}

impl Write for Void {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = true;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let (chain, reference, payer, payee, asset) = bindings(&self.of);
        // The row has no nonce and no signed transaction: it is never sent from here.
        let row = query(
            "INSERT INTO refund_orders (chain_id, transaction_hash, contract, reference, payer, payee, asset, amount, nonce,
                                        raw, state, made_at_ms, changed_at_ms)
             SELECT chain_id, transaction_hash, contract, reference, payer, payee, asset, amount, 0, X'', 'void', $7, $7
             FROM refunds g
             WHERE chain_id = $1 AND reference = $2 AND payer = $3 AND payee = $4 AND asset = $5 AND transaction_hash = $6
               AND NOT EXISTS (SELECT 1 FROM refunds r
                               WHERE r.chain_id = g.chain_id AND r.reference = g.reference AND r.payer = g.payer
                                 AND r.payee = g.payee AND r.asset = g.asset
                                 AND r.transaction_hash = g.transaction_hash AND r.canonical)
             LIMIT 1
             ON CONFLICT (transaction_hash, chain_id) DO NOTHING
             RETURNING nonce",
        )
        .bind(chain)
        .bind(reference)
        .bind(payer)
        .bind(payee)
        .bind(asset)
        .bind(self.transaction.to_vec())
        .bind(clock::now_ms())
        .fetch_optional(transaction.connection())?;
        Ok(row.is_some())
    }
}

struct Note(RefundOrder);

/// A step, because an incident is opened or resolved by it.
impl Step for Note {
    type Output = ();

    const KIND: &'static str = "refund";

    fn write(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
        let Self(order) = self;
        connection
            .prepare_cached(
                "UPDATE refund_orders SET state = ?3, overtaken_at = ?4, mined_in = COALESCE(?5, mined_in), changed_at_ms = ?6
                 WHERE chain_id = ?1 AND transaction_hash = ?2",
            )?
            .execute(params![
                chain_id(order.of.chain),
                order.transaction.as_slice(),
                order.state.name(),
                order.overtaken_at.map(bound),
                order.mined_in.map(bound),
                clock::now_ms()
            ])?;
        refund_lost::noted(connection, order.of.chain, order.mined_in)
    }

    fn changes(&self, _done: &(), _connection: &SyncConnection<'_>) -> Changes {
        Changes::everything()
    }
}
