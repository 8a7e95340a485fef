//! The HTTP types: refusals, the verifier's requests and answers, the headers of a 402, and webhooks.
//!
//! These modules only describe data. They send nothing and decide nothing.

pub mod api;
pub mod code;
pub mod details;
mod names;
pub mod object;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod problem;
pub mod reason;
pub mod webhook;
