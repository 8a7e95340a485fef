//! `salt402 config check` and `salt402 config example`.

use std::path::Path;
use std::process::ExitCode;

use salt402_chain::{Completeness, Role};
use salt402_paywall::Rule;
use salt402_protocol::Amount;

use super::{explain, explain_prices, explain_settling};
use crate::config::{Config, ConfigError, ResolvedChain, explain_source, needed_beside};
use crate::out::say;

/// A commented configuration; a test reads it.
const EXAMPLE: &str = include_str!("../../example.toml");

/// Explains a configuration in words, or fails and says what is wrong.
pub(crate) fn check(path: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::load(path)?;
    let chains = config.chains()?;
    constructible(&config, &chains)?;
    say!("{}: good", path.display());
    say!("  database {}", config.database().display());
    for chain in &chains {
        let profile = &chain.profile;
        say!("  follow {} ({})", profile.name, profile.chain_id);
        for source in &chain.sources {
            say!("    {}", explain_source(source));
        }
        for line in needed_beside(&chain.sources) {
            say!("    {line}");
        }
        for line in explain::policy(chain) {
            say!("    {line}");
        }
        for (endpoint, role) in &chain.nodes.endpoints {
            let heads =
                if endpoint.ws.is_some() && profile.new_heads { "heads by WebSocket and " } else { "" };
            // Not the address itself, which may hold a secret.
            let reserve = if matches!(role, Role::Fallback) { ", asked while the others fail" } else { "" };
            say!("    node {}, {heads}polled every {} ms{reserve}", endpoint.label(), profile.poll_ms);
        }
        say!(
            "    each must take two questions in one request: a block's header and its events come together"
        );
        say!(
            "    {} of {} nodes must say the same; logs of new blocks are {}",
            chain.nodes.agree,
            chain.nodes.endpoints.len(),
            match profile.completeness {
                Completeness::Receipts => "checked against the root of all receipts",
                Completeness::Off => "taken as the node gives them",
            }
        );
    }
    let token = if config.verifier_token()?.is_some() { ", with a token" } else { ", without a token" };
    let policy = config.verifier.policy();
    say!("  verify on {}{token}", config.verifier.endpoint(&config.folder, config.limits.proxies()));
    say!(
        "    quotes live {} s; a transaction hash alone is {}; payments up to {} s old; requests wait up to {} ms",
        policy.clock.lifetime,
        if policy.bare_hashes { "enough" } else { "not enough, the quote id must come with it" },
        policy.max_age.as_secs(),
        policy.max_wait.as_millis(),
    );
    for line in explain::limits(&config.limits)? {
        say!("    {line}");
    }
    if let Ok(payment) = config.payment() {
        let (symbol, _) = payment.unit(&config.chains)?;
        let token = payment.token().map(|(token, _)| format!(" (the token {token})")).unwrap_or_default();
        say!("  paid to {} in {symbol}{token} on {}", payment.payee()?, payment.chain(&config.chains)?);
    }
    if let Some(auth) = &config.forward_auth {
        say!("  proxies may ask at /v1/forward-auth; a payment is shown there with its quote id");
        for rule in auth.tariff(&config.unit()?)?.rules {
            say!("    {}", priced(&config, &rule)?);
        }
    }
    if let Some(facilitator) = &config.facilitator {
        for line in explain_settling::lines(&config, facilitator, &chains)? {
            say!("  {line}");
        }
    }
    if let Some(webhook) = &config.webhook {
        // The rest of an address may hold a secret.
        say!("  tell of incidents at {}", webhook.url.origin().ascii_serialization());
    }
    match &config.gateway {
        None => say!("  no gateway"),
        Some(gateway) => {
            say!("  serve on {}", gateway.endpoint(&config.folder, config.limits.proxies()));
            say!("    what was paid for is run {} times at most, where runs fail", gateway.max_runs);
            say!("    {}", gateway.origins());
            if gateway.verifier.is_some() && config.verifier_token()?.is_none() {
                say!(
                    "    run alone, it has no /metrics: strangers may ask here, and no token of the verifier is set that would \
                     guard them"
                );
            }
            if policy.bare_hashes {
                say!(
                    "    an answer is given again {} times within a minute without its quote id, and with it as long \
                     as it is kept",
                    gateway.bare_again
                );
            }
            if let Some(keys) = &gateway.keys {
                let options = keys.options(&config.unit()?)?;
                let (least, most) = (price(&config, options.least)?, price(&config, options.most)?);
                let plans: Vec<_> = options.plans.iter().map(|plan| plan.name.as_str()).collect();
                let plans = if plans.is_empty() {
                    String::new()
                } else {
                    format!(", with plans {}", plans.join(", "))
                };
                say!("    API keys draw balances of {least} to {most} a payment{plans}");
            }
            for (name, rule) in gateway.services(&config.unit()?)?.rules() {
                say!("    service {name}: {}", priced(&config, rule)?);
            }
            let rate = gateway.usd.as_ref().map(|usd| usd.rate(&config.unit()?)).transpose()?;
            for (name, model) in gateway.catalogue(&config.unit()?, &config.folder, rate.as_ref())?.0 {
                for line in explain_prices::lines(&name, &model, &config.unit()?) {
                    say!("    {line}");
                }
            }
            for (name, route) in gateway.routes(&config.unit()?, rate.as_ref())?.0 {
                say!("    {}", explain_prices::route(&name, &route, &config.unit()?));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A price by path, in words.
fn priced(config: &Config, rule: &Rule) -> Result<String, ConfigError> {
    let methods = if rule.methods.is_empty() { "any method".to_owned() } else { rule.methods.join(", ") };
    let several = if rule.uses > 1 { format!(" for {} requests", rule.uses) } else { String::new() };
    let price =
        if rule.amount.is_zero() { "free".to_owned() } else { price(config, rule.amount)? + &several };
    Ok(format!("{} ({methods}): {price}", rule.path))
}

/// An amount of the asset to be paid, as `0.0005 SALT`.
fn price(config: &Config, amount: Amount) -> Result<String, ConfigError> {
    let (symbol, decimals) = config.unit()?;
    Ok(format!("{} {symbol}", amount.to_units(decimals)))
}

/// Builds what `up` builds of a configuration before it asks anybody, so that what passes here is not refused there. A
/// missing quote key is not created.
fn constructible(config: &Config, chains: &[ResolvedChain]) -> anyhow::Result<()> {
    for chain in chains {
        chain.nodes.connect(&chain.profile)?;
    }
    if config.verifier.quote_key_file.is_some() {
        config.quote_keys()?;
    }
    if let Some(webhook) = &config.webhook {
        config.webhook_key(webhook)?;
    }
    Ok(())
}

/// Prints a configuration to start from.
pub(crate) fn example() -> anyhow::Result<ExitCode> {
    crate::out::write(format_args!("{EXAMPLE}"));
    Ok(ExitCode::SUCCESS)
}
