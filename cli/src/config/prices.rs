//! Prices as they are written: in the asset or in dollars, with conditions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use salt402_gateway::{Adjustment, Multiplier, Price, Rate, USD_DECIMALS};
use salt402_protocol::Amount;
use serde::Deserialize;

use super::error::ConfigError;
use super::text::parse_price;

/// The word for dollars.
const USD: &str = "USD";

/// What prices are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Currency {
    /// The asset that is paid.
    Asset,
    /// Dollars.
    Usd,
}

/// A model's prices, as they are written.
pub(super) struct PriceTexts<'a> {
    pub(super) per_request: Option<&'a str>,
    pub(super) per_token: Option<&'a str>,
    pub(super) per_prompt_token: Option<&'a str>,
    pub(super) per_cached_token: Option<&'a str>,
    pub(super) per_reasoning_token: Option<&'a str>,
    pub(super) per_image: Option<&'a str>,
    pub(super) image_sizes: &'a BTreeMap<String, String>,
    pub(super) minimum: Option<&'a str>,
}

impl PriceTexts<'_> {
    /// The prices of the model at `key`, in `unit` or in dollars.
    pub(super) fn read(
        &self,
        key: &str,
        (symbol, decimals): &(String, u8),
    ) -> Result<(Price, Currency), ConfigError> {
        let mut currency: Option<Currency> = None;
        let mut read = |field: &str, text: &str| {
            let key = format!("{key}.{field}");
            let in_dollars = symbol != USD && text.split_whitespace().nth(1) == Some(USD);
            let (own, symbol, decimals) = if in_dollars {
                (Currency::Usd, USD, USD_DECIMALS)
            } else {
                (Currency::Asset, symbol.as_str(), *decimals)
            };
            let amount =
                parse_price(text, symbol, decimals).map_err(|what| ConfigError::value(&key, what))?;
            // Nothing, without a unit, is nothing in any currency.
            if amount.is_zero() && !in_dollars {
                return Ok(amount);
            }
            if currency.is_some_and(|other| other != own) {
                let what = "the prices of a model must all be in USD, or none of them";
                return Err(ConfigError::value(key, what));
            }
            currency = Some(own);
            Ok(amount)
        };
        let mut optional = |field: &str, text: Option<&str>| text.map(|text| read(field, text)).transpose();
        let price = Price {
            per_request: optional("price_per_request", self.per_request)?.unwrap_or_default(),
            per_token: optional("price_per_token", self.per_token)?.unwrap_or_default(),
            per_prompt_token: optional("price_per_prompt_token", self.per_prompt_token)?.unwrap_or_default(),
            per_cached_token: optional("price_per_cached_token", self.per_cached_token)?,
            per_reasoning_token: optional("price_per_reasoning_token", self.per_reasoning_token)?,
            per_image: optional("price_per_image", self.per_image)?,
            minimum: optional("minimum_price", self.minimum)?.unwrap_or_default(),
            image_sizes: self
                .image_sizes
                .iter()
                .map(|(size, text)| Ok((size.clone(), read(&format!("image_sizes.{size}"), text)?)))
                .collect::<Result<_, ConfigError>>()?,
        };
        // What a request costs at the most is told before it is known what is cached, and what is reasoning.
        let dearer = [
            (
                "price_per_cached_token",
                price.per_cached_token,
                price.per_prompt_token,
                "price_per_prompt_token",
            ),
            ("price_per_reasoning_token", price.per_reasoning_token, price.per_token, "price_per_token"),
        ];
        for (field, own, most, of) in dearer {
            if own.is_some_and(|own| own > most) {
                return Err(ConfigError::value(format!("{key}.{field}"), format!("is more than {of}")));
            }
        }
        Ok((price, currency.unwrap_or(Currency::Asset)))
    }
}

/// A condition that changes a price.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct AdjustmentConfig {
    /// The condition, in CEL, such as `prompt_tokens > 32000` or `hour >= 18`. It may ask of `model`, `api`, `prompt_tokens`,
    /// `max_tokens`, `n`, `images`, `stream`, `hour` and `weekday` (UTC, Monday is 1).
    when: String,
    /// The factor on the price while it holds: a decimal text from `"0.000001"` to `"1000"`.
    multiplier: String,
}

