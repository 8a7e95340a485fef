//! `[chains.NAME]`: a chain to follow.

use std::path::{Path, PathBuf};
use std::time::Duration;

use salt402_chain::{Completeness, Endpoint, Profile, ProfileOverrides};
use salt402_protocol::Address;
use salt402_protocol::asset::parse_address;
use salt402_protocol::channel::EXIT_DELAYS;
use salt402_protocol::{Asset, Source, SourceKind};
use salt402_verifier::PaymentRules;
use serde::Deserialize;
use url::Url;

use super::deployment::Deployment;
use super::error::ConfigError;
use super::facilitator_chain::{FacilitatedChain, FacilitatedChainConfig};
use super::nodes::{NodeConfig, Nodes};
use super::policy::{Confirmations, DepthConfig, PolicyConfig};
use super::signatures::Signatures;
use super::signer::KeyConfig;
use super::source::{self, Defaults, SourceConfig};
use super::text::no_placeholder;

/// After how many seconds without word of the newest block nothing is sold.
const STALE_AFTER: std::ops::RangeInclusive<u64> = 1..=90;

/// A chain to follow.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainConfig {
    /// The network: `citrate`, `base`, `base-sepolia` or `local`. Left out: the name of the table.
    #[serde(default)]
    profile: Option<String>,
    /// The node's HTTP address. It may hold a key, and is shown nowhere. Left out: the network's public node.
    #[serde(default)]
    rpc: Option<Url>,
    /// The node's WebSocket address, on which it announces new blocks. The node is polled all the same. Left out: none;
    /// if `rpc` is left out too, the network's.
    #[serde(default)]
    ws: Option<Url>,
    /// Several nodes, in place of `rpc` and `ws`.
    #[serde(default)]
    nodes: Vec<NodeConfig>,
    /// How many nodes must say the same before it is believed. Left out: 1.
    #[serde(default)]
    agree: Option<usize>,
    /// `receipts`: the receipts of new blocks prove that no log is missing. `off`: the node's logs are believed. Left
    /// out: the network's.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    completeness: Option<Completeness>,
    /// The address of the payment contract `SaltPay`. Left out: the one in `deployments`.
    #[serde(default)]
    contract: Option<String>,
    /// The first block that may hold a payment. Left out: the one in `deployments`, or 0 if `contract` is given.
    #[serde(default)]
    start_block: Option<u64>,
    /// The folder with `<chain id>.json`, as `make deploy` writes it; relative to this file. Needed unless `contract` is given.
    #[serde(default)]
    deployments: Option<PathBuf>,
    /// What is accepted, and how deep. Left out: the network's depth for any amount.
    #[serde(default)]
    policy: PolicyConfig,
    /// The same as `policy.confirmations`. Give one of the two.
    #[serde(default)]
    confirmations: Option<Confirmations>,
    /// The same as `policy.depths`. Give one of the two.
    #[serde(default)]
    depths: Vec<DepthConfig>,
    /// Other contracts that are followed besides the payment contract.
    #[serde(default)]
    sources: Vec<SourceConfig>,
    /// Whether the `SaltChannels` of `deployments` is followed without a table in `sources`.
    #[serde(default = "yes")]
    channels: bool,
    /// Whether requests may be paid by vouchers of channels. If so, you must claim before a payer leaves.
    #[serde(default)]
    vouchers: bool,
    /// The shortest exit delay of channels whose vouchers are accepted: 900 to 2592000. Left out: any that the contract
    /// allows.
    #[serde(default)]
    least_exit_delay_s: Option<u64>,
    /// The accounts that a channel may name as its operator if its vouchers are accepted: your own keys that claim for the
    /// payee. An operator can close a channel without a voucher. Left out: only channels without an operator.
    #[serde(default)]
    operators: Vec<String>,
    /// After how long without word of the newest block nothing is sold: 1 to 90. Left out: the longest of 10, five
    /// times the poll interval, and three times the time between blocks.
    #[serde(default)]
    stale_after_s: Option<u64>,
    /// Single values of the network that replace its own.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, String>"))]
    overrides: ProfileOverrides,
}

fn yes() -> bool {
    true
}

