//! Amounts of a refund, as people write and read them.

use anyhow::anyhow;
use salt402_protocol::{Amount, Asset};

use crate::config::{ResolvedChain, parse_price};

pub(super) fn amount(chain: &ResolvedChain, asset: Asset, text: &str) -> anyhow::Result<Amount> {
    let profile = &chain.profile;
    match asset {
        Asset::Native => parse_price(text, &profile.native_symbol, profile.native_decimals)
            .map_err(|what| anyhow!("--amount: {what}")),
        Asset::Token(token) => Amount::from_base_units(text.trim()).map_err(|error| {
            anyhow!("--amount: expected a whole number of base units of the token {token}: {error}")
        }),
    }
}

/// An amount for people: the native coin in its units, tokens in base units.
pub(super) fn told(chain: &ResolvedChain, asset: Asset, amount: Amount) -> String {
    match asset {
        Asset::Native => {
            format!("{} {}", amount.to_units(chain.profile.native_decimals), chain.profile.native_symbol)
        }
        Asset::Token(token) => format!("{amount} base units of {token}"),
    }
}
