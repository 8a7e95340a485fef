//! `[forward_auth]`: what proxies may ask, and the prices of their paths.

use salt402_paywall::Tariff;
use serde::Deserialize;

use super::error::ConfigError;
use super::route::RouteConfig;

/// What a proxy may ask.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardAuthConfig {
    /// How long a proof may wait for its payment.
    #[serde(default = "wait")]
    pub(crate) wait_ms: u64,
    /// For how long after its first use the same proof lets the same request pass again.
    #[serde(default)]
    pub(crate) again_within_s: u64,
    /// Whether a request that no route names may pass without payment. Otherwise it is refused.
    #[serde(default)]
    others_pass: bool,
    /// The prices. They are tried in this order, and the first match counts.
    routes: Vec<RouteConfig>,
}

fn wait() -> u64 {
    10_000
}

impl ForwardAuthConfig {
    /// The prices by path. They are in `unit`.
    pub(crate) fn tariff(&self, unit: &(String, u8)) -> Result<Tariff, ConfigError> {
        if self.routes.is_empty() {
            let what = "expected at least one [[forward_auth.routes]] with path and price";
            return Err(ConfigError::value("forward_auth.routes", what));
        }
        let key = |index: usize, field: &str| format!("forward_auth.routes[{index}].{field}");
        let rule = |(index, route): (usize, &RouteConfig)| {
            let rule = route.rule(unit, None, |field| key(index, field))?;
            if rule.by_answer.is_some() {
                let what = "is of services alone: the proxy's answers are not seen here";
                return Err(ConfigError::value(key(index, "price_per_row"), what));
            }
            Ok(rule)
        };
        let rules = self.routes.iter().enumerate().map(rule).collect::<Result<_, _>>()?;
        Ok(Tariff { rules, others_pass: self.others_pass })
    }
}
