//! Headers and paths: one reading or none.

use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{HeaderMap, Request};
use salt402_protocol::{Amount, Code, U256};
use salt402_verifier::http::{Presented, Rule, Tariff, asked_for};

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

/// A payment header that came twice, or holds more than visible ASCII, is refused; what is read is what was sent.
pub(crate) fn presented(data: &[u8]) {
    let headers = headers(data);
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

/// Lines: a rule's path, another's, a target. What has two readings is refused, and nothing free is found by a way that
/// a file system would follow elsewhere.
pub(crate) fn tariff(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut rule = |amount: u64| Rule {
        path: lines.next().unwrap_or_default().to_owned(),
        methods: Vec::new(),
        amount: Amount(U256::from(amount)),
        description: String::new(),
        uses: 1,
    };
    let tariff = Tariff { rules: vec![rule(0), rule(5)], others_pass: false };
    let target = lines.next().unwrap_or_default();
    let found = tariff.rule("GET", target);
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let decoded = decode(path);
    let odd = !path.starts_with('/')
        || decoded.split('/').any(|segment| segment == "." || segment == "..")
        || decoded.contains("//")
        || decoded.contains(['\\', '\0', '%'])
        || path.bytes().any(|byte| !byte.is_ascii_graphic());
    match found {
        Ok(_) => assert!(!odd, "{target:?}"),
        Err(problem) => {
            assert!(matches!(problem.code, Code::MalformedParameter | Code::NoPrice));
            assert!(!odd || problem.code == Code::MalformedParameter, "{target:?}");
        }
    }
    // A query has no part in a price.
    let with = tariff.rule("GET", &format!("{path}?/free/..")).map(|rule| rule.map(|rule| rule.amount));
    assert_eq!(with, tariff.rule("GET", path).map(|rule| rule.map(|rule| rule.amount)));
}

/// Percent escapes undone once, as a server does; what is no escape stays.
fn decode(path: &str) -> String {
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
    String::from_utf8_lossy(&decoded).into_owned()
}
