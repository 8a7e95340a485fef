//! An offer as an HTTP answer: 402 with the details in a header and in a problem document.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use salt402_http::{CODE_HEADER, no_store, problem_response, vary};
use salt402_protocol::details::{DETAILS_HEADER, PaymentDetails};
use salt402_protocol::mpp::{Challenge, ChargeRequest};
use salt402_protocol::problem::PROBLEM_JSON;
use salt402_protocol::x402::required::{Offered, PaymentRequired, REQUIRED_HEADER, SoldResource};
use salt402_protocol::x402::v1::RequiredV1;
use salt402_protocol::x402::{EIP3009, EXACT};
use salt402_protocol::{Code, Problem};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::offer::{Offer, SignedOffer};
use crate::shown::rfc3339;

/// A problem document that carries the payment's details beside its own members.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PaymentProblem<'a> {
    #[serde(flatten)]
    problem: &'a Problem,
    #[serde(flatten)]
    details: &'a PaymentDetails,
    /// How clients of x402's version 1 pay.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    v1: Option<RequiredV1>,
}

impl<'a> PaymentProblem<'a> {
    fn of(offer: &'a Offer) -> Self {
        let signed = offer.signed.as_ref().filter(|_| offer.dialects.x402_v1);
        let v1 = signed.and_then(|signed| {
            let resource = sold(&offer.details, signed);
            signed.ways.iter().find_map(|way| RequiredV1::of(way, &resource))
        });
        Self { problem: &offer.problem, details: &offer.details, v1 }
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
    let Offer { problem, details, signed, dialects, .. } = offer;
    let header_value = details.to_header().ok().and_then(|text| HeaderValue::from_str(&text).ok());
    let (Some(value), Some(body)) = (header_value, body) else {
        return problem_response(&Problem::new(Code::Internal, "the payment details could not be written"));
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::PAYMENT_REQUIRED;
    let headers = response.headers_mut();
    headers.insert(DETAILS_HEADER, value);
    headers.insert(CODE_HEADER, HeaderValue::from_static(problem.code.as_str()));
    let x402 = signed.as_ref().filter(|_| dialects.x402);
    if let Some(required) = x402.and_then(|signed| required(problem, details, signed)) {
        headers.insert(REQUIRED_HEADER, required);
    }
    for challenge in challenges(offer) {
        headers.append(header::WWW_AUTHENTICATE, challenge);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    no_store(headers);
    vary(headers);
    response
}

fn sold<'a>(details: &'a PaymentDetails, signed: &SignedOffer) -> SoldResource<'a> {
    SoldResource {
        url: signed.url.clone(),
        description: &details.resource.description,
        mime_type: "application/json",
    }
}

/// The same for clients of x402.
fn required(problem: &Problem, details: &PaymentDetails, signed: &SignedOffer) -> Option<HeaderValue> {
    let required = PaymentRequired {
        x402_version: 2,
        error: &problem.detail,
        resource: sold(details, signed),
        accepts: signed.ways.clone(),
    };
    HeaderValue::from_str(&required.to_header().ok()?).ok()
}

/// The same for clients of MPP: by a signature where one is taken, and by a transaction.
fn challenges(offer: &Offer) -> Vec<HeaderValue> {
    let Offer { details, signed, realm, dialects, .. } = offer;
    let Some(expires) = rfc3339(details.expires_at).filter(|_| dialects.mpp) else { return Vec::new() };
    let eip3009 = |way: &&Offered| way.scheme == EXACT && way.extra.asset_transfer_method == EIP3009;
    let way = signed.iter().flat_map(|signed| &signed.ways).find(eip3009);
    let signed = way.map(|way| ChargeRequest::signed(way, details.decimals));
    let header = |request| {
        let challenge = Challenge { quote: &details.quote_id, realm, expires: &expires, request };
        HeaderValue::from_str(&challenge.to_header()?).ok()
    };
    signed.into_iter().chain([ChargeRequest::transaction(details)]).filter_map(header).collect()
}
