//! What whoever has paid is told.

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use salt402_protocol::Problem;

/// Whether a client may ask again on its own. OpenAI's clients read this header.
const SHOULD_RETRY_HEADER: &str = "x-should-retry";

/// The status of a refusal that time may turn into an answer.
const TOO_EARLY: u16 = 425;
/// The status of a refusal that time changes nothing about.
const FORBIDDEN: u16 = 403;

/// The same refusal for whoever has shown a signed payment, which may have moved money. Clients of x402 and of model servers sign
/// again after a 402, 408, 409, 429 and any 5xx: three different payments for one request.
#[must_use]
pub fn after_signature(mut problem: Problem) -> Problem {
    if matches!(problem.status, 402 | 408 | 409 | 429 | 500..) {
        problem.status = if problem.retry_after_ms.is_some() { TOO_EARLY } else { FORBIDDEN };
    }
    problem
}

/// The answer to a request that showed a proof or did not. Some clients ask again on their own without the proof: then
/// the request would be paid twice.
#[must_use]
pub fn asked_once(shown: bool, mut response: Response<Body>) -> Response<Body> {
    if shown && !response.status().is_success() {
        response.headers_mut().insert(SHOULD_RETRY_HEADER, HeaderValue::from_static("false"));
    }
    response
}

#[cfg(test)]
mod tests {
    use salt402_protocol::Code;

    use super::*;

    #[test]
    fn no_refusal_after_a_signature_has_a_status_that_clients_sign_again_for() {
        for code in Code::ALL {
            for pause in [None, Some(1000)] {
                let mut problem = Problem::new(*code, "why");
                problem.retry_after_ms = pause;
                let status = after_signature(problem).status;
                assert!((400..500).contains(&status), "{code}: {status}");
                assert!(![402, 408, 409, 429].contains(&status), "{code}: {status}");
            }
        }
    }
}
