//! Texts of x402's objects, each read one way.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::values::asset::parse_address;
use crate::values::money::Amount;
use crate::values::request::parse_hash;

/// The longest signature, in bytes. Those of contracts are longer than 65 bytes, but none that is used has thousands.
pub(crate) const LONGEST_SIGNATURE: usize = 4096;

/// A text that stays in the request's body where it has no escapes. Serde borrows a `Cow` within an `Option` only in
/// this way.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// An address, with the right checksum if it is in mixed case.
pub(crate) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    let text = Text::deserialize(deserializer)?;
    parse_address(&text.0).ok_or_else(|| {
        D::Error::custom(
            "an address is \"0x\" and 40 hexadecimal digits, with the right EIP-55 checksum if in mixed case",
        )
    })
}

/// [`address`] or null.
pub(crate) fn maybe_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    #[derive(Deserialize)]
    struct Value(#[serde(deserialize_with = "address")] Address);
    Ok(Option::<Value>::deserialize(deserializer)?.map(|Value(value)| value))
}

/// A number as a string of decimal digits without leading zeros, at most 2²⁵⁶ − 1.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
    let text = Text::deserialize(deserializer)?;
    // Most amounts and all times have fewer than twenty digits.
    if text.0.len() < 20 && !text.0.starts_with('0') && text.0.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.0.parse::<u64>().map(U256::from).map_err(D::Error::custom);
    }
    Amount::from_base_units(&text.0).map(|amount| amount.0).map_err(D::Error::custom)
}

/// [`number`] or null.
pub(crate) fn maybe_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<U256>, D::Error> {
    #[derive(Deserialize)]
    struct Value(#[serde(deserialize_with = "number")] U256);
    Ok(Option::<Value>::deserialize(deserializer)?.map(|Value(value)| value))
}

/// Thirty-two bytes.
pub(crate) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<B256, D::Error> {
    let text = Text::deserialize(deserializer)?;
    parse_hash(&text.0).ok_or_else(|| D::Error::custom("a nonce is \"0x\" and 64 hexadecimal digits"))
}

/// A signature of at most 4,096 bytes.
pub(crate) fn signature<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = Text::deserialize(deserializer)?;
    parse_signature(&text.0).ok_or_else(|| {
        D::Error::custom(format!(
            "a signature is \"0x\" and an even number of hexadecimal digits, of at most {LONGEST_SIGNATURE} bytes"
        ))
    })
}

pub(crate) fn parse_signature(text: &str) -> Option<Bytes> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() <= 2 * LONGEST_SIGNATURE)?;
    // The crate takes a second prefix for none.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    alloy_primitives::hex::decode(digits).ok().map(Bytes::from)
}

/// A number above zero. JavaScript's numbers may have a fraction.
pub(crate) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if number > 0.0 { Ok(number) } else { Err(D::Error::custom("maxTimeoutSeconds is a number above 0")) }
}
