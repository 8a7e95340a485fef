//! In which form an API says that something is wrong.
//!
//! All of them get a problem document (RFC 9457). Beside it stands what the API's own clients read.

use axum::body::Body;
use axum::http::Response;
use bytes::Bytes;
use salt402_http::{problem_response, problem_response_with};
use salt402_paywall::{Offer, offer_response, offer_response_with};
use salt402_protocol::Problem;
use serde_json::{Map, Value, json};

/// The status of what went wrong after a payment was shown, where the usual one leads some clients to pay again.
const TERMINAL: u16 = 403;

/// In which form an API says that something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A problem document alone.
    Problem,
    /// With OpenAI's member `error`.
    OpenAi,
    /// With OpenAI's member `error`; a stream that breaks off says so in an event of the Responses API.
    Responses,
    /// With Anthropic's members `type` and `error`.
    Anthropic,
}

impl Dialect {
    /// A refusal.
    pub(crate) fn problem(self, problem: &Problem) -> Response<Body> {
        match self {
            Self::Problem => problem_response(problem),
            _ => problem_response_with(problem, &self.members(problem)),
        }
    }

    /// How to pay.
    pub(crate) fn offer(self, offer: &Offer) -> Response<Body> {
        match self {
            Self::Problem => offer_response(offer),
            _ => offer_response_with(offer, &self.members(&offer.problem)),
        }
    }

    /// The same problem with a status that leads none of the API's clients to pay again.
    pub(crate) fn after_payment(self, mut problem: Problem) -> Problem {
        if self != Self::Problem && matches!(problem.status, 402 | 408 | 409 | 429) {
            problem.status = TERMINAL;
        }
        problem
    }

    /// The event that says that a stream has broken off. `within`: whether another event had begun and not ended.
    pub(crate) fn broken_event(self, problem: &Problem, within: bool) -> Bytes {
        let mut data = self.members(problem);
        if self == Self::Responses {
            data.insert("type".into(), "error".into());
        }
        let name = if matches!(self, Self::Responses | Self::Anthropic) { "event: error\n" } else { "" };
        let before = if within { "\n\n" } else { "" };
        format!("{before}{name}data: {}\n\n", Value::Object(data)).into()
    }

    /// What the API's clients read.
    fn members(self, problem: &Problem) -> Map<String, Value> {
        let message = &problem.detail;
        let members = match self {
            Self::Anthropic => {
                json!({ "type": "error", "error": { "type": anthropic_type(problem.status), "message": message } })
            }
            _ => json!({ "error": {
                "message": message, "type": openai_type(problem.status), "param": null, "code": problem.code,
            } }),
        };
        match members {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }
}

/// The word that OpenAI has for a kind of error.
const fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "payment_required",
        403 => "permission_error",
        429 => "rate_limit_error",
        424 | 500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// The word that Anthropic has for a kind of error.
const fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        424 | 500.. => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::Code;

    use super::*;

    #[test]
    fn what_goes_wrong_after_a_payment_leads_no_client_to_pay_again() {
        for code in Code::ALL {
            for dialect in [Dialect::OpenAi, Dialect::Responses, Dialect::Anthropic] {
                let problem = dialect.after_payment(Problem::new(*code, "no"));
                assert!(!matches!(problem.status, 402 | 408 | 409 | 429), "{code}");
            }
        }
    }

    #[test]
    fn a_stream_that_broke_off_says_so_in_an_event_of_its_own() {
        let problem = Problem::new(Code::UpstreamFailed, "line\nbreak");
        for (dialect, name) in [
            (Dialect::Problem, None),
            (Dialect::OpenAi, None),
            (Dialect::Responses, Some("error")),
            (Dialect::Anthropic, Some("error")),
        ] {
            for within in [false, true] {
                let event = String::from_utf8(dialect.broken_event(&problem, within).to_vec()).unwrap();
                assert_eq!(event.starts_with("\n\n"), within);
                assert!(event.ends_with("\n\n"));
                let lines: Vec<_> = event.trim().lines().collect();
                let (named, data) = lines.split_at(lines.len() - 1);
                assert_eq!(named.first().map(|line| line.trim_start_matches("event: ")), name);
                let data: Value = serde_json::from_str(data[0].strip_prefix("data: ").unwrap()).unwrap();
                assert_eq!(data["error"]["message"], "line\nbreak", "{dialect:?}");
                assert_eq!(data["type"].as_str(), name, "{dialect:?}");
            }
        }
    }
}
