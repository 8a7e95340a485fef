//! `[verifier]`: what is accepted, and where it can be asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use salt402_protocol::quote::QuoteClock;
use salt402_store::Options;
use salt402_verifier::Policy;
use serde::Deserialize;

use super::connections::ConnectionsConfig;
use super::error::ConfigError;
use super::socket::Mode;
use crate::listen::Endpoint;

/// The verifier.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct VerifierConfig {
    /// The address and port of its API. An address that is not loopback needs a token.
    pub(crate) listen: SocketAddr,
    /// A socket in the file system besides the port. Relative to this file. Left out: none.
    socket: Option<PathBuf>,
    /// The socket's permissions, in octal. Whoever may write to it may ask. Left out: `"0660"`.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    socket_mode: Mode,
    /// Whether callers through the socket must send the token too, if there is one.
    pub(crate) socket_needs_token: bool,
    /// How much clients may take of time and of room.
    connections: ConnectionsConfig,
    /// A file with the token that callers must send, 16 characters or more. Relative to this file. Left out: the
    /// environment variable `SALT402_VERIFIER_TOKEN`. Without both, no token.
    pub(crate) token_file: Option<PathBuf>,
    /// A file with the key that authenticates quotes, 32 bytes or more. Relative to this file. Left out: the
    /// environment variable `SALT402_QUOTE_KEY`. Without both, `quote.key` in `data`, which is created once.
    pub(crate) quote_key_file: Option<PathBuf>,
    /// Files with earlier quote keys, the newest first. Quotes that were made with them are accepted. The environment
    /// variable `SALT402_OLD_QUOTE_KEYS` adds to them.
    pub(crate) old_quote_key_files: Vec<PathBuf>,
    /// How long a client has to pay: 1 to 86400.
    quote_lifetime_s: u64,
    /// Whether the gateway accepts a transaction's hash without the quote id. Only the same request can use the payment
    /// then.
    bare_hashes: bool,
    /// The oldest payment that is granted on, by the time of its block: 1 to 31536000.
    max_payment_age_s: u64,
    /// By how much the chain's clock may differ from the machine's: 0 to 600.
    clock_skew_s: u64,
    /// The longest time that a request may wait for its payment: 0 to 120000.
    max_wait_ms: u64,
    /// How many requests may wait at once: 0 to 100000. Further ones are answered at once with what is known.
    max_waiting: usize,
    /// How much memory recent payments may take: 0 to 16384. With 0 none are kept. A payment takes about 600 bytes.
    memory_mib: usize,
}

impl Default for VerifierConfig {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4020)),
            socket: None,
            socket_mode: Mode::default(),
            socket_needs_token: true,
            connections: ConnectionsConfig::default(),
            token_file: None,
            quote_key_file: None,
            old_quote_key_files: Vec::new(),
            quote_lifetime_s: policy.clock.lifetime,
            bare_hashes: policy.bare_hashes,
            max_payment_age_s: policy.max_age.as_secs(),
            clock_skew_s: policy.clock_skew.as_secs(),
            max_wait_ms: policy.max_wait.as_millis() as u64,
            max_waiting: policy.max_waiting,
            memory_mib: Options::new("").memory >> 20,
        }
    }
}

impl VerifierConfig {
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            clock: QuoteClock::living(self.quote_lifetime_s),
            old_clocks: Vec::new(),
            bare_hashes: self.bare_hashes,
            max_age: Duration::from_secs(self.max_payment_age_s),
            clock_skew: Duration::from_secs(self.clock_skew_s),
            max_wait: Duration::from_millis(self.max_wait_ms),
            max_waiting: self.max_waiting,
        }
    }

    /// Where it listens, behind these proxies. Sockets are below `folder`.
    pub(crate) fn endpoint(&self, folder: &Path, proxies: Vec<IpNet>) -> Endpoint {
        Endpoint {
            part: "verifier",
            address: self.listen,
            socket: self.socket.as_ref().map(|path| (folder.join(path), self.socket_mode.0)),
            limits: self.connections.limits(0, proxies),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let within = |key: &str, value: u64, least: u64, most: u64| {
            ConfigError::unless_within(format!("verifier.{key}"), value, least..=most)
        };
        within("quote_lifetime_s", self.quote_lifetime_s, 1, 24 * 3600)?;
        within("max_payment_age_s", self.max_payment_age_s, 1, 365 * 24 * 3600)?;
        within("clock_skew_s", self.clock_skew_s, 0, 600)?;
        within("max_wait_ms", self.max_wait_ms, 0, 120_000)?;
        within("max_waiting", self.max_waiting as u64, 0, 100_000)?;
        within("memory_mib", self.memory_mib as u64, 0, 16 * 1024)?;
        self.connections.check("verifier")
    }

    /// How the database at a path is opened.
    pub(crate) fn store(&self, path: PathBuf) -> Options {
        Options { memory: self.memory_mib << 20, ..Options::new(path) }
    }
}
