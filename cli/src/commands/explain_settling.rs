//! What the facilitator settles, in words.

use salt402_facilitator::{GasCaps, Payees};
use salt402_protocol::Amount;
use salt402_store::GasBudgets;

use crate::config::{Config, ConfigError, FacilitatedChain, FacilitatorConfig, ResolvedChain};

/// What is settled, for whom, and what it may cost, one sentence a line. Keys and tokens are read, as at a start.
pub(crate) fn lines(
    config: &Config,
    facilitator: &FacilitatorConfig,
    chains: &[ResolvedChain],
) -> Result<Vec<String>, ConfigError> {
    let endpoint = facilitator.endpoint(&config.folder, config.limits.proxies());
    let mut lines = vec![format!("facilitate on {endpoint}"), format!("  {}", facilitator.origins())];
    let callers = facilitator.callers(&config.folder, &config.chains)?;
    if callers.is_empty() {
        lines.push("  without a token: whoever may ask has your keys pay the gas".to_owned());
    }
    for (_, caller) in callers {
        let mut line = format!("  {} may ask with a token of its own", caller.name);
        if let Some(rate) = caller.rules.rate {
            line += &format!(", {} times a minute", rate.per_minute);
        }
        if let Some(networks) = &caller.rules.networks {
            line += &format!(", on {}", list(networks));
        }
        if let Some(payees) = &caller.rules.payees {
            line += &format!(", for payments to {}", list(payees));
        }
        if let Some(tokens) = &caller.rules.tokens {
            line += &format!(", in {}", list(tokens));
        }
        lines.push(line);
    }
    let settling = facilitator.settling(&config.folder);
    for chain in chains {
        let Some(here) = &chain.facilitated else { continue };
        lines.push(format!("  on {} ({}):", chain.profile.name, chain.profile.chain_id));
        for account in here.accounts(&config.folder)? {
            lines.push(format!("    sent by {}", account.address()));
        }
        lines.extend(settled(chain, here, &settling.gas_caps).into_iter().map(|line| format!("    {line}")));
    }
    let gas = settling.gas_caps;
    lines.push(format!(
        "  for {} gas at most by EIP-3009, {} by Permit2, {} under upto; {} in one transaction",
        gas.eip3009, gas.permit2_exact, gas.permit2_upto, settling.batch
    ));
    lines.push(format!("  {}", budgets(&settling.budgets)));
    let wait = settling.wait.as_millis();
    lines.push(format!("  a settlement is waited for up to {wait} ms, and then answered settlement_pending"));
    Ok(lines)
}

fn settled(chain: &ResolvedChain, here: &FacilitatedChain, caps: &GasCaps) -> Vec<String> {
    let mut lines = Vec::new();
    for token in &here.policy.tokens {
        let ways = match (token.eip3009, token.permit2) {
            (true, true) => "by its own authorizations and by Permit2",
            (true, false) => "by its own authorizations",
            (false, _) => "by Permit2",
        };
        let least = if token.least.is_zero() {
            String::new()
        } else {
            format!(", {} base units and more", token.least)
        };
        lines.push(format!("the token {} {ways}{least}", token.token));
    }
    lines.push(match &here.policy.payees {
        Payees::Any => "to anybody: whoever may ask has your keys pay the gas of any payment".to_owned(),
        Payees::Listed(payees) => format!("to {} alone", list(payees)),
    });
    if !here.policy.factories.is_empty() {
        let factories = list(&here.policy.factories);
        lines.push(format!(
            "wallets that do not exist yet are created by {factories}, for {} gas at most each: your keys pay it",
            caps.deployment
        ));
    }
    let profile = &chain.profile;
    if let Some(low) = here.low_water {
        let units = Amount::to_units(low, profile.native_decimals);
        lines.push(format!("a key with less than {units} {} is reported as low", profile.native_symbol));
    }
    lines
}

fn budgets(budgets: &GasBudgets) -> String {
    let named = [
        ("all settlements", budgets.all),
        ("those of one payer", budgets.payer),
        ("those in one token", budgets.token),
        ("those of one caller", budgets.caller),
    ];
    let said: Vec<String> =
        named.into_iter().filter_map(|(what, gas)| gas.map(|gas| format!("{gas} for {what}"))).collect();
    if said.is_empty() {
        return "without a limit for the gas of a day".to_owned();
    }
    format!("gas of a day: {} at most", said.join(", "))
}

fn list<T: ToString>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
