//! The decision: was this request paid by that transaction?
//!
//! A pure function of the question, the policy and what the index holds; it reads no clock and no database, so that
//! every case can be written down as a test.

use salt402_protocol::api::Requirement;
use salt402_protocol::{Amount, Asset, Code, Payment, Proof, Quote, QuoteId, QuoteKeys, SignedNonce, Terms};
use salt402_store::IndexedPayment;

use crate::policy::{ChainPolicy, Policy};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What had to be paid.
    pub requirement: &'a Requirement,
    /// The quote that the client presents, opened with our key, with its id.
    pub quote: Option<(&'a QuoteId, &'a Quote)>,
    /// What is shown for it.
    pub proof: Proof,
    /// Who would claim.
    pub claimant: &'a str,
    /// Seconds since 1970 UTC.
    pub now: u64,
}

/// What follows from the index as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The payment at this place of the list pays for the request and is deep enough.
    Paid(usize),
    /// Time may turn it into a payment. With a code that is not pending ([`Code::is_pending`]), it is a refusal once
    /// nobody waits any more.
    Pending(Code, String),
    /// No.
    Rejected(Code, String),
}

/// Blocks that must contain or follow a payment that is offered for this requirement. The amount that was paid counts: it
/// is never less than what was asked.
pub fn confirmations(requirement: &Requirement, chain: &ChainPolicy, payment: &Payment) -> u64 {
    depth(requirement, chain, payment.asset, payment.amount)
}

/// Blocks that must contain or follow a transaction before it is believed that it paid nothing. A replica on an old fork
/// may say so of a transaction that paid, and its payer would be led to pay again.
pub fn confirmations_of_nothing(requirement: &Requirement, chain: &ChainPolicy) -> u64 {
    depth(requirement, chain, requirement.asset, requirement.amount)
}

fn depth(requirement: &Requirement, chain: &ChainPolicy, asset: Asset, amount: Amount) -> u64 {
    chain.confirmations_for(asset, amount).max(requirement.confirmations.unwrap_or(0))
}

/// Decides. `payments` are those of the transaction that is shown as proof, wherever they are by now, or the one of the
/// nonce, on the chain of the requirement.
pub fn judge(
    question: &Question<'_>,
    policy: &Policy,
    chain: &ChainPolicy,
    keys: &QuoteKeys,
    payments: &[IndexedPayment],
) -> Judgement {
    let terms = match terms(question, policy, chain) {
        Ok(terms) => terms,
        Err((code, detail)) => return Judgement::Rejected(code, detail),
    };
    if payments.is_empty() {
        return match &question.proof {
            Proof::Nonce(nonce) => unsettled(question, chain, nonce),
            Proof::Transaction { .. } | Proof::Voucher(_) => unseen(question, policy),
        };
    }
    let mut nearest: Option<Misfit> = None;
    let mut best: Option<(Standing, usize)> = None;
    for (index, payment) in payments.iter().enumerate() {
        // A place is one in the transaction that is shown; what was there may be in another transaction by now.
        if question.proof.hash() == Some(payment.placed.payment.transaction)
            && question.proof.ordinal().is_some_and(|ordinal| ordinal != payment.placed.position)
        {
            continue;
        }
        match misfit(question, policy, chain, keys, &terms, payment) {
            Some(misfit) => {
                if nearest.as_ref().is_none_or(|known| known.step < misfit.step) {
                    nearest = Some(misfit);
                }
            }
            None => {
                let standing = standing(question, chain, payment);
                if best.is_none_or(|(known, _)| standing < known) {
                    best = Some((standing, index));
                }
            }
        }
    }
    match (best, nearest) {
        (Some((standing, index)), _) => verdict(question, chain, standing, index, &payments[index]),
        (None, Some(misfit)) => Judgement::Rejected(misfit.code, misfit.detail),
        (None, None) => Judgement::Rejected(
            Code::NoPayment,
            "the transaction holds payments, and none at the place that the proof names: places are counted from 0; \
             leave the place away, and the payment that fits is taken"
                .into(),
        ),
    }
}

