//! `[gateway.models]`: a model that is sold, and what it costs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use salt402_gateway::{Adjustment, Api, Model, Price, Quantities, Rate, ServerOptions, Upstream};
use salt402_protocol::Amount;
use serde::Deserialize;
use url::Url;

use super::error::ConfigError;
use super::prices::{AdjustmentConfig, Currency, PriceTexts};
use super::secret;
use super::served::{ApiName, ServerKind};

/// What is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum ChargeConfig {
    #[default]
    Most,
    Used,
}

/// A model.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct ModelConfig {
    /// The address of an OpenAI-compatible server, such as `http://127.0.0.1:8000/v1`; or `demo`, the built-in model.
    upstream: String,
    /// The model's name at that server. Left out: the name of the table.
    #[serde(default)]
    upstream_model: Option<String>,
    /// The environment variable that holds that server's API key. Left out: none.
    #[serde(default)]
    api_key_env: Option<String>,
    /// A file with that server's API key. Relative to this file. Left out: none.
    #[serde(default)]
    api_key_file: Option<PathBuf>,
    /// What the model is, in words.
    #[serde(default)]
    description: String,
    /// The price of any request, such as `0.001 SALT`, or a whole number of base units. Left out: 0.
    #[serde(default)]
    price_per_request: Option<String>,
    /// The additional price per token that a request may generate. Left out: 0.
    #[serde(default)]
    price_per_token: Option<String>,
    /// The additional price per token that the prompt may have: one per byte of it, and those of the template. Left
    /// out: 0.
    #[serde(default)]
    price_per_prompt_token: Option<String>,
    /// The price of each image in a prompt, with all tokens that it becomes. Left out: images are refused.
    #[serde(default)]
    price_per_image: Option<String>,
    /// The price per token of a prompt that the server read from its cache, with `charge = "used"`: at most `price_per_prompt_token`. Left
    /// out: `price_per_prompt_token`.
    #[serde(default)]
    price_per_cached_token: Option<String>,
    /// The price per token of reasoning, with `charge = "used"`: at most `price_per_token`. Left out: `price_per_token`.
    #[serde(default)]
    price_per_reasoning_token: Option<String>,
    /// What is charged. `most`: what the request may cost at the most. `used`: what it used, of whoever pays by a voucher or signs a
    /// ceiling (`payment.signatures.upto`); other payments are charged as they were made.
    #[serde(default)]
    charge: ChargeConfig,
    /// Whether vLLM is asked to count with every event of a stream that is charged what it used. It counts reasoning anew each time:
    /// say false where a reasoning parser reads long answers, or where a proxy before it refuses `continuous_usage_stats`.
    #[serde(default = "continuous_usage")]
    continuous_usage: bool,
    /// The least that any request costs. Left out: 0.
    #[serde(default)]
    minimum_price: Option<String>,
    /// The price of each image that is made, by its size, such as `{ "1024x1024" = "0.04 SALT" }`. Other sizes are refused.
    #[serde(default)]
    image_sizes: BTreeMap<String, String>,
    /// The size of images that are made if a request does not say. Left out: a request must say.
    #[serde(default)]
    image_size: Option<String>,
    /// Conditions that change the price, in their order.
    #[serde(default)]
    adjustments: Vec<AdjustmentConfig>,
    /// What kind of server runs the model: `llama.cpp`, `vllm`, `ollama` or `openai`. It decides which members of a body are passed on. Left
    /// out: those that all of them know.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    server: ServerKind,
    /// The APIs that the model is sold by: `chat`, `completions`, `embeddings`, `messages`, `responses`, `rerank`, `images`. Left out:
    /// `chat` and `completions`; with `openai`, `chat` and `responses`; with another `server`, `messages` and `responses` too.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>"))]
    apis: Option<Vec<ApiName>>,
    /// The path of an endpoint of its own, such as `/nano`, whose body need not name the model. It is asked as `chat` is, or `embeddings`, or
    /// `images`, or the first of its APIs. Left out: none.
    #[serde(default)]
    endpoint: Option<String>,
    /// The longest prompt: 1 or more. Left out: as much as `max_body_bytes` allows.
    #[serde(default)]
    max_prompt_bytes: Option<usize>,
    /// The most tokens that the server's template puts around a prompt.
    #[serde(default = "template_tokens")]
    template_tokens: u32,
    /// The most tokens that the server's template puts around each message.
    #[serde(default = "message_tokens")]
    message_tokens: u32,
    /// The most tokens that the server's template adds where a request has tools, or a form that the answer must have.
    #[serde(default = "tools_tokens")]
    tools_tokens: u32,
    /// How many tokens are generated if a request does not say: 1 to `max_tokens`.
    #[serde(default = "default_tokens")]
    default_tokens: u32,
    /// The most tokens that a request may ask for: 1 or more.
    #[serde(default = "max_tokens")]
    max_tokens: u32,
    /// How long that server may take to answer, and to begin a stream: 1 or more.
    #[serde(default = "timeout")]
    timeout_s: u64,
    /// How long a stream of that server may pause: 1 or more.
    #[serde(default = "pause")]
    pause_s: u64,
    /// How many requests that server is sent at once. 0 is no limit.
    #[serde(default = "at_once")]
    at_once: usize,
    /// How many more requests may wait for their turn. When as many wait, nothing is sold.
    #[serde(default = "queue")]
    queue: usize,
}

