//! `[facilitator]`: where it listens, who may ask, and how it sends what payers signed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use salt402_facilitator::{
    Caller, CallerRules, NetworkPolicy, NonceCheck, Policy, SettleOptions, Simulation,
};
use salt402_http::{Limits, Token};
use salt402_paywall::{CorsLayer, browsers};
use salt402_protocol::ChainId;
use serde::Deserialize;

use super::chain::ChainConfig;
use super::connections::ConnectionsConfig;
use super::error::ConfigError;
use super::facilitator_chain::FacilitatedChainConfig;
use super::facilitator_gas::{GasConfig, GasPerDayConfig};
use super::limits::RateConfig;
use super::secret;
use super::signer::KeyConfig;
use super::socket::Mode;
use super::source;
use crate::listen::Endpoint;

/// The environment variable with the private key that sends settlements, where the configuration names none.
pub(super) const FACILITATOR_KEY: &str = "SALT402_FACILITATOR_KEY";
/// The fewest characters of a caller's token.
const LEAST_TOKEN: usize = 16;
/// A folder that all processes of a machine share, and that is empty after it starts.
const SHARED_LOCKS: &str = "/run/lock";
/// The largest body of a request. An x402 payload has some 3 KiB, a signature of a contract some more.
const LARGEST_BODY: usize = 256 * 1024;

/// The facilitator.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FacilitatorConfig {
    /// The address and port of its API. An address that is not loopback needs callers.
    pub(crate) listen: SocketAddr,
    /// A socket in the file system besides the port. Relative to this file. Left out: none.
    socket: Option<PathBuf>,
    /// The socket's permissions, in octal. Whoever may write to it may ask. Left out: `"0660"`.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    socket_mode: Mode,
    /// Whether callers through the socket must send a token too, if there are callers.
    pub(crate) socket_needs_token: bool,
    /// How much clients may take of time and of room.
    connections: ConnectionsConfig,
    /// The origins of browser pages that may ask, such as `["https://app.example"]`. `["*"]` means all. Left out: none.
    origins: Vec<String>,
    /// Who may ask, each under a name of your choice. Left out: anybody who reaches the address, which must be loopback.
    callers: BTreeMap<String, CallerConfig>,
    /// The private keys that send settlements and pay the gas, on chains that name none of their own. Left out: the one in
    /// the environment variable `SALT402_FACILITATOR_KEY`.
    keys: Option<Vec<KeyConfig>>,
    /// The chains to settle on, each under its name in `[chains]`. Left out: the chain of `[payment]`, or the only one.
    chains: BTreeMap<String, FacilitatedChainConfig>,
    /// How long a settlement may be waited for before it is answered `settlement_pending`: 0 to 85000. Clients of x402
    /// give up after 90 seconds.
    settle_wait_ms: u64,
    /// How many settlements of a chain may wait to be sent: 1 to 100000. Further ones are refused until there is room.
    max_waiting: usize,
    /// How many settlements may be in one transaction: 1 to 200. With 1, each has its own.
    batch: usize,
    /// For how long a settlement may wait for others to go with it, while another is on its way: 0 to 10000. None waits
    /// alone.
    batch_delay_ms: u64,
    /// How many transactions of a key may be on their way: 1 to 64. Nodes hold few of an account.
    max_open: usize,
    /// After how long without a block a transaction is sent again, and then for a higher price: 1 to 600.
    stall_s: u64,
    /// The most gas that one settlement may use.
    gas: GasConfig,
    /// The most gas of a day of a chain.
    gas_per_day: GasPerDayConfig,
    /// The folder of the locks by which one process alone sends with a key. It must be the same for all processes of the
    /// machine. Left out: `/run/lock`, or the folder of temporary files where there is none.
    locks: Option<PathBuf>,
    /// How long a payment must still be valid, so that it can be settled: 2 to 600.
    margin_s: u64,
    /// For how long a permit of `upto` that was called valid holds its payer's balance against other payments, if it is not settled:
    /// 10 to 86400. Longer than your servers work for a request.
    upto_held_s: u64,
    /// When a settlement is tried on the node before it is called valid. `contracts`: where the payer has code, or where
    /// what is known is not enough. What is known is checked in any case.
    simulate: SimulateConfig,
    /// How it is known that a payment was not settled before. `chain`: the node is asked once for each. `index`: the index
    /// is believed, which does not see what a payer cancelled; settling asks the node all the same.
    nonces: NoncesConfig,
}

/// When a settlement is tried on the node.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum SimulateConfig {
    Never,
    #[default]
    Contracts,
    Always,
}

/// How it is known that a payment was not settled before.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum NoncesConfig {
    #[default]
    Chain,
    Index,
}

