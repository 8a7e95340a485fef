//! What is served, and for how much.

use std::collections::BTreeMap;
use std::sync::Arc;

use salt402_protocol::Amount;

use crate::Upstream;

/// What a request costs, in base units of the asset that the gateway is paid in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// For any request.
    pub per_request: Amount,
    /// For each token that the request may generate (its `max_tokens`).
    pub per_token: Amount,
}

impl Price {
    /// The cost of a request that may generate `tokens`; `None` above 2²⁵⁶ − 1.
    pub fn of(&self, tokens: u32) -> Option<Amount> {
        self.per_token.checked_mul(u64::from(tokens))?.checked_add(self.per_request)
    }
}

/// A model that is served.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it is, in words.
    pub description: String,
    /// What it costs.
    pub price: Price,
    /// Tokens generated where a request does not say.
    pub default_tokens: u32,
    /// The most tokens that a request may ask for.
    pub max_tokens: u32,
    /// Who runs it.
    pub upstream: Arc<Upstream>,
}

/// All models, by name.
#[derive(Clone, Debug, Default)]
pub struct Catalogue(pub BTreeMap<String, Model>);

impl Catalogue {
    /// A model by its name.
    pub fn get(&self, name: &str) -> Option<&Model> {
        self.0.get(name)
    }

    /// The names, for an error that says which there are.
    pub fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::U256;

    use super::*;

    #[test]
    fn a_price_that_does_not_fit_is_no_price() {
        let price = Price { per_request: Amount(U256::from(10)), per_token: Amount(U256::from(3)) };
        assert_eq!(price.of(4), Some(Amount(U256::from(22))));
        let huge = Price { per_request: Amount(U256::from(1)), per_token: Amount(U256::MAX) };
        assert_eq!(huge.of(1), None);
        assert_eq!(huge.of(2), None);
    }
}
