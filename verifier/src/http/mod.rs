//! The verifier's HTTP API: its routes and the document of them. It decides nothing. Every refusal is a problem document
//! (RFC 9457) with a stable `code`.

pub(crate) mod accounts;
mod handlers;
pub(crate) mod openapi;
pub(crate) mod query;
pub(crate) mod routes;

pub use query::{AmbiguitiesQuery, IncidentsQuery, PaymentsQuery};
pub use routes::{ApiOptions, router, watch_router};
