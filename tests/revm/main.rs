//! The contracts run from Rust: typed data and events are the same in both languages.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod channels;
mod channels_model;
mod machine;
mod payments;
mod sources;
mod thefts;
mod typed_data;
mod vouchers;
mod x402;
