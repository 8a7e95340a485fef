//! The document says what the router does, and nothing else.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use metrics_exporter_prometheus::PrometheusBuilder;
use salt402_paywall::{ForwardAuth, Paywall, Tariff};
use salt402_protocol::{Address, Asset, ChainId, Code, QuoteKey};
use salt402_store::{Options, Store};
use salt402_verifier::http::{ApiOptions, router};
use salt402_verifier::{AccountLimits, IndexChanges, Policy, Verifier, VerifierOptions};
use serde_json::Value;
use tower::ServiceExt as _;

async fn api(folder: &tempfile::TempDir) -> Router {
    let store = Store::open(Options::new(folder.path().join("api.db"))).await.unwrap();
    let verifier = Verifier::new(VerifierOptions {
        changes: IndexChanges::of_this_process(&store),
        store,
        keys: QuoteKey::new(&[1; 32]).unwrap().into(),
        accounts: AccountLimits::default(),
        policy: Policy::default(),
        chains: Vec::new(),
        version: "test".into(),
    });
    let paywall = Paywall {
        verifier: Arc::new(verifier.clone()),
        chain: ChainId::CITRATE,
        payee: Address::ZERO,
        asset: Asset::Native,
        token_names: None,
        wait: Duration::ZERO,
        claimant: "test".into(),
        instance: None,
        keeps_answers: false,
        needs_quote: true,
        signed: None,
        dialects: salt402_paywall::Dialects::default(),
    };
    let auth = ForwardAuth { paywall, tariff: Tariff::default(), again_within: Duration::ZERO };
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    router(verifier, ApiOptions { metrics: Some(metrics), auth: Some(auth), ..ApiOptions::default() })
}

async fn ask(api: &Router, method: &str, path: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let answer = api.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// The paths of a router, as its own debugging output has them.
fn paths(router: &Router) -> BTreeSet<String> {
    let text = format!("{router:?}");
    let texts = text.split('"').skip(1).step_by(2);
    texts
        .filter(|text| text.starts_with('/') && text.len() > 1 && !text.contains("__private"))
        .map(|text| text.replace("{*", "{"))
        .collect()
}

#[tokio::test]
async fn every_route_is_in_the_document_and_the_document_has_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(&folder).await;
    let (status, document) = ask(&api, "GET", "/openapi.json").await;
    assert_eq!((status, document["openapi"].as_str()), (StatusCode::OK, Some("3.1.0")));
    let described = document["paths"].as_object().unwrap();
    let written: BTreeSet<_> = described.keys().cloned().collect();
    let routed = paths(&api);
    assert!(routed.contains("/v1/verify"), "the router no longer shows its paths: {routed:?}");
    assert_eq!(routed, written);

    for (path, item) in described {
        let filled =
            path.replace("{transaction}", &format!("0x{}", "12".repeat(32))).replace("{target}", "a/b");
        let proxied = path.starts_with("/v1/forward-auth") || path == "/v1/auth-request";
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let known = item.get(method.to_ascii_lowercase()).is_some();
            let (status, body) = ask(&api, method, &filled).await;
            let refused = status == StatusCode::METHOD_NOT_ALLOWED || body["code"] == "not_found";
            assert_eq!(refused, !known && !proxied, "{method} {filled}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn every_code_of_the_verifier_is_in_the_document() {
    let folder = tempfile::tempdir().unwrap();
    let (_, document) = ask(&api(&folder).await, "GET", "/openapi.json").await;
    let codes = document["components"]["schemas"]["Code"]["enum"].as_array().unwrap();
    let codes: BTreeSet<_> = codes.iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(codes, Code::ALL.iter().map(|code| code.as_str()).collect());
    // And each stands with the status it has.
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                for code in Code::ALL {
                    let named = response["description"].as_str().unwrap().contains(&format!("`{code}`:"));
                    assert!(!named || *status == code.status().to_string(), "{path} {status} {code}");
                }
            }
        }
    }
    let amount = &document["components"]["schemas"]["Amount"];
    assert_eq!((&amount["type"], &amount["pattern"]), (&"string".into(), &"^(0|[1-9][0-9]{0,77})$".into()));
    assert!(document["webhooks"]["incident"]["post"].is_object());
}
