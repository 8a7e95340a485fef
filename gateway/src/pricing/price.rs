//! A model's prices, and the sum of what a request has of each.

use std::collections::BTreeMap;

use salt402_protocol::Amount;

use crate::kinds::Api;
use crate::pricing::unpriced::Unpriced;

/// What a request costs: in base units of the gateway's asset, or in 10⁻¹⁸ dollars where the model has a rate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// For any request.
    pub per_request: Amount,
    /// Per token that the request may generate (its `max_tokens`).
    pub per_token: Amount,
    /// Per token that the prompt may have: one per byte of it, and those of the template around it.
    pub per_prompt_token: Amount,
    /// Per token that the server read from a cache, where what was used is charged. `None`: as any other token that is read.
    pub per_cached_token: Option<Amount>,
    /// Per token of reasoning, where what was used is charged. `None`: as any other token that is written.
    pub per_reasoning_token: Option<Amount>,
    /// Per image that the prompt has, with all tokens that it becomes. `None`: images are refused.
    pub per_image: Option<Amount>,
    /// Per image that is made, by its size. Other sizes are refused.
    pub image_sizes: BTreeMap<String, Amount>,
    /// The least that a request costs.
    pub minimum: Amount,
}

/// What a request reads and writes at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantities {
    /// By which API. `None` for `POST /v1/inference`.
    pub api: Option<Api>,
    /// Tokens that are read, for all answers.
    pub prompt_tokens: u64,
    /// Tokens of one answer.
    pub max_tokens: u32,
    /// How many answers.
    pub choices: u64,
    /// Images that are read, for all answers.
    pub images: u64,
    /// Images that are made, and their size.
    pub made: Option<(u64, String)>,
    /// Whether the answer is a stream.
    pub streamed: bool,
}

/// What a request has read and written, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Tokens that were read, with those of a cache.
    pub prompt: u64,
    /// Those that a cache held.
    pub cached: u64,
    /// Tokens that were written, with those of reasoning.
    pub written: u64,
    /// Those of reasoning.
    pub reasoning: u64,
}

/// A part of a sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What is paid for, in the words of the configuration.
    pub what: String,
    /// How many.
    pub count: u64,
    /// The price of one.
    pub each: Amount,
    /// The price of all.
    pub amount: Amount,
}

impl Quantities {
    /// The most of each, of two ways to run one request.
    pub(crate) fn most(self, other: Self) -> Self {
        Self {
            api: self.api,
            prompt_tokens: self.prompt_tokens.max(other.prompt_tokens),
            max_tokens: self.max_tokens.max(other.max_tokens),
            choices: self.choices.max(other.choices),
            images: self.images.max(other.images),
            made: self.made.max(other.made),
            streamed: self.streamed,
        }
    }
}

impl Price {
    /// Whether some request of an API would cost nothing.
    pub fn is_nothing_for(&self, api: Api) -> bool {
        let always = [self.per_request, self.per_prompt_token, self.minimum];
        if always.iter().any(|part| !part.is_zero()) {
            return false;
        }
        match api {
            Api::Images => {
                self.image_sizes.is_empty() || self.image_sizes.values().any(|size| size.is_zero())
            }
            _ => !api.writes_tokens() || self.per_token.is_zero(),
        }
    }

    /// The parts of what a request costs, without those that it has none of.
    ///
    /// # Errors
    /// If one has no price, or is above 2²⁵⁶ − 1.
    pub fn parts(&self, of: &Quantities) -> Result<Vec<Part>, Unpriced> {
        let written = u64::from(of.max_tokens).saturating_mul(of.choices);
        let mut counted = vec![
            ("price_per_request".to_owned(), 1, self.per_request),
            ("price_per_prompt_token".to_owned(), of.prompt_tokens, self.per_prompt_token),
            ("price_per_token".to_owned(), written, self.per_token),
        ];
        if of.images > 0 {
            let each = self.per_image.ok_or(Unpriced::Images)?;
            counted.push(("price_per_image".to_owned(), of.images, each));
        }
        if let Some((count, size)) = &of.made {
            let known = || self.image_sizes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let each = self.image_sizes.get(size).ok_or_else(|| Unpriced::Size(known()))?;
            counted.push((format!("image_sizes.{size}"), *count, *each));
        }
        let part = |(what, count, each): (String, u64, Amount)| {
            let amount = each.checked_mul(count).ok_or(Unpriced::Beyond)?;
            Ok(Part { what, count, each, amount })
        };
        counted.into_iter().filter(|(_, count, each)| *count > 0 && !each.is_zero()).map(part).collect()
    }
}

