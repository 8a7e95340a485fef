//! `[limits]`: how often payments are granted and requests answered.

use std::time::Duration;

use ipnet::IpNet;
use salt402_http::{AddressLimits, Limits, Rate};
use salt402_verifier::AccountLimits;
use serde::Deserialize;

use super::error::ConfigError;

/// How often accounts may be granted and addresses may ask. Left out: no limit.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsConfig {
    /// The shortest time between two granted payments of one account: 0 to 86400.
    cool_down_s: u64,
    /// How many payments of one account are granted. Left out: no limit.
    per_account: Option<RateConfig>,
    /// How many requests of one address are answered. Left out: no limit.
    per_address: Option<RateConfig>,
    /// Your proxies: addresses, or networks such as `10.0.0.0/8`. Their `X-Forwarded-For` says who asks, and
    /// `max_per_address` does not count their connections. Left out: `["127.0.0.0/8", "::1"]`, which is this machine.
    /// If given, only these.
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>"))]
    trusted_proxies: Option<Vec<Network>>,
}

/// An address or a network.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let address = text.parse().map(|address: std::net::IpAddr| IpNet::from(address));
        address
            .or_else(|_| text.parse())
            .map(Self)
            .map_err(|_| format!("expected an address or a network such as \"10.0.0.0/8\", found {text:?}"))
    }
}

/// How many a minute, and how many at once.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RateConfig {
    /// How many a minute in the long run: 1 to 60000000.
    per_minute: u32,
    /// How many at once after a pause: 1 to 60000000. Left out: as many as in a minute.
    #[serde(default)]
    burst: Option<u32>,
}

impl RateConfig {
    pub(super) fn resolve(self, key: &str) -> Result<Rate, ConfigError> {
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
        ConfigError::unless_within("limits.cool_down_s", self.cool_down_s, 0..=24 * 3600)?;
        self.accounts()?;
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
        Ok(self.per_address()?.map(AddressLimits::new))
    }

    /// The proxies in front of this server. Left out: those of this machine.
    pub(crate) fn proxies(&self) -> Vec<IpNet> {
        let listed = self.trusted_proxies.as_ref();
        listed.map_or_else(
            || Limits::default().proxies,
            |listed| listed.iter().map(|network| network.0).collect(),
        )
    }
}
