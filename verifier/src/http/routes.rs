//! Which path asks what.

use std::sync::Arc;

use axum::routing::{any, get, post};
use axum::{Router, middleware};
use salt402_http::openapi::{PATH, serve_document};
use salt402_http::{
    AddressLimits, PrometheusHandle, Token, check_token, finish, limit_addresses, metrics_route,
};
use salt402_paywall::{ForwardAuth, forward_auth};

use crate::http::{handlers, openapi};
use crate::verify::verifier::Verifier;

/// What an API is given beside its verifier.
#[derive(Default)]
pub struct ApiOptions {
    /// What renders `/metrics`.
    pub metrics: Option<PrometheusHandle>,
    /// What a proxy may ask at `/v1/forward-auth`.
    pub auth: Option<ForwardAuth>,
    /// What callers of `/v1/…` must send.
    pub token: Option<Token>,
    /// How often the clients of a proxy may be asked about, by address.
    pub addresses: Option<AddressLimits>,
}

/// The whole API of a verifier.
pub fn router(verifier: Verifier, options: ApiOptions) -> Router {
    let proxied = match options.auth {
        Some(auth) => Router::new()
            .route(forward_auth::PATH, any(forward_auth::handle))
            .route(&format!("{}/", forward_auth::PATH), any(forward_auth::handle))
            .route(&format!("{}/{{*target}}", forward_auth::PATH), any(forward_auth::handle))
            .route(forward_auth::AUTH_REQUEST_PATH, any(forward_auth::handle_auth_request))
            .with_state(Arc::new(auth)),
        None => Router::new(),
    };
    let proxied = match options.addresses {
        Some(limits) => proxied.layer(middleware::from_fn_with_state(limits, limit_addresses)),
        None => proxied,
    };
    let guarded = Router::new()
        .route("/v1/quotes", post(handlers::quotes))
        .route("/v1/verify", post(handlers::verify))
        .route("/v1/leases", post(handlers::leases))
        .route("/v1/payments/{transaction}", get(handlers::payments))
        .route("/v1/channels/{channel}", get(handlers::channel))
        .route("/v1/incidents", get(handlers::incidents))
        .route("/v1/ambiguities", get(handlers::ambiguities))
        .route("/v1/status", get(handlers::status))
        .with_state(verifier.clone())
        .merge(proxied)
        .merge(options.metrics.map(metrics_route).unwrap_or_default())
        .route_layer(middleware::from_fn_with_state(options.token.clone(), check_token));
    let document = get(serve_document(&openapi::document()));
    finish(guarded.merge(health(verifier, options.token)).route(PATH, document))
}

/// What an operator's tools ask, alone: `/healthz`, `/readyz`, `/metrics`, `/v1/status`.
pub fn watch_router(verifier: Verifier, options: ApiOptions) -> Router {
    let guarded = Router::new()
        .route("/v1/status", get(handlers::status))
        .with_state(verifier.clone())
        .merge(options.metrics.map(metrics_route).unwrap_or_default())
        .route_layer(middleware::from_fn_with_state(options.token.clone(), check_token));
    finish(guarded.merge(health(verifier, options.token)))
}

/// What anybody may ask who reaches the listener.
fn health(verifier: Verifier, token: Option<Token>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(handlers::ready))
        .with_state((verifier, token))
}
