//! The paid front of an inference server. An unpaid request gets a 402 with a quote. A paid request is run once and
//! answered. If the payer's connection broke, it gets the kept answer.
//!
//! The rooms. Each imports only those before it: `kinds`, `measured`; `upstream`, `pricing`; `catalogue`, `model_route`, `agent_tasks`, `rows`, `turns`, `under_way`, `tab`; `meter`;
//! `reading`, `api`; `circuit`, `execution`, `charging`, `priced_request`, `bare_proofs`, `claimant_lease`, `dialect`, `sessions`; `question`,
//! `services`; `keys`; `gateway`; `stream_body`; `probe`, `draws`; `paid`; `keyed`, `stream_vouchers`; `serving`, `balance`;
//! `inference`, `passed`, `proxy`; `inference_stream`, `batch`; `routing`, `models`, `readiness`; `discovery`; `apis`; `openapi`; `routes`.

mod agent_tasks;
mod api;
mod apis;
mod balance;
mod bare_proofs;
mod batch;
mod catalogue;
mod charging;
mod circuit;
mod claimant_lease;
mod dialect;
mod discovery;
mod draws;
mod execution;
mod gateway;
mod inference;
mod inference_stream;
mod keyed;
mod keys;
mod kinds;
mod measured;
mod meter;
mod model_route;
mod models;
mod openapi;
mod ordered;
mod paid;
mod passed;
mod priced_request;
mod pricing;
mod probe;
mod proxy;
mod question;
mod readiness;
mod reading;
mod routes;
mod routing;
mod rows;
mod services;
mod serving;
mod sessions;
mod stream_body;
mod stream_vouchers;
mod tab;
mod turns;
mod under_way;
mod upstream;

pub use api::{Api, Passed, Server};
pub use balance::AskedBalance;
pub use batch::{BatchEntry, MOST_OF_A_BATCH, PricedBatch};
pub use catalogue::{Catalogue, Model};
pub use discovery::a2a;
pub use gateway::{BatchLimits, Gateway, GatewayOptions};
pub use keys::{KeyOptions, KeyPlan};
pub use model_route::{Route, RoutePrice, Routes};
pub use priced_request::PricedRequest;
pub use pricing::{
    Adjustment, Applied, ConditionError, Cost, Multiplier, MultiplierError, Part, Price, Quantities, Rate,
    USD_DECIMALS, Unpriced, Used,
};
pub use routes::router;
pub use routing::RouteCost;
pub use services::{Service, ServiceOptions, Services};
pub use upstream::beside::{Beside, Seen};
pub use upstream::transport::{Deadlines, TransportError};
pub use upstream::{ServerOptions, Upstream};
