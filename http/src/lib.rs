//! Serving HTTP: connections, their limits, and one reading of what clients send. It never knows what is sold.
//!
//! Rooms, each of which imports only those before it: [`clock`]; `rate`; `answer`, `timing`, `target`, `header_names`, `html` and `query`;
//! `address`; `serve`; `input`; `token`; [`openapi`]; `routes`.

mod address;
mod answer;
pub mod clock;
mod header_names;
mod html;
mod input;
pub mod openapi;
mod query;
mod rate;
mod routes;
mod serve;
mod target;
mod timing;
mod token;

pub use address::{AddressLimits, Caller, address_limited, address_wait, client_address, limit_addresses};
pub use answer::{
    CODE_HEADER, Fault, PAYMENT_HEADERS, no_store, problem_response, problem_response_with, vary,
};
pub use header_names::{method_override, refuse_lookalikes};
pub use html::{escaped, wants_page};
pub use input::{HeldBody, StrictJson, one_value, paced_body, read_body, read_json, read_json_of_payer};
pub use metrics_exporter_prometheus::PrometheusHandle;
pub use query::{malformed_parameter, read_query};
pub use rate::{Bucket, Rate, Recent};
pub use routes::{finish, finish_over, health_route, metrics_route};
pub use serve::bodies::{BodyBudget, BodyReservation};
pub use serve::limits::Limits;
pub use serve::listener::Listener;
pub use serve::serve;
pub use serve::unix::{UnixSocket, UnixSocketError};
pub use target::{Target, is_method, unescaped};
pub use timing::{PAYMENT, server_timing};
pub use token::{Token, Tokens, check_token};
