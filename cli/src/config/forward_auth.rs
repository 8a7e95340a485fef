//! `[forward_auth]`: what proxies may ask, and the prices of their paths.

use salt402_http::Target;
use salt402_paywall::{Rule, Tariff};
use serde::Deserialize;

use super::error::ConfigError;
use super::text::parse_price;

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

/// A price.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct RouteConfig {
    /// A path. With a `*` at its end: all paths that begin like this.
    path: String,
    /// The methods that it is for, such as `["GET"]`. Left out: all.
    #[serde(default)]
    methods: Vec<String>,
    /// What a request costs, such as `0.001 SALT`, or a whole number of base units. `0` is free.
    price: String,
    /// What is paid for, in words. Left out: the path.
    #[serde(default)]
    description: Option<String>,
    /// How many different requests of this route one payment pays for: 1 to 1000000.
    #[serde(default = "one")]
    uses: u32,
}

fn one() -> u32 {
    1
}

fn wait() -> u64 {
    10_000
}

impl ForwardAuthConfig {
    /// The prices by path. They are in `unit`.
    pub(crate) fn tariff(&self, unit: &(String, u8)) -> Result<Tariff, ConfigError> {
        let (symbol, decimals) = (&unit.0, unit.1);
        if self.routes.is_empty() {
            let what = "expected at least one [[forward_auth.routes]] with path and price";
            return Err(ConfigError::value("forward_auth.routes", what));
        }
        let rule = |(index, route): (usize, &RouteConfig)| {
            let key = |field: &str| format!("forward_auth.routes[{index}].{field}");
            let stars = route.path.matches('*').count();
            if !route.path.starts_with('/') || stars > 1 || (stars == 1 && !route.path.ends_with('*')) {
                let what = format!(
                    "expected a path such as /paid/*, with a * at its end alone, found {:?}",
                    route.path
                );
                return Err(ConfigError::value(key("path"), what));
            }
            if Target::read(route.path.trim_end_matches('*')).is_err() || route.path.contains('?') {
                let what = format!(
                    "expected a path that a request can have, without ;, //, dots alone, a query, and escapes of what is \
                     written plainly, found {:?}",
                    route.path
                );
                return Err(ConfigError::value(key("path"), what));
            }
            if let Some(odd) =
                route.methods.iter().find(|method| method.chars().any(|c| !c.is_ascii_uppercase()))
            {
                return Err(ConfigError::value(
                    key("methods"),
                    format!("expected names such as GET, found {odd:?}"),
                ));
            }
            let amount = parse_price(&route.price, symbol, decimals)
                .map_err(|what| ConfigError::value(key("price"), what))?;
            ConfigError::unless_within(key("uses"), route.uses.into(), 1..=1_000_000)?;
            let uses = route.uses;
            let description = route.description.clone().unwrap_or_else(|| match uses {
                1 => format!("one request of {}", route.path),
                uses => format!("{uses} requests of {}", route.path),
            });
            Ok(Rule { path: route.path.clone(), methods: route.methods.clone(), amount, description, uses })
        };
        let rules = self.routes.iter().enumerate().map(rule).collect::<Result<_, _>>()?;
        Ok(Tariff { rules, others_pass: self.others_pass })
    }
}
