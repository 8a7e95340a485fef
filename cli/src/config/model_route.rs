//! `[[gateway.routes]]`: names under which the best of several models answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use salt402_gateway::{Price, Rate, Route, RoutePrice};
use serde::Deserialize;

use super::error::ConfigError;
use super::prices::{Currency, PriceTexts};

/// A name under which the best of several models answers.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelRouteConfig {
    /// Its name, which clients send as `model`. No model may have it.
    name: String,
    /// What it is, in words.
    #[serde(default)]
    description: String,
    /// The models that may answer, by their names in `[gateway.models]`. Of those that are equally good, the first is asked.
    candidates: Vec<String>,
    /// The price of any request, such as `0.001 SALT`, whoever answers. Left out, with all of the prices here: a request costs the most
    /// that it would cost at one of the candidates that take it.
    #[serde(default)]
    price_per_request: Option<String>,
    /// The additional price per token that a request may generate. Left out: 0.
    #[serde(default)]
    price_per_token: Option<String>,
    /// The additional price per token that the prompt may have, by the candidate that counts the most. Left out: 0.
    #[serde(default)]
    price_per_prompt_token: Option<String>,
    /// The price of each image in a prompt. Left out, with a price here: images are refused.
    #[serde(default)]
    price_per_image: Option<String>,
    /// The least that any request costs. Left out: 0.
    #[serde(default)]
    minimum_price: Option<String>,
}

impl ModelRouteConfig {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether its price is in dollars.
    pub(crate) fn is_in_dollars(&self, index: usize, unit: &(String, u8)) -> Result<bool, ConfigError> {
        Ok(self.price(index, unit)?.is_some_and(|(_, currency)| currency == Currency::Usd))
    }

    pub(crate) fn check<'a>(
        &self,
        index: usize,
        unit: &(String, u8),
        models: impl Iterator<Item = &'a String> + Clone,
    ) -> Result<(), ConfigError> {
        let key = |field: &str| format!("gateway.routes[{index}].{field}");
        if self.name.is_empty() || !self.name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::value(key("name"), "expected a name of visible ASCII"));
        }
        if models.clone().any(|model| *model == self.name) {
            let what = format!("{} is a model's: clients could not tell them apart", self.name);
            return Err(ConfigError::value(key("name"), what));
        }
        if self.candidates.is_empty() {
            return Err(ConfigError::value(key("candidates"), "expected at least one of [gateway.models]"));
        }
        for (at, candidate) in self.candidates.iter().enumerate() {
            if !models.clone().any(|model| model == candidate) {
                let what = format!("{candidate:?} is no table of [gateway.models]");
                return Err(ConfigError::value(key("candidates"), what));
            }
            if self.candidates[..at].contains(candidate) {
                return Err(ConfigError::value(key("candidates"), format!("{candidate:?} is there twice")));
            }
        }
        if let Some((price, _)) = self.price(index, unit)? {
            let always = [price.per_request, price.per_prompt_token, price.minimum];
            // Some APIs write no tokens.
            if always.iter().all(|part| part.is_zero()) {
                let what = "expected a price here, in price_per_prompt_token or in minimum_price: some requests would cost nothing";
                return Err(ConfigError::value(key("price_per_request"), what));
            }
        }
        Ok(())
    }

    /// Its own price, if it has one.
    fn price(&self, index: usize, unit: &(String, u8)) -> Result<Option<(Price, Currency)>, ConfigError> {
        let texts = PriceTexts {
            per_request: self.price_per_request.as_deref(),
            per_token: self.price_per_token.as_deref(),
            per_prompt_token: self.price_per_prompt_token.as_deref(),
            // What the one that answers uses is not counted.
            per_cached_token: None,
            per_reasoning_token: None,
            per_image: self.price_per_image.as_deref(),
            image_sizes: &BTreeMap::new(),
            minimum: self.minimum_price.as_deref(),
        };
        let any =
            [texts.per_request, texts.per_token, texts.per_prompt_token, texts.per_image, texts.minimum];
        if any.iter().all(Option::is_none) {
            return Ok(None);
        }
        texts.read(&format!("gateway.routes[{index}]"), unit).map(Some)
    }

    /// The route, with what a dollar buys.
    pub(crate) fn route(
        &self,
        index: usize,
        unit: &(String, u8),
        rate: Option<&Arc<Rate>>,
    ) -> Result<Route, ConfigError> {
        let price = self.price(index, unit)?.map(|(price, currency)| RoutePrice {
            price,
            rate: rate.filter(|_| currency == Currency::Usd).cloned(),
        });
        Ok(Route { description: self.description.clone(), candidates: self.candidates.clone(), price })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;

    const HEAD: &str = r#"
        [chains.c]
        rpc = "http://127.0.0.1:1"
        contract = "0x1111111111111111111111111111111111111112"
        start_block = 0
        profile = "local"

        [payment]
        chain = "c"
        payee = "0x2222222222222222222222222222222222222223"

        [gateway.models.one]
        upstream = "demo"
        price_per_request = "1"

        [gateway.models.two]
        upstream = "demo"
        price_per_request = "2"
    "#;

    fn read(routes: &[&str]) -> Result<Config, String> {
        let routes: String = routes.iter().map(|route| format!("\n[[gateway.routes]]\n{route}\n")).collect();
        Config::read(&format!("{HEAD}{routes}"), Path::new("salt402.toml"), false)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_route_that_cannot_be_sold_is_named_with_its_key() {
        let good = "name = \"auto\"\ncandidates = [\"one\", \"two\"]";
        read(&[good, "name = \"other\"\ncandidates = [\"two\"]\nprice_per_request = \"5\""]).unwrap();
        for (route, key) in [
            ("name = \"\"\ncandidates = [\"one\"]", "gateway.routes[1].name"),
            ("name = \"one\"\ncandidates = [\"two\"]", "gateway.routes[1].name"),
            (good, "gateway.routes[1].name"),
            ("name = \"x\"\ncandidates = []", "gateway.routes[1].candidates"),
            ("name = \"x\"\ncandidates = [\"three\"]", "gateway.routes[1].candidates"),
            ("name = \"x\"\ncandidates = [\"auto\"]", "gateway.routes[1].candidates"),
            ("name = \"x\"\ncandidates = [\"one\", \"one\"]", "gateway.routes[1].candidates"),
            ("name = \"x\"\ncandidates = [\"one\"]\nprice_per_request = \"1 USD\"", "gateway.routes[1]"),
            (
                "name = \"x\"\ncandidates = [\"one\"]\nprice_per_token = \"1\"",
                "gateway.routes[1].price_per_request",
            ),
            (
                "name = \"x\"\ncandidates = [\"one\"]\nprice_per_request = \"cheap\"",
                "gateway.routes[1].price_per_request",
            ),
        ] {
            let error = read(&[good, route]).err().unwrap_or_else(|| panic!("{route} was taken"));
            assert!(error.contains(key), "{route}: {error}");
        }
    }
}
