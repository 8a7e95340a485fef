//! Turns the operator's configuration into the verifier's policy.

use std::time::Duration;

use salt402_http::clock::now_s;
use salt402_protocol::Source;
use salt402_protocol::quote::QuoteClock;
use salt402_store::{QuoteLife, Store};
use salt402_verifier::{ChainPolicy, Policy};

use crate::config::ResolvedChain;

/// What is accepted on a chain.
pub(super) fn chain_policy(chain: &ResolvedChain) -> ChainPolicy {
    let profile = &chain.profile;
    let block_time = Duration::from_millis(profile.block_time_ms);
    let poll = Duration::from_millis(profile.poll_ms);
    let mut other_contracts: Vec<_> = chain.sources.iter().flat_map(Source::paid_through).collect();
    other_contracts.retain(|other| *other != chain.contract);
    other_contracts.sort_unstable();
    other_contracts.dedup();
    ChainPolicy {
        chain: profile.chain_id,
        network: profile.name.clone(),
        contract: chain.contract,
        other_contracts,
        channels: chain.voucher_channels(),
        past_channels: chain.past_channels.clone(),
        operators: chain.operators.clone(),
        least_exit_delay: chain.least_exit_delay,
        rules: chain.policy.clone(),
        symbol: profile.native_symbol.clone(),
        decimals: profile.native_decimals,
        block_time,
        steady_blocks: profile.steady_blocks,
        stale_after: chain.stale_after.unwrap_or(Duration::from_secs(10).max(5 * poll).max(3 * block_time)),
    }
}

/// Adds the lives that quotes had before, so that such quotes are found too. If they cannot be stored, as on a full
/// disk, earlier lives are not known.
pub(super) async fn with_old_quotes(policy: Policy, store: &Store) -> Policy {
    let lives = store.note_quote_life(policy.clock.lifetime, now_s()).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "how long quotes lived before is not known now");
        Vec::new()
    });
    let clock = |life: QuoteLife| (QuoteClock::living(life.lifetime), life.until);
    Policy { old_clocks: lives.into_iter().map(clock).collect(), ..policy }
}
