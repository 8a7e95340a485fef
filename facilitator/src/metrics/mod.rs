//! What is measured.

pub(crate) mod settling;

use std::time::Duration;

use salt402_protocol::x402::{EXACT, UPTO};

/// Says in `/metrics` what each of them is.
pub fn describe() {
    metrics::describe_counter!(
        "salt402_facilitator_verified_total",
        "Requests to verify a signed payment, by scheme and outcome"
    );
    metrics::describe_histogram!(
        "salt402_facilitator_verify_seconds",
        metrics::Unit::Seconds,
        "How long a request to verify took"
    );
    metrics::describe_counter!(
        "salt402_facilitator_node_questions_total",
        "Round trips to a node to verify or settle signed payments"
    );
    metrics::describe_counter!(
        "salt402_facilitator_settle_requests_total",
        "Requests to settle a signed payment, by scheme and outcome"
    );
    metrics::describe_histogram!(
        "salt402_facilitator_settle_seconds",
        metrics::Unit::Seconds,
        "How long a request to settle took"
    );
    settling::describe();
}

/// Notes a request to verify.
pub(crate) fn verified(scheme: &str, outcome: &'static str, took: Duration) {
    let scheme = known(scheme);
    metrics::counter!("salt402_facilitator_verified_total", "scheme" => scheme, "outcome" => outcome)
        .increment(1);
    metrics::histogram!("salt402_facilitator_verify_seconds", "scheme" => scheme).record(took);
}

/// Notes a request to settle.
pub(crate) fn settle_request(scheme: &str, outcome: &'static str, took: Duration) {
    let scheme = known(scheme);
    metrics::counter!("salt402_facilitator_settle_requests_total", "scheme" => scheme, "outcome" => outcome)
        .increment(1);
    metrics::histogram!("salt402_facilitator_settle_seconds", "scheme" => scheme).record(took);
}

/// Notes a round trip to a node.
pub(crate) fn asked() {
    metrics::counter!("salt402_facilitator_node_questions_total").increment(1);
}

/// A label that callers cannot choose.
fn known(scheme: &str) -> &'static str {
    match scheme {
        EXACT => EXACT,
        UPTO => UPTO,
        _ => "other",
    }
}
