//! The paid front of an inference server: an unpaid request becomes a 402 with a quote, a paid one is run once and
//! answered, and answered again from what is kept if the payer's connection broke.
//!
//! Rooms, each of which imports only those before it: `upstream`; `catalogue`; `circuit`, `execution`, `priced_request`,
//! `bare_proofs`, `claimant_lease`; `gateway`; `inference`, `models`, `readiness`; `openapi`; `routes`.

mod bare_proofs;
mod catalogue;
mod circuit;
mod claimant_lease;
mod execution;
mod gateway;
mod inference;
mod models;
mod openapi;
mod priced_request;
mod readiness;
mod routes;
mod upstream;

pub use catalogue::{Catalogue, Model, Price};
pub use execution::Executions;
pub use gateway::{Gateway, GatewayOptions};
pub use priced_request::PricedRequest;
pub use routes::router;
pub use upstream::Upstream;
