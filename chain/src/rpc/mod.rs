//! One node over JSON-RPC: questions in its words, answers held against them, bounded in time, size and rate.
//!
//! Which of several nodes is asked is not decided here, and nothing is asked twice unless the caller does so.

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
