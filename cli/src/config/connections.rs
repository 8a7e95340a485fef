//! `[verifier.connections]` and `[gateway.connections]`: how much clients may take, of time and of room.

use std::time::Duration;

use ipnet::IpNet;
use salt402_verifier::http::Limits;
use serde::Deserialize;

use super::ConfigError;

/// The limits of a listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConnectionsConfig {
    /// Connections at once.
    max: usize,
    /// Connections at once of one address (an IPv6 client's /64).
    max_per_address: usize,
    /// Addresses or networks that `max_per_address` does not count: those of proxies, behind which all clients have one
    /// address. Left out, loopback; given, only what is given.
    trusted: Vec<Network>,
    /// How long a request's head may take to arrive, in milliseconds.
    head_timeout_ms: u64,
    /// How long a request's body may take to arrive, in milliseconds.
    body_timeout_ms: u64,
    /// How long a request's body may take to go on, in milliseconds.
    body_pause_ms: u64,
    /// Bytes of bodies that are held at once before they are paid for, beside the first 4 KiB of each.
    max_bodies_bytes: usize,
    /// Of these, those that one address may hold (an IPv6 client's /64); left out, an eighth, or the largest body if that is
    /// more.
    max_bodies_bytes_per_address: Option<usize>,
    /// How long a connection may be idle between two requests, in milliseconds.
    idle_timeout_ms: u64,
    /// How long a client may take no byte of its answer, in milliseconds.
    write_timeout_ms: u64,
    /// Largest head of a request, in bytes.
    max_head_bytes: usize,
    /// Most header lines of a request.
    max_headers: usize,
}

/// An address or a network.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let address = text.parse().map(|address: std::net::IpAddr| IpNet::from(address));
        address
            .or_else(|_| text.parse())
            .map(Self)
            .map_err(|_| format!("expected an address or a network such as \"10.0.0.0/8\", found {text:?}"))
    }
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        let limits = Limits::default();
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            max: limits.connections,
            max_per_address: limits.per_address,
            trusted: limits.trusted.into_iter().map(Network).collect(),
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
    /// For a part whose largest body has so many bytes, behind proxies that are believed.
    pub(crate) fn limits(&self, largest_body: usize, forwarded: Vec<IpNet>) -> Limits {
        let of_address = self.max_bodies_bytes_per_address.unwrap_or(self.max_bodies_bytes / 8);
        Limits {
            forwarded,
            bodies_per_address_bytes: of_address.max(largest_body),
            connections: self.max,
            per_address: self.max_per_address,
            trusted: self.trusted.iter().map(|network| network.0).collect(),
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

    /// Which bound leaves no room for a body of so many bytes.
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
            if (least..=most).contains(&value) {
                return Ok(());
            }
            let what = format!("expected {least} to {most}, found {value}");
            Err(ConfigError::value(format!("{part}.connections.{key}"), what))
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
        // A quote id and a proof take 400 bytes, a proxy's own headers some more.
        within("max_head_bytes", self.max_head_bytes as u64, 2048, 128 * 1024)?;
        within("max_headers", self.max_headers as u64, 16, 100)
    }
}
