//! What must hold of every parser at the edge, for any bytes.
//!
//! Each function panics when it does not hold. `fuzz/` runs them with libFuzzer, `tests/corpus.rs` over the committed
//! corpus.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a property that does not hold must fail"
)]

mod asked;
mod config;
mod dialects;
mod http;
mod json;
mod node;
mod passed;
mod sold;
mod text;

/// A property and its name, which is that of its fuzz target and of its folder in the corpus.
pub type Property = (&'static str, fn(&[u8]));

/// Every property.
pub const ALL: &[Property] = &[
    ("proof", text::proof),
    ("quote_id", text::quote_id),
    ("amount", text::amount),
    ("presented", http::presented),
    ("forward_auth", http::forward_auth),
    ("tariff", http::tariff),
    ("verify_json", json::verify),
    ("quote_json", json::quote),
    ("x402_request", json::x402_request),
    ("details", json::details),
    ("x_payment", dialects::x_payment),
    ("payment_headers", dialects::payment_headers),
    ("masken", dialects::masken),
    ("mpp_credential", dialects::mpp_credential),
    ("inference", asked::inference),
    ("passed_body", passed::body),
    ("passed_answer", passed::answer),
    ("price_condition", passed::condition),
    ("balance", sold::balance),
    ("a2a", sold::a2a),
    ("query", asked::query),
    ("forwarded_for", asked::forwarded_for),
    ("config", config::config),
    ("price", config::price),
    ("node_logs", node::logs),
    ("node_receipt", node::receipt),
    ("node_header", node::header),
];

/// Runs a property by its name; there must be one.
pub fn run(name: &str, data: &[u8]) {
    let (_, property) = ALL.iter().find(|(known, _)| *known == name).expect("a property of this name");
    property(data);
}