/// What had to be paid: the quote's own terms where one is presented, else those of the requirement.
fn terms(question: &Question<'_>, policy: &Policy, chain: &ChainPolicy) -> Result<Terms, (Code, String)> {
    let asked = question.requirement;
    let Some((_, quote)) = question.quote else {
        if !policy.bare_hashes {
            return Err((
                Code::QuoteRequired,
                "this server takes a transaction hash only together with the quote id: send the quoteId of the 402 \
                 in the header X-Payment-Quote"
                    .into(),
            ));
        }
        return Ok(Terms {
            chain: asked.chain,
            contract: chain.contract,
            payee: asked.payee,
            asset: asked.asset,
            amount: asked.amount,
            request: asked.request_digest,
        });
    };
    quoted(asked, quote, chain)
}

/// The terms of a quote, if it was given for what is asked.
pub(crate) fn quoted(
    asked: &Requirement,
    quote: &Quote,
    chain: &ChainPolicy,
) -> Result<Terms, (Code, String)> {
    let terms = quote.terms;
    let difference = if terms.request != asked.request_digest {
        Some("another method, path or body")
    } else if terms.chain != asked.chain {
        Some("another chain")
    } else if terms.payee != asked.payee {
        Some("another payee")
    } else if terms.asset != asked.asset {
        Some("another asset")
    } else if terms.contract != chain.contract {
        Some("another payment contract")
    } else {
        None
    };
    match difference {
        Some(what) => Err((
            Code::QuoteMismatch,
            format!("the quote id was given for {what}: send exactly the request that was quoted"),
        )),
        None => Ok(terms),
    }
}

