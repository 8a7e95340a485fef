//! An indexed payment as it is told.

use salt402_protocol::api::PaymentView;
use salt402_store::IndexedPayment;

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
    }
}
