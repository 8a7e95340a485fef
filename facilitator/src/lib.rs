//! Signed x402 authorizations into settled transactions, each once.
//!
//! The rooms, bottom up; each imports only those before it: `authorization`, `settler`, `calls`, `moved` and `policy`, the values;
//! `settle`, from an approved authorization to a transaction and its outcome; `read`, from a request to an authorization;
//! `verify`, whether it would settle; `valid`, what was called so, which `noting` writes; `callers`, `said` and `supported`, who asks and what is said; `facilitator`, which a
//! caller asks; [`http`], which serves it.

mod authorization;
mod callers;
mod calls;
mod facilitator;
pub mod http;
mod metrics;
mod moved;
mod noting;
mod policy;
mod read;
mod said;
mod settle;
mod settler;
mod supported;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod valid;
mod verify;

pub use authorization::{Authorization, Deployment, Method, TokenPermit};
pub use callers::{Caller, FacilitatorError};
pub use calls::{SettleContracts, is_used, is_used_call, settle_call, together};
pub use facilitator::Facilitator;
pub use metrics::describe as describe_metrics;
pub use metrics::settling::low_water;
pub use moved::{Expected, moved};
pub use policy::{
    CallerRules, CitratePolicy, GasCaps, NetworkPolicy, NonceCheck, Payees, Policy, SignatureRule,
    Simulation, TokenPolicy,
};
pub use settle::engine::{Engine, SettleError, SignerReport};
pub use settle::lock::LockError;
pub use settle::options::{SettleChain, SettleOptions};
pub use settler::{Approved, Known, Recorded, SettleFault, Settled, Settler};
