//! Prices in the OpenAPI document: `x-payment-info`, in the form that x402scan and MPP read.
//!
//! x402scan's `price` is in dollars. A price in a coin is none, so such an operation says `quote`; MPP's `offers` have it in base
//! units.

use salt402_protocol::mpp::{EVM, TRANSACTION};
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::Paths;

use crate::discovery::listing::Listed;
use crate::gateway::Inner;

/// Describes what the operations cost that are sold.
pub(crate) fn describe_prices(gateway: &Inner, paths: &mut Paths) {
    for listed in gateway.listed() {
        let operation = paths.paths.get_mut(&listed.path).and_then(|item| item.post.as_mut());
        let Some(operation) = operation else { continue };
        let info = Extensions::builder().add("x-payment-info", info(gateway, &listed)).build();
        match &mut operation.extensions {
            Some(extensions) => extensions.merge(info),
            none => *none = Some(info),
        }
    }
}

/// Describes the service as a whole, where its address is known.
pub(crate) fn describe_service(gateway: &Inner, document: &mut OpenApi) {
    let Some(base) = gateway.paywall.signed.as_ref().and_then(|way| way.public_url.clone()) else { return };
    let llms = format!("{base}/llms.txt");
    let own = Extensions::builder()
        .add(
            "x-service-info",
            json!({ "categories": ["compute"], "docs": { "homepage": base, "llms": llms } }),
        )
        .add("x-discovery", json!({ "llmsTxtUrl": llms }))
        .build();
    match &mut document.extensions {
        Some(extensions) => extensions.merge(own),
        none => *none = Some(own),
    }
}

fn info(gateway: &Inner, listed: &Listed) -> Value {
    let paywall = &gateway.paywall;
    let is_signed = paywall.signed.is_some();
    let protocols: Vec<_> = [("x402", is_signed && paywall.dialects.x402), ("mpp", paywall.dialects.mpp)]
        .into_iter()
        .filter_map(|(name, is_spoken)| is_spoken.then_some(name))
        .collect();
    let offer = |method: &str, currency: String| {
        json!({
            "intent": "charge", "method": method, "amount": listed.fixed, "currency": currency,
            "description": listed.price,
        })
    };
    let signed = paywall.signed.as_ref().and_then(|way| way.authorized_token());
    let offers: Vec<_> = signed
        .map(|token| offer(EVM, token.to_string()))
        .into_iter()
        .chain([offer(TRANSACTION, paywall.asset.address().to_string())])
        .collect();
    json!({ "pricingMode": "quote", "protocols": protocols, "offers": offers })
}
