//! How whoever knows nothing of this server finds out what it sells, for how much, and how it is paid.
//!
//! Nothing is listed that is not sold. A 402 is what counts: what stands here says where to ask for one.

mod a2a;
mod agent_card;
mod documents;
mod listing;
mod page;
mod payment_info;
mod words;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use salt402_http::openapi::{WITH_BODY, refusing};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::gateway::Gateway;

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
        if is_free(gateway, path) {
            router = router.routes(refusing(route, &[]));
        }
    }
    router
}

/// Where agents of A2A speak to this server, if one can be paid here as they pay.
pub(crate) fn agents(gateway: &Gateway) -> Option<UtoipaMethodRouter<Gateway>> {
    let free = gateway.0.services.is_empty()
        || gateway.0.services.find("POST", a2a::PATH, &HeaderMap::new()).is_err();
    (free && a2a::is_spoken(&gateway.0)).then(|| refusing(routes!(a2a::speak), WITH_BODY))
}

/// The page at `/`, which stands in no document. Left out where a service has it.
pub(crate) fn front(gateway: &Gateway) -> Router<Gateway> {
    let router = Router::new();
    if is_free(gateway, "/") { router.route("/", get(page::front)) } else { router }
}

/// Whether no service is sold at a path.
fn is_free(gateway: &Gateway, path: &str) -> bool {
    gateway.0.services.is_empty() || gateway.0.services.find("GET", path, &HeaderMap::new()).is_err()
}
