//! `[chains.NAME.policy]`: what is accepted on a chain, from whom, and how deep.

use std::time::Duration;

use salt402_chain::Profile;
use salt402_protocol::asset::parse_address;
use salt402_protocol::{Address, Asset};
use salt402_verifier::{AfterLoss, Depth, ExposureCap, PaymentRules, SecondNode};
use serde::Deserialize;

use super::error::ConfigError;
use super::text::parse_price;

/// What is accepted on a chain.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PolicyConfig {
    /// How many blocks must contain or follow a payment, 1 or more; or `"final"`: as many as make a block final. Left out: the
    /// network's.
    confirmations: Option<Confirmations>,
    /// More confirmations for larger amounts. The largest that applies counts. Left out: none.
    depths: Vec<DepthConfig>,
    /// The oldest payment that is granted on, by its block's time: 1 to 31536000. Left out: `verifier.max_payment_age_s`.
    max_age_s: Option<u64>,
    /// What may be paid with: `native`, or addresses of tokens. Left out: whatever is asked for.
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>"))]
    assets: Option<Vec<Asset>>,
    /// The addresses that may be paid. Left out: whoever is asked for.
    payees: Option<Vec<String>>,
    /// The most that is granted to one payer on payments that are not final. Left out: without limit.
    exposure: Vec<ExposureConfig>,
    /// Amounts from which a second node must show a payment, before it is granted on. Left out: one node is enough.
    second_node: Vec<SecondNodeConfig>,
    /// What becomes of a payer's other payments while one that was granted on is lost: they must be final, do not count, or
    /// count as any. Left out: `require_final`.
    after_loss: AfterLossConfig,
}

/// A number of blocks, or the word for as many as make a block final.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "expected a number of blocks, or \"final\"")]
pub(crate) enum Confirmations {
    Blocks(u64),
    Word(Final),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum Final {
    #[serde(rename = "final")]
    Final,
}

/// Amounts from which a payment must be deeper.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct DepthConfig {
    /// The least amount that this is for, such as `10 SALT`, or a whole number of base units.
    from: String,
    /// How many blocks must contain or follow the payment; or `"final"`.
    confirmations: Confirmations,
    /// The asset: `native`, or the address of a token. A token's amount is in base units.
    #[serde(default = "native")]
    #[cfg_attr(test, schemars(with = "String"))]
    asset: Asset,
}

/// The most that is granted to one payer on payments that are not final.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct ExposureConfig {
    /// How much, such as `10 SALT`, or a whole number of base units. `0` makes every payment wait until it is final.
    most: String,
    /// The asset: `native`, or the address of a token. A token's amount is in base units.
    #[serde(default = "native")]
    #[cfg_attr(test, schemars(with = "String"))]
    asset: Asset,
}

/// An amount from which a second node must show a payment.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct SecondNodeConfig {
    /// The least amount that this is for, such as `100 SALT`, or a whole number of base units. `0` is every payment.
    from: String,
    /// The asset: `native`, or the address of a token. A token's amount is in base units.
    #[serde(default = "native")]
    #[cfg_attr(test, schemars(with = "String"))]
    asset: Asset,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum AfterLossConfig {
    #[default]
    RequireFinal,
    Refuse,
    Ignore,
}

fn native() -> Asset {
    Asset::Native
}

impl PolicyConfig {
    /// With what `[chains.NAME]` says itself, where it says it: `confirmations` and `depths` may stand there too.
    pub(crate) fn resolve(
        &self,
        name: &str,
        profile: &Profile,
        confirmations: Option<Confirmations>,
        depths: &[DepthConfig],
    ) -> Result<PaymentRules, ConfigError> {
        let chain = format!("chains.{name}");
        let here = format!("{chain}.policy");
        let twice = |key: &str| {
            let what = format!("is said in {here}.{key} too: say it once");
            Err(ConfigError::value(format!("{chain}.{key}"), what))
        };
        let (key, said) = match (confirmations, self.confirmations) {
            (Some(_), Some(_)) => return twice("confirmations"),
            (said @ Some(_), None) => (&chain, said),
            (None, said) => (&here, said),
        };
        let default = Confirmations::Blocks(profile.confirmations);
        let confirmations = said.unwrap_or(default).resolve(&format!("{key}.confirmations"), profile)?;
        let (key, steps) = match (depths, self.depths.as_slice()) {
            ([_, ..], [_, ..]) => return twice("depths"),
            ([], steps) => (&here, steps),
            (steps, []) => (&chain, steps),
        };
        let step =
            |(index, depth): (usize, &DepthConfig)| depth.resolve(&format!("{key}.depths[{index}]"), profile);
        Ok(PaymentRules {
            confirmations,
            depths: steps.iter().enumerate().map(step).collect::<Result<_, _>>()?,
            final_at: final_at(profile),
            max_age: self.max_age(&here)?,
            assets: self.assets(&here)?,
            payees: self.payees(&here)?,
            exposure: self.exposure(&here, profile)?,
            second_node: self.second_node(&here, profile)?,
            after_loss: match self.after_loss {
                AfterLossConfig::RequireFinal => AfterLoss::RequireFinal,
                AfterLossConfig::Refuse => AfterLoss::Refuse,
                AfterLossConfig::Ignore => AfterLoss::Ignore,
            },
        })
    }

