//! Signed x402 authorizations into settled transactions, each once.

mod authorization;
mod settler;

pub use authorization::{Authorization, Method, TokenPermit};
pub use settler::{Approved, SettleFault, Settled, Settler};
