//! Webhooks: how an operator's own server is told of incidents, and how it knows that it was us.
//!
//! ```text
//! POST <url>
//! Content-Type: application/json
//! X-Salt402-Event: opened
//! X-Salt402-Delivery: 17
//! X-Salt402-Signature: t=1763635200,v1=<64 hexadecimal digits>
//!
//! v1 = HMAC-SHA256( key, "<t>.<body>" )
//! ```

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::api::IncidentView;

/// The header with a delivery's signature.
pub const SIGNATURE_HEADER: &str = "x-salt402-signature";
/// The header with the event's name, for receivers that sort before they read.
pub const EVENT_HEADER: &str = "x-salt402-event";
/// The header with the number of what is told: the same when it is told again.
pub const DELIVERY_HEADER: &str = "x-salt402-delivery";

/// What a webhook is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookEvent {
    /// The number of what is told, ascending: the same when it is told again, so that a receiver can tell.
    pub id: u64,
    /// `opened` when something lasting went wrong, `resolved` when it came right, `noted` for what does not last.
    pub event: String,
    /// When that was, in milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// The incident as it is now, which may be later than the event.
    pub incident: IncidentView,
}

/// The secret that signs deliveries: at least 32 bytes.
#[derive(Clone)]
pub struct WebhookKey(Hmac<Sha256>);

/// Why a signature is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is not `t=<seconds>,v1=<64 hexadecimal digits>`.
    #[error("the signature is not t=<seconds>,v1=<64 hexadecimal digits>")]
    Malformed,
    /// It was not made with this key over this body.
    #[error("the signature was not made with this key over this body")]
    Wrong,
    /// It was made too long ago: somebody may be sending an old delivery again.
    #[error("the signature was made {0} s away from now")]
    Old(u64),
}

/// A webhook key was too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook key needs at least 32 bytes, this one has {0}")]
pub struct WebhookKeyError(pub usize);

impl WebhookKey {
    /// A key from secret bytes.
    pub fn new(secret: &[u8]) -> Result<Self, WebhookKeyError> {
        if secret.len() < 32 {
            return Err(WebhookKeyError(secret.len()));
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| WebhookKeyError(secret.len()))
    }

    /// The value of [`SIGNATURE_HEADER`] for a body that is sent at `now`, in seconds since 1970 UTC.
    pub fn sign(&self, now: u64, body: &[u8]) -> String {
        let code = self.code(now, body).finalize().into_bytes();
        format!("t={now},v1={}", alloy_primitives::hex::encode(code))
    }

    /// Checks a signature, as a receiver does: made with this key over this body, and at most `tolerance` seconds away
    /// from `now`. Takes the same time wherever the codes differ.
    pub fn verify(
        &self,
        signature: &str,
        body: &[u8],
        now: u64,
        tolerance: u64,
    ) -> Result<(), SignatureError> {
        let (time, code) = signature
            .strip_prefix("t=")
            .and_then(|rest| rest.split_once(",v1="))
            .ok_or(SignatureError::Malformed)?;
        // As it is written by whoever signs: no sign, and no leading zeros either.
        let written = |read: &u64| read.to_string() == time;
        let time: u64 = time.parse().ok().filter(written).ok_or(SignatureError::Malformed)?;
        let mut bytes = [0; 32];
        if code.len() != 64 {
            return Err(SignatureError::Malformed);
        }
        alloy_primitives::hex::decode_to_slice(code, &mut bytes).map_err(|_| SignatureError::Malformed)?;
        self.code(time, body).verify_slice(&bytes).map_err(|_| SignatureError::Wrong)?;
        match now.abs_diff(time) {
            away if away > tolerance => Err(SignatureError::Old(away)),
            _ => Ok(()),
        }
    }

    fn code(&self, time: u64, body: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(time.to_string()).chain_update(".").chain_update(body)
    }
}

impl std::fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_any_language_computes() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac "$(printf 'k%.0s' $(seq 32))"
        let key = WebhookKey::new(&[b'k'; 32]).unwrap();
        let signature = key.sign(1_700_000_000, b"{}");
        assert_eq!(
            signature,
            "t=1700000000,v1=0b3b35525c10b3757ffa78df69037021fc3168d8390a51a4fcb4a8d56a25b557"
        );
        assert_eq!(key.verify(&signature, b"{}", 1_700_000_300, 300), Ok(()));
        assert_eq!(key.verify(&signature, b"{}", 1_700_000_301, 300), Err(SignatureError::Old(301)));
        assert_eq!(key.verify(&signature, b"{} ", 1_700_000_000, 300), Err(SignatureError::Wrong));
        let other = WebhookKey::new(&[b'l'; 32]).unwrap();
        assert_eq!(other.verify(&signature, b"{}", 1_700_000_000, 300), Err(SignatureError::Wrong));
        let moved = signature.replace("t=1700000000", "t=1700000001");
        assert_eq!(key.verify(&moved, b"{}", 1_700_000_000, 300), Err(SignatureError::Wrong));
        for bad in [
            "",
            "t=,v1=",
            "v1=00,t=1",
            "t=+1700000000,v1=00",
            &signature[..70],
            &format!("{signature}00"),
            &signature.replace("t=", "t=0"),
        ] {
            assert_eq!(key.verify(bad, b"{}", 1_700_000_000, 300), Err(SignatureError::Malformed), "{bad}");
        }
        assert!(WebhookKey::new(&[0; 31]).is_err());
        assert_eq!(format!("{key:?}"), "WebhookKey(secret)");
    }
}
