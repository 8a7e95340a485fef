//! The digest that binds a quote to a method, a path and a body.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{B256, hex};
use sha2::{Digest, Sha256};

use crate::values::text::serde_as_text;

/// The SHA-256 of an HTTP request's method, path and body, written as `0x` and 64 hexadecimal digits:
///
/// ```text
/// SHA-256( "salt402-request-v1\n" METHOD "\n" PATH "\n" lower-case-hex(SHA-256(body)) )
/// ```
///
/// `METHOD` and `PATH` (the request target with its query) are as sent. HTTP allows no line feed in either, so
/// different requests give different texts. It is SHA-256, because every language has it; not every language has
/// Keccak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestDigest(pub B256);

/// Why a text is not a request digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request digest is \"0x\" and 64 hexadecimal digits")]
pub struct RequestDigestError;

impl RequestDigest {
    /// The digest of a request.
    pub fn of(method: &str, path_and_query: &str, body: &[u8]) -> Self {
        let body_digest = hex::encode(Sha256::digest(body));
        let mut hasher = Sha256::new();
        for part in ["salt402-request-v1", "\n", method, "\n", path_and_query, "\n", &body_digest] {
            hasher.update(part.as_bytes());
        }
        Self(B256::new(hasher.finalize().into()))
    }
}

/// Parses `0x` and exactly 64 hexadecimal digits, in upper or lower case.
pub fn parse_hash(text: &str) -> Option<B256> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 64)?;
    let mut hash = B256::ZERO;
    hex::decode_to_slice(digits, hash.as_mut_slice()).ok()?;
    Some(hash)
}

impl fmt::Display for RequestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&hex::encode_prefixed(self.0), f)
    }
}

impl FromStr for RequestDigest {
    type Err = RequestDigestError;

    fn from_str(text: &str) -> Result<Self, RequestDigestError> {
        parse_hash(text).map(Self).ok_or(RequestDigestError)
    }
}

serde_as_text!(RequestDigest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_what_any_language_computes() {
        // printf 'salt402-request-v1\nPOST\n/v1/inference\n%s' "$(printf '{}' | sha256sum | cut -c1-64)" | sha256sum
        assert_eq!(
            RequestDigest::of("POST", "/v1/inference", b"{}").to_string(),
            "0x4232a2e04835f924ac718eeb850c91941263446e6cae3274f9891ee1c573ab3c"
        );
    }

    #[test]
    fn every_part_counts() {
        let digest = RequestDigest::of("POST", "/a", b"x");
        assert_ne!(digest, RequestDigest::of("PUT", "/a", b"x"));
        assert_ne!(digest, RequestDigest::of("POST", "/a?b", b"x"));
        assert_ne!(digest, RequestDigest::of("POST", "/a", b"y"));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("0x12".parse::<RequestDigest>().is_err());
    }
}
