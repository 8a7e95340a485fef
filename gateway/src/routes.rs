//! Which path does what.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use salt402_http::openapi::{PATH, serve_document};
use salt402_http::{PrometheusHandle, Token, check_token, finish, limit_addresses, metrics_route};

use crate::gateway::Gateway;
use crate::{inference, models, openapi, readiness};

/// The gateway's API, which strangers may ask: it says nothing of nodes. `metrics` renders `/metrics` for whoever has the
/// token.
pub fn router(gateway: Gateway, metrics: Option<(PrometheusHandle, Token)>) -> Router {
    let browsers = gateway.0.browsers.clone();
    let paid = Router::new().route("/v1/inference", post(inference::handle));
    let paid = match gateway.0.addresses.clone() {
        Some(limits) => paid.route_layer(middleware::from_fn_with_state(limits, limit_addresses)),
        None => paid,
    };
    let routes = paid
        .route("/v1/models", get(models::models))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness::ready))
        .route(PATH, get(serve_document(&openapi::document())))
        .with_state(gateway);
    let routes = match metrics {
        Some((handle, token)) => {
            let guarded = middleware::from_fn_with_state(Some(token), check_token);
            routes.merge(metrics_route(handle).route_layer(guarded))
        }
        None => routes,
    };
    // Bodies are read with the gateway's own limit and its own refusal.
    let routes = finish(routes.layer(DefaultBodyLimit::disable()));
    // Outside of everything: what a page asks before its request is free, and every answer may be read by it.
    match browsers {
        Some(browsers) => routes.layer(browsers),
        None => routes,
    }
}
