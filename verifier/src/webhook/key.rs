//! The secret that signs webhook messages, by the [Standard Webhooks](https://www.standardwebhooks.com) specification.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The beginning of every such secret.
const MARK: &str = "whsec_";
/// How many bytes a secret may have, by the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The secret that signs messages.
#[derive(Clone)]
pub struct WebhookKey(Arc<standardwebhooks::Webhook>);

/// Why a text is not a webhook secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookKeyError {
    /// It does not begin with `whsec_`.
    #[error("a webhook's key begins with whsec_: `echo \"whsec_$(openssl rand -base64 32)\"` makes one")]
    NotMarked,
    /// The rest is not base64.
    #[error("what follows whsec_ in a webhook's key is base64, with its padding")]
    NotBase64,
    /// It has too few or too many bytes.
    #[error("a webhook's key has 24 to 64 bytes in base64, this one has {0}")]
    Length(usize),
}

impl WebhookKey {
    /// A secret in the form that receivers have too: `whsec_` and 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// [`WebhookKeyError`] says what was expected.
    pub fn new(secret: &str) -> Result<Self, WebhookKeyError> {
        let encoded = secret.strip_prefix(MARK).ok_or(WebhookKeyError::NotMarked)?;
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| WebhookKeyError::NotBase64)?;
        if !BYTES.contains(&bytes.len()) {
            return Err(WebhookKeyError::Length(bytes.len()));
        }
        let webhook = standardwebhooks::Webhook::from_bytes(bytes);
        webhook.map(|webhook| Self(Arc::new(webhook))).map_err(|_| WebhookKeyError::NotBase64)
    }

    /// The value of the header `webhook-signature` for a body that is sent at `now`, in seconds since 1970 UTC.
    pub(super) fn sign(
        &self,
        id: &str,
        now: u64,
        body: &[u8],
    ) -> Result<String, standardwebhooks::WebhookError> {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.0.sign(id, now, body)
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_specification_s_example() {
        let key = WebhookKey::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{key:?}"), "WebhookKey(secret)");
    }

    #[test]
    fn what_is_no_secret_is_refused_with_what_was_expected() {
        let refused = |secret: &str| WebhookKey::new(secret).unwrap_err();
        let bytes = |length: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![7; length]));
        assert_eq!(refused("0f".repeat(32).as_str()), WebhookKeyError::NotMarked);
        assert_eq!(refused("whsec_not base64"), WebhookKeyError::NotBase64);
        assert_eq!(refused("whsec_"), WebhookKeyError::Length(0));
        assert_eq!(refused(&bytes(23)), WebhookKeyError::Length(23));
        assert_eq!(refused(&bytes(65)), WebhookKeyError::Length(65));
        assert!(WebhookKey::new(&bytes(24)).is_ok() && WebhookKey::new(&bytes(64)).is_ok());
    }
}
