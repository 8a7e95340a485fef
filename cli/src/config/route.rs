//! A price by method and path, as proxies and services have them.

use salt402_http::Target;
use salt402_paywall::{AnswerPrice, Rule};
use salt402_protocol::Amount;
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
    /// What each byte of the answer costs. With it, or with `price_per_row`, `price` is the most, and whoever pays by a voucher or signs a ceiling
    /// (`payment.signatures.upto`) is charged what the answer cost. Only of services, with `uses = 1`. Left out: 0.
    #[serde(default)]
    price_per_byte: Option<String>,
    /// What each row of the answer costs: an element of a JSON array, a line of NDJSON, a record of CSV. Of other answers `price` is charged.
    /// Left out: 0.
    #[serde(default)]
    price_per_row: Option<String>,
    /// The least that an answer costs with one of these. Left out: 0.
    #[serde(default)]
    minimum_price: Option<String>,
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
        let part = |field: &str, text: &Option<String>| match text {
            None => Ok(Amount::ZERO),
            Some(text) => {
                parse_price(text, symbol, *decimals).map_err(|what| ConfigError::value(key(field), what))
            }
        };
        let by_answer = AnswerPrice {
            per_byte: part("price_per_byte", &self.price_per_byte)?,
            per_row: part("price_per_row", &self.price_per_row)?,
            minimum: part("minimum_price", &self.minimum_price)?,
        };
        let counts = self.price_per_byte.is_some() || self.price_per_row.is_some();
        if counts && (*uses > 1 || amount.is_zero()) {
            let what = "is the most that an answer costs, of one request for one payment: expected a price, and uses = 1";
            return Err(ConfigError::value(key("price"), what));
        }
        if by_answer.minimum > amount || (!counts && self.minimum_price.is_some()) {
            let what = "is the least of what is charged by the row or the byte, and no more than price";
            return Err(ConfigError::value(key("minimum_price"), what));
        }
        let own = self.description.as_deref().or(otherwise).map(str::to_owned);
        let description = own.unwrap_or_else(|| match uses {
            1 => format!("one request of {path}"),
            uses => format!("{uses} requests of {path}"),
        });
        let by_answer = counts.then_some(by_answer);
        Ok(Rule { path: path.clone(), methods: methods.clone(), amount, description, uses: *uses, by_answer })
    }
}
