//! `[chains.NAME.policy]`: what is accepted on a chain, from whom, and how deep.

use std::time::Duration;

use salt402_chain::Profile;
use salt402_protocol::asset::parse_address;
use salt402_protocol::{Address, Amount, Asset};
use salt402_verifier::{AfterLoss, Depth, ExposureCap, PaymentRules, SecondNode};
use serde::Deserialize;

use super::error::ConfigError;
use super::text::parse_price;

/// What is accepted on a chain.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PolicyConfig {
    /// How many blocks must contain or follow a payment, 1 or more. Or `"final"`: as many as make a block final. Left
    /// out: the network's.
    confirmations: Option<Confirmations>,
    /// More confirmations for larger amounts. Of all that apply, the largest number counts. Left out: none.
    depths: Vec<DepthConfig>,
    /// The oldest payment that is granted on, by the time of its block: 1 to 31536000. Left out:
    /// `verifier.max_payment_age_s`.
    max_age_s: Option<u64>,
    /// The accepted assets: `native`, or addresses of tokens. Left out: any that is asked for.
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>"))]
    assets: Option<Vec<Asset>>,
    /// The accepted payees. Left out: any that is asked for.
    payees: Option<Vec<String>>,
    /// The most that is granted to one payer on payments that are not final. Left out: no limit.
    exposure: Vec<ExposureConfig>,
    /// The amounts from which on a second node must show a payment before it is granted on. Left out: one node is
    /// enough.
    second_node: Vec<SecondNodeConfig>,
    /// What is done with a payer's other payments while one that was granted on is lost: they must be final, are
    /// refused, or count as usual. Left out: `require_final`.
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
    /// The smallest amount that this is for, such as `10 SALT`, or a whole number of base units.
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
    /// How much, such as `10 SALT`, or a whole number of base units. With `0`, every payment waits until it is final.
    most: String,
    /// The asset: `native`, or the address of a token. A token's amount is in base units.
    #[serde(default = "native")]
    #[cfg_attr(test, schemars(with = "String"))]
    asset: Asset,
}

/// An amount from which on a second node must show a payment.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct SecondNodeConfig {
    /// The smallest amount that this is for, such as `100 SALT`, or a whole number of base units. `0` means every
    /// payment.
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
    /// The policy, with `confirmations` or `depths` from `[chains.NAME]` if they are written there.
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
        let Some(age) = self.max_age_s else { return Ok(None) };
        ConfigError::unless_within(format!("{here}.max_age_s"), age, 1..=365 * 24 * 3600)?;
        Ok(Some(Duration::from_secs(age)))
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
        let limits = self.second_node.iter().map(|limit| (limit.asset, &*limit.from));
        let limits = by_asset(&format!("{here}.second_node"), "from", limits, profile)?;
        Ok(limits.into_iter().map(|(asset, from)| SecondNode { asset, from }).collect())
    }

    fn exposure(&self, here: &str, profile: &Profile) -> Result<Vec<ExposureCap>, ConfigError> {
        let caps = self.exposure.iter().map(|cap| (cap.asset, &*cap.most));
        let caps = by_asset(&format!("{here}.exposure"), "most", caps, profile)?;
        Ok(caps.into_iter().map(|(asset, most)| ExposureCap { asset, most }).collect())
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

/// A list of amounts that names each asset once. `field` is the name of the amount.
fn by_asset<'a>(
    list: &str,
    field: &str,
    entries: impl Iterator<Item = (Asset, &'a str)>,
    profile: &Profile,
) -> Result<Vec<(Asset, Amount)>, ConfigError> {
    let mut read: Vec<(Asset, Amount)> = Vec::new();
    for (index, (asset, text)) in entries.enumerate() {
        let key = format!("{list}[{index}]");
        if read.iter().any(|(known, _)| *known == asset) {
            return Err(ConfigError::value(key, format!("{asset} is named twice: say it once")));
        }
        let amount = amount(text, asset, profile);
        read.push((asset, amount.map_err(|what| ConfigError::value(format!("{key}.{field}"), what))?));
    }
    Ok(read)
}

fn amount(text: &str, asset: Asset, profile: &Profile) -> Result<Amount, String> {
    match asset {
        Asset::Native => parse_price(text, &profile.native_symbol, profile.native_decimals),
        // What a token is divided into is not known here.
        Asset::Token(_) => parse_price(text, "units", 0),
    }
}

/// How many blocks make a payment final: the network's depth counts the blocks after it, and its own is one more.
fn final_at(profile: &Profile) -> u64 {
    profile.finality_depth.saturating_add(1)
}
