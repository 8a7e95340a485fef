//! CAIP-2 identifiers of EVM chains.

use std::fmt;
use std::str::FromStr;

use crate::values::text::serde_as_text;

/// An EIP-155 chain id, written `eip155:<decimal>` (CAIP-2) outside the process.
///
/// At most 2⁶³ − 1, so it fits the integers of every database. Below 2⁵³ it also fits JavaScript's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(u64);

/// Why a text is not a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an EVM chain: write \"eip155:\" and the chain id in decimal, such as \"eip155:40204\"")]
pub struct ChainIdError(pub String);

impl ChainId {
    /// The Citrate testnet. Local chains use the same id.
    pub const CITRATE: Self = Self(40204);

    /// A chain by its EIP-155 id. `None` for zero and above 2⁶³ − 1.
    pub const fn new(id: u64) -> Option<Self> {
        if id == 0 || id > i64::MAX as u64 { None } else { Some(Self(id)) }
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eip155:{}", self.0)
    }
}

impl FromStr for ChainId {
    type Err = ChainIdError;

    fn from_str(text: &str) -> Result<Self, ChainIdError> {
        let refuse = || ChainIdError(text.chars().take(64).collect());
        let digits = text.strip_prefix("eip155:").ok_or_else(refuse)?;
        let canonical =
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        if !canonical {
            return Err(refuse());
        }
        digits.parse().ok().and_then(Self::new).ok_or_else(refuse)
    }
}

serde_as_text!(ChainId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_has_one_spelling() {
        assert_eq!("eip155:40204".parse(), Ok(ChainId::CITRATE));
        assert_eq!(ChainId::CITRATE.to_string(), "eip155:40204");
        for bad in ["", "40204", "eip155:", "eip155:0", "eip155:040204", "eip155:+1", "EIP155:1", "eip155:1 "]
        {
            assert!(bad.parse::<ChainId>().is_err(), "{bad:?} was accepted");
        }
        assert!("eip155:18446744073709551616".parse::<ChainId>().is_err());
        assert!(format!("eip155:{}", u64::MAX).parse::<ChainId>().is_err());
    }
}
