//! What goes over HTTP: refusals, requests and answers of the verifier, the headers of a 402, and webhooks, as types.
//!
//! Nothing here sends or receives, and nothing decides.

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