/// A chain with everything that is needed to follow it.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedChain {
    /// Its name in the configuration.
    pub(crate) name: String,
    pub(crate) profile: Profile,
    pub(crate) nodes: Nodes,
    pub(crate) contract: Address,
    /// The first block that may hold a payment through it.
    pub(crate) start_block: u64,
    /// Everything that is followed, the payment contract first.
    pub(crate) sources: Vec<Source>,
    /// The `SaltChannels` among them of which no vouchers are taken any more.
    pub(crate) past_channels: Vec<Address>,
    /// The operators that channels may name.
    pub(crate) operators: Vec<Address>,
    /// Whether vouchers are taken.
    pub(crate) vouchers: bool,
    /// The least exit delay of their channels.
    pub(crate) least_exit_delay: Option<Duration>,
    pub(crate) policy: PaymentRules,
    /// After how long without word of the newest block nothing is sold. `None`: what fits the chain.
    pub(crate) stale_after: Option<Duration>,
    /// What is settled here. `None`: nothing.
    pub(crate) facilitated: Option<FacilitatedChain>,
}

/// What depends on other tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    /// The payee and the asset of `[payment]`, if it is on this chain.
    pub(super) payment: Option<(Address, Asset)>,
    /// What signed payments are taken in, if they are, and everything is paid on this chain.
    pub(super) signed: Option<Signatures>,
    /// What is settled here, and the keys of `[facilitator]`.
    pub(super) facilitated: Option<(FacilitatedChainConfig, Vec<(String, KeyConfig)>)>,
}

impl ResolvedChain {
    /// The `SaltChannels` whose vouchers are taken. `None`: none are.
    pub(crate) fn voucher_channels(&self) -> Option<Address> {
        let current = |source: &&Source| {
            source.kind == SourceKind::SaltChannels && !self.past_channels.contains(&source.contract)
        };
        self.sources.iter().find(current).map(|source| source.contract).filter(|_| self.vouchers)
    }
}

impl ChainConfig {
    /// Whether files must be read to resolve it.
    pub(crate) fn names_files(&self) -> bool {
        self.deployments.is_some() || self.nodes.iter().any(NodeConfig::names_files)
    }

    pub(crate) fn profile(&self, name: &str) -> Result<Profile, ConfigError> {
        let key =
            if self.profile.is_some() { format!("chains.{name}.profile") } else { format!("chains.{name}") };
        let profile = Profile::named(self.profile.as_deref().unwrap_or(name))
            .map_err(|error| ConfigError::value(key, error.to_string()))?;
        let mut overrides = self.overrides.clone();
        overrides.completeness = self.completeness.or(overrides.completeness);
        profile
            .apply(overrides)
            .map_err(|error| ConfigError::value(format!("chains.{name}.overrides"), error.to_string()))
    }

    pub(super) fn resolve(
        &self,
        name: &str,
        folder: &Path,
        beside: &Beside,
    ) -> Result<ResolvedChain, ConfigError> {
        let profile = self.profile(name)?;
        if !self.nodes.is_empty() && (self.rpc.is_some() || self.ws.is_some()) {
            let what = "expected the nodes either here or in rpc and ws: make these the first of the nodes";
            return Err(ConfigError::value(format!("chains.{name}.nodes"), what));
        }
        let single = || self.single(name, &profile);
        let nodes = Nodes::resolve(name, &self.nodes, single, self.agree, folder)?;
        let policy = self.policy.resolve(name, &profile, self.confirmations, &self.depths)?;
        if !policy.second_node.is_empty() && !nodes.are_several() {
            let what = "expected at least two nodes at different hosts under [[chains.NAME.nodes]], and there is one: it \
                        cannot confirm what it said itself; name another, or leave this out";
            return Err(ConfigError::value(
                format!("chains.{name}.policy.second_node"),
                what.replace("NAME", name),
            ));
        }
        let deployment = self.deployment(name, folder, &profile)?;
        let (contract, start_block) = self.contract(name, deployment.as_ref())?;
        let defaults = Defaults {
            profile: &profile,
            deployment: deployment.as_ref(),
            payment: beside.payment,
            start_block,
        };
        let (mut sources, past_channels) = self.sources(name, (contract, start_block), &defaults)?;
        if let Some(signed) = &beside.signed {
            signed.follow(name, &mut sources, &defaults)?;
        }
        let operators = self.operators(name)?;
        let least_exit_delay = self.least_exit_delay(name)?;
        let facilitated = beside.facilitated.as_ref();
        let facilitated = facilitated.map(|(here, keys)| here.resolve(name, keys, &defaults)).transpose()?;
        let (vouchers, stale_after) = (self.vouchers, self.stale_after(name)?);
        Ok(ResolvedChain {
            name: name.to_owned(),
            profile,
            nodes,
            contract,
            start_block,
            sources,
            past_channels,
            operators,
            vouchers,
            least_exit_delay,
            policy,
            stale_after,
            facilitated,
        })
    }

