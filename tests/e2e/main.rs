//! The whole stack on a real anvil: contracts deployed by the real script, the real binary, real HTTP.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "these are tests"
)]

mod accounted;
mod answers;
mod backends;
mod backup;
mod bad_input;
mod batches;
mod begun_anew;
mod browsers;
mod by_hand;
mod chains;
mod charging;
mod charging_late;
mod citrate;
mod claiming;
mod command;
mod connections;
mod copies;
mod crash;
mod deep;
mod deploying;
mod dialects;
mod discovery;
mod exhaustion;
mod facilitating;
mod facilitator_faults;
mod facilitator_mutations;
mod facilitator_races;
mod facilitator_tokens;
mod facilitator_wallets;
mod faults;
mod foreign;
mod gateway_proxies;
mod incidents;
mod keys;
mod keys_bought;
mod many_sources;
mod metrics;
mod nodes;
mod nonces;
mod openapi;
mod paid;
mod paid_as_it_goes;
mod paid_page;
mod passing;
mod past_channels;
mod payee_acts;
mod paying;
mod peer_dialects;
mod policy;
mod providers;
mod proxies;
mod proxy_certificates;
mod proxy_headers;
mod proxy_signed;
mod proxy_targets;
mod real_model;
mod referred;
mod refunding;
mod refusals;
mod reorganization;
mod roles;
mod routing;
mod second_node;
mod secrets;
mod selling;
mod service_faults;
mod service_paths;
mod services;
mod signed;
mod sources;
mod streaming;
mod unreadable;
mod upstreams;
mod voucher_cover;
mod vouchers;
mod waiting;
mod walk;
mod ways;

/// The command under test.
const SALT402: &str = env!("CARGO_BIN_EXE_salt402");
