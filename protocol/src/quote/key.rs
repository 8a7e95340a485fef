//! Ids of quotes, and the keys that make them: a quote is authenticated, so that none need be stored.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{B256, keccak256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Serialize, Serializer};
use sha2::Sha256;

use crate::quote::terms::{NAMED, Quote, UNNAMED};
use crate::values::request::RequestDigest;
use crate::values::text::serde_as_text;

/// The request header in which a payer presents the id of the quote it paid.
pub const QUOTE_HEADER: &str = "x-payment-quote";

/// Bytes of a quote's authentication code.
const CODE: usize = 32;
/// Characters of an id, by what the quote names.
const UNNAMED_LENGTH: usize = (UNNAMED + CODE) / 3 * 4;
const NAMED_LENGTH: usize = (NAMED + CODE) / 3 * 4;

/// The id of a quote: its bytes and a code that only the server's key can make, in base64url: 264 characters, or 288 where
/// the quote names its service.
///
/// It is known to the client that asked and to the server. On chain appears only [`QuoteId::reference`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct QuoteId(String);

/// Why a text is not the id of a quote of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// Not 264 or 288 characters of base64url, or of a layout this version does not know.
    #[error("a quote id is the 264 or 288 characters of base64url that came with the 402, unchanged")]
    Malformed,
    /// The authentication code is not one this server's key makes.
    #[error("this quote id was not given by this server, or was changed: ask for a new quote")]
    Forged,
}

/// The secret that authenticates quotes: at least 32 bytes.
#[derive(Clone)]
pub struct QuoteKey(Hmac<Sha256>);

/// A quote key was too short.
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

    /// The id of a quote. The same quote has the same id under the same key.
    pub fn seal(&self, quote: &Quote) -> QuoteId {
        let mut bytes = Vec::with_capacity(NAMED + CODE);
        quote.write(&mut bytes);
        let code = self.0.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&code);
        QuoteId(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The quote of an id, if this key made it. Comparison takes the same time wherever the codes differ.
    pub fn open(&self, id: &QuoteId) -> Result<Quote, QuoteError> {
        let bytes = URL_SAFE_NO_PAD.decode(&id.0).map_err(|_| QuoteError::Malformed)?;
        let (body, code) = bytes.split_last_chunk::<CODE>().ok_or(QuoteError::Malformed)?;
        self.0.clone().chain_update(body).verify_slice(code).map_err(|_| QuoteError::Forged)?;
        Quote::read(body).ok_or(QuoteError::Malformed)
    }
}

/// The key that quotes are made with, and older ones whose quotes are still accepted.
///
/// With it a key is replaced and nobody is refused: the new one becomes the current, the old one stays until everything
/// that was quoted with it is paid, shown and over.
#[derive(Clone, Debug)]
pub struct QuoteKeys {
    current: QuoteKey,
    old: Vec<QuoteKey>,
}

impl QuoteKeys {
    /// A key for new quotes, and those of older ones, the newest first.
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

    /// What appears on chain of a quote, by each key that it may have been made with.
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
    /// What appears on chain: keccak256 of the id's characters.
    pub fn reference(&self) -> B256 {
        keccak256(self.0.as_bytes())
    }

    /// The characters, as a client presents them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The request that it says it was given for. Nobody has checked that: only who has the key can.
    pub fn request(&self) -> Option<RequestDigest> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.0).ok()?;
        let (body, _) = bytes.split_last_chunk::<CODE>()?;
        Some(Quote::read(body)?.terms.request)
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
        let known = [UNNAMED_LENGTH, NAMED_LENGTH].contains(&text.len())
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
