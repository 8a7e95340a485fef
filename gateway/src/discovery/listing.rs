//! What is sold, as a list: where, as what, and for how much.

use salt402_protocol::Amount;
use salt402_protocol::details::Names;

use crate::catalogue::Model;
use crate::gateway::Inner;
use crate::kinds::Api;
use crate::pricing::{Price, USD_DECIMALS};

/// Something that is sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The methods. Empty: any.
    pub(crate) methods: Vec<String>,
    /// The path, or with a `*` at its end the beginning of many.
    pub(crate) path: String,
    /// What it is, in words.
    pub(crate) what: String,
    /// What it costs, in words.
    pub(crate) price: String,
    /// What each request costs, in base units, where all cost the same.
    pub(crate) fixed: Option<Amount>,
    /// The models that it may be asked of, by the names that they are sold by.
    pub(crate) models: Vec<String>,
}

/// What a price is, in words, and what each request costs where all cost the same.
fn priced(price: &Price, names: &Names, is_usd: bool, may_change: bool) -> (String, Option<Amount>) {
    let (decimals, unit) =
        if is_usd { (USD_DECIMALS, "USD") } else { (names.decimals, names.symbol.as_str()) };
    let money = |amount: Amount| format!("{} {unit}", amount.to_units(decimals));
    let parts = [
        (price.per_request, "a request"),
        (price.per_token, "for each token that it may write"),
        (price.per_prompt_token, "for each token that it may read"),
        (price.per_image.unwrap_or_default(), "for each image that it reads"),
    ];
    let mut words: Vec<_> = parts
        .iter()
        .filter(|(amount, _)| !amount.is_zero())
        .map(|(amount, each)| format!("{} {each}", money(*amount)))
        .collect();
    words.extend(
        price.image_sizes.iter().map(|(size, amount)| format!("{} for each image of {size}", money(*amount))),
    );
    if !price.minimum.is_zero() {
        words.push(format!("at least {}", money(price.minimum)));
    }
    if may_change {
        words.push("more or less under conditions that the 402 says".to_owned());
    }
    let is_fixed = !is_usd
        && !may_change
        && price.per_token.is_zero()
        && price.per_prompt_token.is_zero()
        && price.per_image.is_none()
        && price.image_sizes.is_empty();
    (words.join(", "), is_fixed.then(|| price.per_request.max(price.minimum)))
}

/// The price of a model.
pub(crate) fn of_model(model: &Model, names: &Names) -> (String, Option<Amount>) {
    priced(&model.price, names, model.rate.is_some(), !model.adjustments.is_empty())
}

/// The one price of all, if they have one.
fn common(prices: impl IntoIterator<Item = Option<Amount>>) -> Option<Amount> {
    let mut prices = prices.into_iter();
    let first = prices.next()??;
    prices.all(|price| price == Some(first)).then_some(first)
}