impl AdjustmentConfig {
    pub(super) fn read(&self, key: &str) -> Result<Adjustment, ConfigError> {
        let multiplier = Multiplier::parse(&self.multiplier)
            .map_err(|error| ConfigError::value(format!("{key}.multiplier"), error.to_string()))?;
        Adjustment::new(self.when.clone(), multiplier)
            .map_err(|error| ConfigError::value(format!("{key}.when"), error.to_string()))
    }
}

/// What a dollar buys.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct UsdConfig {
    /// What a dollar buys, such as `4.2 SALT`. It stays until the process is started anew. Left out: `command` tells.
    #[serde(default)]
    rate: Option<String>,
    /// The program that prints what a dollar buys, such as `4.2 SALT`, and its arguments. No shell reads them.
    #[serde(default)]
    pub(crate) command: Vec<String>,
    /// How often the command is run: 1 or more.
    #[serde(default = "every")]
    pub(crate) every_s: u64,
    /// How long what the command printed is believed: more than `every_s`. After that nothing is sold whose price is in dollars.
    #[serde(default = "max_age")]
    max_age_s: u64,
}

fn every() -> u64 {
    60
}
fn max_age() -> u64 {
    600
}

impl UsdConfig {
    pub(super) fn check(&self, unit: &(String, u8)) -> Result<(), ConfigError> {
        if self.rate.is_some() != self.command.is_empty() {
            return Err(ConfigError::value("gateway.usd.rate", "expected a rate or a command, and not both"));
        }
        if self.every_s == 0 || self.max_age_s <= self.every_s {
            let what = format!("expected more than every_s ({}), which is 1 or more", self.every_s);
            return Err(ConfigError::value("gateway.usd.max_age_s", what));
        }
        self.fixed(unit).map(|_| ())
    }

    /// The rate that is written.
    fn fixed(&self, unit: &(String, u8)) -> Result<Option<Amount>, ConfigError> {
        let Some(text) = &self.rate else { return Ok(None) };
        parse_rate(text, unit).map(Some).map_err(|what| ConfigError::value("gateway.usd.rate", what))
    }

    /// The rate: the one that is written, or one that is told later.
    pub(crate) fn rate(&self, unit: &(String, u8)) -> Result<Arc<Rate>, ConfigError> {
        Ok(Arc::new(match self.fixed(unit)? {
            Some(units) => Rate::fixed(units),
            None => Rate::told(Duration::from_secs(self.max_age_s)),
        }))
    }
}

/// What a dollar buys, as text. Nothing is no rate.
pub(crate) fn parse_rate(text: &str, (symbol, decimals): &(String, u8)) -> Result<Amount, String> {
    let units = parse_price(text, symbol, *decimals)?;
    if units.is_zero() { Err("a dollar buys nothing: expected more than 0".into()) } else { Ok(units) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(per_request: &str, per_token: &str) -> Result<(Price, Currency), ConfigError> {
        let texts = PriceTexts {
            per_request: Some(per_request),
            per_token: Some(per_token),
            per_prompt_token: None,
            per_cached_token: None,
            per_reasoning_token: None,
            per_image: None,
            image_sizes: &BTreeMap::new(),
            minimum: None,
        };
        texts.read("gateway.models.m", &("SALT".into(), 18))
    }

    #[test]
    fn prices_are_in_one_currency() {
        assert_eq!(read("0.001 SALT", "0").unwrap().1, Currency::Asset);
        let (price, currency) = read("0.001 USD", "0").unwrap();
        assert_eq!((price.per_request.to_units(18).as_str(), currency), ("0.001", Currency::Usd));
        for (per_request, per_token) in
            [("0.001 USD", "0.001 SALT"), ("1", "0.001 USD"), ("1 EUR", "0"), ("0.1", "0")]
        {
            assert!(read(per_request, per_token).is_err(), "{per_request} {per_token}");
        }
    }

    #[test]
    fn a_rate_is_written_or_told() {
        let check = |text: &str| {
            let usd: UsdConfig = toml::from_str(text).unwrap();
            usd.check(&("SALT".into(), 18)).is_ok()
        };
        assert!(check("rate = '4.2 SALT'"));
        assert!(check("command = ['/usr/bin/rate']"));
        for bad in [
            "",
            "rate = '4.2 SALT'\ncommand = ['x']",
            "rate = '0 SALT'",
            "rate = '4.2 USD'",
            "command = ['x']\nevery_s = 0",
            "command = ['x']\nmax_age_s = 60",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }
}
