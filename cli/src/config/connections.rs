//! `[verifier.connections]` and `[gateway.connections]`: how much time and memory clients may take.

use std::time::Duration;

use ipnet::IpNet;
use salt402_http::Limits;
use serde::Deserialize;

use super::error::ConfigError;

/// The limits of a listener.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConnectionsConfig {
    /// Connections at once: 1 to 1000000.
    max: usize,
    /// Connections at once of one address (of an IPv6 client, of its /64), proxies excepted: 1 to 1000000.
    max_per_address: usize,
    /// How long a request's head may take to arrive: 1 to 3600000.
    head_timeout_ms: u64,
    /// How long a request's body may take to arrive: 1 to 3600000.
    body_timeout_ms: u64,
    /// How long a request's body may pause between two pieces: 1 to 3600000.
    body_pause_ms: u64,
    /// How much memory request bodies may hold at once before they are paid for, without the first 4 KiB of each:
    /// 1048576 to 68719476736.
    max_bodies_bytes: usize,
    /// How much of that memory one address may hold (of an IPv6 client, its /64): 65536 or more. Left out: an eighth,
    /// or the largest body if that is more.
    max_bodies_bytes_per_address: Option<usize>,
    /// How long a connection may be idle between two requests: 1 to 3600000.
    idle_timeout_ms: u64,
    /// How long a client may read nothing of its answer: 1 to 3600000.
    write_timeout_ms: u64,
    /// The largest head of a request: 2048 to 131072.
    max_head_bytes: usize,
    /// The most header lines of a request: 16 to 100.
    max_headers: usize,
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        let limits = Limits::default();
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            max: limits.connections,
            max_per_address: limits.per_address,
            head_timeout_ms: milliseconds(limits.head),
            body_timeout_ms: milliseconds(limits.body),
            body_pause_ms: milliseconds(limits.body_pause),
            max_bodies_bytes: limits.bodies_bytes,
            max_bodies_bytes_per_address: None,
            idle_timeout_ms: milliseconds(limits.idle),
            write_timeout_ms: milliseconds(limits.write),
            max_head_bytes: limits.head_bytes,
            max_headers: limits.headers,
        }
    }
}

impl ConnectionsConfig {
    /// The limits of a part whose largest body has this many bytes, behind these proxies.
    pub(crate) fn limits(&self, largest_body: usize, proxies: Vec<IpNet>) -> Limits {
        let of_address = self.max_bodies_bytes_per_address.unwrap_or(self.max_bodies_bytes / 8);
        Limits {
            proxies,
            bodies_per_address_bytes: of_address.max(largest_body),
            connections: self.max,
            per_address: self.max_per_address,
            head: Duration::from_millis(self.head_timeout_ms),
            body: Duration::from_millis(self.body_timeout_ms),
            body_pause: Duration::from_millis(self.body_pause_ms),
            bodies_bytes: self.max_bodies_bytes,
            idle: Duration::from_millis(self.idle_timeout_ms),
            write: Duration::from_millis(self.write_timeout_ms),
            head_bytes: self.max_head_bytes,
            headers: self.max_headers,
            browsers: None,
        }
    }

    /// Which limit leaves no room for a body of this many bytes.
    pub(crate) fn hinders(&self, body: usize) -> Option<&'static str> {
        if body > self.max_bodies_bytes {
            return Some("max_bodies_bytes");
        }
        self.max_bodies_bytes_per_address
            .is_some_and(|most| body > most)
            .then_some("max_bodies_bytes_per_address")
    }

    /// `part` is `verifier` or `gateway`.
    pub(crate) fn check(&self, part: &str) -> Result<(), ConfigError> {
        let within = |key: &str, value: u64, least: u64, most: u64| {
            ConfigError::unless_within(format!("{part}.connections.{key}"), value, least..=most)
        };
        const HOUR: u64 = 3_600_000;
        within("max", self.max as u64, 1, 1_000_000)?;
        within("max_per_address", self.max_per_address as u64, 1, 1_000_000)?;
        within("head_timeout_ms", self.head_timeout_ms, 1, HOUR)?;
        within("body_timeout_ms", self.body_timeout_ms, 1, HOUR)?;
        within("body_pause_ms", self.body_pause_ms, 1, HOUR)?;
        within("max_bodies_bytes", self.max_bodies_bytes as u64, 1 << 20, 1 << 36)?;
        if let Some(most) = self.max_bodies_bytes_per_address {
            within("max_bodies_bytes_per_address", most as u64, 1 << 16, self.max_bodies_bytes as u64)?;
        }
        within("idle_timeout_ms", self.idle_timeout_ms, 1, HOUR)?;
        within("write_timeout_ms", self.write_timeout_ms, 1, HOUR)?;
        // A quote id and a proof take 400 bytes, and a proxy's own headers take some more.
        within("max_head_bytes", self.max_head_bytes as u64, 2048, 128 * 1024)?;
        within("max_headers", self.max_headers as u64, 16, 100)
    }
}