impl Inner {
    /// Everything that is sold.
    pub(crate) fn listed(&self) -> Vec<Listed> {
        let post = || vec!["POST".to_owned()];
        let sold = |path: &str, what: &str, models: Vec<(&String, &Model)>| {
            if models.is_empty() {
                return None;
            }
            let priced: Vec<_> = models.iter().map(|(_, model)| of_model(model, &self.names)).collect();
            let price = match (common(priced.iter().map(|(_, fixed)| *fixed)), &priced[..]) {
                (Some(_), [(text, _), ..]) | (None, [(text, _)]) => text.clone(),
                _ => "the price of the model that is asked".to_owned(),
            };
            Some(Listed {
                methods: post(),
                path: path.to_owned(),
                what: what.to_owned(),
                price,
                fixed: common(priced.iter().map(|(_, fixed)| *fixed)),
                models: models.into_iter().map(|(name, _)| name.clone()).collect(),
            })
        };
        let of_texts = || self.catalogue.of_texts().collect::<Vec<_>>();
        let mut listed: Vec<_> = [
            sold("/v1/inference", "an answer to a prompt", of_texts()),
            sold("/v1/inference/stream", "an answer to a prompt, token by token", of_texts()),
        ]
        .into_iter()
        .chain(Api::ALL.map(|api| {
            let by = self.catalogue.0.iter().filter(|(_, model)| model.apis.contains(&api)).collect();
            sold(api.path(), api_in_words(api), by)
        }))
        .flatten()
        .collect();
        // Many prompts cost less, and the best of several models what its route costs.
        listed.extend(
            sold("/v1/inference/batch", "answers to many prompts, for one payment", of_texts()).map(
                |batch| Listed {
                    price: "the sum of its requests, less 5 %".to_owned(),
                    fixed: None,
                    ..batch
                },
            ),
        );
        if !self.routes.0.is_empty() {
            let names: Vec<_> = self.routes.0.keys().cloned().collect();
            listed.push(Listed {
                methods: post(),
                path: "/v1/inference/routed".to_owned(),
                what: "an answer of the best of several models".to_owned(),
                price: "the price of the route, or the most that one of its models costs".to_owned(),
                fixed: None,
                models: names,
            });
        }
        listed.extend(self.catalogue.0.iter().filter_map(|(name, model)| {
            let path = model.endpoint.as_deref()?;
            sold(path, api_in_words(model.main_api()), vec![(name, model)])
        }));
        if let Some(keys) = &self.keys {
            let money =
                |amount: Amount| format!("{} {}", amount.to_units(self.names.decimals), self.names.symbol);
            let (least, most) = (money(keys.options.least), money(keys.options.most));
            listed.push(Listed {
                methods: post(),
                path: "/v1/balance".to_owned(),
                what: "a balance that an API key draws, for tools that take a base URL and a key".to_owned(),
                price: format!("{least} to {most}, as the body says"),
                fixed: None,
                models: Vec::new(),
            });
        }
        listed.extend(self.services.rules().filter(|(_, rule)| !rule.amount.is_zero()).map(|(_, rule)| {
            let most = format!("{} {}", rule.amount.to_units(self.names.decimals), self.names.symbol);
            Listed {
                methods: rule.methods.clone(),
                path: rule.path.clone(),
                what: rule.description.clone(),
                price: if rule.by_answer.is_some() { format!("{most} at the most") } else { most },
                fixed: Some(rule.amount),
                models: Vec::new(),
            }
        }));
        listed
    }
}

const fn api_in_words(api: Api) -> &'static str {
    match api {
        Api::Chat => "a chat completion, as OpenAI's API has it",
        Api::Completions => "a completion of a text, as OpenAI's API has it",
        Api::Embeddings => "embeddings, as OpenAI's API has them",
        Api::Messages => "a message, as Anthropic's API has it",
        Api::Responses => "a response, as OpenAI's API has it",
        Api::Rerank => "the order of documents by a query",
        Api::Images => "images from a text, as OpenAI's API has them",
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::U256;

    use super::*;

    #[test]
    fn a_price_is_fixed_where_no_request_costs_more_than_another() {
        let names = Names { network: "citrate".into(), symbol: "SALT".into(), decimals: 18 };
        let units = |amount: u64| Amount(U256::from(amount));
        let flat = Price { per_request: units(1_500_000_000_000_000), ..Price::default() };
        assert_eq!(
            priced(&flat, &names, false, false),
            ("0.0015 SALT a request".into(), Some(flat.per_request))
        );
        assert_eq!(priced(&flat, &names, true, false).1, None, "a rate changes");
        assert_eq!(priced(&flat, &names, false, true).1, None, "a condition may hold");
        let least = Price { minimum: units(2_000_000_000_000_000), ..flat.clone() };
        assert_eq!(priced(&least, &names, false, false).1, Some(least.minimum));
        let by_token = Price { per_token: units(1_000_000_000_000), ..flat };
        let (text, fixed) = priced(&by_token, &names, false, false);
        assert_eq!(text, "0.0015 SALT a request, 0.000001 SALT for each token that it may write");
        assert_eq!(fixed, None);
        assert_eq!(common([Some(units(1)), Some(units(1))]), Some(units(1)));
        assert_eq!(common([Some(units(1)), None]), None);
        assert_eq!(common([]), None);
    }
}
