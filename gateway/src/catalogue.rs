//! The models that are sold, and their prices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salt402_protocol::Amount;

use crate::api::kind::{Api, Server};
use crate::upstream::Upstream;

/// What a request costs, in base units of the gateway's asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// For any request.
    pub per_request: Amount,
    /// Per token that the request may generate (its `max_tokens`).
    pub per_token: Amount,
    /// Per token that the prompt may have: one per byte of it, and those of the template around it.
    pub per_prompt_token: Amount,
    /// Per image that the prompt has, with all tokens that it becomes. `None`: images are refused.
    pub per_image: Option<Amount>,
    /// The least that a request costs.
    pub minimum: Amount,
}

impl Price {
    /// The cost of a request with at most `prompt_tokens` in its prompt that may generate `tokens`. `None` above 2²⁵⁶ −
    /// 1.
    pub fn of(&self, prompt_tokens: u64, tokens: u32) -> Option<Amount> {
        self.bound(prompt_tokens, u64::from(tokens), 0)
    }

    /// The most that a request may cost which reads and writes so many tokens, and has so many images. `None` above 2²⁵⁶ −
    /// 1, and if there are images that have no price.
    pub fn bound(&self, prompt_tokens: u64, tokens: u64, images: u64) -> Option<Amount> {
        let read = self.per_prompt_token.checked_mul(prompt_tokens)?;
        let seen = if images == 0 { Amount::ZERO } else { self.per_image?.checked_mul(images)? };
        let sum = self.per_token.checked_mul(tokens)?.checked_add(read)?.checked_add(seen)?;
        Some(sum.checked_add(self.per_request)?.max(self.minimum))
    }
}

/// A model that is sold.
#[derive(Clone, Debug)]
pub struct Model {
    /// A description in words.
    pub description: String,
    /// What it costs.
    pub price: Price,
    /// How many tokens are generated if a request does not say.
    pub default_tokens: u32,
    /// The most tokens that a request may ask for.
    pub max_tokens: u32,
    /// The longest prompt, in bytes.
    pub max_prompt_bytes: usize,
    /// The most tokens that the server's template puts around a prompt.
    pub template_tokens: u32,
    /// The most tokens that it puts around each message, and around each call of a tool.
    pub message_tokens: u32,
    /// The most tokens that it adds where there are tools, or a form that the answer must have.
    pub tools_tokens: u32,
    /// What kind of server runs it, which decides which members of a body are passed on.
    pub server: Server,
    /// Which APIs it is sold by, besides `POST /v1/inference`.
    pub apis: BTreeSet<Api>,
    /// The path of its own endpoint. `None`: it has none.
    pub endpoint: Option<String>,
    /// Who runs it.
    pub upstream: Arc<Upstream>,
}

impl Model {
    /// The API by which its own endpoint is asked, and its server is tried.
    pub(crate) fn main_api(&self) -> Api {
        const ORDER: [Api; 7] = [
            Api::Chat,
            Api::Embeddings,
            Api::Images,
            Api::Completions,
            Api::Messages,
            Api::Responses,
            Api::Rerank,
        ];
        ORDER.into_iter().find(|api| self.apis.contains(api)).unwrap_or(Api::Chat)
    }

    /// The most tokens that a prompt can have: each token of a byte-level vocabulary stands for at least one byte.
    ///
    /// This is a limit, not a count. To count, a tokenizer would need seconds for some megabytes, and nobody has paid
    /// for that yet.
    pub fn prompt_tokens(&self, bytes: usize) -> u64 {
        (bytes as u64).saturating_add(u64::from(self.template_tokens))
    }

    /// The most tokens that the server reads of so many bytes in so many messages.
    pub(crate) fn shown_tokens(&self, bytes: u64, messages: u64, tools: bool) -> u64 {
        let around = u64::from(self.message_tokens).saturating_mul(messages);
        let tools = if tools { u64::from(self.tools_tokens) } else { 0 };
        bytes.saturating_add(around).saturating_add(u64::from(self.template_tokens)).saturating_add(tools)
    }
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
        let price = |per_request: u64, per_token: U256, per_prompt_token: U256| Price {
            per_request: Amount(U256::from(per_request)),
            per_token: Amount(per_token),
            per_prompt_token: Amount(per_prompt_token),
            per_image: None,
            minimum: Amount::ZERO,
        };
        let small = price(10, U256::from(3), U256::from(2));
        assert_eq!(small.of(100, 4), Some(Amount(U256::from(222))));
        for huge in [price(1, U256::MAX, U256::ZERO), price(1, U256::ZERO, U256::MAX)] {
            assert_eq!(huge.of(1, 1), None);
            assert_eq!(huge.of(2, 2), None);
        }
    }
}
