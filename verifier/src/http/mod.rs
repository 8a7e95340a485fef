//! The verifier's HTTP API. Every refusal is a problem document (RFC 9457) with a stable `code`.

mod answer;
mod input;
mod routes;

pub use answer::{Fault, no_store, problem_response};
pub use input::{StrictJson, read_json};
pub use routes::{PrometheusHandle, finish, router, watch_router};
