//! The models that are sold, and their prices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salt402_http::clock::now;

use crate::kinds::{Api, Server};
use crate::pricing::{Adjustment, Cost, Price, Quantities, Rate, Unpriced};
use crate::upstream::Upstream;

/// A model that is sold.
#[derive(Clone, Debug)]
pub struct Model {
    /// A description in words.
    pub description: String,
    /// What it costs.
    pub price: Price,
    /// Whether whoever authorizes a ceiling is charged what was used.
    pub by_use: bool,
    /// Whether vLLM is asked to count with every event of a stream that is charged so.
    pub continuous_usage: bool,
    /// Conditions that change what it costs, in their order.
    pub adjustments: Arc<[Adjustment]>,
    /// What a dollar buys, if its prices are in dollars.
    pub rate: Option<Arc<Rate>>,
    /// The size of images that are made if a request does not say.
    pub image_size: Option<String>,
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
    /// Which APIs it is sold by. One that is sold by [`Api::Chat`] is sold by `POST /v1/inference` too.
    pub apis: BTreeSet<Api>,
    /// The path of its own endpoint. `None`: it has none.
    pub endpoint: Option<String>,
    /// Who runs it.
    pub upstream: Arc<Upstream>,
}

impl Model {
    /// What so much of it costs now, under the name that it is sold by.
    ///
    /// # Errors
    /// If it has no price.
    pub fn cost(&self, name: &str, of: &Quantities) -> Result<Cost, Unpriced> {
        Cost::of(name, &self.price, &self.adjustments, self.rate.as_deref(), of, now())
    }

    /// Whether its server can be asked to tell with each event of a stream what was used up to there. Of several answers each has a count
    /// of its own, and nothing tells their sum.
    pub(crate) fn tells_continuous_usage(&self, choices: u64) -> bool {
        self.continuous_usage && self.server == Server::Vllm && choices == 1
    }

    /// Whether it is sold by `POST /v1/inference`.
    pub(crate) fn is_of_texts(&self) -> bool {
        self.apis.contains(&Api::Chat)
    }

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

    /// The models of texts, which `POST /v1/inference` and its kin are asked of.
    pub(crate) fn of_texts(&self) -> impl Iterator<Item = (&String, &Model)> {
        self.0.iter().filter(|(_, model)| model.is_of_texts())
    }

    /// What is asked at a path: an API, and its model if the path is a model's own.
    pub fn asked_at(&self, path: &str) -> Option<(Api, Option<&str>)> {
        let own = self.0.iter().find(|(_, model)| model.endpoint.as_deref() == Some(path));
        match own {
            Some((name, model)) => Some((model.main_api(), Some(name))),
            None => Api::of_path(path).map(|api| (api, None)),
        }
    }

    /// The names, for an error that says which there are.
    pub fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}
