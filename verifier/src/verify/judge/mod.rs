//! The decision: was this request paid by that transaction?
//!
//! A pure function of the question, the policy and what the index holds; it reads no clock and no database, so that
//! every case can be written down as a test.

use salt402_protocol::api::Requirement;
use salt402_protocol::{Amount, Asset, Code, Payment, Proof, Quote, QuoteId, Service, SignedNonce, Terms};
use salt402_store::IndexedPayment;

use crate::derived::Derived;
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
    /// Not told, because the question must be put in another way, or to a person. No word against the payment.
    Unasked(Code, String),
}

/// Payments of one transaction that a hash alone may mean. Each may have been made at a price of its own, and is held
/// against every quote at that price.
pub const MOST_BY_HASH: usize = salt402_store::FEW;

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
/// nonce, on the chain of the requirement. `derived` is of this question.
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
    let mut best: Option<(Standing, usize)> = None;
    for (index, payment) in payments.iter().enumerate() {
        // A place is one in the transaction that is shown; what was there may be in another transaction by now.
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
                let standing = standing(question, chain, payment);
                if best.is_none_or(|(known, _)| standing < known) {
                    best = Some((standing, index));
                }
            }
        }
    }
    match (best, nearest) {
        (Some((standing, index)), _) => verdict(question, chain, standing, index, &payments[index]),
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
            service: Service::named(question.claimant),
        });
    };
    if !policy.clock.gave(quote) {
        return Err((Code::BeforeDatabase, before_database("the quote")));
    }
    quoted(asked, question.claimant, quote, chain)
}

/// Nothing is known of what another database granted. Its server may have served the payment, or not.
pub(crate) fn before_database(what: &str) -> String {
    format!(
        "{what} is of before this server's database, and whether it was used then is not known: do not pay again; if you \
         paid and were not served, ask the operator, who can put the earlier database back or pay it back"
    )
}

/// The terms of a quote, if it was given for what is asked: by the service that asks, at whatever price that was within the
/// quote's life, or by nobody that it names.
pub(crate) fn quoted(
    asked: &Requirement,
    claimant: &str,
    quote: &Quote,
    chain: &ChainPolicy,
) -> Result<Terms, (Code, String)> {
    let terms = quote.terms;
    let difference = if terms.service.is_some() && terms.service != Service::named(claimant) {
        Some("by another service, or under a name that this one had before")
    } else if terms.chain != asked.chain {
        Some("for another chain")
    } else if terms.payee != asked.payee {
        Some("for another payee")
    } else if terms.asset != asked.asset {
        Some("for another asset")
    } else if terms.contract != chain.contract {
        Some("for another payment contract")
    } else {
        None
    };
    if let Some(what) = difference {
        let detail = format!(
            "the quote id was given {what}: if you paid, do not pay again, show it where it was given, or ask the operator"
        );
        return Err((Code::QuoteNotHonoured, detail));
    }
    if terms.request != asked.request_digest {
        let detail = "the quote id was given for another method, path or body: send exactly the request that was quoted";
        return Err((Code::QuoteMismatch, detail.into()));
    }
    Ok(terms)
}

/// Whether a quote is over less than is asked, and does not say that whoever asks gave it: then the price was another's, or
/// another request's, as far as anybody knows.
pub(crate) fn is_below(asked: &Requirement, quoted: &Terms) -> bool {
    quoted.service.is_none() && quoted.amount < asked.amount
}

