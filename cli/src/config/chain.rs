//! `[chains.NAME]`: a chain to follow.

use std::path::{Path, PathBuf};

use salt402_chain::{Endpoint, Profile, ProfileOverrides};
use salt402_protocol::asset::parse_address;
use salt402_protocol::{Address, Asset};
use salt402_verifier::Depth;
use serde::Deserialize;
use url::Url;

use super::{ConfigError, parse_price};

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
    /// The payment contract; left out, the one in `deployments`.
    #[serde(default)]
    contract: Option<String>,
    /// The first block that may hold a payment; left out, the one in `deployments`, or 0.
    #[serde(default)]
    start_block: Option<u64>,
    /// The folder with `<chain id>.json`, as the deployment script writes it; relative to the file.
    #[serde(default)]
    deployments: Option<PathBuf>,
    /// Blocks that must contain or follow a payment; left out, the profile's.
    #[serde(default)]
    confirmations: Option<u64>,
    /// More confirmations for larger amounts.
    #[serde(default)]
    depths: Vec<DepthConfig>,
    /// Single values of the profile.
    #[serde(default)]
    overrides: ProfileOverrides,
}

/// `[[chains.NAME.depths]]`: amounts from which a payment must be deeper.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DepthConfig {
    /// The least amount that this is for, such as `1 SALT`, or a whole number of base units.
    from: String,
    /// Blocks that must contain or follow the payment.
    confirmations: u64,
    /// Of which asset: `native`, or the address of a token; then the amount is in base units.
    #[serde(default = "native")]
    asset: Asset,
}

fn native() -> Asset {
    Asset::Native
}

impl DepthConfig {
    fn resolve(&self, key: &str, profile: &Profile) -> Result<Depth, ConfigError> {
        let (symbol, decimals) = match self.asset {
            Asset::Native => (profile.native_symbol.as_str(), profile.native_decimals),
            Asset::Token(_) => ("units", 0),
        };
        let from = parse_price(&self.from, symbol, decimals)
            .map_err(|what| ConfigError::value(format!("{key}.from"), what))?;
        if !(1..=1_000_000).contains(&self.confirmations) {
            let what = format!("expected 1 to 1000000, found {}", self.confirmations);
            return Err(ConfigError::value(format!("{key}.confirmations"), what));
        }
        Ok(Depth { asset: self.asset, from, confirmations: self.confirmations })
    }
}

/// A chain with everything found out that is needed to follow it.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedChain {
    pub(crate) profile: Profile,
    pub(crate) endpoint: Endpoint,
    pub(crate) contract: Address,
    pub(crate) start_block: u64,
    pub(crate) confirmations: u64,
    pub(crate) depths: Vec<Depth>,
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
        profile
            .apply(self.overrides.clone())
            .map_err(|error| ConfigError::value(format!("chains.{name}.overrides"), error.to_string()))
    }

    pub(crate) fn resolve(&self, name: &str, folder: &Path) -> Result<ResolvedChain, ConfigError> {
        let profile = self.profile(name)?;
        let mut endpoint = match &self.rpc {
            Some(rpc) => Endpoint::new(rpc.clone()),
            None => Endpoint::of(&profile)
                .map_err(|error| ConfigError::value(format!("chains.{name}.rpc"), error.to_string()))?,
        };
        if self.ws.is_some() {
            endpoint.ws.clone_from(&self.ws);
        }
        let confirmations = self.confirmations.unwrap_or(profile.confirmations);
        if confirmations == 0 {
            return Err(ConfigError::value(
                format!("chains.{name}.confirmations"),
                "expected at least 1, which accepts a payment as soon as its block is there",
            ));
        }
        let (contract, start_block) = self.contract(name, folder, &profile)?;
        let depth = |(index, depth): (usize, &DepthConfig)| {
            depth.resolve(&format!("chains.{name}.depths[{index}]"), &profile)
        };
        let depths = self.depths.iter().enumerate().map(depth).collect::<Result<_, _>>()?;
        Ok(ResolvedChain { profile, endpoint, contract, start_block, confirmations, depths })
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
