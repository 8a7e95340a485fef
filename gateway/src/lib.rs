//! The paid front of an inference server. An unpaid request gets a 402 with a quote. A paid request is run once and
//! answered. If the payer's connection broke, it gets the kept answer.
//!
//! The rooms. Each imports only those before it: `kinds`; `upstream`, `pricing`; `catalogue`; `reading`, `api`; `circuit`,
//! `execution`, `priced_request`, `bare_proofs`, `claimant_lease`, `dialect`; `question`; `gateway`; `paid`;
//! `inference`, `passed`; `inference_stream`, `models`, `readiness`; `apis`; `openapi`; `routes`.

mod api;
mod apis;
mod bare_proofs;
mod catalogue;
mod circuit;
mod claimant_lease;
mod dialect;
mod execution;
mod gateway;
mod inference;
mod inference_stream;
mod kinds;
mod models;
mod openapi;
mod paid;
mod passed;
mod priced_request;
mod pricing;
mod question;
mod readiness;
mod reading;
mod routes;
mod upstream;

pub use api::{Api, Passed, Server};
pub use catalogue::{Catalogue, Model};
pub use gateway::{Gateway, GatewayOptions};
pub use priced_request::PricedRequest;
pub use pricing::{
    Adjustment, Applied, ConditionError, Cost, Multiplier, MultiplierError, Part, Price, Quantities, Rate,
    USD_DECIMALS, Unpriced,
};
pub use routes::router;
pub use upstream::beside::{Beside, Seen};
pub use upstream::transport::TransportError;
pub use upstream::{ServerOptions, Upstream};