fn continuous_usage() -> bool {
    true
}
fn default_tokens() -> u32 {
    512
}
fn max_tokens() -> u32 {
    8192
}
fn template_tokens() -> u32 {
    32
}
fn message_tokens() -> u32 {
    16
}
fn tools_tokens() -> u32 {
    512
}
fn timeout() -> u64 {
    120
}
fn pause() -> u64 {
    60
}
fn at_once() -> usize {
    64
}
fn queue() -> usize {
    256
}

impl ModelConfig {
    pub(super) fn check(&self, name: &str) -> Result<(), ConfigError> {
        let key = |field: &str| format!("gateway.models.{name}.{field}");
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        if !plain {
            return Err(ConfigError::value(
                format!("gateway.models.{name:?}"),
                "expected a name of visible ASCII",
            ));
        }
        if self.max_tokens == 0 || self.default_tokens == 0 || self.default_tokens > self.max_tokens {
            let what =
                format!("expected 1 to max_tokens ({}), found {}", self.max_tokens, self.default_tokens);
            return Err(ConfigError::value(key("default_tokens"), what));
        }
        if self.max_prompt_bytes == Some(0) {
            return Err(ConfigError::value(key("max_prompt_bytes"), "expected at least 1"));
        }
        if self.timeout_s == 0 {
            return Err(ConfigError::value(key("timeout_s"), "expected at least 1"));
        }
        if self.api_key_env.is_some() && self.api_key_file.is_some() {
            return Err(ConfigError::value(key("api_key_env"), "and api_key_file cannot both be given"));
        }
        if let Some(size) = &self.image_size
            && !self.image_sizes.contains_key(size)
        {
            return Err(ConfigError::value(key("image_size"), "expected one of image_sizes"));
        }
        if self.apis().contains(&Api::Images) && self.image_sizes.is_empty() {
            let what = "expected a price for each size, since the model is sold by images";
            return Err(ConfigError::value(key("image_sizes"), what));
        }
        if self.pause_s == 0 {
            return Err(ConfigError::value(key("pause_s"), "expected at least 1"));
        }
        if let Some(endpoint) = &self.endpoint
            && let Err(what) = check_endpoint(endpoint)
        {
            return Err(ConfigError::value(key("endpoint"), what));
        }
        let demo_has = |api: &Api| matches!(api, Api::Chat | Api::Completions);
        if self.upstream == "demo" && !self.apis().iter().all(demo_has) {
            return Err(ConfigError::value(key("apis"), "the built-in model has chat and completions alone"));
        }
        if self.apis().is_empty() {
            return Err(ConfigError::value(key("apis"), "expected at least one, or leave it out"));
        }
        self.adjustments(name)?;
        self.address(name).map(|_| ())
    }

    /// The path of an endpoint of its own.
    pub(super) fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Whether it costs dollars. No prompt is longer than a `body`, in bytes.
    pub(super) fn is_in_dollars(
        &self,
        name: &str,
        unit: &(String, u8),
        body: usize,
    ) -> Result<bool, ConfigError> {
        Ok(self.price(name, unit, body)?.1 == Currency::Usd)
    }

    /// The model as it is sold. `rate` is what a dollar buys.
    pub(super) fn sold(
        &self,
        name: &str,
        unit: &(String, u8),
        body: usize,
        rate: Option<&Arc<Rate>>,
        upstream: Upstream,
    ) -> Result<Model, ConfigError> {
        let (price, currency) = self.price(name, unit, body)?;
        Ok(Model {
            description: self.description.clone(),
            price,
            by_use: self.charge == ChargeConfig::Used,
            continuous_usage: self.continuous_usage,
            adjustments: self.adjustments(name)?.into(),
            rate: rate.filter(|_| currency == Currency::Usd).cloned(),
            image_size: self.image_size.clone(),
            default_tokens: self.default_tokens,
            max_tokens: self.max_tokens,
            max_prompt_bytes: self.longest_prompt(body),
            template_tokens: self.template_tokens,
            message_tokens: self.message_tokens,
            tools_tokens: self.tools_tokens,
            server: self.server.0,
            apis: self.apis(),
            endpoint: self.endpoint.clone(),
            upstream: Arc::new(upstream),
        })
    }

