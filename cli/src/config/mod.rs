//! One TOML file for all parts. Every value can also come from the environment, as `SALT402__SECTION__KEY`.

mod chain;
mod connections;
mod deployment;
mod error;
mod facilitator;
mod facilitator_chain;
mod facilitator_gas;
mod forward_auth;
mod gateway;
mod keys;
mod limits;
mod model;
mod model_route;
mod moved;
mod nodes;
mod payment;
mod policy;
mod prices;
#[cfg(test)]
mod reference;
mod route;
mod secret;
mod served;
mod service;
mod signatures;
mod signer;
mod socket;
mod source;
mod text;
mod verifier;
mod webhook;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use salt402_protocol::{Address, ChainId, QuoteKeys};
use salt402_verifier::WebhookKey;
use serde::Deserialize;

use chain::Beside;
pub(crate) use chain::{ChainConfig, ResolvedChain};
pub(crate) use error::ConfigError;
pub(crate) use facilitator::FacilitatorConfig;
pub(crate) use facilitator_chain::FacilitatedChain;
use facilitator_chain::FacilitatedChainConfig;
pub(crate) use forward_auth::ForwardAuthConfig;
pub(crate) use gateway::GatewayConfig;
pub(crate) use limits::LimitsConfig;
pub(crate) use payment::PaymentConfig;
pub(crate) use prices::{UsdConfig, parse_rate};
pub(crate) use secret::{payer_key, verifier_token_of_environment};
pub(crate) use signatures::Signatures;
use signer::KeyConfig;
pub(crate) use socket::{behind_socket, unix_path};
pub(crate) use source::{explain as explain_source, needed_beside};
pub use text::parse_price;
pub(crate) use verifier::VerifierConfig;
pub(crate) use webhook::WebhookConfig;

/// The beginning of every environment variable of the configuration.
const PREFIX: &str = "SALT402__";

/// The whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The folder of the database, and of the quote key that the first start creates. Relative to this file.
    #[serde(default = "data")]
    pub(crate) data: PathBuf,
    /// The chains to follow, each under a name of your choice.
    pub(crate) chains: BTreeMap<String, ChainConfig>,
    /// The verifier: where it listens, and what it accepts as a proof.
    #[serde(default)]
    pub(crate) verifier: VerifierConfig,
    /// How often accounts may be granted and addresses may ask. Left out: no limit.
    #[serde(default)]
    pub(crate) limits: LimitsConfig,
    /// On which chain, to whom and in what to be paid. Needed if something is sold.
    #[serde(default)]
    payment: Option<PaymentConfig>,
    /// What proxies may ask, and the prices of their paths. Left out: proxies may ask nothing.
    #[serde(default)]
    pub(crate) forward_auth: Option<ForwardAuthConfig>,
    /// Who is told of incidents. Left out: nobody.
    #[serde(default)]
    pub(crate) webhook: Option<WebhookConfig>,
    /// The gateway, which sells models. Left out: no gateway runs.
    #[serde(default)]
    pub(crate) gateway: Option<GatewayConfig>,
    /// The facilitator, which settles what payers signed. Left out: no facilitator runs.
    #[serde(default)]
    pub(crate) facilitator: Option<FacilitatorConfig>,
    /// The folder of the file, for relative paths in it.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

fn data() -> PathBuf {
    "data".into()
}

/// An error of file and environment together, with the name that the operator wrote.
fn environment(error: &figment::Error) -> ConfigError {
    let from_file = error.metadata.as_ref().is_some_and(|metadata| metadata.name.contains("TOML"));
    let key = if error.path.is_empty() {
        "the configuration".to_owned()
    } else if from_file {
        error.path.join(".")
    } else {
        variable(&error.path)
    };
    ConfigError::value(key, error.kind.to_string())
}

/// The environment variable of a key.
fn variable(path: &[String]) -> String {
    format!("{PREFIX}{}", path.join("__").to_uppercase())
}

