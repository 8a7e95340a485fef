//! What every router has in addition to its own routes.

use axum::Router;
use axum::extract::State;
use metrics_exporter_prometheus::PrometheusHandle;
use salt402_protocol::{Code, Problem};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Fault, problem_response};
use crate::openapi::{GUARDED, refusing};

/// Gives a router its answers to what it does not know, and to a panic.
pub fn finish(routes: Router) -> Router {
    finish_over(routes, Router::new().fallback(not_found))
}

/// The same for a router that leaves what it does not know to another.
pub fn finish_over(routes: Router, others: Router) -> Router {
    let routes = routes.fallback_service(others).method_not_allowed_fallback(method_not_allowed);
    routes.layer(CatchPanicLayer::custom(|_| {
        problem_response(&Problem::new(Code::Internal, "a fault of ours; it was logged"))
    }))
}

/// `/healthz`.
pub fn health_route() -> OpenApiRouter {
    OpenApiRouter::default().routes(refusing(routes!(healthz), &[]))
}

/// `/metrics`, which names nodes.
pub fn metrics_route(handle: PrometheusHandle) -> OpenApiRouter {
    OpenApiRouter::default().routes(refusing(routes!(metrics), GUARDED)).with_state(handle)
}

/// Whether the process answers
#[utoipa::path(get, path = "/healthz", tag = "health", responses(
    (status = 200, description = "It does.", body = String, content_type = "text/plain")))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// What Prometheus asks
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain")),
    security((), ("bearer" = []), ("token" = [])))]
async fn metrics(State(handle): State<PrometheusHandle>) -> String {
    handle.render()
}

/// What is said where no route matches.
async fn not_found() -> Fault {
    Problem::new(Code::NotFound, "no such route; the routes are in the documentation").into()
}

/// What is said where a route matches and its method does not.
async fn method_not_allowed() -> Fault {
    Problem::new(Code::MethodNotAllowed, "this route takes another method").into()
}