/// Nothing of this transaction is indexed.
fn unseen(question: &Question<'_>, policy: &Policy) -> Judgement {
    if let Some((_, quote)) = question.quote {
        let over = quote.expires_at.saturating_add(2 * policy.clock_skew.as_secs());
        if question.now > over {
            // The index may be about to hold a payment that was mined in time, so this too is worth the wait that the
            // client allows; it is a refusal at the end of it.
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

/// Nothing that used this nonce up is indexed. No receipt can be looked for, so it is never said that nothing was paid: that
/// a node left out the one log must not lead anybody to pay again.
fn unsettled(question: &Question<'_>, chain: &ChainPolicy, nonce: &SignedNonce) -> Judgement {
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

/// Why a payment does not fit, and how far it got: a later step is a nearer miss.
struct Misfit {
    step: u8,
    code: Code,
    detail: String,
}

fn misfit(
    question: &Question<'_>,
    policy: &Policy,
    chain: &ChainPolicy,
    keys: &QuoteKeys,
    terms: &Terms,
    indexed: &IndexedPayment,
) -> Option<Misfit> {
    let payment = &indexed.placed.payment;
    let mined_at = indexed.placed.block_timestamp;
    let skew = policy.clock_skew.as_secs();
    let miss = |step, code, detail| Some(Misfit { step, code, detail });
    if payment.chain != terms.chain || !chain.counts(payment.contract, terms.contract) {
        return miss(
            0,
            Code::WrongNetwork,
            "the payment is on another chain or through another contract".into(),
        );
    }
    if payment.payee != terms.payee {
        return miss(1, Code::WrongPayee, format!("{} was paid, not {}", payment.payee, terms.payee));
    }
    if payment.asset != terms.asset {
        return miss(2, Code::WrongAsset, format!("{} was paid, not {}", payment.asset, terms.asset));
    }
    let in_time = match question.quote {
        Some(_) if payment.amount < terms.amount => None,
        Some((id, quote)) => {
            (payment.reference == id.reference()).then(|| quote.pays_in_time(mined_at, skew))
        }
        // Only quotes that lived when the payment was mined are tried, so a match is always in time.
        None => derived(policy, keys, terms, payment, mined_at).then_some(true),
    };
    match in_time {
        None if payment.amount < terms.amount => miss(
            3,
            Code::InsufficientPayment,
            format!("{} base units were paid, {} were asked", payment.amount, terms.amount),
        ),
        None => miss(
            4,
            Code::ReferenceMismatch,
            "the payment's reference is not that of a quote for this request: a payment serves the request it was \
             quoted for, and within its time"
                .into(),
        ),
        Some(false) => miss(5, Code::PaymentExpired, "the payment was mined after its quote had ended".into()),
        // What was granted may be asked for again, however old it is.
        Some(true) if ours(question, indexed) == Some(true) => None,
        Some(true) => {
            let age = question.now.saturating_sub(mined_at);
            let most = chain.max_age.unwrap_or(policy.max_age).as_secs();
            (age > most).then(|| Misfit {
                step: 6,
                code: Code::PaymentExpired,
                detail: format!("the payment is {age} s old, {most} s are accepted"),
            })
        }
    }
}

/// Whether a payment was made for a quote that can be derived from the request.
///
/// The price of the moment may be another than the one that was quoted, so what was paid is tried as the price too. Only
/// this server can make a quote's id, and the reference proves that it did: for this request, at this price, within its
/// time. Nothing need be remembered of old prices, and a restart forgets none.
fn derived(policy: &Policy, keys: &QuoteKeys, terms: &Terms, payment: &Payment, mined_at: u64) -> bool {
    let exact = (!payment.amount.is_zero()).then_some(payment.amount);
    let overpaid = (payment.amount > terms.amount).then_some(terms.amount);
    exact.into_iter().chain(overpaid).any(|amount| {
        let terms = Terms { amount, ..*terms };
        policy
            .clock
            .derived_for(terms, mined_at, policy.clock_skew.as_secs())
            .any(|quote| keys.made(&quote, payment.reference))
    })
}

/// Whether the claim of a payment is that of this request and claimant; `None` where it is not claimed.
fn ours(question: &Question<'_>, indexed: &IndexedPayment) -> Option<bool> {
    indexed.claim.as_ref().map(|claim| {
        claim.request == question.requirement.request_digest && claim.claimant == question.claimant
    })
}

/// How a payment that fits stands; the smaller, the better it serves the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Claimed by this very request.
    Ours,
    Free,
    Shallow,
    Orphaned,
    Taken,
}

fn standing(question: &Question<'_>, chain: &ChainPolicy, indexed: &IndexedPayment) -> Standing {
    match ours(question, indexed) {
        Some(false) => Standing::Taken,
        _ if !indexed.canonical => Standing::Orphaned,
        Some(true) => Standing::Ours,
        None if indexed.confirmations
            < confirmations(question.requirement, chain, &indexed.placed.payment) =>
        {
            Standing::Shallow
        }
        None => Standing::Free,
    }
}

fn verdict(
    question: &Question<'_>,
    chain: &ChainPolicy,
    standing: Standing,
    index: usize,
    indexed: &IndexedPayment,
) -> Judgement {
    match standing {
        Standing::Ours | Standing::Free => Judgement::Paid(index),
        Standing::Shallow => {
            let needed = confirmations(question.requirement, chain, &indexed.placed.payment);
            Judgement::Pending(
                Code::AwaitingConfirmations,
                format!("the payment has {} of {needed} confirmations", indexed.confirmations),
            )
        }
        Standing::Orphaned => Judgement::Pending(
            Code::PaymentOrphaned,
            "the block of the payment left the chain: do not pay again while the transaction may be mined anew, show \
             the same proof again"
                .into(),
        ),
        Standing::Taken => Judgement::Rejected(
            Code::AlreadyClaimed,
            "the payment was used before, and one payment serves one request: pay for this one".into(),
        ),
    }
}
