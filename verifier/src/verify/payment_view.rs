//! An indexed payment as it is told.

use salt402_protocol::api::{PaymentView, RefundView};
use salt402_store::{IndexedPayment, IndexedRefund, Refunded};

pub(crate) fn view(indexed: &IndexedPayment) -> PaymentView {
    let placed = &indexed.placed;
    let payment = &placed.payment;
    PaymentView {
        payment_id: payment.id,
        chain: payment.chain,
        transaction: payment.transaction,
        contract: payment.contract,
        reference: payment.reference,
        payer: payment.payer,
        payee: payment.payee,
        asset: payment.asset,
        amount: payment.amount,
        block_number: placed.block_number,
        block_hash: placed.block_hash,
        block_timestamp: placed.block_timestamp,
        confirmations: indexed.confirmations,
        canonical: indexed.canonical,
        claimed: indexed.claim.is_some(),
        refunded: indexed.refunded,
    }
}

/// A refund as it is told.
pub(crate) fn refund_view(of: Refunded, refund: &IndexedRefund) -> RefundView {
    RefundView {
        reference: of.reference,
        transaction: refund.transaction,
        contract: refund.contract,
        amount: refund.amount,
        block_number: refund.block_number,
        block_hash: refund.block_hash,
        block_timestamp: refund.block_timestamp,
        canonical: refund.canonical,
    }
}
