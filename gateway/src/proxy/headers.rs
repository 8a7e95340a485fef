//! Which headers go through, in both directions.
//!
//! Names are compared as servers do that know letters and digits alone: `X_Forwarded_For` is `X-Forwarded-For` there.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use salt402_protocol::mpp::credential_of;

/// What says how a message is sent from one server to the next, and goes no further (RFC 9110, section 7.6.1).
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Beginnings of headers that only this gateway writes: how a request is paid for, who paid, and what the proxies before
/// it say of the client.
const OURS: &[&str] = &["x-payment-", "payment-", "x-x402-", "x402-", "x-forwarded-", "x-accel-"];

/// Headers that only this gateway writes, and those by which a server takes a request for one of another path.
const OURS_WHOLE: &[&str] = &[
    "x-payment",
    "payment",
    "host",
    "content-length",
    "expect",
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-original-host",
    "x-rewrite-url",
    "x-envoy-original-path",
    "x-host",
];

/// What lets a client in at a server. It goes through where the operator says so.
const CREDENTIALS: &[&str] = &["authorization", "cookie"];

/// What tells a proxy before this gateway to do something, or clients to go around it, or which pages may read.
const OF_ANSWERS: &[&str] = &[
    "alt-svc",
    "server",
    "x-sendfile",
    "x-reproxy-url",
    "x-lighttpd-send-file",
    "x-powered-by",
    "x-should-retry",
];
const OF_ANSWERS_BEGIN: &[&str] = &["access-control-"];

/// What would let an answer be kept for somebody who did not pay, or be bound to one client.
const OF_PAID_ANSWERS: &[&str] = &[
    "set-cookie",
    "set-cookie2",
    "cache-control",
    "cdn-cache-control",
    "surrogate-control",
    "surrogate-key",
    "pragma",
    "expires",
    "age",
    "clear-site-data",
];

/// A name as a server has it that knows letters and digits alone.
fn folded(name: &HeaderName) -> Cow<'_, str> {
    let name = name.as_str();
    if name.bytes().all(|sign| sign.is_ascii_alphanumeric() || sign == b'-') {
        return Cow::Borrowed(name);
    }
    let plain = |sign: char| if sign.is_ascii_alphanumeric() { sign } else { '-' };
    Cow::Owned(name.chars().map(plain).collect())
}

/// The names that a message says are for the next server alone.
fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header::CONNECTION).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

fn begins(name: &str, beginnings: &[&str]) -> bool {
    beginnings.iter().any(|beginning| name.starts_with(beginning))
}

/// Whether a credential is a payment's, which is for this gateway alone.
fn pays(value: &HeaderValue) -> bool {
    value.to_str().ok().and_then(credential_of).is_some()
}

/// What an upstream is sent of a request's headers.
pub(super) fn of_request(headers: &HeaderMap, passes_credentials: bool) -> HeaderMap {
    let connection = named_by_connection(headers);
    let mut passed = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let folded = folded(name);
        let stays = HOP_BY_HOP.contains(&&*folded)
            || OURS_WHOLE.contains(&&*folded)
            || begins(&folded, OURS)
            || (CREDENTIALS.contains(&&*folded) && (!passes_credentials || pays(value)))
            || connection.iter().any(|named| named == name.as_str());
        if !stays {
            passed.append(name.clone(), value.clone());
        }
    }
    passed
}

/// What a client gets of an answer's headers. `paid`: whether it was paid for.
pub(super) fn of_answer(headers: &HeaderMap, paid: bool) -> HeaderMap {
    let connection = named_by_connection(headers);
    let mut passed = HeaderMap::with_capacity(headers.len() + 8);
    for (name, value) in headers {
        let text = name.as_str();
        let stays = HOP_BY_HOP.contains(&text)
            || OF_ANSWERS.contains(&text)
            || begins(text, OF_ANSWERS_BEGIN)
            || begins(text, OURS)
            || text == "x-payment"
            || (paid && OF_PAID_ANSWERS.contains(&text))
            // Some clients pay whatever asks them to.
            || (name == header::WWW_AUTHENTICATE && asks_for_payment(value))
            || connection.iter().any(|named| named == text);
        if !stays {
            passed.append(name.clone(), value.clone());
        }
    }
    passed
}

