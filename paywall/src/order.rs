//! A request that is for sale: what it asks, as what it is sold, and for how much.

use salt402_protocol::api::{CreditRequest, Usage};
use salt402_protocol::{Amount, RequestDigest};

/// A request and its price.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its method.
    pub method: String,
    /// Its target.
    pub path: String,
    /// As what it is sold.
    pub sold: Sold,
    /// As what it may have been sold before the operator changed how many requests a payment pays for; whoever paid for
    /// that is served too.
    pub before: Option<Sold>,
    /// What it costs, in base units; with `by_use`, the most that it may cost.
    pub amount: Amount,
    /// Whether whoever pays in a way that authorizes a ceiling is charged what was used. Other payments are charged as they were
    /// made.
    pub by_use: bool,
    /// What will be done, in words.
    pub description: String,
    /// What is credited for it, where a balance is bought.
    pub credit: Option<CreditRequest>,
}

/// What a payment pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sold {
    /// The digest that a quote is bound to: the request's, or what several requests have in common.
    pub digest: RequestDigest,
    /// Which of several requests this is that one payment pays for; `None` where it pays for one.
    pub usage: Option<Usage>,
}

impl Sold {
    /// One request for one payment.
    pub fn one(digest: RequestDigest) -> Self {
        Self { digest, usage: None }
    }
}
