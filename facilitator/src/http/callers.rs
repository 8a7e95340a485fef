//! Who asks, and how often one may.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use salt402_http::{Bucket, Token, Tokens, one_value, problem_response};
use salt402_protocol::{Code, Problem};
use tokio::time::Instant;

use crate::callers::Caller;

/// The callers that the operator named. Without any, nobody is asked for a token.
#[derive(Clone, Default)]
pub(crate) struct Callers(Tokens<Arc<Known>>);

struct Known {
    caller: Caller,
    /// A std mutex, because nothing is awaited while it is held.
    bucket: Mutex<Bucket>,
}

impl Callers {
    /// These callers, each by its token.
    pub(crate) fn new(callers: Vec<(Token, Caller)>) -> Self {
        let known = |(token, caller)| (token, Arc::new(Known { caller, bucket: Mutex::default() }));
        Self(Tokens::new(callers.into_iter().map(known).collect()))
    }

    /// Who sends a request. `None`: nobody is asked.
    ///
    /// # Errors
    /// The token is missing or wrong, or its bearer asks too often. Where nobody has one: the request comes from another
    /// machine, through a proxy or a page in a browser.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        client: Option<IpAddr>,
    ) -> Result<Option<&Caller>, Problem> {
        if self.0.is_empty() {
            return from_here(headers, client).map(|()| None);
        }
        let Some(known) = self.0.bearer(headers)? else {
            let detail = "send your token as Authorization: Bearer, or as X-Salt402-Token";
            return Err(Problem::new(Code::Unauthorized, detail));
        };
        if let Some(rate) = known.caller.rules.rate {
            let mut bucket = known.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(rate, Instant::now()).map_err(|wait| {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
                let detail =
                    format!("this token's requests come faster than is allowed: ask again in {wait_ms} ms");
                metrics::counter!("salt402_limited_total", "limit" => Code::CallerLimited.as_str())
                    .increment(1);
                Problem::new(Code::CallerLimited, detail).retry_after(wait_ms)
            })?;
        }
        Ok(Some(&known.caller))
    }
}

/// Without tokens only this machine asks. A listener on loopback is not enough for that: a proxy beside it hands on what others
/// send, and a page in a browser can have its own name point to this machine, and then no other origin is asked.
fn from_here(headers: &HeaderMap, client: Option<IpAddr>) -> Result<(), Problem> {
    let host = one_value(headers, header::HOST.as_str())?;
    let is_near = client.is_none_or(is_loopback);
    if is_near && host.is_none_or(is_own_name) {
        return Ok(());
    }
    let detail = "this facilitator has no callers, so only programs of its own machine may ask, at an address or at localhost: \
                  its operator must name callers with tokens, as in [facilitator.callers.NAME]";
    Err(Problem::new(Code::Unauthorized, detail))
}

/// Whether a client is this machine. Of IPv6, the network of 64 bits is told, and that of `::1` is `::`.
fn is_loopback(client: IpAddr) -> bool {
    client.is_loopback() || client == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

/// Lets through what programs of this machine ask, for a route that asks nobody for a token.
pub(crate) async fn only_from_here(request: Request, next: Next) -> Response {
    match from_here(request.headers(), salt402_http::Caller::of(request.extensions())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem_response(&problem),
    }
}

/// Whether a `Host` is an address or `localhost`. Any other name may be anybody's.
fn is_own_name(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name).trim_end_matches('.');
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_asks_over_either_protocol() {
        let asks = |client: &str| from_here(&HeaderMap::new(), Some(client.parse().unwrap())).is_ok();
        for (client, is_near) in
            [("127.0.0.1", true), ("::", true), ("::1", true), ("203.0.113.7", false), ("2001:db8::", false)]
        {
            assert_eq!(asks(client), is_near, "{client}");
        }
    }

    #[test]
    fn a_host_is_an_address_or_localhost() {
        for own in
            ["localhost", "LocalHost:4022", "localhost.", "127.0.0.1", "127.0.0.1:4022", "[::1]", "[::1]:80"]
        {
            assert!(is_own_name(own), "{own}");
        }
        for foreign in [
            "",
            "rebound.example",
            "rebound.example:4022",
            "localhost.rebound.example",
            "127.0.0.1.nip.io",
            "localhost:x",
        ] {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }
}
