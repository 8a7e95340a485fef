//! Why a payment does not pay for the request.

use salt402_protocol::{Code, Payment, Quote, QuoteId, Terms};
use salt402_store::IndexedPayment;

use crate::verify::derived::Derived;
use crate::verify::judge::question::{Question, ours};
use crate::verify::judge::terms::{before_database, is_below};
use crate::verify::policy::{ChainPolicy, Policy};

/// Why a payment does not fit. The later in this list, the nearer it is to fitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Misfit {
    Chain,
    Payee,
    Asset,
    Amount,
    /// It is so old that its quote does not matter.
    Old,
    Reference,
    Late,
    TooOld,
    /// Its quote names no service, and was for less.
    BelowPrice,
    /// It may have been made for a quote of an earlier database.
    Early,
}

impl Misfit {
    pub(super) fn said(
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
                let detail = "the payment was mined after its quote had ended: ask the server's operator to give it back, or ask without it for a \
                              new price";
                (Code::PaymentExpired, detail.into())
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
                let detail = format!(
                    "the payment is {age} s old, {most} s are accepted: ask the server's operator to give it back, or ask without it \
                     for a new price"
                );
                (Code::PaymentExpired, detail)
            }
        }
    }
}

/// Seconds since a payment was mined. If a chain's clock is behind, the payment still is not older than the quote whose
/// reference it carries.
pub(super) fn age(question: &Question<'_>, indexed: &IndexedPayment) -> u64 {
    let carried = |(id, _): &(&QuoteId, &Quote)| indexed.placed.payment.reference == id.reference();
    let quoted_at = question.quote.filter(carried).map_or(0, |(_, quote)| quote.issued_at);
    question.now.saturating_sub(indexed.placed.block_timestamp.max(quoted_at))
}

/// A grant may be asked for again, however old the payment is.
pub(super) fn is_old(
    question: &Question<'_>,
    policy: &Policy,
    chain: &ChainPolicy,
    indexed: &IndexedPayment,
) -> bool {
    age(question, indexed) > most_age(policy, chain) && ours(question, indexed) != Some(true)
}

pub(super) fn most_age(policy: &Policy, chain: &ChainPolicy) -> u64 {
    chain.rules.max_age.unwrap_or(policy.max_age).as_secs()
}

pub(super) fn misfit(
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
    // A grant may be asked for again, whatever the request costs now.
    let granted = ours(question, indexed) == Some(true);
    let below = |quoted: &Terms| is_below(question.requirement, quoted) && !granted;
    // What was signed names no quote. It was kept for this request before anybody else could read it.
    if question.reserved.is_some() {
        return if payment.amount < terms.amount {
            Some(Misfit::Amount)
        } else {
            old.then_some(Misfit::TooOld)
        };
    }
    let Some((id, quote)) = question.quote else {
        // Checked before anything is derived, because anybody may show any hash.
        return if old {
            Some(Misfit::Old)
        } else if let Some(quoted) = made_for(derived, policy, terms, payment, mined_at) {
            // Only quotes that were valid when the payment was mined are tried, so a match is always in time.
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

/// The terms of the quote that a payment was made for, if they can be derived from the request.
///
/// The quoted price may have been another than the present one, so the paid amount is tried as the price too. Only this
/// server can make a quote's id. So a matching reference proves that it gave the quote: for this request, at this
/// price, at that time. Old prices need not be stored, and a restart loses none. Whoever asked for the quote may not
/// have named a service, so it is also tried without one.
pub(super) fn made_for(
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
