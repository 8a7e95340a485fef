//! What a payer shows in `Authorization`.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::json;

use crate::mpp::{CHARGE, EVM, SCHEME, TRANSACTION};
use crate::quote::key::QuoteId;
use crate::values::money::Amount;
use crate::wire::object::{self, Object};
use crate::x402::required::{LONGEST_SIGNED, Offered, SignedHeader, SignedHeaderError};
use crate::x402::text::{self, Text};

/// Padding is left out, or is there as it must be: a token68 may have it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a payer sends in `Authorization`. Nobody has judged it yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The quote that its challenge named.
    pub quote: QuoteId,
    /// What is shown.
    pub shown: Shown,
}

/// What a credential shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The hash of a transaction that paid.
    Hash(B256),
    /// An authorization that was signed for the challenge.
    Authorization(SignedCharge),
}

/// An EIP-3009 authorization whose nonce names the challenge.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedCharge {
    authorization: Authorization,
}

/// Without what was signed, which belongs into no log.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
    }
}

/// Without what was signed, which belongs into no log.
impl std::fmt::Debug for SignedCharge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedCharge").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow, deserialize_with = "object::deserialize")]
    challenge: Echo<'a>,
    #[serde(borrow)]
    payload: &'a serde_json::value::RawValue,
}

#[derive(Deserialize)]
struct Echo<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    realm: Text<'a>,
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow)]
    intent: Text<'a>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

#[derive(Deserialize)]
struct Hash {
    #[serde(deserialize_with = "text::word")]
    hash: B256,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    #[serde(deserialize_with = "text::address")]
    from: Address,
    #[serde(deserialize_with = "text::address")]
    to: Address,
    #[serde(deserialize_with = "text::number")]
    value: U256,
    #[serde(deserialize_with = "text::number")]
    valid_after: U256,
    #[serde(deserialize_with = "text::number")]
    valid_before: U256,
    #[serde(deserialize_with = "text::word")]
    nonce: B256,
    #[serde(deserialize_with = "text::signature")]
    signature: Bytes,
}

/// Why a header holds no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// It is too long.
    #[error("it has more than {LONGEST_SIGNED} characters")]
    TooLong,
    /// It is no base64.
    #[error("after Payment stands JSON in base64url")]
    Base64,
    /// It is not the JSON that is expected.
    #[error("its JSON was not understood: {0}")]
    Json(String),
    /// It is for another challenge.
    #[error("{0}")]
    Challenge(&'static str),
}

/// The token68 of a `Payment` credential, if the value of `Authorization` is one.
pub fn credential_of(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| rest.trim_matches(' '))
}

impl Credential {
    /// Reads what [`credential_of`] found.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn read(text: &str) -> Result<Self, CredentialError> {
        let json = |error: serde_json::Error| CredentialError::Json(error.to_string());
        if text.len() > LONGEST_SIGNED {
            return Err(CredentialError::TooLong);
        }
        // Some of the padding is no padding.
        if text.ends_with('=') && !text.len().is_multiple_of(4) {
            return Err(CredentialError::Base64);
        }
        let bytes = BASE64.decode(text).map_err(|_| CredentialError::Base64)?;
        let Object(sent) = serde_json::from_slice::<Object<Sent<'_>>>(&bytes).map_err(json)?;
        let Echo { id, realm, method, intent } = sent.challenge;
        let quote: QuoteId = id.0.parse().map_err(|_| {
            CredentialError::Challenge("challenge.id is the id of a challenge of this server, unchanged")
        })?;
        if intent.0 != CHARGE {
            return Err(CredentialError::Challenge("challenge.intent is \"charge\""));
        }
        let payload = sent.payload.get();
        let Object(Kind { kind }) = serde_json::from_str(payload).map_err(json)?;
        let shown = match (&*method.0, &*kind.0) {
            (TRANSACTION | EVM, "hash") => {
                let Object(Hash { hash }) = serde_json::from_str(payload).map_err(json)?;
                Shown::Hash(hash)
            }
            (EVM, "authorization") => {
                let Object(authorization) =
                    serde_json::from_str::<Object<Authorization>>(payload).map_err(json)?;
                // So the payer has signed for this challenge and no other.
                if authorization.nonce != keccak256([id.0.as_bytes(), realm.0.as_bytes()].concat()) {
                    let what = "payload.nonce is the Keccak-256 hash of the challenge's id and realm";
                    return Err(CredentialError::Challenge(what));
                }
                Shown::Authorization(SignedCharge { authorization })
            }
            _ => {
                let what =
                    "a credential is an authorization for the method \"evm\", or a hash for \"salt402\"";
                return Err(CredentialError::Challenge(what));
            }
        };
        Ok(Self { quote, shown })
    }
}

impl SignedCharge {
    /// The same as a payer of x402 sends it. `offered` is what is asked for the amount that was signed.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_x402(
        &self,
        offered: impl FnOnce(Amount) -> Offered,
    ) -> Result<SignedHeader, SignedHeaderError> {
        let Authorization { from, to, value, valid_after, valid_before, nonce, signature } =
            &self.authorization;
        let payload = json!({
            "signature": signature,
            "authorization": {
                "from": from.to_string(), "to": to.to_string(), "value": value.to_string(),
                "validAfter": valid_after.to_string(), "validBefore": valid_before.to_string(), "nonce": nonce,
            },
        });
        SignedHeader::of(&offered(Amount(*value)), &payload.to_string())
    }
}
