//! The decision: was this request paid by that transaction?
//!
//! A pure function of the question, the policy and what the index holds. It reads no clock and no database, so every
//! case can be written as a test.

pub(crate) mod depth;
mod misfit;
pub(crate) mod payment_state;
pub(crate) mod question;
pub(crate) mod terms;
pub(crate) mod unseen;

use salt402_protocol::{Code, Proof};
use salt402_store::IndexedPayment;

use crate::verify::derived::Derived;
use crate::verify::judge::misfit::{Misfit, misfit};
use crate::verify::judge::payment_state::{PaymentState, payment_state, verdict};
use crate::verify::judge::question::{Judgement, Question};
use crate::verify::judge::terms::terms;
use crate::verify::judge::unseen::{are_many, may_be_cut, unnamed, unseen, unsettled};
use crate::verify::policy::{ChainPolicy, Policy};

/// Decides. `payments` are those of the shown transaction, wherever they are now, or the one of the nonce, on the chain
/// of the requirement. `derived` belongs to this question.
pub fn judge(
    question: &Question<'_>,
    policy: &Policy,
    chain: &ChainPolicy,
    derived: &mut Derived<'_>,
    payments: &[IndexedPayment],
) -> Judgement {
    let terms = match terms(question, policy, chain) {
        Ok(terms) => terms,
        Err((code, detail)) => return refused(code, detail),
    };
    if payments.is_empty() {
        return match &question.proof {
            Proof::Nonce(nonce) => unsettled(question, chain, nonce),
            Proof::Transaction { .. } | Proof::Voucher(_) => unseen(question, policy),
        };
    }
    if question.quote.is_none()
        && let Proof::Transaction { ordinal: None, .. } = question.proof
        && are_many(payments)
    {
        return unnamed();
    }
    let mut nearest: Option<(Misfit, &IndexedPayment)> = None;
    let mut best: Option<(PaymentState, usize)> = None;
    for (index, payment) in payments.iter().enumerate() {
        // A place is a place in the shown transaction. The payment may be in another transaction now.
        if question.proof.hash() == Some(payment.placed.payment.transaction)
            && question.proof.ordinal().is_some_and(|ordinal| ordinal != payment.placed.position)
        {
            continue;
        }
        match misfit(question, policy, chain, derived, &terms, payment) {
            Some(misfit) => {
                if nearest.is_none_or(|(known, _)| known < misfit) {
                    nearest = Some((misfit, payment));
                }
            }
            None => {
                let state = payment_state(question, chain, payment);
                if best.is_none_or(|(known, _)| state < known) {
                    best = Some((state, index));
                }
            }
        }
    }
    match (best, nearest) {
        (Some((state, index)), _) => verdict(question, chain, state, index, &payments[index]),
        (None, Some(_)) if may_be_cut(question, payments) => unnamed(),
        (None, Some((misfit, payment))) => {
            let (code, detail) = misfit.said(question, policy, chain, &terms, payment);
            refused(code, detail)
        }
        (None, None) => Judgement::Rejected(
            Code::NoPayment,
            "the transaction holds payments, and none at the place that the proof names: places are counted from 0; \
             leave the place away, and the payment that fits is taken"
                .into(),
        ),
    }
}

/// A refusal. If it is not about the payment, no new quote follows it, since somebody may have paid.
fn refused(code: Code, detail: String) -> Judgement {
    match code {
        Code::QuoteBelowPrice | Code::BeforeDatabase | Code::QuoteNotHonoured => {
            Judgement::Unasked(code, detail)
        }
        _ => Judgement::Rejected(code, detail),
    }
}
