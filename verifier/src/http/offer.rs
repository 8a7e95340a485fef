//! The 402: what a request costs and how to pay it.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use salt402_protocol::api::{QuoteRequest, QuoteResponse};
use salt402_protocol::details::{DETAILS_HEADER, PaymentDetails, Resource};
use salt402_protocol::problem::PROBLEM_JSON;
use salt402_protocol::{Code, Problem};
use serde::Serialize;

use super::answer::{CODE_HEADER, no_store, problem_response};

/// A problem document that carries the payment's details beside its own members.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PaymentProblem<'a> {
    #[serde(flatten)]
    problem: &'a Problem,
    #[serde(flatten)]
    details: &'a PaymentDetails,
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
        reference: quote.reference,
        quote_id: quote.quote_id,
        expires_at: quote.expires_at,
        resource,
    }
}

/// 402 with the details in the header and in the body, and why it is a 402.
pub(crate) fn response(problem: &Problem, details: &PaymentDetails) -> Response<Body> {
    let header_value = details.to_header().ok().and_then(|text| HeaderValue::from_str(&text).ok());
    let body = serde_json::to_vec(&PaymentProblem { problem, details }).ok();
    let (Some(value), Some(body)) = (header_value, body) else {
        return problem_response(&Problem::new(Code::Internal, "the payment details could not be written"));
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::PAYMENT_REQUIRED;
    let headers = response.headers_mut();
    headers.insert(DETAILS_HEADER, value);
    headers.insert(CODE_HEADER, HeaderValue::from_static(problem.code.as_str()));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    no_store(headers);
    vary(headers);
    response
}

/// The headers that the answer depends on, for caches that do not heed `no-store`. What else it depends on stays said.
pub fn vary(headers: &mut axum::http::HeaderMap) {
    headers.append(
        header::VARY,
        HeaderValue::from_static("X-Payment-Proof, X-Payment-Quote, X-Payment-Binding"),
    );
}
