//! What is measured.

pub(crate) mod settling;

use std::time::Duration;

use salt402_protocol::x402::{EXACT, UPTO};

/// Requests to verify, by scheme and outcome: `valid`, a reason of x402, or why there was no verdict.
pub(crate) const VERIFIED: &str = "salt402_facilitator_verified_total";
/// How long they took, in seconds.
pub(crate) const VERIFY_SECONDS: &str = "salt402_facilitator_verify_seconds";
/// Questions to a node to verify payments. One is a round trip.
pub(crate) const QUESTIONS: &str = "salt402_facilitator_node_questions_total";
/// Requests to settle, by scheme and outcome: `done`, `pending`, a reason of x402, or why none was taken.
pub(crate) const SETTLE_REQUESTS: &str = "salt402_facilitator_settle_requests_total";
/// How long they took, in seconds.
pub(crate) const SETTLE_SECONDS: &str = "salt402_facilitator_settle_seconds";

/// Says in `/metrics` what each of them is.
pub fn describe() {
    metrics::describe_counter!(VERIFIED, "Requests to verify a signed payment, by scheme and outcome");
    metrics::describe_histogram!(VERIFY_SECONDS, metrics::Unit::Seconds, "How long a request to verify took");
    metrics::describe_counter!(QUESTIONS, "Round trips to a node to verify or settle signed payments");
    metrics::describe_counter!(SETTLE_REQUESTS, "Requests to settle a signed payment, by scheme and outcome");
    metrics::describe_histogram!(SETTLE_SECONDS, metrics::Unit::Seconds, "How long a request to settle took");
    settling::describe();
}

/// Notes a request to verify.
pub(crate) fn verified(scheme: &str, outcome: &'static str, took: Duration) {
    let scheme = known(scheme);
    metrics::counter!(VERIFIED, "scheme" => scheme, "outcome" => outcome).increment(1);
    metrics::histogram!(VERIFY_SECONDS, "scheme" => scheme).record(took);
}

/// Notes a request to settle.
pub(crate) fn settle_request(scheme: &str, outcome: &'static str, took: Duration) {
    let scheme = known(scheme);
    metrics::counter!(SETTLE_REQUESTS, "scheme" => scheme, "outcome" => outcome).increment(1);
    metrics::histogram!(SETTLE_SECONDS, "scheme" => scheme).record(took);
}

/// Notes a round trip to a node.
pub(crate) fn asked() {
    metrics::counter!(QUESTIONS).increment(1);
}

/// A label that callers cannot choose.
fn known(scheme: &str) -> &'static str {
    match scheme {
        EXACT => EXACT,
        UPTO => UPTO,
        _ => "other",
    }
}
