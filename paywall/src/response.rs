//! An offer as an HTTP answer: 402 with the details in a header and in a problem document.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use salt402_http::{CODE_HEADER, no_store, problem_response, vary};
use salt402_protocol::details::{DETAILS_HEADER, PaymentDetails};
use salt402_protocol::problem::PROBLEM_JSON;
use salt402_protocol::{Code, Problem};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::offer::Offer;

/// A problem document that carries the payment's details beside its own members.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PaymentProblem<'a> {
    #[serde(flatten)]
    problem: &'a Problem,
    #[serde(flatten)]
    details: &'a PaymentDetails,
}

/// 402 with the details in the header and in the body, and why it is a 402.
pub fn offer_response(offer: &Offer) -> Response<Body> {
    let Offer { problem, details } = offer;
    written(offer, serde_json::to_vec(&PaymentProblem { problem, details }).ok())
}

/// The same with members in the body besides its own, or in their place.
pub fn offer_response_with(offer: &Offer, members: &Map<String, Value>) -> Response<Body> {
    let Offer { problem, details } = offer;
    let mut document = serde_json::to_value(PaymentProblem { problem, details }).unwrap_or_default();
    let body = document.as_object_mut().map(|document| {
        document.extend(members.clone());
        Value::Object(std::mem::take(document)).to_string().into_bytes()
    });
    written(offer, body)
}

fn written(offer: &Offer, body: Option<Vec<u8>>) -> Response<Body> {
    let Offer { problem, details } = offer;
    let header_value = details.to_header().ok().and_then(|text| HeaderValue::from_str(&text).ok());
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
