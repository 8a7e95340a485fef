//! Headers and paths: one reading or none.

use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{HeaderMap, Request};
use salt402_paywall::{Presented, Rule, Tariff, asked_for};
use salt402_protocol::{Amount, Code, U256};

/// Lines of `name:value` as headers; a line that is none is left out.
fn headers(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(&line[colon + 1..]);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// What other dialects show a payment with.
const OTHERS: &[&str] = &[
    "payment-signature",
    "x-payment",
    "x-payment-signature",
    "x402-proof",
    "authorization",
    "payment-authorization",
];

/// A payment header that came twice, or holds more than visible ASCII, is refused; what is read is what was sent. Two things to pay
/// with are refused.
pub(crate) fn presented(data: &[u8]) {
    let headers = headers(data);
    if OTHERS.iter().any(|name| headers.contains_key(*name)) {
        if let Ok(presented) = Presented::read(&headers) {
            assert!(presented.proof.is_none() || presented.signed.is_none());
            let others = OTHERS.iter().filter(|name| !name.contains("authorization"));
            let shown = others.filter(|name| headers.contains_key(**name)).count();
            assert!(shown + usize::from(headers.contains_key("x-payment-proof")) <= 1);
        }
        return;
    }
    let names = ["x-payment-proof", "x-payment-quote", "x-payment-binding"];
    let doubled = names.iter().any(|name| headers.get_all(*name).iter().count() > 1);
    match Presented::read(&headers) {
        Ok(presented) => {
            assert!(!doubled);
            let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(presented.proof, text(names[0]).map(|text| text.parse().unwrap()));
            assert_eq!(presented.quote.as_ref().map(|quote| quote.as_str()), text(names[1]));
            assert_eq!(presented.secret, text(names[2]) == Some("quote"));
        }
        Err(problem) => {
            let known = [Code::MalformedHeader, Code::MalformedProof, Code::MalformedQuote];
            assert!(known.contains(&problem.code) && problem.status == 400);
            assert!(names.iter().any(|name| headers.contains_key(*name)));
        }
    }
}

/// The first line is a target, the rest headers. A request that is named in two ways is not named at all.
pub(crate) fn forward_auth(data: &[u8]) {
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let rest = &data[(line.len() + 1).min(data.len())..];
    let Ok(mut request) = Request::builder().uri(line).body(()) else { return };
    *request.headers_mut() = headers(rest);
    let (parts, ()) = request.into_parts();
    let count = |name: &str| parts.headers.get_all(name).iter().count();
    let forwarded = (count("x-forwarded-method"), count("x-forwarded-uri"));
    let original = (count("x-original-method"), count("x-original-uri"));
    match asked_for(&parts) {
        Ok((method, target)) => {
            assert_eq!(method, method.to_ascii_uppercase());
            let behind = parts.uri.path().starts_with("/v1/forward-auth/");
            let by_headers = [forwarded, original].into_iter().filter(|pair| *pair == (1, 1)).count();
            // Envoy's own X-Forwarded-Method says nothing where the target stands in the path.
            assert!(if behind { forwarded.1 == 0 && original == (0, 0) } else { by_headers == 1 });
            assert!(!behind || parts.uri.path_and_query().unwrap().as_str().ends_with(&target));
        }
        Err(problem) => assert_eq!(problem.code, Code::MalformedHeader),
    }
}

/// Lines: a rule's path, another's, a target. What has two readings is refused, nothing free is found by a way that a file
/// system would follow elsewhere, and every spelling of a path that is not refused costs the same.
pub(crate) fn tariff(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut rule = |amount: u64| Rule {
        path: lines.next().unwrap_or_default().to_owned(),
        methods: Vec::new(),
        amount: Amount(U256::from(amount)),
        description: String::new(),
        uses: 1,
        by_answer: None,
    };
    let tariff = Tariff { rules: vec![rule(0), rule(5)], others_pass: false };
    let target = lines.next().unwrap_or_default();
    let price = |target: &str| {
        let rule = tariff.rule("GET", target, &HeaderMap::new());
        rule.map(|rule| rule.map(|rule| rule.amount)).map_err(|problem| problem.code)
    };
    let found = price(target);
    let path = target.split('?').next().unwrap_or_default();
    let bytes = decode(path);
    let decoded = String::from_utf8_lossy(&bytes);
    let odd = !path.starts_with('/')
        || std::str::from_utf8(&bytes).is_err()
        || decoded.split('/').any(|segment| segment == "." || segment == "..")
        || decoded.contains("//")
        || decoded.contains(['\\', '%', ';', '?', '#'])
        || decoded.contains(char::is_control)
        || target.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#');
    match found {
        Ok(_) => assert!(!odd, "{target:?}"),
        Err(code) => {
            assert!(matches!(code, Code::MalformedParameter | Code::NoPrice));
            assert!(!odd || code == Code::MalformedParameter, "{target:?}");
        }
    }
    if odd {
        return;
    }
    // A query has no part in a price.
    assert_eq!(price(&format!("{path}?/free/..")), price(path));
    // Nor has the way in which a path is written. One that some server takes for another is refused, or costs that.
    for other in [respell(path, |_| true), respell(path, |byte| !byte.is_ascii()), path.to_ascii_uppercase()]
    {
        let (one, two) = (price(path), price(&other));
        assert!(
            one == two || one.is_err() || two.is_err(),
            "{path:?} costs {one:?}, and {two:?} as {other:?}"
        );
    }
}

/// A path with escapes in capital digits for every byte that is chosen, but for slashes.
fn respell(path: &str, chosen: impl Fn(u8) -> bool) -> String {
    let write = |byte: u8| match byte {
        b'/' => "/".to_owned(),
        byte if chosen(byte) => format!("%{byte:02X}"),
        byte => char::from(byte).to_string(),
    };
    decode(path).into_iter().map(write).collect()
}

/// Percent escapes undone once, as a server does; what is no escape stays.
fn decode(path: &str) -> Vec<u8> {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = digits
            .filter(|two| bytes[at] == b'%' && two.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match escaped {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            // A bare percent sign is itself, and no second escape.
            None => {
                decoded.push(if bytes[at] == b'%' { b'_' } else { bytes[at] });
                at += 1;
            }
        }
    }
    decoded
}
