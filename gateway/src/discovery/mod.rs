//! How whoever knows nothing of this server finds out what it sells, for how much, and how it is paid.
//!
//! Nothing is listed that is not sold. A 402 is what counts: what stands here says where to ask for one.

pub mod a2a;
mod agent_card;
mod documents;
mod listing;
mod page;
mod payment_info;
mod words;

use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Router, middleware};
use salt402_http::limit_addresses;
use salt402_http::openapi::{WITH_BODY, refusing};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::gateway::Gateway;
use crate::proxy::handler;

pub(crate) use payment_info::{describe_prices, describe_service};

/// The routes that tell of what is sold, but for those that a service has which is sold by path.
pub(crate) fn documents(gateway: &Gateway) -> OpenApiRouter<Gateway> {
    let mut router = OpenApiRouter::new();
    let all = [
        ("/models", routes!(documents::models)),
        ("/llms.txt", routes!(documents::llms)),
        ("/robots.txt", routes!(documents::robots)),
        ("/.well-known/x402", routes!(documents::x402)),
        ("/.well-known/agent-card.json", routes!(documents::agent_card)),
        ("/.well-known/agent.json", routes!(documents::agent)),
    ];
    for (path, route) in all {
        if is_free(gateway, "GET", path) {
            router = router.routes(beside_services(gateway, refusing(route, &[])));
        }
    }
    router
}

/// Where agents of A2A speak to this server, if one can be paid here as they pay.
pub(crate) fn agents(gateway: &Gateway) -> OpenApiRouter<Gateway> {
    let router = OpenApiRouter::new();
    if !is_free(gateway, "POST", a2a::PATH) || !a2a::is_spoken(&gateway.0) {
        return router;
    }
    let (schemas, paths, mut speak) = refusing(routes!(a2a::speak), WITH_BODY);
    if let Some(limits) = gateway.0.addresses.clone() {
        speak = speak.layer(middleware::from_fn_with_state(limits, limit_addresses));
    }
    router.routes(beside_services(gateway, (schemas, paths, speak)))
}

/// The page at `/`, which stands in no document. Left out where a service has it.
pub(crate) fn front(gateway: &Gateway) -> Router<Gateway> {
    let router = Router::new();
    if !is_free(gateway, "GET", "/") {
        return router;
    }
    let page = get(page::front);
    router.route(
        "/",
        match handler::services(gateway) {
            Some(services) => page.merge(services),
            None => page,
        },
    )
}

/// Whether no service has a path with a method.
fn is_free(gateway: &Gateway, method: &str, path: &str) -> bool {
    gateway.0.services.is_empty() || gateway.0.services.find(method, path, &HeaderMap::new()).is_err()
}

/// A route whose other methods are the services', which may sell them.
fn beside_services(
    gateway: &Gateway,
    (schemas, paths, own): UtoipaMethodRouter<Gateway>,
) -> UtoipaMethodRouter<Gateway> {
    match handler::services(gateway) {
        Some(services) => (schemas, paths, own.merge(services)),
        None => (schemas, paths, own),
    }
}
