//! A chain's policy and the limits, in words.

use std::fmt::Write as _;

use salt402_http::Rate;
use salt402_protocol::channel::EXIT_DELAYS;
use salt402_protocol::{Amount, Asset};
use salt402_verifier::AfterLoss;

use crate::config::{ConfigError, LimitsConfig, ResolvedChain};

/// What is accepted on a chain, one sentence per line.
pub(crate) fn policy(chain: &ResolvedChain) -> Vec<String> {
    let (policy, profile) = (&chain.policy, &chain.profile);
    let mut lines = vec![format!(
        "blocks are final with {} confirmations; a block of its own is the first, so 1 is the least",
        policy.final_at
    )];
    let mut assets: Vec<Asset> = policy.depths.iter().map(|depth| depth.asset).collect();
    assets.insert(0, Asset::Native);
    assets.extend(policy.assets.iter().flatten());
    for (index, asset) in assets.iter().enumerate().filter(|(index, asset)| !assets[..*index].contains(asset))
    {
        lines.extend(steps(chain, *asset, index == 0));
    }
    lines.push(match &policy.assets {
        None => "paid in whatever is asked for".to_owned(),
        Some(assets) => {
            format!("paid in nothing but {}", list(assets.iter().map(|asset| name(chain, *asset))))
        }
    });
    lines.push(match &policy.payees {
        None => "paid to whoever is asked for".to_owned(),
        Some(payees) => format!("paid to nobody but {}", list(payees.iter().map(ToString::to_string))),
    });
    if let Some(age) = policy.max_age {
        lines.push(format!("a payment is accepted up to {} s after its block", age.as_secs()));
    }
    if policy.exposure.is_empty() {
        lines.push("a payer may be granted any sum on payments that are not final".to_owned());
    }
    for cap in &policy.exposure {
        lines.push(format!(
            "a payer may be granted {} on payments that are not final; beyond it a payment must be final",
            units(chain, cap.asset, cap.most)
        ));
    }
    if policy.second_node.is_empty() {
        lines.push("one node's word is enough for a payment of any amount".to_owned());
    }
    for limit in &policy.second_node {
        lines.push(format!(
            "{} and more counts when two of the {} nodes show it, each for itself",
            units(chain, limit.asset, limit.from),
            chain.nodes.endpoints.len()
        ));
    }
    lines.push(match policy.after_loss {
        AfterLoss::RequireFinal => format!(
            "a payer whose granted payment left the chain pays with {} confirmations until that is resolved",
            policy.final_at
        ),
        AfterLoss::Refuse => {
            "a payer whose granted payment left the chain is granted nothing until that is resolved"
                .to_owned()
        }
        AfterLoss::Ignore => {
            "a payer whose granted payment left the chain is treated as any other".to_owned()
        }
    });
    lines.extend(vouchers(chain));
    if policy.final_at > profile.reorg_window {
        let window = profile.reorg_window;
        lines.push(format!("headers are kept for {window} blocks, fewer than make a block final"));
    }
    lines
}

/// From which channels vouchers are accepted, and how often to claim.
fn vouchers(chain: &ResolvedChain) -> Vec<String> {
    let profile = &chain.profile;
    if chain.voucher_channels().is_none() {
        return vec!["no vouchers are taken".to_owned()];
    }
    let delay = match chain.least_exit_delay {
        None => format!("any exit delay, {} s at least", EXIT_DELAYS.start()),
        Some(delay) => format!("an exit delay of {} s and more", delay.as_secs()),
    };
    let still = if profile.steady_blocks {
        format!(
            "blocks come about every {} ms, so while the newest one is old no new voucher is taken",
            profile.block_time_ms
        )
    } else {
        "blocks are mined on demand, so vouchers are taken however old the newest one is".to_owned()
    };
    vec![format!("vouchers are taken of channels with {delay}: claim more often than that"), still]
}

/// How deep a payment of each amount must be.
fn steps(chain: &ResolvedChain, asset: Asset, always: bool) -> Vec<String> {
    let policy = &chain.policy;
    let mut froms: Vec<Amount> =
        policy.depths.iter().filter(|depth| depth.asset == asset).map(|depth| depth.from).collect();
    froms.sort_unstable_by_key(|amount| amount.0);
    froms.dedup();
    if froms.is_empty() {
        let line = format!("any amount of {} {}", name(chain, asset), deep(chain, policy.confirmations));
        return if always { vec![line] } else { Vec::new() };
    }
    let mut lines = Vec::with_capacity(froms.len() + 1);
    if !froms[0].is_zero() {
        let below = units(chain, asset, froms[0]);
        lines.push(format!("less than {below} {}", deep(chain, policy.confirmations)));
    }
    for from in froms {
        let applying = policy.depths.iter().filter(|depth| depth.asset == asset && depth.from <= from);
        let needed = applying.map(|depth| depth.confirmations).fold(policy.confirmations, u64::max);
        lines.push(format!("{} and more {}", units(chain, asset, from), deep(chain, needed)));
    }
    lines
}

fn deep(chain: &ResolvedChain, confirmations: u64) -> String {
    let mut text = match confirmations {
        1 => "counts as soon as its block is there".to_owned(),
        more => format!("counts with {more} confirmations"),
    };
    if confirmations > 1 {
        let wait = chain.profile.block_time_ms.saturating_mul(confirmations - 1) / 1000;
        let _ = write!(text, ", about {wait} s after its block");
    }
    if confirmations >= chain.policy.final_at {
        text.push_str(", which is final");
    }
    text
}

fn name(chain: &ResolvedChain, asset: Asset) -> String {
    match asset {
        Asset::Native => chain.profile.native_symbol.clone(),
        Asset::Token(token) => format!("the token {token}"),
    }
}

fn units(chain: &ResolvedChain, asset: Asset, amount: Amount) -> String {
    let profile = &chain.profile;
    match asset {
        Asset::Native => format!("{} {}", amount.to_units(profile.native_decimals), profile.native_symbol),
        Asset::Token(token) => format!("{amount} base units of the token {token}"),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(" or ")
}

/// How often, a sentence a line.
pub(crate) fn limits(limits: &LimitsConfig) -> Result<Vec<String>, ConfigError> {
    let mut lines = Vec::new();
    let rate = |Rate { per_minute, burst }| format!("{per_minute} a minute, {burst} at once");
    let accounts = limits.accounts()?;
    lines.push(match accounts.rate {
        None => "any number of payments of one account".to_owned(),
        Some(limit) => format!("payments of one account: {}", rate(limit)),
    });
    if !accounts.cool_down.is_zero() {
        let pause = accounts.cool_down.as_secs();
        lines.push(format!("between two payments of one account pass {pause} s"));
    }
    lines.push(match limits.per_address()? {
        None => "any number of requests of one address".to_owned(),
        Some(limit) => format!("requests of one address: {}", rate(limit)),
    });
    let proxies = list(limits.proxies().iter().map(ToString::to_string));
    let proxies = if proxies.is_empty() { "nobody".to_owned() } else { proxies };
    lines.push(format!("X-Forwarded-For is believed of {proxies}"));
    Ok(lines)
}
