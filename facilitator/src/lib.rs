//! Signed x402 authorizations into settled transactions, each once.

mod authorization;

pub use authorization::{Authorization, Method, TokenPermit};
