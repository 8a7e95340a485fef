//! The tests of the crate, in one program: each program of its own would be compiled, linked and started by itself.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by it"
)]

mod begun_anew;
mod concurrent;
mod interleavings;
mod judge;
mod layer;
mod leases;
mod nonces;
mod openapi;
mod policy;
mod referred;
mod refunds;
mod replays;
mod review;
mod selling;
mod shop;
mod signed;
mod unnamed;
mod unread;
mod unreadable;
mod voucher_by_contract;
mod vouchers;
mod waiting;
