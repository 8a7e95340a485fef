//! What had to be paid, by the presented quote or by the requirement.

use salt402_protocol::api::Requirement;
use salt402_protocol::{Asset, Code, Quote, Service, Terms};

use crate::verify::judge::question::Question;
use crate::verify::policy::{ChainPolicy, Policy};

/// What had to be paid: the terms of the presented quote, or else of the requirement.
pub(super) fn terms(
    question: &Question<'_>,
    policy: &Policy,
    chain: &ChainPolicy,
) -> Result<Terms, (Code, String)> {
    let asked = question.requirement;
    if let Some((token, amount)) = question.reserved {
        return Ok(Terms {
            chain: asked.chain,
            contract: chain.contract,
            payee: asked.payee,
            asset: Asset::Token(token),
            amount,
            request: asked.request_digest,
            service: Service::named(question.claimant),
        });
    }
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

/// It is not known what another database granted. Its server may have served the payment or not.
pub(crate) fn before_database(what: &str) -> String {
    format!(
        "{what} is of before this server's database, and whether it was used then is not known: do not pay again; if you \
         paid and were not served, ask the operator, who can put the earlier database back or pay it back"
    )
}

/// The terms of a quote, if it was given for what is asked: by the service that asks, at whatever price was valid then,
/// or by a service that is not named.
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

/// Whether a quote is for less than is asked and does not name the asking service. Then, as far as is known, the price
/// was another service's or another request's.
pub(crate) fn is_below(asked: &Requirement, quoted: &Terms) -> bool {
    quoted.service.is_none() && quoted.amount < asked.amount
}
