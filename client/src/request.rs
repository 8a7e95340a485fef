//! What is asked for, and what shows that it was paid.

use bytes::Bytes;
use reqwest::Method;
use salt402_protocol::{Proof, QuoteId};
use url::Url;

/// What to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The body; sent as JSON if not empty.
    pub body: Bytes,
}

/// A payment that was made, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentProof {
    /// What is shown.
    pub proof: Proof,
    /// The quote that was paid; without it the proof is shown bare.
    pub quote: Option<QuoteId>,
}
