//! The address of a node, and how to show it without its secrets.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::error::NodeError;
use crate::profile::Profile;

/// The address of a node, and the limits for requests to it.
///
/// The URL (user and password, path, query) and `bearer` may hold credentials. Neither `Debug` nor any error shows
/// them.
#[derive(Clone)]
pub struct Endpoint {
    /// JSON-RPC over HTTP: `http` or `https`.
    pub http: Url,
    /// JSON-RPC over WebSocket (`ws` or `wss`), only for new heads. `None`: the caller polls.
    pub ws: Option<Url>,
    /// Sent as `Authorization: Bearer …` with every request.
    pub bearer: Option<String>,
    /// The timeout of one request, from connection to last byte.
    pub timeout: Duration,
    /// The longest accepted answer, in bytes.
    pub max_answer_bytes: usize,
    /// The rate limit. `None`: the profile's.
    pub allowance: Option<Allowance>,
    /// The longest pause that the node may request when it is asked too often.
    pub longest_rest: Duration,
    /// The node's name in metrics and status. `None`: its host, and its port if unusual.
    pub name: Option<String>,
}

/// The rate limit of a node, for any one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// A number of units, by the profile's method costs.
    Units(u64),
    /// A number of requests of any kind. Each call of a batch counts.
    Requests(u64),
}

impl Endpoint {
    /// The default timeout of a request.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// The default limit of an answer. Citrate's node never sends more than 25 MiB.
    pub const MAX_ANSWER_BYTES: usize = 32 << 20;

    /// The default longest pause.
    pub const LONGEST_REST: Duration = Duration::from_secs(300);

    /// A node over HTTP only.
    pub fn new(http: Url) -> Self {
        Self {
            http,
            ws: None,
            bearer: None,
            timeout: Self::TIMEOUT,
            max_answer_bytes: Self::MAX_ANSWER_BYTES,
            allowance: None,
            longest_rest: Self::LONGEST_REST,
            name: None,
        }
    }

    /// The same node with new heads over WebSocket.
    #[must_use]
    pub fn with_ws(mut self, ws: Url) -> Self {
        self.ws = Some(ws);
        self
    }

    /// The addresses in a profile.
    ///
    /// # Errors [`NodeError::Endpoint`] if the profile names none.
    pub fn of(profile: &Profile) -> Result<Self, NodeError> {
        let http = profile.rpc.clone().ok_or_else(|| NodeError::Endpoint {
            what: format!("the profile {:?} has no rpc: give the URL of a node", profile.name),
        })?;
        Ok(Self { ws: profile.ws.clone(), ..Self::new(http) })
    }

    /// The node's name in metrics and status, without parts of the address that may be a key.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let shown = shown(&self.http);
            shown.split_once("://").map_or_else(|| shown.clone(), |(_, host)| host.to_owned())
        })
    }

    /// The node's units per second, and whether methods differ in cost.
    pub(crate) fn allowed(&self, profile: &Profile) -> (Option<u64>, bool) {
        let public = profile.rpc.as_ref().is_some_and(|rpc| rpc.host() == self.http.host());
        match self.allowance {
            Some(Allowance::Units(units)) => (Some(units), true),
            Some(Allowance::Requests(requests)) => (Some(requests), false),
            None if public => (profile.public_units_per_second.or(profile.units_per_second), true),
            None => (profile.units_per_second, true),
        }
    }

    /// Checks that the addresses can be used.
    ///
    /// # Errors [`NodeError::Endpoint`] names the expected scheme.
    pub fn check(&self) -> Result<(), NodeError> {
        expect_scheme(&self.http, "rpc", ["http", "https"])?;
        if let Some(ws) = &self.ws {
            expect_scheme(ws, "ws", ["ws", "wss"])?;
        }
        Ok(())
    }

    /// The texts that must never be shown, longest first. Short words such as `rpc` in a path are not secret, and
    /// hiding them would damage messages.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets: Vec<String> = [Some(&self.http), self.ws.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|url| {
                let credentials = [url.password(), Some(url.username())].into_iter().flatten();
                let path = url.path_segments().into_iter().flatten();
                let query = url.query().into_iter().flat_map(|query| query.split(['&', '=']));
                credentials.chain(path).chain(query).map(str::to_owned).collect::<Vec<_>>()
            })
            .chain(self.bearer.clone())
            .filter(|text| text.len() >= 6)
            .collect();
        secrets.sort_by_key(|text| std::cmp::Reverse(text.len()));
        secrets.dedup();
        secrets
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("http", &shown(&self.http))
            .field("ws", &self.ws.as_ref().map(shown))
            .field("timeout", &self.timeout)
            .field("max_answer_bytes", &self.max_answer_bytes)
            .finish_non_exhaustive()
    }
}

/// The parts of a URL that may be shown: scheme, host and port.
pub(crate) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or("nowhere");
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// Whether the host is this machine, so that no HTTP proxy is used.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn expect_scheme(url: &Url, name: &str, schemes: [&str; 2]) -> Result<(), NodeError> {
    if schemes.contains(&url.scheme()) && url.has_host() {
        return Ok(());
    }
    let [plain, secure] = schemes;
    let scheme = url.scheme();
    Err(NodeError::Endpoint {
        what: format!("{name} has the scheme {scheme:?}; write {plain}://host or {secure}://host"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed() -> Endpoint {
        let http: Url =
            "https://alice:sesame-open@node.example:8443/v2/0123456789abcdef?api_key=hunter2hunter2"
                .parse()
                .unwrap();
        let mut endpoint =
            Endpoint::new(http).with_ws("wss://node.example/ws/fedcba9876543210".parse().unwrap());
        endpoint.bearer = Some("tokentoken".to_owned());
        endpoint
    }

    #[test]
    fn an_endpoint_is_shown_without_its_keys() {
        let shown = format!("{:?}", keyed());
        for secret in ["alice", "sesame", "0123456789abcdef", "hunter2", "fedcba", "tokentoken", "v2"] {
            assert!(!shown.contains(secret), "{secret} is in {shown}");
        }
        assert!(shown.contains("https://node.example:8443"), "{shown}");
    }

    #[test]
    fn keys_are_found_wherever_they_stand() {
        let secrets = keyed().secrets();
        for secret in ["sesame-open", "0123456789abcdef", "hunter2hunter2", "fedcba9876543210", "tokentoken"]
        {
            assert!(secrets.iter().any(|found| found == secret), "{secret}");
        }
        assert!(secrets.windows(2).all(|pair| pair[0].len() >= pair[1].len()));
    }

    #[test]
    fn a_scheme_that_is_not_json_rpc_is_refused_with_the_right_one() {
        let swapped = Endpoint::new("ws://127.0.0.1:8545".parse().unwrap());
        let message = swapped.check().unwrap_err().to_string();
        assert!(message.contains("write http://host or https://host"), "{message}");
        assert!(keyed().check().is_ok());
        let file =
            Endpoint::new("http://localhost".parse().unwrap()).with_ws("http://localhost".parse().unwrap());
        assert!(file.check().is_err());
    }
}