/// Who may ask.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct CallerConfig {
    /// A file with the token that it sends, 16 characters or more. Relative to this file. Give this or `token_env`.
    #[serde(default)]
    token_file: Option<PathBuf>,
    /// The environment variable with the token. Give this or `token_file`.
    #[serde(default)]
    token_env: Option<String>,
    /// The payees that it may have paid, of those of the chain. Left out: all of those.
    #[serde(default)]
    payees: Option<Vec<String>>,
    /// The tokens that it may have moved, of those of the chain. Left out: all of those.
    #[serde(default)]
    tokens: Option<Vec<String>>,
    /// The chains on which it may have payments settled, by their names. Left out: all that are settled on.
    #[serde(default)]
    chains: Option<Vec<String>>,
    /// How often it may ask. Left out: no limit.
    #[serde(default)]
    rate: Option<RateConfig>,
}

impl Default for FacilitatorConfig {
    fn default() -> Self {
        let settling = SettleOptions::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4023)),
            socket: None,
            socket_mode: Mode::default(),
            socket_needs_token: true,
            connections: ConnectionsConfig::default(),
            origins: Vec::new(),
            callers: BTreeMap::new(),
            keys: None,
            chains: BTreeMap::new(),
            settle_wait_ms: 60_000,
            max_waiting: settling.queue,
            batch: settling.batch,
            batch_delay_ms: 20,
            max_open: settling.open,
            stall_s: settling.stall.as_secs(),
            gas: GasConfig::default(),
            gas_per_day: GasPerDayConfig::default(),
            locks: None,
            margin_s: 6,
            upto_held_s: 600,
            simulate: SimulateConfig::default(),
            nonces: NoncesConfig::default(),
        }
    }
}

impl FacilitatorConfig {
    /// Where it listens, behind these proxies. Sockets are below `folder`.
    pub(crate) fn endpoint(&self, folder: &Path, proxies: Vec<IpNet>) -> Endpoint {
        Endpoint {
            part: "facilitator",
            address: self.listen,
            socket: self.socket.as_ref().map(|path| (folder.join(path), self.socket_mode.0)),
            // They were checked before anything listens.
            limits: Limits {
                browsers: self.browsers().unwrap_or_default(),
                ..self.connections.limits(LARGEST_BODY, proxies)
            },
        }
    }

    /// What lets pages in browsers ask.
    pub(crate) fn browsers(&self) -> Result<Option<CorsLayer>, ConfigError> {
        browsers(&self.origins).map_err(|error| ConfigError::value("facilitator.origins", error.to_string()))
    }

    /// How settlements are sent. Paths are below `folder`.
    pub(crate) fn settling(&self, folder: &Path) -> SettleOptions {
        let shared = Path::new(SHARED_LOCKS);
        SettleOptions {
            wait: Duration::from_millis(self.settle_wait_ms),
            queue: self.max_waiting,
            batch: self.batch,
            batch_delay: Duration::from_millis(self.batch_delay_ms),
            open: self.max_open,
            stall: Duration::from_secs(self.stall_s),
            gas_caps: self.gas.caps(),
            budgets: self.gas_per_day.budgets(),
            locks: match &self.locks {
                Some(locks) => folder.join(locks),
                None if shared.is_dir() => shared.to_owned(),
                None => std::env::temp_dir(),
            },
            ..SettleOptions::default()
        }
    }

    /// What is accepted on these networks.
    pub(crate) fn policy(&self, networks: Vec<NetworkPolicy>) -> Policy {
        Policy {
            margin: Duration::from_secs(self.margin_s),
            simulation: match self.simulate {
                SimulateConfig::Never => Simulation::Never,
                SimulateConfig::Contracts => Simulation::Contracts,
                SimulateConfig::Always => Simulation::Always,
            },
            nonces: match self.nonces {
                NoncesConfig::Chain => NonceCheck::Chain,
                NoncesConfig::Index => NonceCheck::Index,
            },
            gas_caps: self.gas.caps(),
            upto_held_for: Duration::from_secs(self.upto_held_s),
            ..Policy::new(networks)
        }
    }

    /// The tables of chains, by their names in `[chains]`.
    pub(crate) fn chains(&self) -> &BTreeMap<String, FacilitatedChainConfig> {
        &self.chains
    }

    /// The keys of chains that name none of their own, with the key of the configuration that names them.
    pub(crate) fn keys(&self) -> Vec<(String, KeyConfig)> {
        let numbered =
            |(index, key): (usize, &KeyConfig)| (format!("facilitator.keys[{index}]"), key.clone());
        match &self.keys {
            None => vec![("facilitator.keys".to_owned(), KeyConfig::of_environment(FACILITATOR_KEY))],
            Some(keys) => keys.iter().enumerate().map(numbered).collect(),
        }
    }

