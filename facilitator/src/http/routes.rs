//! The paths, what they ask, and what they refuse.

use axum::{Router, middleware};
use salt402_http::openapi::{GUARDED, WITH_BODY, documented, refusing};
use salt402_http::{
    AddressLimits, PrometheusHandle, Token, check_token, finish, health_route, limit_addresses, metrics_route,
};
use salt402_protocol::Code;
use tower_http::cors::CorsLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::callers::Caller;
use crate::facilitator::Facilitator;
use crate::http::callers::{Callers, only_from_here};
use crate::http::handlers::{self, Api};
use crate::http::openapi;

/// What `/verify` and `/settle` may answer instead of a verdict, beside what any guarded route may.
const UNDECIDED: &[Code] =
    &[Code::AddressLimited, Code::CallerLimited, Code::VerifierUnavailable, Code::FacilitatorBusy];

/// What an API needs besides its facilitator.
#[derive(Default)]
pub struct ApiOptions {
    /// The callers of `/verify` and `/settle`, each with its token. Without any, nobody is asked for one: then only
    /// loopback may reach the listener.
    pub callers: Vec<(Token, Caller)>,
    /// How often one address may verify or settle, before anything of a request is read.
    pub addresses: Option<AddressLimits>,
    /// Which pages in browsers may ask.
    pub cors: Option<CorsLayer>,
    /// Renders `/metrics`.
    pub metrics: Option<PrometheusHandle>,
    /// The token for `/metrics`, which names nodes. `None`: only programs of this machine may ask.
    pub metrics_token: Option<Token>,
}

/// The whole API of a facilitator.
pub fn router(facilitator: Facilitator, options: ApiOptions) -> Router {
    let ApiOptions { callers, addresses, cors, metrics, metrics_token } = options;
    let api = Api { facilitator, callers: Callers::new(callers) };
    let codes = [GUARDED, WITH_BODY, UNDECIDED].concat();
    let mut payments = OpenApiRouter::default()
        .routes(refusing(routes!(handlers::verify), &codes))
        .routes(refusing(routes!(handlers::settle), &codes))
        .with_state(api.clone());
    if let Some(limits) = addresses {
        payments = payments.route_layer(middleware::from_fn_with_state(limits, limit_addresses));
    }
    let metrics = match (metrics.map(metrics_route), metrics_token) {
        (None, _) => OpenApiRouter::default(),
        (Some(route), None) => route.route_layer(middleware::from_fn(only_from_here)),
        (Some(route), token) => route.route_layer(middleware::from_fn_with_state(token, check_token)),
    };
    let routes = OpenApiRouter::with_openapi(openapi::document())
        .routes(refusing(routes!(handlers::about), &[]))
        .routes(refusing(routes!(handlers::health), &[]))
        .routes(refusing(routes!(handlers::supported), &[]))
        .with_state(api)
        .merge(payments)
        .merge(metrics)
        .merge(health_route());
    let router = finish(documented(routes));
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}
