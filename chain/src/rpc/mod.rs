//! One node over JSON-RPC: requests and checked answers, with limits on time, size and rate.
//!
//! These modules choose no node and repeat no request; callers do.

pub(crate) mod account;
mod answers;
mod block_receipts;
mod budget;
mod check;
mod either;
pub(crate) mod endpoint;
mod error_body;
mod error_text;
mod heads;
pub(crate) mod http;
mod learned_limit;
mod logs;
pub(crate) mod meter;
pub(crate) mod node;
#[cfg(feature = "fuzzing")]
pub mod parse;
pub(crate) mod questions;
mod receipts_root;
mod too_long;
pub(crate) mod wire;
