//! The document says what the router does, and nothing else.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use metrics_exporter_prometheus::PrometheusBuilder;
use salt402_gateway::{BatchLimits, Catalogue, Gateway, GatewayOptions, router};
use salt402_http::Token;
use salt402_paywall::{Paywall, RemoteVerifier};
use salt402_protocol::details::Names;
use salt402_protocol::{Address, Asset, ChainId};
use salt402_store::{Options, Store};
use serde_json::Value;
use tower::ServiceExt as _;

async fn api(folder: &tempfile::TempDir) -> Router {
    let store = Store::open(Options::new(folder.path().join("api.db"))).await.unwrap();
    // Nobody listens there: what needs the verifier says so.
    let remote =
        RemoteVerifier::at_socket(&folder.path().join("none.sock"), None, Duration::from_secs(5)).unwrap();
    let paywall = Paywall {
        verifier: Arc::new(remote),
        chain: ChainId::CITRATE,
        payee: Address::ZERO,
        asset: Asset::Native,
        token_names: None,
        wait: Duration::ZERO,
        claimant: "test".into(),
        instance: None,
        keeps_answers: true,
        needs_quote: false,
        signed: None,
        dialects: salt402_paywall::Dialects::default(),
    };
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let options = GatewayOptions {
        paywall,
        store,
        services: Default::default(),
        catalogue: Catalogue::default(),
        routes: Default::default(),
        body_limit: 1024,
        max_runs: 2,
        batches: BatchLimits { most: 4, at_once: 2 },
        leave_grace: Duration::from_secs(1),
        voucher_wait: Duration::from_secs(1),
        largest_kept: 65_536,
        longest_stream: Duration::from_secs(60),
        least_rate: 0,
        folder: folder.path().to_owned(),
        addresses: None,
        names: Names { network: "citrate".into(), symbol: "SALT".into(), decimals: 18 },
        browsers: None,
        keys: None,
        bare_again: 0,
    };
    router(Gateway::new(options), Some((metrics, Token::new("a token"))))
}

async fn ask(api: &Router, method: &str, path: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let answer = api.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn every_route_is_in_the_document_and_the_document_has_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(&folder).await;
    let (status, document) = ask(&api, "GET", "/openapi.json").await;
    assert_eq!((status, document["openapi"].as_str()), (StatusCode::OK, Some("3.1.0")));
    let described = document["paths"].as_object().unwrap();
    // The paths of the router, as its own debugging output has them.
    let text = format!("{api:?}");
    let texts = text.split('"').skip(1).step_by(2);
    let routed: BTreeSet<_> = texts
        .filter(|text| text.starts_with('/') && text.len() > 1 && !text.contains("__private"))
        .map(str::to_owned)
        .collect();
    assert!(routed.contains("/v1/inference"), "the router no longer shows its paths: {routed:?}");
    assert_eq!(routed, described.keys().cloned().collect());
    for (path, item) in described {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let known = item.get(method.to_ascii_lowercase()).is_some();
            let (status, body) = ask(&api, method, path).await;
            assert_eq!(status == StatusCode::METHOD_NOT_ALLOWED, !known, "{method} {path}: {status} {body}");
        }
    }
    let (status, body) = ask(&api, "GET", "/readyz").await;
    assert_eq!((status, &body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"not_ready".into()));
}
