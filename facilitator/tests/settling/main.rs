//! Settling over a chain in memory whose nodes fail, lie, forget and reorganize, and in processes that end anywhere.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by it"
)]
#![allow(clippy::print_stdout, reason = "a test prints its seed")]

mod charges;
mod crashes;
mod ledger;
mod node;
mod one_chain;
mod others;
mod shop;
mod standing;
mod world;