impl Price {
    /// What a request costs that has used so much. Images are counted as they were asked for. `None` if that is above 2²⁵⁶ − 1, or
    /// has no price.
    pub(super) fn sum_of(&self, of: &Quantities, used: &Used) -> Option<Amount> {
        let cached = used.cached.min(used.prompt);
        let reasoning = used.reasoning.min(used.written);
        let seen = if of.images > 0 { self.per_image? } else { Amount::ZERO };
        let (made, size) = match &of.made {
            Some((count, size)) => (*count, *self.image_sizes.get(size)?),
            None => (0, Amount::ZERO),
        };
        [
            (1, self.per_request),
            (used.prompt - cached, self.per_prompt_token),
            (cached, self.per_cached_token.unwrap_or(self.per_prompt_token)),
            (used.written - reasoning, self.per_token),
            (reasoning, self.per_reasoning_token.unwrap_or(self.per_token)),
            (of.images, seen),
            (made, size),
        ]
        .into_iter()
        .try_fold(Amount::ZERO, |sum, (count, each)| sum.checked_add(each.checked_mul(count)?))
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::U256;

    use super::*;

    fn sum(price: &Price, of: &Quantities) -> Result<U256, Unpriced> {
        Ok(price.parts(of)?.into_iter().map(|part| part.amount.0).sum())
    }

    #[test]
    fn each_part_is_counted_and_what_has_no_price_is_refused() {
        let price = Price {
            per_request: Amount(U256::from(10)),
            per_token: Amount(U256::from(3)),
            per_prompt_token: Amount(U256::from(2)),
            per_cached_token: None,
            per_reasoning_token: None,
            per_image: Some(Amount(U256::from(100))),
            image_sizes: [("1x1".to_owned(), Amount(U256::from(1000)))].into(),
            minimum: Amount::ZERO,
        };
        let of = Quantities { prompt_tokens: 100, max_tokens: 4, choices: 2, ..Quantities::default() };
        assert_eq!(sum(&price, &of), Ok(U256::from(10 + 200 + 24)));
        let seen = Quantities { images: 2, ..of };
        assert_eq!(sum(&price, &seen), Ok(U256::from(10 + 200 + 24 + 200)));
        assert_eq!(sum(&Price { per_image: None, ..price.clone() }, &seen), Err(Unpriced::Images));
        let made = |size: &str| Quantities { made: Some((3, size.into())), ..Quantities::default() };
        assert_eq!(sum(&price, &made("1x1")), Ok(U256::from(10 + 3000)));
        assert_eq!(sum(&price, &made("2x2")), Err(Unpriced::Size("1x1".into())));
    }

    #[test]
    fn a_price_that_does_not_fit_is_no_price() {
        let huge = Price { per_token: Amount(U256::MAX), ..Price::default() };
        let of = |max_tokens, choices| Quantities { max_tokens, choices, ..Quantities::default() };
        assert_eq!(sum(&huge, &of(1, 1)), Ok(U256::MAX));
        assert_eq!(huge.parts(&of(2, 1)), Err(Unpriced::Beyond));
        assert_eq!(huge.parts(&of(1, 2)), Err(Unpriced::Beyond));
    }

    #[test]
    fn an_api_whose_requests_would_cost_nothing_is_told() {
        let nothing =
            |price: Price| Api::ALL.into_iter().filter(|api| price.is_nothing_for(*api)).collect::<Vec<_>>();
        let one = Amount::ONE;
        assert_eq!(nothing(Price::default()), Api::ALL);
        assert_eq!(nothing(Price { per_image: Some(one), ..Price::default() }), Api::ALL);
        assert!(nothing(Price { minimum: one, ..Price::default() }).is_empty());
        assert!(nothing(Price { per_prompt_token: one, ..Price::default() }).is_empty());
        let written = Price { per_token: one, ..Price::default() };
        assert_eq!(nothing(written), [Api::Embeddings, Api::Rerank, Api::Images]);
        let sizes = |amount| [("a".to_owned(), one), ("b".to_owned(), amount)].into();
        assert!(
            nothing(Price { image_sizes: sizes(Amount::ZERO), ..Price::default() }).contains(&Api::Images)
        );
        assert!(!nothing(Price { image_sizes: sizes(one), ..Price::default() }).contains(&Api::Images));
    }
}