impl Config {
    /// Reads the file, then the environment over it.
    ///
    /// First the file's keys and types are checked alone, because its parser knows the line. Then it is checked
    /// together with the environment, and last what depends on several parts.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let overridden = std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with(PREFIX));
        Self::read(&text, path, overridden)
    }

    /// Reads a file's text and the environment over it, if the environment overrides anything.
    pub(crate) fn read(text: &str, path: &Path, overridden: bool) -> Result<Self, ConfigError> {
        if let Ok(written) = toml::from_str(text) {
            moved::refuse(&written, |path| path.join("."))?;
        }
        let in_file = toml::from_str::<Self>(text);
        let mut config = match in_file {
            Ok(config) if !overridden => config,
            // A value that is missing in the file may come from the environment.
            Err(error) if !overridden || !error.message().starts_with("missing field") => {
                return Err(ConfigError::Toml { path: path.to_owned(), error: Box::new(error) });
            }
            _ => {
                let both = Figment::from(Toml::string(text)).merge(Env::prefixed(PREFIX).split("__"));
                if let Ok(written) = both.extract() {
                    moved::refuse(&written, variable)?;
                }
                both.extract().map_err(|error| environment(&error))?
            }
        };
        config.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        config.check()?;
        Ok(config)
    }

    /// A path of the file, seen from where we are.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.path(&self.data).join("salt402.db")
    }

    /// The database of a gateway that asks a verifier elsewhere. It holds only outcomes.
    pub(crate) fn gateway_database(&self) -> PathBuf {
        self.path(&self.data).join("gateway.db")
    }

    /// The chains, with their profiles, contracts and nodes.
    pub(crate) fn chains(&self) -> Result<Vec<ResolvedChain>, ConfigError> {
        let resolve = |(name, chain): (&String, &ChainConfig)| {
            let payment = self.payment.as_ref().filter(|payment| payment.is_on(name));
            let beside = Beside {
                payment: payment.map(|payment| Ok((payment.payee()?, payment.asset()))).transpose()?,
                signed: payment.map(PaymentConfig::signed).transpose()?.flatten(),
                facilitated: self.facilitated(name),
            };
            let chain = chain.resolve(name, &self.folder, &beside)?;
            if let Some(payment) = payment {
                payment.accepted(&chain.policy)?;
            }
            Ok(chain)
        };
        self.chains.iter().map(resolve).collect()
    }

    /// What is settled on a chain, with the keys of `[facilitator]`. `None`: nothing.
    fn facilitated(&self, name: &str) -> Option<(FacilitatedChainConfig, Vec<(String, KeyConfig)>)> {
        let facilitator = self.facilitator.as_ref()?;
        let tables = facilitator.chains();
        let chain = match tables.get(name) {
            Some(chain) => chain.clone(),
            None if tables.is_empty() && self.settled_by_default(name) => FacilitatedChainConfig::default(),
            None => return None,
        };
        Some((chain, facilitator.keys()))
    }

    /// Whether a facilitator that names no chain settles on this one.
    fn settled_by_default(&self, name: &str) -> bool {
        self.payment.as_ref().map_or(self.chains.len() == 1, |payment| payment.is_on(name))
    }

    /// The token to be paid on a chain, with its decimals as the operator wrote them.
    pub(crate) fn token_on(&self, chain: ChainId) -> Result<Option<(Address, u8)>, ConfigError> {
        let Some(payment) = &self.payment else { return Ok(None) };
        let here = payment.chain(&self.chains)? == chain;
        Ok(payment.token().filter(|_| here))
    }

    /// The usual time until a block is final, on the chain where it is the longest.
    pub(crate) fn finality_time(&self) -> Result<Duration, ConfigError> {
        let mut profiles = self.chains.iter().map(|(name, chain)| chain.profile(name));
        profiles.try_fold(Duration::ZERO, |most, profile| Ok(most.max(profile?.finality_time())))
    }

    /// On which chain, to whom and in what to be paid.
    pub(crate) fn payment(&self) -> Result<&PaymentConfig, ConfigError> {
        let what = "expected a table [payment] with chain and payee: who is to be paid?";
        self.payment.as_ref().ok_or_else(|| ConfigError::value("payment", what))
    }

    /// The symbol and the decimals in which prices are written.
    pub(crate) fn unit(&self) -> Result<(String, u8), ConfigError> {
        self.payment()?.unit(&self.chains)
    }

    /// The keys of quotes. See [`secret::quote_keys`].
    pub(crate) fn quote_keys(&self) -> Result<QuoteKeys, ConfigError> {
        secret::quote_keys(&self.folder, &self.data, &self.verifier)
    }

    /// The key that signs webhook messages. See [`secret::webhook_key`].
    pub(crate) fn webhook_key(&self, webhook: &WebhookConfig) -> Result<WebhookKey, ConfigError> {
        secret::webhook_key(&self.folder, webhook)
    }

    /// The token of the verifier's callers. See [`secret::verifier_token`].
    pub(crate) fn verifier_token(&self) -> Result<Option<String>, ConfigError> {
        secret::verifier_token(&self.folder, &self.verifier)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.chains.is_empty() {
            return Err(ConfigError::value(
                "chains",
                "none is configured: add a table such as [chains.citrate]",
            ));
        }
        let mut ids = BTreeMap::new();
        for (name, chain) in &self.chains {
            let profile = chain.profile(name)?;
            if let Some(other) = ids.insert(profile.chain_id, name) {
                let what = format!("is {}, as chains.{other} is: each chain once", profile.chain_id);
                return Err(ConfigError::value(format!("chains.{name}.profile"), what));
            }
        }
        self.verifier.check()?;
        if let Some(webhook) = &self.webhook {
            webhook.check()?;
        }
        self.limits.check()?;
        if let Some(payment) = &self.payment {
            payment.check(&self.chains)?;
        }
        if let Some(auth) = &self.forward_auth {
            auth.tariff(&self.unit()?)?;
        }
        if let Some(facilitator) = &self.facilitator {
            facilitator.check()?;
            self.check_settled(facilitator)?;
        }
        match &self.gateway {
            Some(gateway) => gateway.check(&self.unit()?),
            None => Ok(()),
        }
    }

    /// Whether the facilitator's chains are followed, and there are any.
    fn check_settled(&self, facilitator: &FacilitatorConfig) -> Result<(), ConfigError> {
        let known = || self.chains.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        for name in facilitator.chains().keys() {
            if !self.chains.contains_key(name) {
                let what = format!("expected a table of [chains], which are {}", known());
                return Err(ConfigError::value(format!("facilitator.chains.{name}"), what));
            }
        }
        if facilitator.chains().is_empty() && !self.chains.keys().any(|name| self.settled_by_default(name)) {
            let what = format!("expected a table such as [facilitator.chains.NAME] for one of {}", known());
            return Err(ConfigError::value("facilitator.chains", what));
        }
        Ok(())
    }
}
