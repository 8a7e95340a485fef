//! The indexer in a simulated world: a chain that forks, a node that fails and lies, a process that dies, all of it
//! from one seed, against the real follower and the real store.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "these are tests"
)]

mod characters;
mod ending;
mod f_answers;
mod f_clocks;
mod f_deep;
mod f_forks;
mod f_heads;
mod f_lives;
mod f_lower;
mod f_nodes;
mod f_past;
mod faults;
mod gate;
mod growth;
mod history;
mod life;
mod names;
mod node;
mod races;
mod reader;
mod rng;
mod seeds;
mod stage;
mod world;
