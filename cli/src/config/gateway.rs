//! `[gateway]`: which models are sold, and at which price.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use salt402_gateway::{BatchLimits, Catalogue, MOST_OF_A_BATCH, Rate, Routes, Service, Services, Upstream};
use salt402_http::Limits;
use salt402_paywall::{CorsLayer, browsers};
use serde::Deserialize;
use url::Url;

use super::connections::ConnectionsConfig;
use super::error::ConfigError;
use super::keys::KeysConfig;
use super::model::ModelConfig;
use super::model_route::ModelRouteConfig;
use super::prices::UsdConfig;
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
            if let Some(endpoint) = model.endpoint()
                && !endpoints.insert(endpoint)
            {
                let key = format!("gateway.models.{name}.endpoint");
                return Err(ConfigError::value(key, format!("{endpoint} is another model's")));
            }
            if model.is_in_dollars(name, unit, self.max_body_bytes)? && self.usd.is_none() {
                let what = "is in USD: say what a dollar buys, in [gateway.usd]";
                return Err(ConfigError::value(format!("gateway.models.{name}"), what));
            }
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
            let upstream = upstream(name, model)?;
            catalogue.0.insert(name.clone(), model.sold(name, unit, self.max_body_bytes, rate, upstream)?);
        }
        Ok(catalogue)
    }
}