    fn stale_after(&self, name: &str) -> Result<Option<Duration>, ConfigError> {
        let Some(seconds) = self.stale_after_s else { return Ok(None) };
        ConfigError::unless_within(format!("chains.{name}.stale_after_s"), seconds, STALE_AFTER)?;
        Ok(Some(Duration::from_secs(seconds)))
    }

    fn least_exit_delay(&self, name: &str) -> Result<Option<Duration>, ConfigError> {
        let what = match self.least_exit_delay_s {
            None => return Ok(None),
            Some(_) if !self.vouchers => {
                format!(
                    "no vouchers are taken, so it says nothing: set vouchers = true in chains.{name}, or leave it out"
                )
            }
            Some(delay) if EXIT_DELAYS.contains(&delay) => return Ok(Some(Duration::from_secs(delay))),
            Some(delay) => format!(
                "expected {} to {}, which are the exit delays that SaltChannels takes, found {delay}",
                EXIT_DELAYS.start(),
                EXIT_DELAYS.end()
            ),
        };
        Err(ConfigError::value(format!("chains.{name}.least_exit_delay_s"), what))
    }

    fn operators(&self, name: &str) -> Result<Vec<Address>, ConfigError> {
        let key = format!("chains.{name}.operators");
        if !self.operators.is_empty() && !self.vouchers {
            let what = format!(
                "no vouchers are taken, so it says nothing: set vouchers = true in chains.{name}, or leave it out"
            );
            return Err(ConfigError::value(key, what));
        }
        let operators = self.operators.iter().enumerate();
        operators.map(|(n, operator)| source::address(&format!("{key}[{n}]"), operator)).collect()
    }

    /// The node of `rpc` and `ws`, or the profile's.
    fn single(&self, name: &str, profile: &Profile) -> Result<Endpoint, ConfigError> {
        let mut endpoint = match &self.rpc {
            Some(rpc) => Endpoint::new(rpc.clone()),
            None => Endpoint::of(profile)
                .map_err(|error| ConfigError::value(format!("chains.{name}.rpc"), error.to_string()))?,
        };
        if self.ws.is_some() {
            endpoint.ws.clone_from(&self.ws);
        }
        Ok(endpoint)
    }

    /// The payment contract and its first block.
    fn contract(&self, name: &str, deployment: Option<&Deployment>) -> Result<(Address, u64), ConfigError> {
        if let Some(text) = &self.contract {
            let contract = parse_address(text).filter(|address| !address.is_zero()).ok_or_else(|| {
                ConfigError::value(
                    format!("chains.{name}.contract"),
                    format!("expected a 0x address with the right checksum, found {text:?}"),
                )
            })?;
            no_placeholder(&format!("chains.{name}.contract"), contract)?;
            return Ok((contract, self.start_block.unwrap_or(0)));
        }
        let Some(deployment) = deployment else {
            let what =
                "expected either `contract` or `deployments`: which payment contract is to be followed?";
            return Err(ConfigError::value(format!("chains.{name}"), what));
        };
        let (contract, block) = deployment.needed("SaltPay")?;
        Ok((contract, self.start_block.unwrap_or(block)))
    }

    fn deployment(
        &self,
        name: &str,
        folder: &Path,
        profile: &Profile,
    ) -> Result<Option<Deployment>, ConfigError> {
        let key = format!("chains.{name}.deployments");
        let read =
            |deployments: &PathBuf| Deployment::read(key, &folder.join(deployments), profile.chain_id.get());
        self.deployments.as_ref().map(read).transpose()
    }

    /// Everything that is followed, the payment contract first, and which of it are `SaltChannels` of before.
    fn sources(
        &self,
        name: &str,
        payment_contract: (Address, u64),
        defaults: &Defaults<'_>,
    ) -> Result<(Vec<Source>, Vec<Address>), ConfigError> {
        let (contract, start_block) = payment_contract;
        let mut sources = vec![Source { contract, kind: SourceKind::SaltPay, start_block }];
        let mut past = Vec::new();
        for (index, source) in self.sources.iter().enumerate() {
            let resolved = source.resolve(&format!("chains.{name}.sources[{index}]"), defaults)?;
            if source.is_past() {
                past.push(resolved.contract);
            }
            sources.push(resolved);
        }
        let is_current =
            |source: &Source| source.kind == SourceKind::SaltChannels && !past.contains(&source.contract);
        let named = sources.iter().any(is_current);
        if self.channels
            && !named
            && let Some((contract, block)) =
                defaults.deployment.and_then(|deployment| deployment.contract("SaltChannels")).transpose()?
        {
            let start_block = self.start_block.unwrap_or(block);
            sources.push(Source { contract, kind: SourceKind::SaltChannels, start_block });
        }
        source::check(name, &sources)?;
        Ok((sources, past))
    }
}
