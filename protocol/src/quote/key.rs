//! Quote ids, and the keys that authenticate them. An authenticated quote need not be stored.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256, keccak256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Serialize, Serializer};
use sha2::Sha256;

use crate::quote::terms::{BYTES_WITH_SERVICE, BYTES_WITHOUT_SERVICE, Quote};
use crate::values::api_key::ApiKey;
use crate::values::request::RequestDigest;
use crate::values::text::serde_as_text;

/// The request header with the id of the quote that was paid.
pub const QUOTE_HEADER: &str = "x-payment-quote";

/// The length of the authentication code, in bytes.
const CODE_BYTES: usize = 32;
/// The length of an id in characters, without and with a service.
const CHARS_WITHOUT_SERVICE: usize = (BYTES_WITHOUT_SERVICE + CODE_BYTES) / 3 * 4;
const CHARS_WITH_SERVICE: usize = (BYTES_WITH_SERVICE + CODE_BYTES) / 3 * 4;

/// A quote's id: its bytes and an authentication code that only the server's key can make, in base64url. It has 264
/// characters, or 288 if the quote names its service.
///
/// Only the client that asked and the server know it. The chain shows only [`QuoteId::reference`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct QuoteId(String);

/// Why a text is not a quote id of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// Not 264 or 288 characters of base64url, or an unknown layout.
    #[error("a quote id is the 264 or 288 characters of base64url that came with the 402, unchanged")]
    Malformed,
    /// None of the server's keys made the authentication code.
    #[error("this quote id was not given by this server, or was changed: ask for a new quote")]
    Forged,
}

/// The secret that authenticates quotes: at least 32 bytes.
#[derive(Clone)]
pub struct QuoteKey(Hmac<Sha256>);

/// The key is too short. The field is its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quote key needs at least 32 bytes, this one has {0}")]
pub struct QuoteKeyError(pub usize);

impl QuoteKey {
    /// A key from secret bytes.
    pub fn new(secret: &[u8]) -> Result<Self, QuoteKeyError> {
        if secret.len() < 32 {
            return Err(QuoteKeyError(secret.len()));
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| QuoteKeyError(secret.len()))
    }

    /// The id of a quote. It depends only on the quote and the key.
    pub fn seal(&self, quote: &Quote) -> QuoteId {
        let mut bytes = Vec::with_capacity(BYTES_WITH_SERVICE + CODE_BYTES);
        quote.write(&mut bytes);
        let code = self.0.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&code);
        QuoteId(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The quote of an id, if this key made it. The comparison takes constant time.
    pub fn open(&self, id: &QuoteId) -> Result<Quote, QuoteError> {
        let bytes = URL_SAFE_NO_PAD.decode(&id.0).map_err(|_| QuoteError::Malformed)?;
        let (body, code) = bytes.split_last_chunk::<CODE_BYTES>().ok_or(QuoteError::Malformed)?;
        self.0.clone().chain_update(body).verify_slice(code).map_err(|_| QuoteError::Forged)?;
        Quote::read(body).ok_or(QuoteError::Malformed)
    }
}

/// The key for new quotes, and older keys whose quotes are still accepted.
///
/// This allows to replace a key without refusing anybody: the old key stays until its last quotes have been paid,
/// presented and served.
#[derive(Clone, Debug)]
pub struct QuoteKeys {
    current: QuoteKey,
    old: Vec<QuoteKey>,
}

impl QuoteKeys {
    /// A key for new quotes, and older keys, newest first.
    pub fn new(current: QuoteKey, old: Vec<QuoteKey>) -> Self {
        Self { current, old }
    }

    /// The id of a new quote.
    pub fn seal(&self, quote: &Quote) -> QuoteId {
        self.current.seal(quote)
    }

    /// The quote of an id, if one of the keys made it.
    pub fn open(&self, id: &QuoteId) -> Result<Quote, QuoteError> {
        let opened = self.current.open(id);
        if opened != Err(QuoteError::Forged) {
            return opened;
        }
        self.old.iter().find_map(|key| key.open(id).ok()).ok_or(QuoteError::Forged)
    }

    /// The secret of the API key that a payment with this id makes, one for each key, the present one first. It is derived again whenever it
    /// is told, so that it is kept nowhere.
    ///
    /// ```text
    /// HMAC-SHA-256( key, "salt402-api-key-v1" ‖ payment id (32 bytes) )
    /// ```
    ///
    /// No quote begins so.
    pub fn api_keys(&self, payment: B256) -> impl Iterator<Item = ApiKey> + '_ {
        std::iter::once(&self.current).chain(&self.old).map(move |key| {
            let code = key.0.clone().chain_update(b"salt402-api-key-v1").chain_update(payment).finalize();
            ApiKey::of_secret(B256::new(code.into_bytes().into()))
        })
    }

    /// The references of a quote, one for each key that may have made its id.
    pub fn references<'a>(&'a self, quote: &'a Quote) -> impl Iterator<Item = B256> + 'a {
        std::iter::once(&self.current).chain(&self.old).map(|key| key.seal(quote).reference())
    }
}

impl From<QuoteKey> for QuoteKeys {
    fn from(current: QuoteKey) -> Self {
        Self::new(current, Vec::new())
    }
}

impl fmt::Debug for QuoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuoteKey(secret)")
    }
}

impl QuoteId {
    /// The payment's reference on chain: keccak256 of the id's characters.
    pub fn reference(&self) -> B256 {
        keccak256(self.0.as_bytes())
    }

    /// The id's characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The request that the id names. It is not authenticated: only the key's holder can check it.
    pub fn request(&self) -> Option<RequestDigest> {
        Some(self.named()?.terms.request)
    }

    /// Who is paid, as the id says. It is not authenticated.
    pub fn payee(&self) -> Option<Address> {
        Some(self.named()?.terms.payee)
    }

    /// Whether the id says that it is random, so that only the client that asked for it has it. It is not authenticated.
    pub fn is_random(&self) -> bool {
        self.named().is_some_and(|quote| quote.nonce.is_some())
    }

    fn named(&self) -> Option<Quote> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.0).ok()?;
        let (body, _) = bytes.split_last_chunk::<CODE_BYTES>()?;
        Quote::read(body)
    }
}

impl fmt::Debug for QuoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuoteId(reference {})", self.reference())
    }
}

impl FromStr for QuoteId {
    type Err = QuoteError;

    fn from_str(text: &str) -> Result<Self, QuoteError> {
        let known = [CHARS_WITHOUT_SERVICE, CHARS_WITH_SERVICE].contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if known { Ok(Self(text.to_owned())) } else { Err(QuoteError::Malformed) }
    }
}

impl Serialize for QuoteId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

serde_as_text!(read QuoteId);
