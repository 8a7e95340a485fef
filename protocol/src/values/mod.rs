//! What everything else is said in: amounts, assets, chains and requests, each with its one text.
//!
//! Nothing here knows a quote, a payment or a contract.

pub mod asset;
pub mod money;
pub(crate) mod name;
pub mod network;
pub mod request;
pub(crate) mod text;
