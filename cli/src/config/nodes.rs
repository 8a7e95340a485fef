//! `[[chains.NAME.nodes]]`: the nodes of a chain, if `rpc` and `ws` are not enough.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use salt402_chain::{Allowance, Endpoint, Pool, PoolOptions, Profile, Role};
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use super::error::ConfigError;
use super::secret;

/// The longest time that one request to a node may be given.
const LONGEST_TIMEOUT_MS: u64 = 100_000;
/// The allowed range for the longest answer. Even the smallest must hold a block's list of transactions; about 15,000
/// fit.
const ANSWER_BYTES: RangeInclusive<u64> = 1 << 20..=2 << 30;

/// One of several nodes.
#[derive(Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeConfig {
    /// Its HTTP address. It may hold a key, and is shown nowhere.
    rpc: Url,
    /// Its WebSocket address, on which it announces new blocks. Left out: none.
    #[serde(default)]
    ws: Option<Url>,
    /// `primary`: asked first. `fallback`: asked only while no primary is ready. Left out: `primary`.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    role: Role,
    /// Refused. The key exists only so that the error does not repeat the secret.
    #[serde(default)]
    #[cfg_attr(test, schemars(skip))]
    bearer: Option<IgnoredAny>,
    /// The environment variable that holds its bearer token. Left out: none.
    #[serde(default)]
    bearer_env: Option<String>,
    /// A file with its bearer token. Relative to this file. Left out: none.
    #[serde(default)]
    bearer_file: Option<PathBuf>,
    /// How many requests it allows per second, of any kind. Give this or `units_per_second`. Left out: the network's.
    #[serde(default)]
    requests_per_second: Option<u64>,
    /// How many units it allows per second, as the network prices methods. Left out: the network's.
    #[serde(default)]
    units_per_second: Option<u64>,
    /// How long one request may take: 1 to 100000. Left out: 10000.
    #[serde(default)]
    timeout_ms: Option<u64>,
    /// The longest `Retry-After` of the node that is followed. Left out: 300.
    #[serde(default)]
    longest_rest_s: Option<u64>,
    /// The longest answer that is read: 1048576 to 2147483648. A few answers of that length may be in memory at once.
    /// Left out: 33554432.
    #[serde(default)]
    max_answer_bytes: Option<u64>,
}

/// The address may hold a key.
impl std::fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeConfig").field("role", &self.role).finish_non_exhaustive()
    }
}

impl NodeConfig {
    /// Whether its token is in a file.
    pub(crate) fn names_files(&self) -> bool {
        self.bearer_file.is_some()
    }

    /// The node's address with its token from the environment or its file.
    pub(crate) fn resolve(&self, key: &str, folder: &Path) -> Result<(Endpoint, Role), ConfigError> {
        let value = |field: &str, what: String| ConfigError::value(format!("{key}.{field}"), what);
        if self.bearer.is_some() {
            let what = "expected the token in an environment variable (bearer_env) or a file (bearer_file), not here";
            return Err(value("bearer", what.to_owned()));
        }
        let mut endpoint = Endpoint::new(self.rpc.clone());
        endpoint.ws.clone_from(&self.ws);
        endpoint.bearer =
            secret::bearer(key, self.bearer_env.as_deref(), self.bearer_file.as_deref(), folder)?;
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
            ConfigError::unless_within(format!("{key}.timeout_ms"), timeout, 1..=LONGEST_TIMEOUT_MS)?;
            endpoint.timeout = Duration::from_millis(timeout);
        }
        if let Some(rest) = self.longest_rest_s {
            endpoint.longest_rest = Duration::from_secs(rest);
        }
        if let Some(bytes) = self.max_answer_bytes {
            ConfigError::unless_within(format!("{key}.max_answer_bytes"), bytes, ANSWER_BYTES)?;
            endpoint.max_answer_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
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
    /// All of them, resolved. `single` is the node of `rpc` and `ws`, or the network's.
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
        for (index, (endpoint, _)) in endpoints.iter().enumerate() {
            let key = || match nodes.len() {
                0 => format!("chains.{name}.rpc"),
                _ => format!("chains.{name}.nodes[{index}]"),
            };
            endpoint.check().map_err(|error| ConfigError::value(key(), error.to_string()))?;
        }
        let (agree, count) = (agree.unwrap_or(1), endpoints.len());
        if agree == 0 || agree > count {
            let what = format!("expected 1 to {count}, as there are {count} nodes, found {agree}");
            return Err(ConfigError::value(format!("chains.{name}.agree"), what));
        }
        Ok(Self { endpoints, agree })
    }

