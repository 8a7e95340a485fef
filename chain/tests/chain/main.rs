//! The tests of the crate, in one program: each program of its own would be compiled, linked and started by itself.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by it"
)]

mod agreement;
mod anvil;
mod budget;
mod citrate;
mod common;
mod complete;
mod filters;
mod heads;
mod large;
mod liar;
mod pool;
mod quirks;
