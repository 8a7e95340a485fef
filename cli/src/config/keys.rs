//! `[gateway.keys]`: API keys, and the balances that they draw.

use std::collections::BTreeSet;

use salt402_gateway::{KeyOptions, KeyPlan};
use salt402_protocol::Amount;
use salt402_protocol::api::KeyLimits;
use serde::Deserialize;

use super::error::ConfigError;
use super::text::parse_price;

/// API keys, and the balances that they draw. Without this table none are taken.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysConfig {
    /// The least that a payment buys: an amount.
    least: String,
    /// The most that a payment buys: an amount.
    most: String,
    /// The plans that are sold. A balance is bought without one too.
    #[serde(default)]
    plans: Vec<PlanConfig>,
}

/// A plan.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct PlanConfig {
    /// Its name, by which it is bought: letters, digits, `-` and `_`. Another for each plan.
    name: String,
    /// What it is, in words.
    #[serde(default)]
    description: String,
    /// The least that a payment buys of it: an amount. Left out: that of `[gateway.keys]`.
    #[serde(default)]
    least: Option<String>,
    /// The most that a payment buys of it: an amount. Left out: that of `[gateway.keys]`.
    #[serde(default)]
    most: Option<String>,
    /// What is credited beside each payment, in hundredths of it: 0 to 1000.
    #[serde(default)]
    bonus_percent: u32,
    /// How many requests a minute a key of it may make: 1 or more. Left out: any.
    #[serde(default)]
    requests_per_minute: Option<u32>,
    /// How much a key of it may use a day (UTC): an amount. Left out: all of its balance.
    #[serde(default)]
    amount_per_day: Option<String>,
    /// The models and services that a key of it is for, by their names. Left out: all.
    #[serde(default)]
    models: Vec<String>,
    /// The paths that a key of it is for, such as `/v1/chat/completions`. Left out: all.
    #[serde(default)]
    paths: Vec<String>,
    /// For how many days a new key of it is good: 1 or more. Left out: without an end.
    #[serde(default)]
    days: Option<u32>,
}

impl KeysConfig {
    /// What is sold of balances; amounts are in `unit`.
    pub(crate) fn options(&self, unit: &(String, u8)) -> Result<KeyOptions, ConfigError> {
        let amount = |key: &str, text: &str| {
            let key = format!("gateway.keys.{key}");
            let amount = parse_price(text, &unit.0, unit.1);
            let amount = amount.map_err(|what| ConfigError::value(key.clone(), what))?;
            if amount.is_zero() {
                return Err(ConfigError::value(key, "expected more than 0"));
            }
            Ok(amount)
        };
        let (least, most) = (amount("least", &self.least)?, amount("most", &self.most)?);
        if least > most {
            return Err(ConfigError::value("gateway.keys.least", "is more than most"));
        }
        let mut names = BTreeSet::new();
        let mut plans = Vec::with_capacity(self.plans.len());
        for (index, plan) in self.plans.iter().enumerate() {
            let read = |key: &str, text: &Option<String>| {
                let key = format!("plans[{index}].{key}");
                text.as_ref().map(|text| amount(&key, text)).transpose()
            };
            let plan = plan.read(index, (least, most), read)?;
            if !names.insert(plan.name.clone()) {
                let what = format!("{:?} is another plan's", plan.name);
                return Err(ConfigError::value(format!("gateway.keys.plans[{index}].name"), what));
            }
            plans.push(plan);
        }
        Ok(KeyOptions { least, most, plans })
    }
}

impl PlanConfig {
    fn read(
        &self,
        index: usize,
        (least_of_all, most_of_all): (Amount, Amount),
        amount: impl Fn(&str, &Option<String>) -> Result<Option<Amount>, ConfigError>,
    ) -> Result<KeyPlan, ConfigError> {
        let key = |name: &str| format!("gateway.keys.plans[{index}].{name}");
        let plain = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(plain) {
            let what = format!("expected 1 to 64 letters, digits, - and _, found {:?}", self.name);
            return Err(ConfigError::value(key("name"), what));
        }
        let (least, most) = (amount("least", &self.least)?, amount("most", &self.most)?);
        if least.unwrap_or(least_of_all) > most.unwrap_or(most_of_all) {
            return Err(ConfigError::value(key("least"), "is more than most"));
        }
        ConfigError::unless_within(key("bonus_percent"), self.bonus_percent.into(), 0..=1000)?;
        for (name, number) in [("requests_per_minute", self.requests_per_minute), ("days", self.days)] {
            if let Some(number) = number {
                ConfigError::unless_within(key(name), number.into(), 1..=1_000_000)?;
            }
        }
        let lines = |name: &str, texts: &[String]| {
            let odd = texts.iter().find(|text| text.is_empty() || text.contains(['\n', '\r']));
            odd.map_or(Ok(()), |odd| {
                Err(ConfigError::value(key(name), format!("expected names in one line, found {odd:?}")))
            })
        };
        lines("models", &self.models)?;
        lines("paths", &self.paths)?;
        Ok(KeyPlan {
            name: self.name.clone(),
            description: self.description.clone(),
            least,
            most,
            bonus_percent: self.bonus_percent,
            limits: KeyLimits {
                requests_per_minute: self.requests_per_minute,
                amount_per_day: amount("amount_per_day", &self.amount_per_day)?,
                models: self.models.clone(),
                paths: self.paths.clone(),
                ends_at: None,
            },
            days: self.days,
        })
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::U256;

    use super::*;

    fn read(text: &str) -> Result<KeyOptions, String> {
        let keys: KeysConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        keys.options(&("SALT".to_owned(), 18)).map_err(|error| error.to_string())
    }

    #[test]
    fn amounts_and_plans_are_read_and_bad_ones_are_named() {
        let bounds = "least = \"0.5 SALT\"\nmost = \"100 SALT\"\n";
        let plan = "[[plans]]\nname = \"pro\"\nbonus_percent = 10\namount_per_day = \"7\"\nmodels = [\"tiny\"]\ndays = 30\n";
        let options = read(&format!("{bounds}{plan}")).unwrap();
        assert_eq!(options.least, Amount(U256::from(500_000_000_000_000_000u64)));
        let pro = &options.plans[0];
        assert_eq!((pro.bonus_percent, pro.days, pro.least), (10, Some(30), None));
        assert_eq!(pro.limits.amount_per_day, Some(Amount(U256::from(7))));
        for (bad, named) in [
            ("least = \"0\"\nmost = \"1 SALT\"".to_owned(), "gateway.keys.least"),
            ("least = \"2 SALT\"\nmost = \"1 SALT\"".to_owned(), "gateway.keys.least"),
            ("least = \"1 USDC\"\nmost = \"1 SALT\"".to_owned(), "gateway.keys.least"),
            (format!("{bounds}{plan}{plan}"), "gateway.keys.plans[1].name"),
            (format!("{bounds}[[plans]]\nname = \"a b\""), "gateway.keys.plans[0].name"),
            (format!("{bounds}[[plans]]\nname = \"a\"\nleast = \"200 SALT\""), "gateway.keys.plans[0].least"),
            (format!("{bounds}[[plans]]\nname = \"a\"\ndays = 0"), "gateway.keys.plans[0].days"),
            (format!("{bounds}[[plans]]\nname = \"a\"\nbonus_percent = 1001"), "bonus_percent"),
            (
                format!("{bounds}[[plans]]\nname = \"a\"\nmodels = [\"a\\nb\"]"),
                "gateway.keys.plans[0].models",
            ),
        ] {
            let error = read(&bad).unwrap_err();
            assert!(error.contains(named), "{bad}: {error}");
        }
    }
}
