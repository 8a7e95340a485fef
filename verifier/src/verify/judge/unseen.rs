//! The answers if no payment is indexed, or if it is not known which one is meant.

use salt402_protocol::{Code, SignedNonce};
use salt402_store::IndexedPayment;

use crate::verify::judge::question::{Judgement, Question};
use crate::verify::policy::{ChainPolicy, Policy};

/// How many payments of one transaction a hash alone may mean. Each may have had a price of its own, and is compared
/// with every quote at that price.
pub const MOST_BY_HASH: usize = salt402_store::FEW;

/// Nothing of this transaction is indexed.
pub(super) fn unseen(question: &Question<'_>, policy: &Policy) -> Judgement {
    if let Some((_, quote)) = question.quote {
        let over = quote.expires_at.saturating_add(2 * policy.clock_skew.as_secs());
        if question.now > over {
            // The index may be about to get a payment that was mined in time. So this is worth waiting for, and it is a
            // refusal only at the end.
            return Judgement::Pending(
                Code::QuoteExpired,
                format!(
                    "the quote ended {} s ago and no payment of this transaction has been seen: ask for a new quote, \
                     or show the same proof again if the transaction was mined in time",
                    question.now - quote.expires_at
                ),
            );
        }
    }
    Judgement::Pending(
        Code::PaymentNotSeen,
        "no payment of this transaction has been seen on the chain yet: do not pay again, show the same proof again"
            .into(),
    )
}

/// No transaction is indexed that used this nonce, and no receipt can be looked up. So the answer is never that nothing
/// was paid: a node may have left out the one log, and nobody must pay again because of that.
pub(super) fn unsettled(question: &Question<'_>, chain: &ChainPolicy, nonce: &SignedNonce) -> Judgement {
    if let SignedNonce::Eip3009 { token, .. } = nonce
        && !chain.counts(*token, chain.contract)
    {
        let detail = format!("authorizations of the token {token} are not followed here and pay for nothing");
        return Judgement::Rejected(Code::NoPayment, detail);
    }
    let over = question.quote.filter(|(_, quote)| question.now > quote.expires_at).map(|(_, quote)| {
        let ago = question.now - quote.expires_at;
        format!(
            "; its quote ended {ago} s ago, so if nobody submitted it in time, see that nobody does, and ask for a new \
             quote"
        )
    });
    Judgement::Pending(
        Code::PaymentNotSeen,
        format!(
            "no payment with this nonce has been seen on the chain yet, and a nonce names no transaction whose receipt \
             could be looked for: do not pay again, show the same proof again, or the transaction's hash if you know \
             it{}",
            over.unwrap_or_default()
        ),
    )
}

/// Whether a transaction holds more payments than its hash alone may mean. A payment in several blocks counts once.
pub(super) fn are_many(payments: &[IndexedPayment]) -> bool {
    let mut ids: Vec<_> = payments.iter().map(|payment| payment.placed.payment.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len() > MOST_BY_HASH
}

/// Whether there are so many payments for the quote that not all were read. The payer's own may be one of the others.
pub(super) fn may_be_cut(question: &Question<'_>, payments: &[IndexedPayment]) -> bool {
    let Some((id, _)) = question.quote.filter(|_| question.proof.ordinal().is_none()) else { return false };
    let reference = id.reference();
    payments.iter().filter(|row| row.placed.payment.reference == reference).count() >= salt402_store::OF_ONE
}

pub(super) fn unnamed() -> Judgement {
    Judgement::Unasked(
        Code::OrdinalRequired,
        format!(
            "the transaction holds more than {MOST_BY_HASH} payments, and what is shown does not say which of them is meant: \
             do not pay again; show the hash together with the quoteId of the 402 that was paid, in the header \
             X-Payment-Quote, or name the payment by its place among the transaction's payments, from 0, as in \
             0x<hash>:<place>, or both"
        ),
    )
}
