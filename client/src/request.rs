//! A request, and the proof of its payment.

use bytes::Bytes;
use reqwest::Method;
use salt402_protocol::{Proof, QuoteId};
use url::Url;

/// A request to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Url,
    /// The body. Sent as JSON if not empty.
    pub body: Bytes,
}

/// A payment with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentProof {
    /// The proof.
    pub proof: Proof,
    /// The quote that was paid. `None`: the proof is presented without a quote id.
    pub quote: Option<QuoteId>,
}