    /// Who may ask, with their tokens from files below `folder` and from the environment. None: whoever reaches the
    /// address.
    pub(crate) fn callers(
        &self,
        folder: &Path,
        chains: &BTreeMap<String, ChainConfig>,
    ) -> Result<Vec<(Token, Caller)>, ConfigError> {
        if self.callers.is_empty() && !self.listen.ip().is_loopback() {
            let what = format!(
                "{} is not loopback: name who may ask, as in [facilitator.callers.NAME] with token_file, or anybody could \
                 spend your keys' gas",
                self.listen
            );
            return Err(ConfigError::value("facilitator.listen", what));
        }
        let mut texts: BTreeMap<String, &str> = BTreeMap::new();
        let mut callers = Vec::with_capacity(self.callers.len());
        for (name, caller) in &self.callers {
            let key = format!("facilitator.callers.{name}");
            let text = caller.token(&key, folder)?;
            let rules = CallerRules {
                networks: caller.networks(&key, chains)?,
                payees: source::addresses(&format!("{key}.payees"), caller.payees.as_deref())?,
                tokens: source::addresses(&format!("{key}.tokens"), caller.tokens.as_deref())?,
                rate: caller.rate.map(|rate| rate.resolve(&format!("{key}.rate"))).transpose()?,
            };
            callers.push((Token::new(&text), Caller { name: name.clone(), rules }));
            if let Some(other) = texts.insert(text, name) {
                let what = format!("has the token of {other}: give each caller one of its own");
                return Err(ConfigError::value(key, what));
            }
        }
        Ok(callers)
    }

    /// Which pages may ask, in words.
    pub(crate) fn origins(&self) -> String {
        match &self.origins[..] {
            [] => "no page in a browser may ask".to_owned(),
            [any] if any == "*" => "any page in a browser may ask".to_owned(),
            origins => format!("pages of {} may ask", origins.join(", ")),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.browsers()?;
        self.connections.check("facilitator")?;
        let within = |key: &str, value: u64, least: u64, most: u64| {
            ConfigError::unless_within(format!("facilitator.{key}"), value, least..=most)
        };
        within("settle_wait_ms", self.settle_wait_ms, 0, 85_000)?;
        within("max_waiting", self.max_waiting as u64, 1, 100_000)?;
        within("batch", self.batch as u64, 1, 200)?;
        within("max_open", self.max_open as u64, 1, 64)?;
        within("stall_s", self.stall_s, 1, 600)?;
        self.gas.check()?;
        self.gas_per_day.check()?;
        within("batch_delay_ms", self.batch_delay_ms, 0, 10_000)?;
        within("margin_s", self.margin_s, 2, 600)?;
        within("upto_held_s", self.upto_held_s, 10, 86_400)?;
        if let Some(keys) = &self.keys {
            source::not_empty("facilitator.keys", keys)?;
        }
        for (key, config) in self.keys() {
            config.check(&key)?;
        }
        for (name, caller) in &self.callers {
            caller.check(name)?;
        }
        Ok(())
    }
}

impl CallerConfig {
    fn networks(
        &self,
        key: &str,
        chains: &BTreeMap<String, ChainConfig>,
    ) -> Result<Option<Vec<ChainId>>, ConfigError> {
        let Some(names) = &self.chains else { return Ok(None) };
        source::not_empty(&format!("{key}.chains"), names)?;
        let id = |(index, name): (usize, &String)| {
            let chain = chains.get(name).ok_or_else(|| {
                let known: Vec<_> = chains.keys().map(String::as_str).collect();
                let what =
                    format!("expected a table of [chains], which are {}, found {name:?}", known.join(", "));
                ConfigError::value(format!("{key}.chains[{index}]"), what)
            })?;
            Ok(chain.profile(name)?.chain_id)
        };
        names.iter().enumerate().map(id).collect::<Result<_, _>>().map(Some)
    }

    fn check(&self, name: &str) -> Result<(), ConfigError> {
        let key = format!("facilitator.callers.{name}");
        // It stands in metrics and in rows.
        let plain = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !plain {
            let what = "expected a name of 1 to 64 letters, digits, -, _ and .";
            return Err(ConfigError::value(format!("facilitator.callers.{name:?}"), what));
        }
        if self.token_file.is_some() == self.token_env.is_some() {
            let what = "expected one of token_file and token_env: which token does it send?";
            return Err(ConfigError::value(key, what));
        }
        Ok(())
    }

    fn token(&self, key: &str, folder: &Path) -> Result<String, ConfigError> {
        let (source, text) = match (&self.token_env, &self.token_file) {
            (Some(name), _) => {
                let source = format!("{key}.token_env");
                let text = secret::variable(&source, name)?;
                (source, text)
            }
            (None, file) => {
                let source = format!("{key}.token_file");
                let text = secret::text(&source, &folder.join(file.as_deref().unwrap_or(Path::new(""))))?;
                (source, text)
            }
        };
        if text.len() < LEAST_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = format!("expected at least {LEAST_TOKEN} visible characters of ASCII without a space");
            return Err(ConfigError::value(source, what));
        }
        Ok(text)
    }
}
