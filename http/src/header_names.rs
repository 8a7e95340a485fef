//! Headers by the names that other servers give them.
//!
//! CGI, WSGI, PHP and some servlets make variables of headers' names, and one variable of several names: `X_Payment_Payer`
//! and `X.Payment.Payer` are `HTTP_X_PAYMENT_PAYER` there, as `X-Payment-Payer` is.

use axum::http::{HeaderMap, HeaderName};
use salt402_protocol::{Code, Problem};

/// How the names of payment headers begin.
const PAYMENT_PREFIX: &str = "x-payment-";
/// Headers that ask a server to take the request for one of another method.
const OVERRIDES: &[&str] = &["x-http-method-override", "x-http-method", "x-method-override", "x-method"];
/// Query parameters that do so.
const PARAMETERS: &[&str] = &["_method", "_httpmethod", "_http_method"];

/// A name as a server has it that knows letters and digits alone.
fn folded(name: &str) -> String {
    let plain = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_lowercase() } else { '-' };
    name.chars().map(plain).collect()
}

/// Refuses headers that a server behind may take for payment headers, by a spelling that a proxy does not take away.
pub fn refuse_lookalikes(headers: &HeaderMap) -> Result<(), Problem> {
    let odd = |name: &&HeaderName| {
        let folded = folded(name.as_str());
        folded.starts_with(PAYMENT_PREFIX) && folded != name.as_str()
    };
    match headers.keys().find(odd) {
        None => Ok(()),
        Some(name) => {
            let detail = format!(
                "the header {name} is read as a payment's by some servers: write it with - or not at all"
            );
            Err(Problem::new(Code::MalformedHeader, detail))
        }
    }
}

/// By what a request asks to be taken for one of another method, if it does.
pub fn method_override(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let header = headers.keys().find(|name| OVERRIDES.contains(&folded(name.as_str()).as_str()));
    let header = header.map(|name| format!("the header {name}"));
    header.or_else(|| {
        let mut names = query?.split(['&', ';']).map(|part| part.split('=').next().unwrap_or_default());
        names.find(|name| overrides(name)).map(|name| format!("the parameter {name}"))
    })
}

/// Whether a parameter's name is one of [`PARAMETERS`], or of [`OVERRIDES`], for a server that folds names as PHP does.
fn overrides(name: &str) -> bool {
    let mut decoded = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(sign) = rest.chars().next() {
        let escaped = rest.strip_prefix('%').and_then(|rest| rest.get(..2));
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(char::from(byte));
                rest = &rest[3..];
            }
            None => {
                decoded.push(if sign == '+' { ' ' } else { sign });
                rest = &rest[sign.len_utf8()..];
            }
        }
    }
    let known = decoded.trim().split(['\0', '[']).next().unwrap_or_default();
    let plain = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_lowercase() } else { '_' };
    let known: String = known.chars().map(plain).collect();
    PARAMETERS.contains(&known.as_str()) || OVERRIDES.contains(&folded(&known).as_str())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(names: &[&str]) -> HeaderMap {
        let name = |name: &&str| HeaderName::from_bytes(name.as_bytes()).unwrap();
        names.iter().map(|text| (name(text), HeaderValue::from_static("x"))).collect()
    }

    #[test]
    fn what_is_read_as_a_payment_header_elsewhere_is_refused() {
        let good = ["x-payment-proof", "X-Payment-Payer", "X-PAYMENT", "payment-signature", "x-paymentx-y"];
        assert!(refuse_lookalikes(&headers(&good)).is_ok());
        for name in [
            "X_Payment_Payer",
            "X.Payment.Payer",
            "x-payment_id",
            "X_PAYMENT-AMOUNT",
            "x.payment-proof",
            "x!payment|quote",
            "x-payment-payer.",
        ] {
            let refused = refuse_lookalikes(&headers(&["accept", name])).unwrap_err();
            assert_eq!(refused.code, Code::MalformedHeader, "{name}");
        }
    }

    #[test]
    fn a_request_for_another_method_is_noticed() {
        let by = |names: &[&str], query| method_override(&headers(names), query);
        for name in ["X-HTTP-Method-Override", "x_http_method", "X.Method.Override", "x-method"] {
            assert!(by(&["accept", name], None).is_some(), "{name}");
        }
        for query in [
            "_method=DELETE",
            "a=b&_METHOD=PUT",
            "a;_method=PUT",
            "%5fmethod=PUT",
            "_%6Dethod",
            ".method=PUT",
            "+_method=PUT",
            "_method%00x=PUT",
            "_method[]=PUT",
            "_HttpMethod=PUT",
            "x-http-method-override=PUT",
        ] {
            assert!(by(&[], Some(query)).is_some(), "{query}");
        }
        for query in ["", "method=card", "a=_method", "the_method=x", "%", "%f", "x%zz=%", "ä=_"] {
            assert_eq!(by(&["x-method-name"], Some(query)), None, "{query}");
        }
    }
}
