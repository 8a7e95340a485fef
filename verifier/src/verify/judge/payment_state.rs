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
}

pub(super) fn payment_state(
    question: &Question<'_>,
    chain: &ChainPolicy,
    indexed: &IndexedPayment,
) -> PaymentState {
    match ours(question, indexed) {
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
        PaymentState::Taken => Judgement::Rejected(
            Code::AlreadyClaimed,
            "the payment was used before, and one payment serves one request: pay for this one".into(),
        ),
    }
}