/// A refusal. What is no matter of payment is not followed by a new quote: somebody may have paid.
fn refused(code: Code, detail: String) -> Judgement {
    match code {
        Code::QuoteBelowPrice | Code::BeforeDatabase | Code::QuoteNotHonoured => {
            Judgement::Unasked(code, detail)
        }
        _ => Judgement::Rejected(code, detail),
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

/// Whether a transaction holds more payments than its hash alone may mean; one that stood in several blocks counts once.
fn are_many(payments: &[IndexedPayment]) -> bool {
    let mut ids: Vec<_> = payments.iter().map(|payment| payment.placed.payment.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len() > MOST_BY_HASH
}

/// Whether there are so many payments for the quote that not all were read: its payer's may be behind them.
fn may_be_cut(question: &Question<'_>, payments: &[IndexedPayment]) -> bool {
    let Some((id, _)) = question.quote.filter(|_| question.proof.ordinal().is_none()) else { return false };
    let reference = id.reference();
    payments.iter().filter(|row| row.placed.payment.reference == reference).count() >= salt402_store::OF_ONE
}

fn unnamed() -> Judgement {
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

/// Why a payment does not fit: the later, the nearer a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Misfit {
    Chain,
    Payee,
    Asset,
    Amount,
    /// Too old for what it was quoted for to matter.
    Old,
    Reference,
    Late,
    TooOld,
    /// It was quoted by whoever names no service, and for less.
    BelowPrice,
    /// It may have been made for a quote of an earlier database.
    Early,
}

impl Misfit {
    fn said(
        self,
        question: &Question<'_>,
        policy: &Policy,
        chain: &ChainPolicy,
        terms: &Terms,
        indexed: &IndexedPayment,
    ) -> (Code, String) {
        let payment = &indexed.placed.payment;
        match self {
            Self::Chain => (
                Code::WrongNetwork,
                "the payment is on another chain or through another contract".into(),
            ),
            Self::Payee => (Code::WrongPayee, format!("{} was paid, not {}", payment.payee, terms.payee)),
            Self::Asset => (Code::WrongAsset, format!("{} was paid, not {}", payment.asset, terms.asset)),
            Self::Amount => (
                Code::InsufficientPayment,
                format!("{} base units were paid, {} were asked", payment.amount, terms.amount),
            ),
            Self::Reference => (
                Code::ReferenceMismatch,
                "the payment's reference is not that of a quote for this request: a payment serves the request it was \
                 quoted for, and within its time"
                    .into(),
            ),
            Self::Late => {
                (Code::PaymentExpired, "the payment was mined after its quote had ended".into())
            }
            Self::BelowPrice => {
                let quoted = question.quote.map_or(payment.amount, |_| terms.amount);
                let asked = question.requirement.amount;
                let detail = format!(
                    "the quote was over {quoted} base units, {asked} are asked, and it does not say that this service \
                     gave it: do not pay again, ask the operator"
                );
                (Code::QuoteBelowPrice, detail)
            }
            Self::Early => (Code::BeforeDatabase, before_database("the payment, or what it was quoted for,")),
            Self::Old | Self::TooOld => {
                let (age, most) = (age(question, indexed), most_age(policy, chain));
                (Code::PaymentExpired, format!("the payment is {age} s old, {most} s are accepted"))
            }
        }
    }
}

/// Seconds since a payment was mined. It is younger than the quote whose reference it carries, whatever a chain says whose clock
/// is behind.
fn age(question: &Question<'_>, indexed: &IndexedPayment) -> u64 {
    let carried = |(id, _): &(&QuoteId, &Quote)| indexed.placed.payment.reference == id.reference();
    let quoted_at = question.quote.filter(carried).map_or(0, |(_, quote)| quote.issued_at);
    question.now.saturating_sub(indexed.placed.block_timestamp.max(quoted_at))
}

/// What was granted may be asked for again, however old it is.
fn is_old(question: &Question<'_>, policy: &Policy, chain: &ChainPolicy, indexed: &IndexedPayment) -> bool {
    age(question, indexed) > most_age(policy, chain) && ours(question, indexed) != Some(true)
}

fn most_age(policy: &Policy, chain: &ChainPolicy) -> u64 {
    chain.max_age.unwrap_or(policy.max_age).as_secs()
}

fn misfit(
    question: &Question<'_>,
    policy: &Policy,
    chain: &ChainPolicy,
    derived: &mut Derived<'_>,
    terms: &Terms,
    indexed: &IndexedPayment,
) -> Option<Misfit> {
    let payment = &indexed.placed.payment;
    let mined_at = indexed.placed.block_timestamp;
    if payment.chain != terms.chain || !chain.counts(payment.contract, terms.contract) {
        return Some(Misfit::Chain);
    }
    if payment.payee != terms.payee {
        return Some(Misfit::Payee);
    }
    if payment.asset != terms.asset {
        return Some(Misfit::Asset);
    }
    let old = is_old(question, policy, chain, indexed);
    // What was granted may be asked for again, whatever it costs by now.
    let granted = ours(question, indexed) == Some(true);
    let below = |quoted: &Terms| is_below(question.requirement, quoted) && !granted;
    let Some((id, quote)) = question.quote else {
        // Before anything is derived: anybody may show any hash.
        return if old {
            Some(Misfit::Old)
        } else if let Some(quoted) = made_for(derived, policy, terms, payment, mined_at) {
            // Only quotes that lived when the payment was mined are tried, so a match is always in time.
            below(&quoted).then_some(Misfit::BelowPrice)
        } else if indexed.claim.is_none() && policy.clock.is_early(mined_at, policy.clock_skew.as_secs()) {
            Some(Misfit::Early)
        } else if payment.amount < terms.amount {
            Some(Misfit::Amount)
        } else {
            Some(Misfit::Reference)
        };
    };
    if payment.amount < terms.amount {
        Some(Misfit::Amount)
    } else if payment.reference != id.reference() {
        Some(Misfit::Reference)
    } else if !quote.pays_in_time(mined_at, policy.clock_skew.as_secs()) {
        Some(Misfit::Late)
    } else if below(terms) {
        Some(Misfit::BelowPrice)
    } else {
        old.then_some(Misfit::TooOld)
    }
}

/// The terms of the quote that a payment was made for, if that can be derived from the request.
///
/// The price of the moment may be another than the one that was quoted, so what was paid is tried as the price too. Only
/// this server can make a quote's id, and the reference proves that it did: for this request, at this price, within its
/// time. Nothing need be remembered of old prices, and a restart forgets none. Whoever asked for the quote may not have said
/// for which service, so it is also tried as one that names none.
fn made_for(
    derived: &mut Derived<'_>,
    policy: &Policy,
    terms: &Terms,
    payment: &Payment,
    mined_at: u64,
) -> Option<Terms> {
    let overpaid = (payment.amount > terms.amount).then_some(terms.amount);
    let exact = (!payment.amount.is_zero()).then_some(payment.amount);
    let unnamed = terms.service.is_some().then_some(None);
    let services = std::iter::once(terms.service).chain(unnamed);
    let prices =
        services.flat_map(|service| overpaid.into_iter().chain(exact).map(move |amount| (service, amount)));
    prices
        .map(|(service, amount)| Terms { service, amount, ..*terms })
        .find(|terms| derived.has(policy, *terms, mined_at, payment.reference))
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
