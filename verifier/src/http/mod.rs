//! The verifier's HTTP API. Every refusal is a problem document (RFC 9457) with a stable `code`.

mod address;
mod answer;
mod browsers;
mod door;
mod forward_auth;
mod input;
mod layer;
mod offer;
pub mod openapi;
mod presented;
mod query;
mod routes;
mod serve;
mod spelling;
mod target;
mod tariff;
mod timing;
mod token;

pub use address::{AddressLimits, limit as limit_addresses};
pub use answer::{Fault, no_store, problem_response};
pub use browsers::{OriginError, browsers};
pub use door::{Door, Order, Passage, Sold, quote_required};
pub use forward_auth::{ForwardAuth, asked_for};
pub use input::{HeldBody, StrictJson, read_json};
pub use layer::{Paid, PaidLayer, Payer};
pub use offer::{PaymentProblem, vary};
pub use presented::Presented;
pub use query::{AmbiguitiesQuery, IncidentsQuery, PaymentsQuery};
pub use routes::{ApiOptions, PrometheusHandle, finish, router, watch_router};
pub use serve::{BodyRoom, Limits, Listener, Place, UnixSocket, UnixSocketError, serve};
pub use target::Target;
pub use tariff::{Rule, Tariff};
pub use timing::{PAYMENT, server_timing};
pub use token::{Token, check as check_token};
pub use tower_http::cors::CorsLayer;
