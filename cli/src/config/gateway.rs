//! `[gateway]`: which models are sold, and at which price.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use salt402_gateway::{
    Adjustment, Api, BatchLimits, Catalogue, MOST_OF_A_BATCH, Model, Price, Quantities, Rate, Routes,
    ServerOptions, Service, Services, Upstream,
};
use salt402_http::Limits;
use salt402_paywall::{CorsLayer, browsers};
use salt402_protocol::Amount;
use serde::Deserialize;
use url::Url;

use super::connections::ConnectionsConfig;
use super::error::ConfigError;
use super::keys::KeysConfig;
use super::model_route::ModelRouteConfig;
use super::prices::{AdjustmentConfig, Currency, PriceTexts, UsdConfig};
use super::secret;
use super::served::{ApiName, ServerKind};
use super::service::ServiceConfig;
use super::socket::{Mode, is_verifier};
use crate::listen::Endpoint;

/// The gateway.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct GatewayConfig {
    /// The address and port on which it listens.
    #[serde(default = "listen")]
    pub(crate) listen: SocketAddr,
    /// A socket in the file system besides the port. Relative to this file. Left out: none.
    #[serde(default)]
    socket: Option<PathBuf>,
    /// The socket's permissions, in octal. Left out: `"0660"`.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    socket_mode: Mode,
    /// How much clients may take of time and of room.
    #[serde(default)]
    connections: ConnectionsConfig,
    /// The verifier to ask if the gateway runs alone (`salt402 serve`): `http://…`, or `unix:/path` for its socket.
    #[serde(default)]
    pub(crate) verifier: Option<Url>,
    /// The largest body of a request: 1024 to 67108864.
    #[serde(default = "body_limit")]
    pub(crate) max_body_bytes: usize,
    /// How long a proof may wait for its payment before the client is asked to come back.
    #[serde(default = "wait")]
    pub(crate) wait_ms: u64,
    /// How long answers are kept, for payers whose connection broke.
    #[serde(default = "keep")]
    pub(crate) keep_answers_s: u64,
    /// How much disk space kept answers may take. The oldest are dropped first.
    #[serde(default = "keep_bytes")]
    pub(crate) keep_answers_bytes: u64,
    /// How long a stream goes on that nobody reads any more, before the model server is stopped. The payer may have it
    /// run again.
    #[serde(default = "leave_grace")]
    pub(crate) leave_grace_s: u64,
    /// How long a stream that is paid as it goes waits for its next vouchers, in all its pauses together: 1 to 3600. After that it ends,
    /// and what was given of it is charged.
    #[serde(default = "voucher_wait")]
    pub(crate) voucher_wait_s: u64,
    /// The longest streamed answer that is kept, in bytes: 65536 to 268435456. A longer one is given once.
    #[serde(default = "largest_kept")]
    pub(crate) largest_kept_bytes: u64,
    /// How long a stream may take at the most after its first event, with its pauses: 1 to 86400. After that it ends. One that is charged by
    /// use to a voucher ends after half of its channel's exit delay, if that is less.
    #[serde(default = "longest_stream")]
    pub(crate) longest_stream_s: u64,
    /// How many bytes a second the fastest reader of a stream must take while the model server waits for it. Slower ones are waited for no
    /// more, and get the rest from a file. A stream that is paid as it goes ends then. 0: they are waited for.
    #[serde(default = "least_reader_bytes")]
    pub(crate) least_reader_bytes_s: u64,
    /// How often a paid request is run at most if runs fail: 2 to 1000.
    #[serde(default = "max_runs")]
    pub(crate) max_runs: u32,
    /// How many requests one body of `POST /v1/inference/batch` may have: 1 to 4096.
    #[serde(default = "batch_most")]
    batch_most: usize,
    /// How many requests of one batch run at once: 1 to 256.
    #[serde(default = "batch_at_once")]
    batch_at_once: usize,
    /// The origins of browser pages that may ask and read the answers, such as `["https://app.example"]`. `["*"]` means
    /// all. Left out: none.
    #[serde(default)]
    origins: Vec<String>,
    /// How often a kept answer is given again, within a minute, to those who show the payment without its quote id.
    #[serde(default = "bare_again")]
    pub(crate) bare_again: u32,
    /// API keys, and the balances that they draw. Left out: none are taken.
    #[serde(default)]
    pub(crate) keys: Option<KeysConfig>,
    /// What a dollar buys, for prices in `USD`. Left out: prices are in the asset.
    #[serde(default)]
    pub(crate) usd: Option<UsdConfig>,
    /// The models that are sold, each under the name that clients use.
    #[serde(default)]
    models: BTreeMap<String, ModelConfig>,
    /// Names under which the best of several models answers.
    #[serde(default)]
    routes: Vec<ModelRouteConfig>,
    /// The HTTP services that are sold by path. A path of the gateway's own is never one of theirs.
    #[serde(default)]
    services: Vec<ServiceConfig>,
}

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
struct ModelConfig {
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

fn listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4021))
}
fn body_limit() -> usize {
    256 * 1024
}
fn wait() -> u64 {
    10_000
}
fn keep() -> u64 {
    24 * 3600
}
fn keep_bytes() -> u64 {
    1024 * 1024 * 1024
}
fn leave_grace() -> u64 {
    10
}
fn longest_stream() -> u64 {
    3600
}
fn least_reader_bytes() -> u64 {
    512
}
fn voucher_wait() -> u64 {
    60
}
fn largest_kept() -> u64 {
    8 * 1024 * 1024
}
fn max_runs() -> u32 {
    10
}
fn batch_most() -> usize {
    256
}
fn batch_at_once() -> usize {
    8
}
fn bare_again() -> u32 {
    3
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

impl GatewayConfig {
    /// Where it listens, behind these proxies. Sockets are below `folder`.
    pub(crate) fn endpoint(&self, folder: &Path, proxies: Vec<IpNet>) -> Endpoint {
        Endpoint {
            part: "gateway",
            address: self.listen,
            socket: self.socket.as_ref().map(|path| (folder.join(path), self.socket_mode.0)),
            // They were checked before anything listens.
            limits: Limits {
                browsers: self.browsers().unwrap_or_default(),
                ..self.connections.limits(self.largest_body(), proxies)
            },
        }
    }

    /// What lets pages in browsers ask.
    pub(crate) fn browsers(&self) -> Result<Option<CorsLayer>, ConfigError> {
        browsers(&self.origins).map_err(|error| ConfigError::value("gateway.origins", error.to_string()))
    }

    /// Which pages may ask, in words.
    pub(crate) fn origins(&self) -> String {
        match &self.origins[..] {
            [] => "no page in a browser may ask".to_owned(),
            [any] if any == "*" => "any page in a browser may ask".to_owned(),
            origins => format!("pages of {} may ask", origins.join(", ")),
        }
    }

    pub(crate) fn check(&self, unit: &(String, u8)) -> Result<(), ConfigError> {
        self.browsers()?;
        if let Some(usd) = &self.usd {
            usd.check(unit)?;
        }
        if let Some(keys) = &self.keys {
            keys.options(unit)?;
        }
        self.connections.check("gateway")?;
        if let Some(verifier) = &self.verifier
            && !is_verifier(verifier)
        {
            let what = "expected an http(s) address, or unix:/path for the verifier's socket";
            return Err(ConfigError::value("gateway.verifier", what));
        }
        if self.models.is_empty() && self.services.is_empty() {
            let what =
                "none is configured: add a table such as [gateway.models.demo], or a [[gateway.services]]";
            return Err(ConfigError::value("gateway.models", what));
        }
        self.services(unit)?;
        let body = self.max_body_bytes as u64;
        ConfigError::unless_within("gateway.max_body_bytes", body, 1024..=64 * 1024 * 1024)?;
        if let Some(key) = self.connections.hinders(self.largest_body()) {
            let what = format!("is more than gateway.connections.{key}: such a body would never be read");
            return Err(ConfigError::value("gateway.max_body_bytes", what));
        }
        let largest = self.largest_kept_bytes;
        ConfigError::unless_within("gateway.largest_kept_bytes", largest, 64 * 1024..=256 * 1024 * 1024)?;
        ConfigError::unless_within("gateway.longest_stream_s", self.longest_stream_s, 1..=86_400)?;
        ConfigError::unless_within("gateway.voucher_wait_s", self.voucher_wait_s, 1..=3600)?;
        ConfigError::unless_within("gateway.max_runs", self.max_runs.into(), 2..=1000)?;
        ConfigError::unless_within("gateway.batch_most", self.batch_most as u64, 1..=MOST_OF_A_BATCH as u64)?;
        ConfigError::unless_within("gateway.batch_at_once", self.batch_at_once as u64, 1..=256)?;
        let mut endpoints = BTreeSet::new();
        for (name, model) in &self.models {
            model.check(name)?;
            if let Some(endpoint) = &model.endpoint
                && !endpoints.insert(endpoint)
            {
                let key = format!("gateway.models.{name}.endpoint");
                return Err(ConfigError::value(key, format!("{endpoint} is another model's")));
            }
            let (_, currency) = model.price(name, unit, self.max_body_bytes)?;
            if currency == Currency::Usd && self.usd.is_none() {
                let what = "is in USD: say what a dollar buys, in [gateway.usd]";
                return Err(ConfigError::value(format!("gateway.models.{name}"), what));
            }
            model.adjustments(name)?;
        }
        for (index, route) in self.routes.iter().enumerate() {
            route.check(index, unit, self.models.keys())?;
            if route.is_in_dollars(index, unit)? && self.usd.is_none() {
                let what = "is in USD: say what a dollar buys, in [gateway.usd]";
                return Err(ConfigError::value(format!("gateway.routes[{index}]"), what));
            }
        }
        self.routes(unit, None).map(|_| ())
    }

    /// How large batches are.
    pub(crate) const fn batches(&self) -> BatchLimits {
        BatchLimits { most: self.batch_most, at_once: self.batch_at_once }
    }

    /// The routes that are sold; prices are in `unit`. `rate` is what a dollar buys.
    pub(crate) fn routes(
        &self,
        unit: &(String, u8),
        rate: Option<&Arc<Rate>>,
    ) -> Result<Routes, ConfigError> {
        let mut routes = Routes::default();
        for (index, route) in self.routes.iter().enumerate() {
            if routes.0.insert(route.name().to_owned(), route.route(index, unit, rate)?).is_some() {
                let what = format!("is {:?}, as another route is: each name once", route.name());
                return Err(ConfigError::value(format!("gateway.routes[{index}].name"), what));
            }
        }
        Ok(routes)
    }

    /// The largest body of any priced request.
    fn largest_body(&self) -> usize {
        let of_services = self.services.iter().map(|service| service.largest_body(self.max_body_bytes));
        of_services.max().unwrap_or(0).max(self.max_body_bytes)
    }

    /// The services that are sold; prices are in `unit`.
    pub(crate) fn services(&self, unit: &(String, u8)) -> Result<Services, ConfigError> {
        let mut names = BTreeSet::new();
        let mut services = Vec::with_capacity(self.services.len());
        for (index, service) in self.services.iter().enumerate() {
            if !names.insert(service.name()) {
                let what = format!("is {:?}, as another service is: each name once", service.name());
                return Err(ConfigError::value(format!("gateway.services[{index}].name"), what));
            }
            let options = service.options(index, unit, self.max_body_bytes)?;
            let made = Service::new(options).map_err(|error| {
                ConfigError::value(format!("gateway.services[{index}].upstream"), error.to_string())
            })?;
            services.push(made);
        }
        Ok(Services::new(services))
    }

    /// What is sold; prices are in `unit`. API keys are read here, below `folder`, so use this to run, not to check.
    /// `rate` is what a dollar buys.
    pub(crate) fn catalogue(
        &self,
        unit: &(String, u8),
        folder: &Path,
        rate: Option<&Arc<Rate>>,
    ) -> Result<Catalogue, ConfigError> {
        self.models(unit, rate, |name, model| model.upstream(name, folder))
    }

    /// What is sold, to read prices alone: nothing in it can be run, and no API key is read.
    pub(crate) fn price_list(
        &self,
        unit: &(String, u8),
        rate: Option<&Arc<Rate>>,
    ) -> Result<Catalogue, ConfigError> {
        self.models(unit, rate, |_, _| Ok(Upstream::Demo))
    }

    fn models(
        &self,
        unit: &(String, u8),
        rate: Option<&Arc<Rate>>,
        upstream: impl Fn(&str, &ModelConfig) -> Result<Upstream, ConfigError>,
    ) -> Result<Catalogue, ConfigError> {
        let mut catalogue = Catalogue::default();
        for (name, model) in &self.models {
            let (price, currency) = model.price(name, unit, self.max_body_bytes)?;
            catalogue.0.insert(
                name.clone(),
                Model {
                    description: model.description.clone(),
                    price,
                    by_use: model.charge == ChargeConfig::Used,
                    adjustments: model.adjustments(name)?.into(),
                    rate: rate.filter(|_| currency == Currency::Usd).cloned(),
                    image_size: model.image_size.clone(),
                    default_tokens: model.default_tokens,
                    max_tokens: model.max_tokens,
                    max_prompt_bytes: model.longest_prompt(self.max_body_bytes),
                    template_tokens: model.template_tokens,
                    message_tokens: model.message_tokens,
                    tools_tokens: model.tools_tokens,
                    server: model.server.0,
                    apis: model.apis(),
                    endpoint: model.endpoint.clone(),
                    upstream: Arc::new(upstream(name, model)?),
                },
            );
        }
        Ok(catalogue)
    }
}

impl ModelConfig {
    fn check(&self, name: &str) -> Result<(), ConfigError> {
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
        self.address(name).map(|_| ())
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

    fn upstream(&self, name: &str, folder: &Path) -> Result<Upstream, ConfigError> {
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
