//! A price by method and path, as proxies and services have them.

use salt402_http::Target;
use salt402_paywall::Rule;
use serde::Deserialize;

use super::error::ConfigError;
use super::text::parse_price;

/// A price.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RouteConfig {
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

impl RouteConfig {
    /// The price, in `unit`. `key` writes the place of a field. `otherwise` is the description if there is none.
    pub(super) fn rule(
        &self,
        (symbol, decimals): &(String, u8),
        otherwise: Option<&str>,
        key: impl Fn(&str) -> String,
    ) -> Result<Rule, ConfigError> {
        let Self { path, methods, uses, .. } = self;
        let stars = path.matches('*').count();
        if !path.starts_with('/') || stars > 1 || (stars == 1 && !path.ends_with('*')) {
            let what = format!("expected a path such as /paid/*, with a * at its end alone, found {path:?}");
            return Err(ConfigError::value(key("path"), what));
        }
        if Target::read(path.trim_end_matches('*')).is_err() || path.contains('?') {
            let what = format!(
                "expected a path that a request can have, without ;, //, dots alone, a query, and escapes of what is \
                 written plainly, found {path:?}"
            );
            return Err(ConfigError::value(key("path"), what));
        }
        if let Some(odd) = methods.iter().find(|method| method.chars().any(|c| !c.is_ascii_uppercase())) {
            let what = format!("expected names such as GET, found {odd:?}");
            return Err(ConfigError::value(key("methods"), what));
        }
        let amount = parse_price(&self.price, symbol, *decimals)
            .map_err(|what| ConfigError::value(key("price"), what))?;
        ConfigError::unless_within(key("uses"), u64::from(*uses), 1..=1_000_000)?;
        let own = self.description.as_deref().or(otherwise).map(str::to_owned);
        let description = own.unwrap_or_else(|| match uses {
            1 => format!("one request of {path}"),
            uses => format!("{uses} requests of {path}"),
        });
        Ok(Rule { path: path.clone(), methods: methods.clone(), amount, description, uses: *uses })
    }
}