    /// Whether there are at least two with different hosts or ports. The same host and port twice are one node.
    pub(crate) fn are_several(&self) -> bool {
        let mut places = self.endpoints.iter().map(|(endpoint, _)| endpoint.label());
        places.next().is_some_and(|first| places.any(|other| other != first))
    }

    /// The nodes as one.
    pub(crate) fn connect(&self, profile: &Profile) -> anyhow::Result<Pool> {
        let options = PoolOptions { agree: self.agree, ..PoolOptions::of(profile) };
        Ok(Pool::connect(self.endpoints.clone(), profile, options)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// The blocks of TOML in a page.
    fn examples(page: &str) -> Vec<String> {
        page.split("```toml").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_the_page_about_nodes_shows_can_be_loaded() {
        let examples = examples(include_str!("../../../docs/nodes.md"));
        assert_eq!(examples.len(), 2);
        for text in &examples {
            toml::from_str::<Config>(text).unwrap_or_else(|error| panic!("{error}"));
        }
        // A variable that is set wherever a test runs.
        let several: Config = toml::from_str(&examples[1].replace("NODE_TOKEN", "PATH").replace(
            "0x1111111111111111111111111111111111111111",
            "0x1111111111111111111111111111111111110001",
        ))
        .unwrap();
        let chain = several.chains().unwrap().remove(0);
        let nodes = &chain.nodes;
        assert_eq!((nodes.endpoints.len(), nodes.agree), (3, 2));
        assert_eq!(nodes.endpoints[2].1, Role::Fallback);
        let second = &nodes.endpoints[1].0;
        assert_eq!(second.allowance, Some(Allowance::Units(500)));
        assert_eq!(second.bearer.as_deref(), std::env::var("PATH").ok().as_deref());
        assert_eq!((second.timeout, second.longest_rest), (Duration::from_secs(5), Duration::from_secs(60)));
        assert_eq!(second.max_answer_bytes, 64 << 20);
        assert_eq!(chain.profile.completeness, salt402_chain::Completeness::Receipts);
        nodes.connect(&chain.profile).unwrap();
    }

    #[test]
    fn the_longest_answer_holds_a_blocks_list_of_transactions_and_fits_into_memory() {
        let read = |bytes: u64| {
            let text = format!("rpc = \"http://node.example\"\nmax_answer_bytes = {bytes}");
            let node: NodeConfig = toml::from_str(&text).unwrap();
            node.resolve("chains.x.nodes[0]", Path::new(".")).map(|(endpoint, _)| endpoint.max_answer_bytes)
        };
        assert_eq!((read(1 << 20).unwrap(), read(2 << 30).unwrap()), (1 << 20, 2 << 30));
        for bad in [0, (1 << 20) - 1, (2 << 30) + 1, u64::MAX >> 1] {
            let error = read(bad).unwrap_err().to_string();
            assert!(
                error.contains("chains.x.nodes[0].max_answer_bytes") && error.contains("1048576"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_nodes_secrets_are_in_no_debug_output() {
        let text = "rpc = \"https://user:sesame@node.example/topsecret\"\nbearer_env = \"PATH\"";
        let node: NodeConfig = toml::from_str(text).unwrap();
        let (endpoint, _) = node.resolve("chains.x.nodes[0]", Path::new(".")).unwrap();
        let nodes = Nodes { endpoints: vec![(endpoint, Role::Primary)], agree: 1 };
        let shown = format!("{node:?} {nodes:?}");
        let path = std::env::var("PATH").unwrap();
        assert!(
            !shown.contains("sesame") && !shown.contains("topsecret") && !shown.contains(&path),
            "{shown}"
        );
    }
}