    fn max_age(&self, here: &str) -> Result<Option<Duration>, ConfigError> {
        match self.max_age_s {
            Some(age) if !(1..=365 * 24 * 3600).contains(&age) => Err(ConfigError::value(
                format!("{here}.max_age_s"),
                format!("expected 1 to 31536000, found {age}"),
            )),
            age => Ok(age.map(Duration::from_secs)),
        }
    }

    fn assets(&self, here: &str) -> Result<Option<Vec<Asset>>, ConfigError> {
        let what = "an empty list accepts nothing: name what may be paid with, or leave it out";
        match &self.assets {
            Some(assets) if assets.is_empty() => Err(ConfigError::value(format!("{here}.assets"), what)),
            assets => Ok(assets.clone()),
        }
    }

    fn payees(&self, here: &str) -> Result<Option<Vec<Address>>, ConfigError> {
        let Some(payees) = &self.payees else { return Ok(None) };
        let key = format!("{here}.payees");
        if payees.is_empty() {
            let what = "an empty list accepts nothing: name who may be paid, or leave it out";
            return Err(ConfigError::value(key, what));
        }
        let parse = |text: &String| {
            parse_address(text).filter(|address| !address.is_zero()).ok_or_else(|| {
                let what = format!("expected 0x addresses with the right checksum, found {text:?}");
                ConfigError::value(&key, what)
            })
        };
        payees.iter().map(parse).collect::<Result<_, _>>().map(Some)
    }

    fn second_node(&self, here: &str, profile: &Profile) -> Result<Vec<SecondNode>, ConfigError> {
        let mut limits: Vec<SecondNode> = Vec::with_capacity(self.second_node.len());
        for (index, limit) in self.second_node.iter().enumerate() {
            let key = format!("{here}.second_node[{index}]");
            if limits.iter().any(|known| known.asset == limit.asset) {
                return Err(ConfigError::value(key, format!("{} is named twice: say it once", limit.asset)));
            }
            let from = amount(&limit.from, limit.asset, profile)
                .map_err(|what| ConfigError::value(format!("{key}.from"), what))?;
            limits.push(SecondNode { asset: limit.asset, from });
        }
        Ok(limits)
    }

    fn exposure(&self, here: &str, profile: &Profile) -> Result<Vec<ExposureCap>, ConfigError> {
        let mut caps: Vec<ExposureCap> = Vec::with_capacity(self.exposure.len());
        for (index, cap) in self.exposure.iter().enumerate() {
            let key = format!("{here}.exposure[{index}]");
            if caps.iter().any(|known| known.asset == cap.asset) {
                return Err(ConfigError::value(key, format!("{} is limited twice: say it once", cap.asset)));
            }
            let most = amount(&cap.most, cap.asset, profile)
                .map_err(|what| ConfigError::value(format!("{key}.most"), what))?;
            caps.push(ExposureCap { asset: cap.asset, most });
        }
        Ok(caps)
    }
}

impl Confirmations {
    fn resolve(self, key: &str, profile: &Profile) -> Result<u64, ConfigError> {
        let what = match self {
            Self::Word(Final::Final) => return Ok(final_at(profile)),
            Self::Blocks(blocks @ 1..=1_000_000) => return Ok(blocks),
            Self::Blocks(0) => {
                "expected at least 1, which accepts a payment as soon as its block is there, or \"final\". A \
                 transaction that is in no block has paid nothing: its sender can still replace it, let it be \
                 dropped or let it revert, so 0 would be a gift"
                    .to_owned()
            }
            Self::Blocks(blocks) => format!("expected 1 to 1000000, or \"final\", found {blocks}"),
        };
        Err(ConfigError::value(key, what))
    }
}

impl DepthConfig {
    fn resolve(&self, key: &str, profile: &Profile) -> Result<Depth, ConfigError> {
        let from = amount(&self.from, self.asset, profile)
            .map_err(|what| ConfigError::value(format!("{key}.from"), what))?;
        let confirmations = self.confirmations.resolve(&format!("{key}.confirmations"), profile)?;
        Ok(Depth { asset: self.asset, from, confirmations })
    }
}

fn amount(text: &str, asset: Asset, profile: &Profile) -> Result<salt402_protocol::Amount, String> {
    match asset {
        Asset::Native => parse_price(text, &profile.native_symbol, profile.native_decimals),
        // What a token is divided into is not known here.
        Asset::Token(_) => parse_price(text, "units", 0),
    }
}

/// So many blocks must follow a block until it is final; with its own, that is one more.
fn final_at(profile: &Profile) -> u64 {
    profile.finality_depth.saturating_add(1)
}
