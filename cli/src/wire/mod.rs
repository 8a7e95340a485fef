//! Wiring: which part gets which other part. Nothing is decided here.
//!
//! Each file wires one part. It imports only those before it: `parts`, `running`; `metrics`, `store`, `policy`, `rate`;
//! `chain`; `verifier`, `facilitator`; `signed`; `gateway`; `process`.

mod chain;
mod facilitator;
mod gateway;
mod metrics;
mod parts;
mod policy;
mod process;
mod rate;
mod running;
mod signed;
mod store;
mod verifier;

pub(crate) use chain::follower_options;
pub(crate) use parts::Parts;
pub(crate) use process::Process;
pub(crate) use rate::ask_rate;
