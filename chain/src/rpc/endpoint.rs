//! Where a node is, and how it may be spoken of.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::error::NodeError;
use crate::profile::Profile;

/// Where a node is, and how much of its time and of its answers is taken.
///
/// Credentials may stand in the URL (user and password, path, query) or in `bearer`; neither `Debug` nor any error
/// shows them.
#[derive(Clone)]
pub struct Endpoint {
    /// JSON-RPC over HTTP: `http` or `https`.
    pub http: Url,
    /// JSON-RPC over WebSocket, for new heads alone: `ws` or `wss`. `None`: the caller polls.
    pub ws: Option<Url>,
    /// Sent as `Authorization: Bearer …` with every request.
    pub bearer: Option<String>,
    /// How long one request may take, from connection to last byte.
    pub timeout: Duration,
    /// The longest answer that is read, in bytes.
    pub max_answer_bytes: usize,
    /// What the node may be asked; `None`: what the profile says of the network's nodes.
    pub allowance: Option<Allowance>,
    /// The longest rest that the node can make us take when it says that it is asked too often.
    pub longest_rest: Duration,
    /// What metrics and status call the node; `None`: its host, and its port where it is unusual.
    pub name: Option<String>,
}

/// What a node may be asked in any one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// So many units, as the profile prices methods.
    Units(u64),
    /// So many requests, whatever they ask; each call of a batch is one.
    Requests(u64),
}

impl Endpoint {
    /// How long a request may take unless the operator says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// The longest answer unless the operator says otherwise. Citrate's node stops at 25 MiB.
    pub const MAX_ANSWER_BYTES: usize = 32 << 20;

    /// The longest rest unless the operator says otherwise.
    pub const LONGEST_REST: Duration = Duration::from_secs(300);

    /// A node that is asked over HTTP alone.
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

    /// The same node, which also tells of new heads.
    #[must_use]
    pub fn with_ws(mut self, ws: Url) -> Self {
        self.ws = Some(ws);
        self
    }

    /// The addresses that a profile names.
    ///
    /// # Errors
    /// [`NodeError::Endpoint`] where it names none.
    pub fn of(profile: &Profile) -> Result<Self, NodeError> {
        let http = profile.rpc.clone().ok_or_else(|| NodeError::Endpoint {
            what: format!("the profile {:?} has no rpc: give the URL of a node", profile.name),
        })?;
        Ok(Self { ws: profile.ws.clone(), ..Self::new(http) })
    }

    /// What metrics and status call the node: nothing of its address that may be a key.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let shown = shown(&self.http);
            shown.split_once("://").map_or_else(|| shown.clone(), |(_, host)| host.to_owned())
        })
    }

    /// What the node may be asked in a second, and whether methods differ in price.
    pub(crate) fn allowed(&self, profile: &Profile) -> (Option<u64>, bool) {
        let public = profile.rpc.as_ref().is_some_and(|rpc| rpc.host() == self.http.host());
        match self.allowance {
            Some(Allowance::Units(units)) => (Some(units), true),
            Some(Allowance::Requests(requests)) => (Some(requests), false),
            None if public => (profile.public_units_per_second.or(profile.units_per_second), true),
            None => (profile.units_per_second, true),
        }
    }

    /// Whether a node can be asked at these addresses.
    ///
    /// # Errors
    /// [`NodeError::Endpoint`] says which scheme was expected.
    pub fn check(&self) -> Result<(), NodeError> {
        expect_scheme(&self.http, "rpc", ["http", "https"])?;
        if let Some(ws) = &self.ws {
            expect_scheme(ws, "ws", ["ws", "wss"])?;
        }
        Ok(())
    }

    /// Texts that must never be repeated, longest first. Short words, such as `rpc` in a path, are no secrets, and
    /// taking them out would spoil the messages.
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

/// A URL as it may be shown: scheme, host and port.
pub(crate) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or("nowhere");
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// Whether the host is this machine, so that no proxy should be asked for it.
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
