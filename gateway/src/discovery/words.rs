//! What documents and pages say in the same words: where this server is, and how it is paid.

use axum::http::request::Parts;
use salt402_paywall::asked_base;
use serde_json::json;

use crate::gateway::Inner;

/// The beginning of the addresses here: the public one, or the one that the client asked.
pub(super) fn base(gateway: &Inner, request: &Parts) -> String {
    let public = gateway.paywall.signed.as_ref().and_then(|way| way.public_url.clone());
    public.or_else(|| asked_base(request)).unwrap_or_default()
}

/// One line without what would begin another.
pub(super) fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The ways to pay, each in a sentence.
pub(super) fn ways(gateway: &Inner) -> Vec<String> {
    let paywall = &gateway.paywall;
    let mut ways = vec![format!(
        "A request without a payment gets a 402. Its header X-Payment-Details says how much {} to pay on {} ({}) and through which \
         contract; send the same request again with X-Payment-Proof: 0x<transaction hash> and X-Payment-Quote: <quoteId>.",
        gateway.names.symbol, gateway.names.network, paywall.chain
    )];
    if paywall.signed.is_some() && paywall.dialects.x402 {
        ways.push(
            "Clients of x402 pay it as they are: the 402 has PAYMENT-REQUIRED, and nobody needs coins for gas.".to_owned(),
        );
    }
    if paywall.dialects.mpp {
        ways.push("Clients of MPP pay it as they are: the 402 has WWW-Authenticate: Payment.".to_owned());
    }
    ways
}

/// A line to copy, which asks for something that is sold and gets a 402.
pub(super) fn line_to_copy(gateway: &Inner, base: &str) -> Option<String> {
    if let Some((name, _)) = gateway.catalogue.of_texts().next() {
        let body = json!({ "model": name, "prompt": "What is salt?" });
        let body = body.to_string().replace('\'', "'\\''");
        return Some(format!("curl -i {base}/v1/inference -H 'content-type: application/json' -d '{body}'"));
    }
    let listed = gateway.listed();
    let whole = listed.iter().find(|listed| !listed.path.ends_with('*'))?;
    let method = whole.methods.first().map(String::as_str).unwrap_or("GET");
    Some(format!("curl -i -X {method} '{base}{}'", whole.path.replace('\'', "%27")))
}
