//! What every router has beside its own routes.

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use salt402_protocol::{Code, Problem};
use tower_http::catch_panic::CatchPanicLayer;

use crate::answer::{Fault, problem_response};

/// Gives a router its answers to what it does not know, and to a panic.
pub fn finish(routes: Router) -> Router {
    routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed).layer(CatchPanicLayer::custom(
        |_| problem_response(&Problem::new(Code::Internal, "a fault of ours; it was logged")),
    ))
}

/// `/metrics`, which names nodes.
pub fn metrics_route(handle: PrometheusHandle) -> Router {
    Router::new().route("/metrics", get(move || async move { handle.render() }))
}

/// What is said where no route matches.
async fn not_found() -> Fault {
    Problem::new(Code::NotFound, "no such route; the routes are in the documentation").into()
}

/// What is said where a route matches and its method does not.
async fn method_not_allowed() -> Fault {
    Problem::new(Code::MethodNotAllowed, "this route takes another method").into()
}
