//! `[chains.NAME]`: a chain to follow.

use std::path::{Path, PathBuf};

use salt402_chain::{Completeness, Endpoint, Profile, ProfileOverrides};
use salt402_protocol::Address;
use salt402_protocol::asset::parse_address;
use serde::Deserialize;
use url::Url;

use super::ConfigError;
use super::nodes::{NodeConfig, Nodes};
use super::policy::{Confirmations, DepthConfig, PolicyConfig, ResolvedPolicy};

/// A chain to follow.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainConfig {
    /// Which network; left out, the table's name.
    #[serde(default)]
    profile: Option<String>,
    /// The node's HTTP address; left out, the profile's.
    #[serde(default)]
    rpc: Option<Url>,
    /// The node's WebSocket address, for new heads; left out with `rpc`, the profile's; else none.
    #[serde(default)]
    ws: Option<Url>,
    /// Several nodes, in place of `rpc` and `ws`.
    #[serde(default)]
    nodes: Vec<NodeConfig>,
    /// How many nodes must say the same before it is believed; left out, 1.
    #[serde(default)]
    agree: Option<usize>,
    /// Whether new blocks' logs are proven complete by their receipts; left out, the profile's.
    #[serde(default)]
    completeness: Option<Completeness>,
    /// The payment contract; left out, the one in `deployments`.
    #[serde(default)]
    contract: Option<String>,
    /// The first block that may hold a payment; left out, the one in `deployments`, or 0.
    #[serde(default)]
    start_block: Option<u64>,
    /// The folder with `<chain id>.json`, as the deployment script writes it; relative to the file.
    #[serde(default)]
    deployments: Option<PathBuf>,
    /// What is accepted; left out, the profile's depth for any amount.
    #[serde(default)]
    policy: PolicyConfig,
    /// `policy.confirmations`, where nothing else of the policy is said.
    #[serde(default)]
    confirmations: Option<Confirmations>,
    /// `policy.depths`, likewise.
    #[serde(default)]
    depths: Vec<DepthConfig>,
    /// Single values of the profile.
    #[serde(default)]
    overrides: ProfileOverrides,
}

/// A chain with everything found out that is needed to follow it.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedChain {
    pub(crate) profile: Profile,
    pub(crate) nodes: Nodes,
    pub(crate) contract: Address,
    pub(crate) start_block: u64,
    pub(crate) policy: ResolvedPolicy,
}

/// What the deployment script leaves behind, as far as it is needed here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deployment {
    chain_id: u64,
    contracts: DeployedContracts,
}

#[derive(Deserialize)]
struct DeployedContracts {
    #[serde(rename = "SaltPay")]
    salt_pay: Deployed,
}

#[derive(Deserialize)]
struct Deployed {
    address: String,
    block: u64,
}

impl ChainConfig {
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

    pub(crate) fn resolve(&self, name: &str, folder: &Path) -> Result<ResolvedChain, ConfigError> {
        let profile = self.profile(name)?;
        if !self.nodes.is_empty() && (self.rpc.is_some() || self.ws.is_some()) {
            let what = "expected the nodes either here or in rpc and ws: make these the first of the nodes";
            return Err(ConfigError::value(format!("chains.{name}.nodes"), what));
        }
        let single = || self.single(name, &profile);
        let nodes = Nodes::resolve(name, &self.nodes, single, self.agree, folder)?;
        let policy = self.policy.resolve(name, &profile, self.confirmations, &self.depths)?;
        let (contract, start_block) = self.contract(name, folder, &profile)?;
        Ok(ResolvedChain { profile, nodes, contract, start_block, policy })
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

    fn contract(&self, name: &str, folder: &Path, profile: &Profile) -> Result<(Address, u64), ConfigError> {
        if let Some(text) = &self.contract {
            let contract = parse_address(text).filter(|address| !address.is_zero()).ok_or_else(|| {
                ConfigError::value(
                    format!("chains.{name}.contract"),
                    format!("expected a 0x address with the right checksum, found {text:?}"),
                )
            })?;
            return Ok((contract, self.start_block.unwrap_or(0)));
        }
        let key = format!("chains.{name}.deployments");
        let Some(deployments) = &self.deployments else {
            let what =
                "expected either `contract` or `deployments`: which payment contract is to be followed?";
            return Err(ConfigError::value(format!("chains.{name}"), what));
        };
        let path = folder.join(deployments).join(format!("{}.json", profile.chain_id.get()));
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let what =
                format!("{}: {error}; deploy the contracts first, or name the contract", path.display());
            ConfigError::value(&key, what)
        })?;
        let deployment: Deployment = serde_json::from_str(&text)
            .map_err(|error| ConfigError::value(&key, format!("{}: {error}", path.display())))?;
        if deployment.chain_id != profile.chain_id.get() {
            let what = format!("{} is of chain {}", path.display(), deployment.chain_id);
            return Err(ConfigError::value(&key, what));
        }
        let contract = parse_address(&deployment.contracts.salt_pay.address)
            .ok_or_else(|| ConfigError::value(&key, format!("{}: SaltPay has no address", path.display())))?;
        Ok((contract, self.start_block.unwrap_or(deployment.contracts.salt_pay.block)))
    }
}
