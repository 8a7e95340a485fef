//! An indexed payment, and a grant on a voucher, as they are told.

use salt402_protocol::api::{PaymentView, RefundView, TabView};
use salt402_store::{IndexedPayment, IndexedRefund, NewVoucher, Refunded, VoucherAccount, VoucherGrant};

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

/// How a channel stands whose further vouchers raise what a grant may cost.
pub(crate) fn tab_view(grant: &VoucherGrant) -> Option<Box<TabView>> {
    let VoucherAccount { ceiling, .. } = grant.account;
    let (used, deposit) = (grant.account.used(), grant.deposit);
    grant.most.map(|most| Box::new(TabView { most, highest: ceiling, used, deposit }))
}

/// A grant in the form of a payment: through the channels contract, with the channel as its reference, in the block of
/// its opening.
pub(crate) fn granted_view(new: &NewVoucher, grant: &VoucherGrant) -> PaymentView {
    PaymentView {
        payment_id: grant.payment,
        chain: new.chain,
        transaction: grant.opening.transaction,
        contract: grant.contract,
        reference: new.voucher.channel,
        payer: grant.descriptor.payer,
        payee: grant.descriptor.payee,
        asset: grant.descriptor.asset,
        amount: grant.price,
        block_number: grant.opening.block_number,
        block_hash: grant.opening.block_hash,
        block_timestamp: grant.opening.block_timestamp,
        confirmations: grant.opening.confirmations,
        canonical: true,
        claimed: grant.claimed_at_ms.is_some(),
        refunded: None,
    }
}
