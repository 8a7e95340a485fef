//! The tests of the crate, in one program: each program of its own would be compiled, linked and started by itself.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by it"
)]

mod accounts;
mod backup;
mod chain;
mod channels;
mod charges;
mod claims;
mod faults;
mod former_rows;
mod incidents;
mod leases;
mod memory;
mod merged;
mod model;
mod opening;
mod orphans;
mod outcomes;
mod past;
mod policy;
mod references;
mod refunds;
mod reservations;
mod risks;
mod settlements;
mod support;
mod totals;
mod unreadable;
mod vouchers;