    /// The APIs that it is sold by.
    fn apis(&self) -> BTreeSet<Api> {
        match &self.apis {
            Some(names) => names.iter().map(|name| name.0).collect(),
            None => self.server.0.apis().iter().copied().collect(),
        }
    }

    fn address(&self, name: &str) -> Result<Option<Url>, ConfigError> {
        if self.upstream == "demo" {
            return Ok(None);
        }
        match Url::parse(&self.upstream) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Some(url)),
            _ => Err(ConfigError::value(
                format!("gateway.models.{name}.upstream"),
                format!("expected \"demo\" or an http(s) address, found {:?}", self.upstream),
            )),
        }
    }

    /// No prompt is longer than the body that contains it.
    fn longest_prompt(&self, body: usize) -> usize {
        self.max_prompt_bytes.unwrap_or(body).min(body)
    }

    /// What it costs, and whether that is in dollars.
    fn price(&self, name: &str, unit: &(String, u8), body: usize) -> Result<(Price, Currency), ConfigError> {
        let key = format!("gateway.models.{name}");
        let texts = PriceTexts {
            per_request: self.price_per_request.as_deref(),
            per_token: self.price_per_token.as_deref(),
            per_prompt_token: self.price_per_prompt_token.as_deref(),
            per_cached_token: self.price_per_cached_token.as_deref(),
            per_reasoning_token: self.price_per_reasoning_token.as_deref(),
            per_image: self.price_per_image.as_deref(),
            image_sizes: &self.image_sizes,
            minimum: self.minimum_price.as_deref(),
        };
        let (price, currency) = texts.read(&key, unit)?;
        if let Some(api) = self.apis().into_iter().find(|api| price.is_nothing_for(*api)) {
            let what = format!(
                "expected a price, such as \"0.001 {}\", here or in price_per_prompt_token: what is sold by {api} would cost \
                 nothing",
                unit.0
            );
            return Err(ConfigError::value(format!("{key}.price_per_request"), what));
        }
        let longest = (self.longest_prompt(body) as u64).saturating_add(u64::from(self.template_tokens));
        let most = Quantities {
            prompt_tokens: longest,
            max_tokens: self.max_tokens,
            choices: 1,
            ..Quantities::default()
        };
        // With room for conditions and for what a dollar buys.
        let fits = price
            .parts(&most)
            .ok()
            .and_then(|parts| parts.iter().try_fold(Amount::ZERO, |sum, part| sum.checked_add(part.amount)));
        if fits.is_none() {
            return Err(ConfigError::value(
                format!("{key}.price_per_request"),
                "with price_per_token for max_tokens and price_per_prompt_token for the longest prompt is beyond 2^256 - 1 \
                 base units",
            ));
        }
        Ok((price, currency))
    }

    /// The conditions that change its price.
    fn adjustments(&self, name: &str) -> Result<Vec<Adjustment>, ConfigError> {
        let read = |(at, adjustment): (usize, &AdjustmentConfig)| {
            adjustment.read(&format!("gateway.models.{name}.adjustments[{at}]"))
        };
        self.adjustments.iter().enumerate().map(read).collect()
    }

    /// What runs it. Its API key is read here, below `folder`.
    pub(super) fn upstream(&self, name: &str, folder: &Path) -> Result<Upstream, ConfigError> {
        let Some(server) = self.address(name)? else { return Ok(Upstream::Demo) };
        let key = secret::api_key(
            name,
            self.api_key_env.as_deref(),
            self.api_key_file.as_deref().map(|path| folder.join(path)),
        )?;
        let model = self.upstream_model.clone().unwrap_or_else(|| name.to_owned());
        let options = ServerOptions {
            base: server,
            model,
            key,
            timeout: Duration::from_secs(self.timeout_s),
            pause: Duration::from_secs(self.pause_s),
            at_once: self.at_once,
            queue: self.queue,
        };
        Upstream::openai(options)
            .map_err(|error| ConfigError::value(format!("gateway.models.{name}.upstream"), error.to_string()))
    }
}

/// A path of one reading that is no other route's.
fn check_endpoint(endpoint: &str) -> Result<(), String> {
    const OTHERS: [&str; 7] = ["/v1", "/openapi.json", "/healthz", "/readyz", "/metrics", "/models", "/a2a"];
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    let mut parts = endpoint.split('/');
    if parts.next() != Some("") || !parts.clone().all(plain) {
        return Err(format!(
            "expected a path such as \"/nano\", of lower-case letters, digits, - and _, found {endpoint:?}"
        ));
    }
    if OTHERS.iter().any(|other| endpoint == *other || endpoint.starts_with(&format!("{other}/"))) {
        return Err(format!("{endpoint} is a path of the gateway's own"));
    }
    Ok(())
}
