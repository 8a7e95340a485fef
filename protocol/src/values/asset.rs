//! Assets: a chain's native coin, or an ERC-20 token.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::Address;

use crate::values::checksum::checksummed;
use crate::values::text::serde_as_text;

/// A chain's native coin (written `native`) or an ERC-20 token (written as its address).
///
/// In contracts and events the native coin is the zero address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asset {
    /// The coin that gas is paid in: SALT on Citrate, ether on Base.
    Native,
    /// An ERC-20 token. Never the zero address.
    Token(Address),
}

/// Why a text is not an asset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an asset: write \"native\" or the 0x address of an ERC-20 token")]
pub struct AssetError(pub String);

impl Asset {
    /// The asset of an address in a contract or event. The zero address is the native coin.
    pub fn from_address(address: Address) -> Self {
        if address.is_zero() { Self::Native } else { Self::Token(address) }
    }

    /// The inverse of [`Self::from_address`].
    pub fn address(self) -> Address {
        match self {
            Self::Native => Address::ZERO,
            Self::Token(address) => address,
        }
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Token(address) => address.fmt(f),
        }
    }
}

impl FromStr for Asset {
    type Err = AssetError;

    fn from_str(text: &str) -> Result<Self, AssetError> {
        if text == "native" {
            return Ok(Self::Native);
        }
        parse_address(text)
            .filter(|address| !address.is_zero())
            .map(Self::Token)
            .ok_or_else(|| AssetError(text.chars().take(64).collect()))
    }
}

/// Parses `0x` and forty hexadecimal digits. A mixed-case address must carry the right EIP-55 checksum, because a wrong
/// one is a typing error that can lose money.
pub fn parse_address(text: &str) -> Option<Address> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40)?;
    let address: Address = text.parse().ok()?;
    let mixed =
        digits.bytes().any(|b| b.is_ascii_uppercase()) && digits.bytes().any(|b| b.is_ascii_lowercase());
    (!mixed || checksummed(address).as_str() == text).then_some(address)
}

/// Serde for an [`Address`]. Accepts what [`parse_address`] accepts, and writes EIP-55.
pub mod checked_address {
    use alloy_primitives::Address;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{checksummed, parse_address};

    /// Writes the checksummed form.
    pub fn serialize<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(checksummed(*address).as_str())
    }

    /// Reads an address, and its checksum where it has one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        parse_address(&text).ok_or_else(|| {
            D::Error::custom("an address is \"0x\" and 40 hexadecimal digits, with the right EIP-55 checksum if in mixed case")
        })
    }
}

/// [`checked_address`] for an optional field.
pub mod maybe_checked_address {
    use alloy_primitives::Address;
    use serde::{Deserializer, Serializer};

    /// Writes the checksummed form.
    pub fn serialize<S: Serializer>(address: &Option<Address>, serializer: S) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => super::checked_address::serialize(address, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads an address, and its checksum where it has one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
        super::checked_address::deserialize(deserializer).map(Some)
    }
}

serde_as_text!(Asset);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_native_or_a_token() {
        assert_eq!("native".parse(), Ok(Asset::Native));
        let token = "0xAa918302B94a4B0E75E01e019cc6b819B4F7c906";
        assert_eq!(token.parse::<Asset>().unwrap().to_string(), token);
        assert_eq!(token.to_lowercase().parse::<Asset>().unwrap().to_string(), token);
        for bad in [
            "",
            "Native",
            "SALT",
            "0x",
            "aa918302B94a4B0E75E01e019cc6b819B4F7c906",
            "0xAa918302B94a4B0E75E01e019cc6b819B4F7c90",
            "0xaA918302B94a4B0E75E01e019cc6b819B4F7c906",
            "0x0000000000000000000000000000000000000000",
        ] {
            assert!(bad.parse::<Asset>().is_err(), "{bad:?} was accepted");
        }
    }
}
