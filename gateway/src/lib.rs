//! The paid front of an inference server. An unpaid request gets a 402 with a quote. A paid request is run once and
//! answered. If the payer's connection broke, it gets the kept answer.
//!
//! The rooms. Each imports only those before it: `api::kind`; `upstream`, `pricing`; `catalogue`; `api`; `circuit`, `execution`, `priced_request`,
//! `bare_proofs`, `claimant_lease`; `gateway`; `inference`, `models`, `readiness`; `openapi`; `routes`.

mod api;
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
mod pricing;
mod readiness;
mod routes;
mod upstream;

pub use api::{Api, Passed, Server};
pub use catalogue::{Catalogue, Model};
pub use execution::Executions;
pub use gateway::{Gateway, GatewayOptions};
pub use priced_request::PricedRequest;
pub use pricing::{
    Adjustment, Applied, ConditionError, Cost, Multiplier, MultiplierError, Part, Price, Quantities, Rate,
    USD_DECIMALS, Unpriced,
};
pub use routes::router;
pub use upstream::Upstream;
pub use upstream::beside::{Beside, Seen};
