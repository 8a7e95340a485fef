//! Answers that are no verdict, for clients of problem documents and for those of x402.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use salt402_http::problem_response;
use salt402_protocol::problem::PROBLEM_JSON;
use salt402_protocol::{Code, Problem, X402Reason};
use serde_json::json;

use crate::callers::FacilitatorError;

/// Which answer a client of x402 looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// `isValid`
    Verdict,
    /// `success`
    Settlement,
}

/// How soon to ask again where a node or the database does not answer, in milliseconds.
const SOON_MS: u64 = 1000;

/// A refusal without a verdict.
pub(crate) fn problem_of(error: FacilitatorError) -> Problem {
    match error {
        FacilitatorError::Request(error) => Problem::new(Code::MalformedJson, error.to_string()),
        FacilitatorError::Busy { retry_after_ms, what } => {
            Problem::new(Code::FacilitatorBusy, what).retry_after(retry_after_ms)
        }
        FacilitatorError::Unavailable(what) => {
            Problem::new(Code::VerifierUnavailable, what).retry_after(SOON_MS)
        }
    }
}

/// A problem document that x402's clients read as an answer of theirs.
pub(crate) fn problem_for(wanted: Wanted, problem: &Problem) -> Response<Body> {
    let mut response = problem_response(problem);
    let reason = match (problem.code, wanted) {
        (Code::MalformedJson | Code::BodyTooLarge | Code::UnsupportedMediaType, _) => {
            X402Reason::InvalidPayload
        }
        (_, Wanted::Verdict) => X402Reason::UnexpectedVerifyError,
        (_, Wanted::Settlement) => X402Reason::UnexpectedSettleError,
    };
    let own = match wanted {
        Wanted::Verdict => {
            json!({ "isValid": false, "invalidReason": reason, "invalidMessage": problem.detail })
        }
        Wanted::Settlement => json!({
            "success": false, "errorReason": reason, "errorMessage": problem.detail, "transaction": "", "network": ""
        }),
    };
    let Ok(serde_json::Value::Object(mut members)) = serde_json::to_value(problem) else { return response };
    if let serde_json::Value::Object(own) = own {
        members.extend(own);
    }
    if let Ok(body) = serde_json::to_vec(&members) {
        *response.body_mut() = Body::from(body);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    }
    response
}
