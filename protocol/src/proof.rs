//! `X-Payment-Proof`: what a payer shows for a payment.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{B256, hex};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::request::parse_hash;

/// The request header that carries a [`Proof`].
pub const PROOF_HEADER: &str = "x-payment-proof";

/// The hash of the transaction that paid, written as `0x` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Proof {
    /// The transaction that holds the payment.
    pub transaction: B256,
}

/// Why a text is not a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a payment proof is \"0x\" and the 64 hexadecimal digits of a transaction hash; this one has {0} characters"
)]
pub struct ProofError(pub usize);

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_prefixed(self.transaction))
    }
}

impl FromStr for Proof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        parse_hash(text).map(|transaction| Self { transaction }).ok_or(ProofError(text.len()))
    }
}

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Proof {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_a_transaction_hash_and_nothing_else() {
        let hash = format!("0x{}", "aB".repeat(32));
        assert_eq!(hash.parse::<Proof>().unwrap().to_string(), hash.to_lowercase());
        let bad = [
            "",
            "0x",
            &hash[2..],
            &hash[..65],
            &format!("{hash}0"),
            &format!(" {hash}"),
            &hash.replace('B', "g"),
        ];
        for text in bad {
            assert!(text.parse::<Proof>().is_err(), "{text:?} was accepted");
        }
        assert!(hash.replacen("0x", "0X", 1).parse::<Proof>().is_err());
    }
}