fn asks_for_payment(value: &HeaderValue) -> bool {
    let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
    text.split([',', ' ', '=']).any(|word| matches!(word, "payment" | "x402" | "l402" | "lsat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn what_is_a_clients_own_goes_to_the_upstream_and_nothing_else() {
        let sent = map(&[
            ("Accept", "text/html"),
            ("Accept-Encoding", "gzip"),
            ("Content-Type", "text/plain"),
            ("Range", "bytes=0-9"),
            ("X-Own", "1"),
            ("X-Own", "2"),
            ("Host", "shop.example"),
            ("Content-Length", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close, X-Secret , te"),
            ("X-Secret", "x"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("Expect", "100-continue"),
            ("X-Payment-Proof", "0x"),
            ("X_Payment_Payer", "0x"),
            ("X-Payment", "e30="),
            ("X-Payment-Signature", "e30="),
            ("X402-Proof", "evm:"),
            ("PAYMENT-SIGNATURE", "e30="),
            ("X-X402-Payer", "0x"),
            ("x_x402_payer", "0x"),
            ("X.X402.Payer", "0x"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("X_Forwarded_Prefix", "/admin"),
            ("Forwarded", "for=1.2.3.4"),
            ("X-Real-IP", "1.2.3.4"),
            ("X-Original-URL", "/admin"),
            ("x_rewrite_url", "/admin"),
            ("X-Accel-Redirect", "/admin"),
            ("Authorization", "Bearer x"),
            ("Cookie", "a=b"),
            ("Proxy-Authorization", "Basic x"),
        ]);
        let own = [
            "accept: text/html",
            "accept-encoding: gzip",
            "content-type: text/plain",
            "range: bytes=0-9",
            "x-own: 1",
            "x-own: 2",
        ];
        assert_eq!(names(&of_request(&sent, false)), own);
        let with = names(&of_request(&sent, true));
        assert_eq!(with, [&own[..], &["authorization: Bearer x", "cookie: a=b"]].concat());
    }

    #[test]
    fn an_answer_says_what_it_is_and_not_how_it_came_or_may_be_kept() {
        let told = map(&[
            ("content-type", "text/html"),
            ("etag", "\"1\""),
            ("content-encoding", "gzip"),
            ("vary", "accept"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("trailer", "x"),
            ("server", "nginx"),
            ("alt-svc", "h3=\":1\""),
            ("x-accel-redirect", "/private"),
            ("x-sendfile", "/etc/passwd"),
            ("access-control-allow-origin", "*"),
            ("x-payment-details", "{}"),
            ("payment-required", "e30="),
            ("x-x402-payer", "0x"),
            ("www-authenticate", "Payment id=\"1\""),
            ("www-authenticate", "Basic realm=\"x\""),
            ("set-cookie", "a=b"),
            ("cache-control", "public, max-age=3600"),
            ("expires", "Sun, 06 Nov 2094 08:49:37 GMT"),
            ("age", "1"),
        ]);
        let always = [
            "content-type: text/html",
            "etag: \"1\"",
            "content-encoding: gzip",
            "vary: accept",
            "www-authenticate: Basic realm=\"x\"",
        ];
        assert_eq!(names(&of_answer(&told, true)), always);
        let free = [
            "set-cookie: a=b",
            "cache-control: public, max-age=3600",
            "expires: Sun, 06 Nov 2094 08:49:37 GMT",
            "age: 1",
        ];
        assert_eq!(names(&of_answer(&told, false)), [&always[..], &free].concat());
    }
}
