//! The paid front of an inference server: an unpaid request becomes a 402 with a quote, a paid one is run once and
//! answered, and answered again from what is kept if the payer's connection broke.

mod bare;
mod bid;
mod catalogue;
mod circuit;
mod execution;
mod inference;
mod openapi;
mod routes;
mod tenancy;
mod upstream;

pub use bid::Bid;
pub use catalogue::{Catalogue, Model, Price};
pub use execution::Executions;
pub use routes::{Gateway, GatewayOptions, router};
pub use upstream::Upstream;
