//! The paths, what they ask, and what they refuse.

use std::sync::Arc;

use axum::routing::any;
use axum::{Router, middleware};
use salt402_http::openapi::{GUARDED, WITH_BODY, documented, refusing};
use salt402_http::{
    AddressLimits, PrometheusHandle, Token, check_token, finish, health_route, limit_addresses, metrics_route,
};
use salt402_paywall::{ForwardAuth, forward_auth};
use salt402_protocol::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::{accounts, handlers, openapi};
use crate::verify::verifier::Verifier;

/// Codes that are answered with a status of their own instead of a verdict.
const UNDECIDED: &[Code] = &[
    Code::OrdinalRequired,
    Code::AmbiguousPayment,
    Code::QuoteBelowPrice,
    Code::BeforeDatabase,
    Code::PaymentRefunded,
    Code::IdentityInUse,
    Code::QuoteNotHonoured,
    Code::NodesDisagree,
    Code::StorageUnavailable,
    Code::AccountClosed,
];

/// What an API needs besides its verifier.
#[derive(Default)]
pub struct ApiOptions {
    /// Renders `/metrics`.
    pub metrics: Option<PrometheusHandle>,
    /// What proxies may ask at `/v1/forward-auth`.
    pub auth: Option<ForwardAuth>,
    /// The token that callers of `/v1/…` must send.
    pub token: Option<Token>,
    /// How often a proxy may ask for one client address.
    pub addresses: Option<AddressLimits>,
}

/// The whole API of a verifier.
pub fn router(verifier: Verifier, options: ApiOptions) -> Router {
    let ApiOptions { metrics, auth, token, addresses } = options;
    let proxied = auth.map(proxied).unwrap_or_default();
    let proxied = match addresses {
        Some(limits) => proxied.layer(middleware::from_fn_with_state(limits, limit_addresses)),
        None => proxied,
    };
    let guarded = |own: &[Code]| [GUARDED, own].concat();
    let terms = [Code::UnknownChain, Code::InvalidRequest, Code::AssetNotAccepted, Code::PayeeNotAccepted];
    let quoted = [GUARDED, WITH_BODY, &terms].concat();
    let leased = [Code::InvalidRequest, Code::IdentityInUse, Code::StorageUnavailable];
    let outcome =
        [GUARDED, WITH_BODY, &[Code::InvalidRequest, Code::NotFound, Code::StorageUnavailable]].concat();
    let of_accounts = outcome.clone();
    let payments = guarded(&[Code::MalformedProof, Code::MalformedParameter, Code::UnknownChain]);
    let channel = guarded(&[Code::MalformedParameter, Code::UnknownChain, Code::NotFound]);
    let ambiguities = guarded(&[Code::MalformedParameter, Code::UnknownChain]);
    let routes = OpenApiRouter::with_openapi(openapi::document())
        .routes(refusing(routes!(handlers::quotes), &quoted))
        .routes(refusing(routes!(handlers::verify), &[&quoted, UNDECIDED].concat()))
        .routes(refusing(routes!(handlers::leases), &[GUARDED, WITH_BODY, &leased].concat()))
        .routes(refusing(routes!(handlers::reservations), &quoted))
        .routes(refusing(routes!(handlers::reservation_outcome), &outcome))
        .routes(refusing(routes!(handlers::captures), &[&outcome, [Code::UnknownChain].as_slice()].concat()))
        .routes(refusing(routes!(accounts::credits), &of_accounts))
        .routes(refusing(routes!(accounts::draws), &of_accounts))
        .routes(refusing(routes!(accounts::open_draws), &of_accounts))
        .routes(refusing(routes!(accounts::accounts), &of_accounts))
        .routes(refusing(routes!(handlers::payments), &payments))
        .routes(refusing(routes!(handlers::channel), &channel))
        .routes(refusing(routes!(handlers::incidents), &guarded(&[Code::MalformedParameter])))
        .routes(refusing(routes!(handlers::ambiguities), &ambiguities))
        .routes(refusing(routes!(handlers::status), GUARDED))
        .with_state(verifier.clone())
        .merge(proxied)
        .merge(metrics.map(metrics_route).unwrap_or_default())
        .route_layer(middleware::from_fn_with_state(token.clone(), check_token));
    finish(documented(routes.merge(health(verifier, token))))
}

/// The routes for proxies.
fn proxied(auth: ForwardAuth) -> OpenApiRouter {
    OpenApiRouter::with_openapi(openapi::proxied_document())
        .route(forward_auth::PATH, any(forward_auth::handle))
        .route(&format!("{}/", forward_auth::PATH), any(forward_auth::handle))
        .route(&format!("{}/{{*target}}", forward_auth::PATH), any(forward_auth::handle))
        .route(forward_auth::AUTH_REQUEST_PATH, any(forward_auth::handle_auth_request))
        .with_state(Arc::new(auth))
}

/// Only what an operator's tools ask: `/healthz`, `/readyz`, `/metrics`, `/v1/status`.
pub fn watch_router(verifier: Verifier, options: ApiOptions) -> Router {
    let guarded = OpenApiRouter::default()
        .routes(routes!(handlers::status))
        .with_state(verifier.clone())
        .merge(options.metrics.map(metrics_route).unwrap_or_default())
        .route_layer(middleware::from_fn_with_state(options.token.clone(), check_token));
    finish(guarded.merge(health(verifier, options.token)).into())
}

/// The routes for anybody who reaches the listener.
fn health(verifier: Verifier, token: Option<Token>) -> OpenApiRouter {
    OpenApiRouter::default()
        .routes(refusing(routes!(handlers::ready), &[Code::NotReady]))
        .with_state((verifier, token))
        .merge(health_route())
}
