//! What a request costs and how to pay it, as data.

use salt402_protocol::Problem;
use salt402_protocol::api::{QuoteRequest, QuoteResponse};
use salt402_protocol::details::{Calls, Names, PaymentDetails, Resource};
use salt402_protocol::x402::required::Offered;

/// Why a request is to be paid for, and how.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Why: there is no proof, or the one that was shown does not pay.
    pub problem: Problem,
    /// How: a fresh quote, with what it is for.
    pub details: PaymentDetails,
    /// How to pay by a signature, where that is taken.
    pub signed: Option<SignedOffer>,
    /// Who asks, for people: the host that the client asked, or the public one.
    pub realm: String,
    /// In which dialects this is said, beside its own.
    pub dialects: Dialects,
}

/// In which dialects a 402 says how to pay, beside `X-Payment-Details`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialects {
    /// x402's version 2, where a signature is taken: `PAYMENT-REQUIRED`.
    pub x402: bool,
    /// x402's version 1, where a signature is taken and its clients can read the offer: members of the body.
    pub x402_v1: bool,
    /// The HTTP authentication scheme `Payment`: `WWW-Authenticate`.
    pub mpp: bool,
    /// `X-Payment-Required` and its family, where a signature is taken by EIP-3009.
    pub payment_headers: bool,
    /// `X-Payment-Requirements`, where a signature is taken.
    pub requirements_header: bool,
    /// The body's members `error` and `x402`, where a signature is taken by EIP-3009.
    pub nested_body: bool,
    /// Masken's members of `x402` in the body. A client that knows no payment contract would send the coins past it, so it is left out
    /// unless an operator wants it.
    pub masken: bool,
}

impl Default for Dialects {
    fn default() -> Self {
        Self {
            x402: true,
            x402_v1: true,
            mpp: true,
            payment_headers: true,
            requirements_header: true,
            nested_body: true,
            masken: false,
        }
    }
}

impl Dialects {
    /// Those whose clients send the quote back with what they pay. Where a payment is taken with its quote alone, the others would
    /// lead a client to sign what is refused.
    #[must_use]
    pub(crate) fn with_quotes(self) -> Self {
        Self { x402_v1: false, payment_headers: false, nested_body: false, ..self }
    }
}

/// How to pay by a signature (x402).
#[derive(Clone, Debug)]
pub struct SignedOffer {
    /// The ways, the best first.
    pub ways: Vec<Offered>,
    /// The absolute URL of what is sold.
    pub url: String,
    /// How network and token are named where a dialect has names.
    pub names: Names,
    /// Where it is settled, if that is told.
    pub facilitator_url: Option<String>,
}

/// The details of a quote that was given for a request.
pub(crate) fn details(asked: &QuoteRequest, quote: QuoteResponse, resource: Resource) -> PaymentDetails {
    PaymentDetails {
        version: 1,
        amount: asked.amount,
        asset: asked.asset,
        symbol: quote.symbol,
        decimals: quote.decimals,
        network: quote.network,
        chain_id: asked.chain.get(),
        chain: asked.chain,
        recipient: asked.payee,
        payment_contract: quote.payment_contract,
        channels_contract: quote.channels_contract,
        channels_exit_delay: quote.channels_exit_delay,
        stream_least: None,
        reference: quote.reference,
        quote_id: quote.quote_id,
        expires_at: quote.expires_at,
        calls: Some(Calls::new(asked.asset, asked.payee, quote.expires_at)),
        resource,
    }
}
