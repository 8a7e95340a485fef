//! Paying accounts: keys, nonces, and gas prices.
//!
//! Nodes are asked but not trusted: the profile limits what an account pays.

pub(crate) mod account;
mod market;
