//! The state of a payment that fits, and what follows from it.

use salt402_protocol::Code;
use salt402_store::IndexedPayment;

use crate::verify::judge::depth::confirmations;
use crate::verify::judge::question::{Judgement, Question, ours};
use crate::verify::policy::ChainPolicy;

/// The state of a payment that fits. The smaller, the better for the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PaymentState {
    /// Claimed by this request.
    Ours,
    Free,
    Shallow,
    Orphaned,
    Taken,
    /// Given back, whether or not it was claimed.
    Refunded,
}

pub(super) fn payment_state(
    question: &Question<'_>,
    chain: &ChainPolicy,
    indexed: &IndexedPayment,
) -> PaymentState {
    match ours(question, indexed) {
        _ if indexed.refunded.is_some() => PaymentState::Refunded,
        Some(false) => PaymentState::Taken,
        _ if !indexed.canonical => PaymentState::Orphaned,
        Some(true) => PaymentState::Ours,
        None if indexed.confirmations
            < confirmations(question.requirement, chain, &indexed.placed.payment) =>
        {
            PaymentState::Shallow
        }
        None => PaymentState::Free,
    }
}

pub(super) fn verdict(
    question: &Question<'_>,
    chain: &ChainPolicy,
    state: PaymentState,
    index: usize,
    indexed: &IndexedPayment,
) -> Judgement {
    match state {
        PaymentState::Ours | PaymentState::Free => Judgement::Paid(index),
        PaymentState::Shallow => {
            let needed = confirmations(question.requirement, chain, &indexed.placed.payment);
            Judgement::Pending(
                Code::AwaitingConfirmations,
                format!("the payment has {} of {needed} confirmations", indexed.confirmations),
            )
        }
        PaymentState::Orphaned => Judgement::Pending(
            Code::PaymentOrphaned,
            "the block of the payment left the chain: do not pay again while the transaction may be mined anew, show \
             the same proof again"
                .into(),
        ),
        PaymentState::Refunded => Judgement::Unasked(Code::PaymentRefunded, refunded(indexed)),
        PaymentState::Taken => Judgement::Rejected(
            Code::AlreadyClaimed,
            "the payment was used before, and one payment serves one request: pay for this one".into(),
        ),
    }
}

/// That a payment buys nothing, because its payee gave it back.
pub(crate) fn refunded(indexed: &IndexedPayment) -> String {
    let paid = indexed.placed.payment.amount;
    let back = match indexed.refunded {
        Some(back) if !back.is_zero() => {
            format!("{back} of {paid} base units of the payment were given back")
        }
        _ => format!("the payment over {paid} base units is being given back"),
    };
    format!(
        "{back}, so it buys nothing any more: if less came back than was paid, ask the operator and do not pay again; else send \
         the request without a proof to be told a price"
    )
}
