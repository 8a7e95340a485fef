//! Accounts that pay: keys, nonces, and what gas may cost.
//!
//! A node is asked, and not trusted: what it can make an account pay is bounded by the profile.

pub(crate) mod account;
mod market;
