//! An offer as an HTTP answer: 402 with the details in a header and in a problem document.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use salt402_http::{CODE_HEADER, no_store, problem_response, vary};
use salt402_protocol::details::{DETAILS_HEADER, PaymentDetails};
use salt402_protocol::problem::PROBLEM_JSON;
use salt402_protocol::{Code, Problem};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::dialects::{self, Members};
use crate::offer::Offer;

/// A problem document that carries the payment's details beside its own members.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PaymentProblem<'a> {
    #[serde(flatten)]
    problem: &'a Problem,
    #[serde(flatten)]
    details: &'a PaymentDetails,
    /// How clients of other dialects pay.
    #[serde(flatten)]
    #[schema(ignore)]
    others: Members<'a>,
}

impl<'a> PaymentProblem<'a> {
    fn of(offer: &'a Offer) -> Self {
        Self { problem: &offer.problem, details: &offer.details, others: dialects::members(offer) }
    }
}

/// 402 with the details in the header and in the body, and why it is a 402.
pub fn offer_response(offer: &Offer) -> Response<Body> {
    written(offer, serde_json::to_vec(&PaymentProblem::of(offer)).ok())
}

/// The same with members in the body besides its own, or in their place.
pub fn offer_response_with(offer: &Offer, members: &Map<String, Value>) -> Response<Body> {
    let mut document = serde_json::to_value(PaymentProblem::of(offer)).unwrap_or_default();
    let body = document.as_object_mut().map(|document| {
        document.extend(members.clone());
        Value::Object(std::mem::take(document)).to_string().into_bytes()
    });
    written(offer, body)
}

fn written(offer: &Offer, body: Option<Vec<u8>>) -> Response<Body> {
    let Offer { problem, details, .. } = offer;
    let header_value = details.to_header().ok().and_then(|text| HeaderValue::from_str(&text).ok());
    let (Some(value), Some(body)) = (header_value, body) else {
        return problem_response(&Problem::new(Code::Internal, "the payment details could not be written"));
    };
    let own = DETAILS_HEADER.len() + value.len() + 4;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::PAYMENT_REQUIRED;
    let headers = response.headers_mut();
    headers.insert(DETAILS_HEADER, value);
    headers.insert(CODE_HEADER, HeaderValue::from_static(problem.code.as_str()));
    for (name, value) in dialects::headers(offer, own) {
        headers.append(name, value);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    no_store(headers);
    vary(headers);
    response
}
