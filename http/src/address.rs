//! Limits on requests by the address that they come from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, Response};
use axum::middleware::Next;
use ipnet::IpNet;
use salt402_protocol::{Code, Problem};
use tokio::time::Instant;

use crate::rate::{Bucket, Rate, Recent};

/// Names the client that a proxy asks for, the nearest hop last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// How often one address may ask. Cheap to clone; all clones are one.
///
/// A request that comes too soon is marked and goes on: only where its payment headers are read it is known whether it
/// shows a proof, and a proof that was granted is answered, whatever the limit.
#[derive(Clone)]
pub struct AddressLimits(Arc<Inner>);

struct Inner {
    rate: Rate,
    /// A std mutex, because nothing is awaited while it is held.
    known: Mutex<Recent<IpAddr, Bucket>>,
}

/// On a request that came too soon: for how long there is no token.
#[derive(Clone, Copy, Debug)]
struct AddressLimited(Duration);

impl AddressLimits {
    /// So many for each address.
    pub fn new(rate: Rate) -> Self {
        Self(Arc::new(Inner { rate, known: Mutex::default() }))
    }

    fn take(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.of_key(client).take(self.0.rate, now)
    }
}

/// Who asks: the nearest hop that is none of `proxies`, whose `X-Forwarded-For` is believed. `None` where they do not say, or the
/// connection is local and has no address: then nobody can be told apart, and nobody is limited.
pub fn client_address(proxies: &[IpNet], headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
    if let Some(peer) = peer.filter(|peer| !is_in(proxies, *peer)) {
        return Some(peer);
    }
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        // What a client wrote before the nearest hop that is no proxy is worth nothing, whatever bytes it has.
        match std::str::from_utf8(hop).ok().and_then(|hop| parse(hop.trim())) {
            Some(address) if is_in(proxies, address) => {}
            other => return other,
        }
    }
    None
}

pub(crate) fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Who a request comes from, as far as its listener can tell; in the request's extensions. An address, or an IPv6 network.
#[derive(Clone, Copy, Debug)]
pub struct Caller(Option<IpAddr>);

impl Caller {
    /// Of a request of this peer, or of whoever asks through it if it is one of `proxies`.
    pub(crate) fn told(proxies: &[IpNet], headers: &HeaderMap, peer: Option<IpAddr>) -> Self {
        Self(client_address(proxies, headers, peer).map(prefix))
    }

    /// Of a request; nobody where its listener is not ours.
    pub fn of(extensions: &Extensions) -> Option<IpAddr> {
        extensions.get::<Self>().and_then(|from| from.0)
    }
}

/// An address as proxies write it, with or without a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// What one client has: an IPv4 address, or an IPv6 network of 64 bits.
pub(crate) fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
        four => four,
    }
}

/// Counts a request, and marks it if it comes too soon.
pub async fn limit_addresses(
    State(limits): State<AddressLimits>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    if let Some(client) = Caller::of(request.extensions())
        && let Err(wait) = limits.take(client, Instant::now())
    {
        request.extensions_mut().insert(AddressLimited(wait));
    }
    next.run(request).await
}

/// For how long there is no token for the address of a request; `None` where there was one.
pub fn address_wait(extensions: &Extensions) -> Option<Duration> {
    extensions.get::<AddressLimited>().map(|too_soon| too_soon.0)
}

/// What is said to somebody who asks too often. Nothing is used up.
pub fn address_limited(wait: Duration) -> Problem {
    metrics::counter!("salt402_limited_total", "limit" => Code::AddressLimited.as_str()).increment(1);
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let detail = format!(
        "requests come from this address faster than is allowed: send it again in {wait_ms} ms, with the same proof if \
         it was paid for"
    );
    Problem::new(Code::AddressLimited, detail).retry_after(wait_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Behind proxies of this machine and of a network.
    fn client(peer: Option<&str>, forwarded: &[&[u8]]) -> Option<String> {
        let proxies = ["127.0.0.0/8", "10.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        let client = client_address(&proxies, &headers, peer.map(|peer| peer.parse().unwrap()));
        client.map(|client| client.to_string())
    }

    #[test]
    fn a_client_is_who_a_proxy_says_and_nobody_else() {
        let told = |peer, forwarded: &[&str]| {
            client(Some(peer), &forwarded.iter().map(|line| line.as_bytes()).collect::<Vec<_>>())
        };
        assert_eq!(told("9.9.9.9", &["1.2.3.4"]).unwrap(), "9.9.9.9", "a client speaks for itself alone");
        assert_eq!(told("127.0.0.1", &["1.2.3.4"]).unwrap(), "1.2.3.4");
        assert_eq!(
            told("127.0.0.1", &["6.6.6.6, 1.2.3.4"]).unwrap(),
            "1.2.3.4",
            "what it claims to be is behind it"
        );
        assert_eq!(told("127.0.0.1", &["1.2.3.4, 10.1.1.1"]).unwrap(), "1.2.3.4");
        assert_eq!(
            told("127.0.0.1", &["6.6.6.6", "1.2.3.4, 10.1.1.1"]).unwrap(),
            "1.2.3.4",
            "two lines are one list"
        );
        assert_eq!(told("::1", &["1.2.3.4:5678"]).unwrap(), "1.2.3.4");
        assert_eq!(told("::1", &["[2001:db8::1]:443"]).unwrap(), "2001:db8::1");
        assert_eq!(told("127.0.0.1", &["::ffff:1.2.3.4"]).unwrap(), "1.2.3.4");
        assert_eq!(told("127.0.0.1", &[]), None, "a proxy that does not say");
        assert_eq!(told("127.0.0.1", &["1.2.3.4, unknown"]), None, "nor one that says what is no address");
        assert_eq!(client(None, &[b"1.2.3.4"]).unwrap(), "1.2.3.4", "a socket without addresses is local");
        assert_eq!(client(None, &[]), None);
    }

    /// nginx and others append to the line that the client sent.
    #[test]
    fn bytes_that_are_no_text_hide_nobody() {
        assert_eq!(client(Some("127.0.0.1"), &[b"\xff\xfe, 1.2.3.4"]).unwrap(), "1.2.3.4");
    }

    #[test]
    fn addresses_have_tokens_of_their_own() {
        let limits = AddressLimits::new(Rate { per_minute: 60, burst: 2 });
        let now = Instant::now();
        let take = |address: &str| {
            let caller = Caller::told(&[], &HeaderMap::new(), Some(address.parse().unwrap()));
            limits.take(caller.0.unwrap(), now).is_ok()
        };
        assert!(take("1.2.3.4") && take("1.2.3.4") && !take("1.2.3.4"));
        assert!(!take("::ffff:1.2.3.4"), "the same, written otherwise");
        assert!(take("1.2.3.5"));
        assert!(
            take("2001:db8::1") && take("2001:db8::2") && !take("2001:db8::3"),
            "one network, one client"
        );
        assert!(take("2001:db8:0:1::1"));
    }
}
