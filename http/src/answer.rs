//! Problems as responses.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use salt402_protocol::Problem;
use salt402_protocol::problem::PROBLEM_JSON;
use serde_json::{Map, Value};

/// The response header with a refusal's code, for whoever sees headers and no body.
pub const CODE_HEADER: &str = "x-payment-code";

/// A [`Problem`] that a handler may return.
#[derive(Debug)]
pub struct Fault(pub Problem);

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response<Body> {
        problem_response(&self.0)
    }
}

/// A problem document as a response, with its code in a header and `Retry-After` (whole seconds, rounded up) where it names a time.
pub fn problem_response(problem: &Problem) -> Response<Body> {
    written(problem, serde_json::to_vec(problem).unwrap_or_default())
}

/// The same with members besides its own, or in their place.
pub fn problem_response_with(problem: &Problem, members: &Map<String, Value>) -> Response<Body> {
    let mut document = serde_json::to_value(problem).unwrap_or_default();
    if let Value::Object(document) = &mut document {
        document.extend(members.clone());
    }
    written(problem, document.to_string().into_bytes())
}

fn written(problem: &Problem, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(CODE_HEADER, HeaderValue::from_static(problem.code.as_str()));
    if let Some(wait) = problem.retry_after_ms {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
    }
    no_store(headers);
    // Whoever has shown a payment is refused for another reason, and with another status.
    vary(headers);
    response
}

/// Marks an answer as one that nobody may keep for somebody else.
pub fn no_store(headers: &mut axum::http::HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, private"));
}

/// The headers by which a request may show a payment, in any dialect, or a key that pays.
pub const PAYMENT_HEADERS: &str = "X-Payment-Proof, X-Payment-Quote, X-Payment-Binding, PAYMENT-SIGNATURE, X-PAYMENT, \
                                   X-Payment-Signature, X402-Proof, Authorization, Payment-Authorization, X-Api-Key";

/// The payment headers that an answer depends on, for caches that do not heed `no-store`. What else it depends on stays said.
pub fn vary(headers: &mut axum::http::HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static(PAYMENT_HEADERS));
}
