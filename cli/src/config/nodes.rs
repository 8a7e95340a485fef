//! `[[chains.NAME.nodes]]`: the nodes of a chain, where `rpc` and `ws` are not enough.

use std::path::{Path, PathBuf};
use std::time::Duration;

use salt402_chain::{Allowance, Endpoint, Pool, PoolOptions, Profile, Role};
use serde::Deserialize;
use url::Url;

use super::{ConfigError, secret};

/// The longest time that one request to a node may be given.
const LONGEST_TIMEOUT_MS: u64 = 100_000;

/// One of several nodes.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeConfig {
    /// Its HTTP address.
    rpc: Url,
    /// Its WebSocket address, for new heads; left out, none.
    #[serde(default)]
    ws: Option<Url>,
    /// Whether it is asked first, or only while no primary is ready.
    #[serde(default)]
    role: Role,
    /// The environment variable with its bearer token.
    #[serde(default)]
    bearer_env: Option<String>,
    /// The file with its bearer token; relative to the configuration.
    #[serde(default)]
    bearer_file: Option<PathBuf>,
    /// Requests that it allows in a second, whatever they ask.
    #[serde(default)]
    requests_per_second: Option<u64>,
    /// Units that it allows in a second, as the profile prices methods; left out, what the profile says.
    #[serde(default)]
    units_per_second: Option<u64>,
    /// How long one request may take.
    #[serde(default)]
    timeout_ms: Option<u64>,
    /// The longest rest that it can make us take.
    #[serde(default)]
    longest_rest_s: Option<u64>,
}

/// The address may hold a key.
impl std::fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeConfig").field("role", &self.role).finish_non_exhaustive()
    }
}

impl NodeConfig {
    /// The node's address with its token, from the environment or its file.
    pub(crate) fn resolve(&self, key: &str, folder: &Path) -> Result<(Endpoint, Role), ConfigError> {
        let value = |field: &str, what: String| ConfigError::value(format!("{key}.{field}"), what);
        let mut endpoint = Endpoint::new(self.rpc.clone());
        endpoint.ws.clone_from(&self.ws);
        endpoint.bearer = secret::bearer(key, self.bearer_env.as_deref(), self.bearer_file.as_deref(), folder)?;
        endpoint.allowance = match (self.units_per_second, self.requests_per_second) {
            (Some(_), Some(_)) => {
                let what = "expected either this or units_per_second".to_owned();
                return Err(value("requests_per_second", what));
            }
            (Some(0), None) => return Err(value("units_per_second", "expected at least 1".to_owned())),
            (None, Some(0)) => return Err(value("requests_per_second", "expected at least 1".to_owned())),
            (Some(units), None) => Some(Allowance::Units(units)),
            (None, Some(requests)) => Some(Allowance::Requests(requests)),
            (None, None) => None,
        };
        if let Some(timeout) = self.timeout_ms {
            if !(1..=LONGEST_TIMEOUT_MS).contains(&timeout) {
                let what = format!("expected 1 to {LONGEST_TIMEOUT_MS}, found {timeout}");
                return Err(value("timeout_ms", what));
            }
            endpoint.timeout = Duration::from_millis(timeout);
        }
        if let Some(rest) = self.longest_rest_s {
            endpoint.longest_rest = Duration::from_secs(rest);
        }
        Ok((endpoint, self.role))
    }
}

/// The nodes of a chain, and how many of them must say the same.
#[derive(Clone, Debug)]
pub(crate) struct Nodes {
    pub(crate) endpoints: Vec<(Endpoint, Role)>,
    pub(crate) agree: usize,
}

impl Nodes {
    /// All of them, resolved. `single` is the node of `rpc` and `ws`, or the profile's.
    pub(crate) fn resolve(
        name: &str,
        nodes: &[NodeConfig],
        single: impl FnOnce() -> Result<Endpoint, ConfigError>,
        agree: Option<usize>,
        folder: &Path,
    ) -> Result<Self, ConfigError> {
        let resolve = |(index, node): (usize, &NodeConfig)| {
            node.resolve(&format!("chains.{name}.nodes[{index}]"), folder)
        };
        let endpoints = if nodes.is_empty() {
            vec![(single()?, Role::Primary)]
        } else {
            nodes.iter().enumerate().map(resolve).collect::<Result<Vec<_>, _>>()?
        };
        let (agree, count) = (agree.unwrap_or(1), endpoints.len());
        if agree == 0 || agree > count {
            let what = format!("expected 1 to {count}, as there are {count} nodes, found {agree}");
            return Err(ConfigError::value(format!("chains.{name}.agree"), what));
        }
        Ok(Self { endpoints, agree })
    }

    /// The nodes as one.
    pub(crate) fn connect(&self, profile: &Profile) -> anyhow::Result<Pool> {
        let options = PoolOptions { agree: self.agree, ..PoolOptions::of(profile) };
        Ok(Pool::connect(self.endpoints.clone(), profile, options)?)
    }
}
