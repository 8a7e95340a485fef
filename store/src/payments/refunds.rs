//! What was given back for payments: read where a payment is read.

use salt402_protocol::{Amount, Asset};

use crate::engine::{Columns, SyncConnection, amount_bytes, chain_id, params};
use crate::rows::{IndexedRefund, Refunded, StoreError};

/// Whether something was given back for the payment `p`, or is on its way: on the chain, in a block that left it, from where it
/// may be mined again, or sent from here. One that left the chain and whose transaction is void is never mined again.
macro_rules! given_back {
    () => {
        "(EXISTS (SELECT 1 FROM refunds g
                  WHERE g.chain_id = p.chain_id AND g.reference = p.reference AND g.payer = p.payer
                    AND g.payee = p.payee AND g.asset = p.asset
                    AND (g.canonical OR NOT EXISTS (SELECT 1 FROM refund_orders v
                                                    WHERE v.chain_id = g.chain_id
                                                      AND v.transaction_hash = g.transaction_hash
                                                      AND v.state = 'void')))
          OR EXISTS (SELECT 1 FROM refund_orders o
                     WHERE o.chain_id = p.chain_id AND o.reference = p.reference AND o.payer = p.payer
                       AND o.payee = p.payee AND o.asset = p.asset AND o.state <> 'void'))"
    };
}
pub(crate) use given_back;

/// How much of it is on the chain, in base units.
pub(super) fn on_chain(connection: &SyncConnection<'_>, of: &Refunded) -> Result<Amount, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT amount FROM refunds
         WHERE chain_id = ?1 AND reference = ?2 AND payer = ?3 AND payee = ?4 AND asset = ?5 AND canonical",
    )?;
    let mut rows = select.query(params![
        chain_id(of.chain),
        of.reference.as_slice(),
        of.payer.as_slice(),
        of.payee.as_slice(),
        of.asset.address().as_slice()
    ])?;
    let mut sum = Amount::ZERO;
    while let Some(row) = rows.next()? {
        sum = Amount(sum.0.saturating_add(row.amount("amount")?.0));
    }
    Ok(sum)
}

/// A row of `refunds`.
pub(crate) fn refund_of(row: &impl Columns) -> Result<IndexedRefund, StoreError> {
    Ok(IndexedRefund {
        id: row.hash("refund_id")?,
        contract: row.address("contract")?,
        transaction: row.hash("transaction_hash")?,
        amount: row.amount("amount")?,
        block_number: row.number("block_number")?,
        block_hash: row.hash("block_hash")?,
        block_timestamp: row.number("block_timestamp")?,
        canonical: row.flag("canonical")?,
    })
}

/// What a refund belongs to, as a statement is given it: chain, reference, payer, payee, asset.
pub(crate) fn bindings(of: &Refunded) -> (i64, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>) {
    let asset: Asset = of.asset;
    (
        chain_id(of.chain),
        of.reference.to_vec(),
        of.payer.to_vec(),
        of.payee.to_vec(),
        asset.address().to_vec(),
    )
}

/// An amount as a statement is given it.
pub(crate) fn amount(amount: Amount) -> Vec<u8> {
    amount_bytes(amount).to_vec()
}
