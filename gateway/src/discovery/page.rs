//! `GET /`: what is sold, at what price, and how to pay. A page for people, JSON for programs.

use std::fmt::Write as _;

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use salt402_http::{escaped, wants_page};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::discovery::words::{base, line_to_copy, ways};
use crate::gateway::{Gateway, Inner};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #ccc}\
pre{background:#f4f4f4;padding:1rem;overflow-x:auto}";

/// The page, or the same as JSON where that is what is asked for.
pub(super) async fn front(State(gateway): State<Gateway>, request: Parts) -> Response {
    let base = base(&gateway.0, &request);
    let mut response = if wants_page(&request.headers) {
        page(&gateway.0, &base)
    } else {
        Json(summary(&gateway.0, &base)).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

fn summary(gateway: &Inner, base: &str) -> Value {
    let listed = gateway.listed();
    let sold: Vec<_> = listed
        .iter()
        .map(|listed| {
            json!({
                "methods": listed.methods, "url": format!("{base}{}", listed.path), "description": listed.what,
                "price": listed.price, "amount": listed.fixed, "models": listed.models,
            })
        })
        .collect();
    let paywall = &gateway.paywall;
    json!({
        "name": base.split_once("://").map_or(base, |(_, host)| host),
        "sold": sold,
        "payment": {
            "chain": paywall.chain, "network": gateway.names.network, "asset": paywall.asset,
            "symbol": gateway.names.symbol, "decimals": gateway.names.decimals, "payee": paywall.payee.to_string(),
            "ways": ways(gateway),
        },
        "copy": line_to_copy(gateway, base),
        "openapi": format!("{base}/openapi.json"),
        "models": format!("{base}/models"),
        "llms": format!("{base}/llms.txt"),
    })
}

fn page(gateway: &Inner, base: &str) -> Response {
    let host = escaped(base.split_once("://").map_or(base, |(_, host)| host));
    let names = &gateway.names;
    let (symbol, network) = (escaped(&names.symbol), escaped(&names.network));
    let mut rows = String::new();
    for listed in gateway.listed() {
        let methods = if listed.methods.is_empty() { "any".to_owned() } else { listed.methods.join(", ") };
        let _ = write!(
            rows,
            "<tr><td><code>{} {}</code><td>{}<td>{}",
            escaped(&methods),
            escaped(&listed.path),
            escaped(&listed.what),
            escaped(&listed.price)
        );
    }
    let ways: String = ways(gateway).iter().map(|way| format!("<li>{}", escaped(way))).collect();
    let copy =
        line_to_copy(gateway, base).map(|line| format!("<pre>{}</pre>", escaped(&line))).unwrap_or_default();
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{host}</title><style>{STYLE}</style><h1>{host}</h1>\
         <p>Paid per request in {symbol} on {network} ({}). No account, no key.</p>\
         <table><tr><th>Request<th>What<th>Price{rows}</table><h2>How to pay</h2><ul>{ways}</ul>{copy}\
         <p><a href=\"/models\">Models</a> · <a href=\"/llms.txt\">llms.txt</a> · <a href=\"/openapi.json\">OpenAPI</a></p></html>",
        gateway.paywall.chain
    );
    let mut response = Html(html).into_response();
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
