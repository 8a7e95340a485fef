//! The page for whoever opens a paid address in a browser: what it costs, and buttons that pay with the wallet of the browser. Programs
//! get the problem document.
//!
//! The page loads nothing, from here or elsewhere, but the answer. Its script and its style are in it, and its policy names their
//! hashes. What an operator or a client wrote is text in it, or JSON that is no script.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use salt402_http::clock::now;
use salt402_http::{escaped, wants_page};
use salt402_protocol::details::{PayCall, PaymentDetails};
use salt402_protocol::x402::required::PaymentRequired;
use salt402_protocol::x402::{EIP3009, EXACT};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::dialects::sold;
use crate::offer::Offer;
use crate::response::offer_response;
use crate::shown::shows_payment;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the page may do.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src blob:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// What the script reads.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageOffer<'a> {
    /// The server's clock, in seconds since 1970 UTC.
    now: u64,
    details: &'a PaymentDetails,
    /// The transactions that pay, in order.
    pay: Vec<PayCall>,
    /// What is signed instead, by EIP-3009.
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<PaymentRequired<'a>>,
}

/// A 402: the page where a browser opens an address that is asked for by GET, else the problem document. Both have the same headers.
pub fn offer_answer(offer: &Offer, asked: &HeaderMap) -> Response<Body> {
    let mut response = offer_response(offer);
    let is_read = offer.details.resource.method == "GET" && response.status() == StatusCode::PAYMENT_REQUIRED;
    if !is_read {
        return response;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept"));
    let policy = HeaderValue::from_str(&POLICY).ok();
    // Whoever shows a payment is a program, whatever it accepts: the page's own requests are for what is sold.
    let is_person = wants_page(asked) && !shows_payment(asked);
    if let (true, Some(page), Some(policy)) = (is_person, page(offer), policy) {
        *response.body_mut() = Body::from(page);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // What is asked for next is not told where a quote was given.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    response
}

fn page(offer: &Offer) -> Option<String> {
    let details = &offer.details;
    let required = offer.signed.as_ref().filter(|_| offer.dialects.x402).and_then(|signed| {
        let ways = signed
            .ways
            .iter()
            .filter(|way| way.scheme == EXACT && way.extra.asset_transfer_method == EIP3009);
        let accepts: Vec<_> = ways.cloned().collect();
        (!accepts.is_empty()).then(|| PaymentRequired {
            x402_version: 2,
            error: &offer.problem.detail,
            resource: sold(offer, signed),
            accepts,
        })
    });
    let shown = PageOffer { now: now().as_secs(), details, pay: details.pay_calls(), required };
    // Within a script element a text could end it.
    let json = serde_json::to_string(&shown).ok()?.replace('<', "\\u003c");
    let what = match details.resource.description.as_str() {
        "" => escaped(&details.resource.path),
        description => escaped(description),
    };
    let (amount, symbol) = (details.amount.to_units(details.decimals), escaped(&details.symbol));
    let (network, path) = (escaped(&details.network), escaped(&details.resource.path));
    Some(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{amount} {symbol}: {what}</title><style>{STYLE}</style><h1>{what}</h1>\
         <p><code>{path}</code> costs <b>{amount} {symbol}</b> on {network}, paid to <code>{}</code>.\
         <p id=\"said\" role=\"status\"><p id=\"buttons\"><div id=\"answer\"></div>\
         <noscript><p>This page pays with a wallet in the browser, and needs JavaScript. Programs read the header X-Payment-Details.\
         </noscript><script type=\"application/json\" id=\"offer\">{json}</script><script>{SCRIPT}</script></html>",
        details.recipient
    ))
}
