//! Which API key a request shows. A text that does not begin as our keys do is others': many SDKs want a key and send any.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use salt402_http::one_value;
use salt402_protocol::{ApiKey, B256, Code, PaymentId, Problem, keccak256};

const API_KEY_HEADER: &str = "x-api-key";
const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// The longest `Idempotency-Key`, in characters.
const LONGEST_IDEMPOTENCY: usize = 255;

/// A key that a request shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyShown {
    /// Its SHA-256.
    pub(crate) hash: B256,
    /// The `Idempotency-Key` beside it. Without one, each request is another.
    pub(crate) idempotency: Option<String>,
}

/// The texts that claim to be keys of ours.
fn claimed(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let bearers = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| text.trim())
    });
    let keys = headers.get_all(API_KEY_HEADER).iter().filter_map(|value| Some(value.to_str().ok()?.trim()));
    bearers.chain(keys).filter(|text| ApiKey::is_claimed_by(text))
}

/// Whether a request shows something that claims to be a key of ours.
pub(crate) fn is_shown(headers: &HeaderMap) -> bool {
    claimed(headers).next().is_some()
}

/// Takes what holds a key of ours out of a request that is passed on, however it is written there: it is nobody else's.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let is_ours = |value: &HeaderValue| ApiKey::is_within(value.as_bytes());
    let names: BTreeSet<_> = (headers.iter().filter(|(_, value)| is_ours(value)))
        .map(|(name, _)| name.as_str().to_owned())
        .collect();
    for name in names.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()) {
        let others: Vec<_> = headers.get_all(&name).iter().filter(|value| !is_ours(value)).cloned().collect();
        headers.remove(&name);
        for other in others {
            headers.append(name.clone(), other);
        }
    }
}

impl KeyShown {
    /// The key of a request; `None` where it shows none.
    ///
    /// # Errors
    /// It shows two, or one that no key of ours can be, or an `Idempotency-Key` that has two readings.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut texts = claimed(headers);
        let Some(text) = texts.next() else { return Ok(None) };
        if texts.any(|other| other != text) {
            let detail = "the request shows two API keys: send one of Authorization: Bearer and X-Api-Key";
            return Err(Problem::new(Code::MalformedHeader, detail));
        }
        let key = ApiKey::read(text).ok_or_else(key_refused)?;
        let idempotency = one_value(headers, IDEMPOTENCY_HEADER)?.map(str::to_owned);
        if idempotency.as_ref().is_some_and(|text| text.is_empty() || text.len() > LONGEST_IDEMPOTENCY) {
            let detail = format!("Idempotency-Key: 1 to {LONGEST_IDEMPOTENCY} characters");
            return Err(Problem::new(Code::MalformedHeader, detail));
        }
        Ok(Some(Self { hash: key.hash(), idempotency }))
    }

    /// The id of what a request reserves: with an `Idempotency-Key` the same for the same key, else another for each request.
    pub(crate) fn draw(&self) -> PaymentId {
        let mut text = b"salt402-draw-v1".to_vec();
        text.extend_from_slice(self.hash.as_slice());
        match &self.idempotency {
            Some(named) => {
                text.push(1);
                text.extend_from_slice(named.as_bytes());
            }
            None => {
                text.push(0);
                text.extend_from_slice(&rand::random::<[u8; 32]>());
            }
        }
        PaymentId(keccak256(text))
    }
}

/// The same words for whatever is wrong with a key.
pub(crate) fn key_refused() -> Problem {
    Problem::new(Code::KeyRefused, "the API key is not good here: it is wrong, was revoked or has ended")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const KEY: &str = "sk-402-0123456789abcdef0123456789abcdef";

    fn read(pairs: &[(&'static str, &str)]) -> Result<Option<KeyShown>, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        KeyShown::read(&headers).map_err(|problem| problem.code)
    }

    #[test]
    fn a_key_is_read_where_sdks_send_it_and_other_texts_are_others() {
        let bearer = format!("Bearer {KEY}");
        for pairs in [
            &[("authorization", bearer.as_str())][..],
            &[("authorization", &format!("bearer {KEY}"))],
            &[("x-api-key", KEY)],
            // Claude Code may send both.
            &[("x-api-key", KEY), ("authorization", &bearer)],
            &[("x-api-key", "unused"), ("authorization", &bearer)],
            // A credential of MPP beside it is seen by whoever reads those.
            &[("authorization", "Payment e30"), ("x-api-key", KEY)],
        ] {
            let shown = read(pairs).unwrap().unwrap();
            assert_eq!(shown.hash, ApiKey::read(KEY).unwrap().hash(), "{pairs:?}");
        }
        for pairs in [&[][..], &[("authorization", "Bearer unused")], &[("x-api-key", "sk-ant-1")]] {
            assert_eq!(read(pairs), Ok(None), "{pairs:?}");
        }
        let other = format!("{KEY}0");
        assert_eq!(read(&[("x-api-key", &other), ("authorization", &bearer)]), Err(Code::MalformedHeader));
        assert_eq!(read(&[("x-api-key", KEY), ("x-api-key", &other)]), Err(Code::MalformedHeader));
        assert_eq!(read(&[("x-api-key", "sk-402-short")]), Err(Code::KeyRefused));
        assert_eq!(read(&[("x-api-key", KEY), ("idempotency-key", "")]), Err(Code::MalformedHeader));
    }

    #[test]
    fn a_key_is_passed_on_to_nobody() {
        let mut headers = HeaderMap::new();
        headers.append("authorization", HeaderValue::from_str(&format!("Bearer {KEY}")).unwrap());
        headers.append("authorization", HeaderValue::from_static("Basic eDp5"));
        headers.append("x-api-key", HeaderValue::from_static(KEY));
        strip(&mut headers);
        let left: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(left, [("authorization", "Basic eDp5")]);
        // Where other servers would have it, or a hand has left it.
        for (name, text) in [
            ("authorization", KEY.to_owned()),
            ("authorization", format!("Bearer\t{KEY}")),
            ("authorization", format!("bearer  {}", KEY.to_uppercase())),
            ("api-key", KEY.to_owned()),
            ("x-goog-api-key", KEY.to_owned()),
            ("cookie", format!("a=b; key={KEY}")),
        ] {
            headers.append(name, HeaderValue::from_str(&text).unwrap());
        }
        headers.append("x-api-key", HeaderValue::from_bytes(format!("\u{e9}{KEY}").as_bytes()).unwrap());
        headers.append("cookie", HeaderValue::from_static("c=d"));
        strip(&mut headers);
        let left: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(left, [("authorization", "Basic eDp5"), ("cookie", "c=d")]);
        headers.append("x-api-key", HeaderValue::from_static("theirs"));
        strip(&mut headers);
        assert_eq!(headers["x-api-key"], "theirs");
    }

    #[test]
    fn the_same_idempotency_key_is_one_draw_of_a_key_and_without_one_each_is_another() {
        let shown = |key: &str, named: Option<&str>| {
            let mut pairs = vec![("x-api-key", key)];
            pairs.extend(named.map(|named| ("idempotency-key", named)));
            read(&pairs).unwrap().unwrap().draw()
        };
        assert_eq!(shown(KEY, Some("a")), shown(KEY, Some("a")));
        assert_ne!(shown(KEY, Some("a")), shown(KEY, Some("b")));
        assert_ne!(shown(KEY, Some("a")), shown(&format!("{KEY}0"), Some("a")));
        assert_ne!(shown(KEY, None), shown(KEY, None));
    }
}
