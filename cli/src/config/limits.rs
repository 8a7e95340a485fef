//! `[limits]`: how often.

use std::time::Duration;

use ipnet::IpNet;
use salt402_http::{AddressLimits, Rate};
use salt402_verifier::AccountLimits;
use serde::Deserialize;

use super::error::ConfigError;

/// How often accounts may be granted and addresses may ask; left out, without limit.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsConfig {
    /// The least time between two granted payments of one account: 0 to 86400.
    cool_down_s: u64,
    /// How many payments of one account are granted. Left out: without limit.
    per_account: Option<RateConfig>,
    /// How many requests of one address are answered. Left out: without limit.
    per_address: Option<RateConfig>,
    /// Proxies whose `X-Forwarded-For` is believed: addresses, or networks such as `10.0.0.0/8`. Left out: this machine's.
    trusted_proxies: Option<Vec<String>>,
}

/// How many a minute, and how many at once.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct RateConfig {
    /// How many a minute in the long run: 1 to 60000000.
    per_minute: u32,
    /// How many at once after a pause: 1 to 60000000. Left out: as many as in a minute.
    #[serde(default)]
    burst: Option<u32>,
}

impl RateConfig {
    fn resolve(self, key: &str) -> Result<Rate, ConfigError> {
        let burst = self.burst.unwrap_or(self.per_minute);
        for (field, value) in [("per_minute", self.per_minute), ("burst", burst)] {
            if !(1..=60_000_000).contains(&value) {
                let what = format!("expected 1 to 60000000, found {value}; leave {key} out for no limit");
                return Err(ConfigError::value(format!("{key}.{field}"), what));
            }
        }
        Ok(Rate { per_minute: self.per_minute, burst })
    }
}

impl LimitsConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.cool_down_s > 24 * 3600 {
            let what = format!("expected 0 to 86400, found {}", self.cool_down_s);
            return Err(ConfigError::value("limits.cool_down_s", what));
        }
        self.accounts()?;
        self.trusted()?;
        self.per_address().map(|_| ())
    }

    pub(crate) fn accounts(&self) -> Result<AccountLimits, ConfigError> {
        let rate = self.per_account.map(|rate| rate.resolve("limits.per_account")).transpose()?;
        Ok(AccountLimits { rate, cool_down: Duration::from_secs(self.cool_down_s) })
    }

    pub(crate) fn per_address(&self) -> Result<Option<Rate>, ConfigError> {
        self.per_address.map(|rate| rate.resolve("limits.per_address")).transpose()
    }

    pub(crate) fn addresses(&self) -> Result<Option<AddressLimits>, ConfigError> {
        let trusted = self.trusted()?;
        Ok(self.per_address()?.map(|rate| AddressLimits::new(rate, trusted)))
    }

    /// Proxies that are believed; left out, those of this machine.
    pub(crate) fn trusted(&self) -> Result<Vec<IpNet>, ConfigError> {
        let Some(listed) = &self.trusted_proxies else {
            return Ok(["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect());
        };
        let parse = |text: &String| {
            let net = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
            net.map_err(|_| {
                let what = format!(
                    "expected addresses such as 10.0.0.1 or networks such as 10.0.0.0/8, found {text:?}"
                );
                ConfigError::value("limits.trusted_proxies", what)
            })
        };
        listed.iter().map(parse).collect()
    }
}
