//! The file that the deployment script writes: where each contract is, and since which block.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use salt402_protocol::Address;
use salt402_protocol::asset::parse_address;
use serde::Deserialize;

use super::error::ConfigError;

/// The contracts of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    /// The configuration key that names the file.
    key: String,
    path: PathBuf,
    contracts: BTreeMap<String, Deployed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    chain_id: u64,
    contracts: BTreeMap<String, Deployed>,
}

#[derive(Clone, Debug, Deserialize)]
struct Deployed {
    address: String,
    #[serde(default)]
    block: u64,
}

impl Deployment {
    /// Reads `<chain id>.json` in a folder.
    pub(crate) fn read(key: String, folder: &Path, chain_id: u64) -> Result<Self, ConfigError> {
        let path = folder.join(format!("{chain_id}.json"));
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let what =
                format!("{}: {error}; deploy the contracts first, or name the contract", path.display());
            ConfigError::value(&key, what)
        })?;
        let file: File = serde_json::from_str(&text)
            .map_err(|error| ConfigError::value(&key, format!("{}: {error}", path.display())))?;
        if file.chain_id != chain_id {
            let what = format!("{} is of chain {}", path.display(), file.chain_id);
            return Err(ConfigError::value(&key, what));
        }
        Ok(Self { key, path, contracts: file.contracts })
    }

    /// A contract, and the first block that may hold its events. `None` if it was not deployed.
    pub(crate) fn contract(&self, name: &str) -> Option<Result<(Address, u64), ConfigError>> {
        let deployed = self.contracts.get(name)?;
        let address =
            parse_address(&deployed.address).filter(|address| !address.is_zero()).ok_or_else(|| {
                ConfigError::value(&self.key, format!("{}: {name} has no address", self.path.display()))
            });
        Some(address.map(|address| (address, deployed.block)))
    }

    /// A contract that must be there.
    pub(crate) fn needed(&self, name: &str) -> Result<(Address, u64), ConfigError> {
        self.contract(name).unwrap_or_else(|| {
            Err(ConfigError::value(&self.key, format!("{}: {name} is missing", self.path.display())))
        })
    }
}
