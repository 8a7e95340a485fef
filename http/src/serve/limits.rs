//! How much a client may take, of time and of memory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use tower_http::cors::CorsLayer;

use crate::address::{is_in, prefix};

/// How much the clients of a listener may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once of one address; of an IPv6 client, of its /64.
    pub per_address: usize,
    /// Proxies. `per_address` does not count their connections, and their `X-Forwarded-For` says who asks: a client's share of
    /// what is limited is that address's.
    pub proxies: Vec<IpNet>,
    /// How long a request's head may take to arrive, from its first byte (of the first request, from the connection).
    pub head: Duration,
    /// How long a request's body may take to arrive.
    pub body: Duration,
    /// How long a request's body may take to go on.
    pub body_pause: Duration,
    /// Bytes of bodies that are held at once before they are paid for, beside the first 4 KiB of each.
    pub bodies_bytes: usize,
    /// Of these, those that one client may hold, where it is known who asks.
    pub bodies_per_address_bytes: usize,
    /// How long a connection may be idle between two requests.
    pub idle: Duration,
    /// How long a client may take no byte of its answer.
    pub write: Duration,
    /// Largest head of a request, in bytes of method, target, names and values.
    pub head_bytes: usize,
    /// Most header lines of a request; at most 100.
    pub headers: usize,
    /// Which pages in browsers may read what is answered here and not by the router; `None` for none.
    pub browsers: Option<CorsLayer>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            per_address: 64,
            proxies: loopback(),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            body_pause: Duration::from_secs(5),
            bodies_bytes: 64 * 1024 * 1024,
            bodies_per_address_bytes: 8 * 1024 * 1024,
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            head_bytes: 16 * 1024,
            headers: 64,
            browsers: None,
        }
    }
}

/// This machine, as a proxy before us or a program beside us has it.
fn loopback() -> Vec<IpNet> {
    let all_v4 = Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8).trunc();
    vec![all_v4.into(), IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST))]
}

impl Limits {
    /// What a client's connections are counted under; `None` if they are not.
    pub(super) fn counted(&self, peer: IpAddr) -> Option<IpAddr> {
        // Whoever has one address of a /64 has all of them.
        (!is_in(&self.proxies, peer)).then(|| prefix(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_and_loopback_are_not_counted_and_a_network_of_ipv6_is_one_client() {
        let mut limits = Limits::default();
        limits.proxies.push("10.0.0.0/8".parse().unwrap());
        let counted = |text: &str| limits.counted(text.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(counted("127.0.0.1"), None);
        assert_eq!(counted("127.9.9.9"), None);
        assert_eq!(counted("::1"), None);
        assert_eq!(counted("10.1.2.3"), None);
        assert_eq!(counted("203.0.113.7"), Some("203.0.113.7".into()));
        assert_eq!(counted("2001:db8:1:2:3::4"), Some("2001:db8:1:2::".into()));
        assert_eq!(counted("2001:db8:1:2:ffff::1"), counted("2001:db8:1:2:3::4"));
    }
}
