//! The basic values: amounts, assets, chains and requests, each with one text form.
//!
//! This module imports no quote, payment or contract.

pub mod api_key;
pub mod asset;
pub(crate) mod checksum;
pub(crate) mod id;
pub mod money;
pub mod network;
pub mod request;
pub(crate) mod text;
