//! `X-Payment-Proof`: what a payer shows for a payment.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{B256, hex};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Voucher;
use crate::request::parse_hash;
use crate::voucher::PREFIX;

/// The request header that carries a [`Proof`].
pub const PROOF_HEADER: &str = "x-payment-proof";

/// What shows that something was paid. Each has one spelling, but for the case of hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A transaction: `0x` and the 64 hexadecimal digits of its hash; with an ordinal, `:` and its decimal digits follow.
    Transaction {
        /// The hash.
        hash: B256,
        /// Which of the transaction's payments is meant, from 0 in the order of their logs; without it, the one that
        /// pays for the request.
        ordinal: Option<u32>,
    },
    /// A channel's voucher: `voucher:0x<channel>:<ceiling>:0x<signature>`.
    Voucher(Voucher),
}

impl Proof {
    /// A transaction's hash alone.
    pub const fn transaction(hash: B256) -> Self {
        Self::Transaction { hash, ordinal: None }
    }

    /// The hash of the transaction, where it names one.
    pub const fn hash(&self) -> Option<B256> {
        match self {
            Self::Transaction { hash, .. } => Some(*hash),
            Self::Voucher(_) => None,
        }
    }
}

/// Why a text is not a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a payment proof is \"0x\" and the 64 hexadecimal digits of a transaction hash, or that, \":\" and the place of the \
     payment in the transaction, from 0, or \"voucher:0x<channel>:<ceiling>:0x<signature>\"; this one has {0} characters"
)]
pub struct ProofError(pub usize);

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transaction { hash, ordinal: None } => f.write_str(&hex::encode_prefixed(hash)),
            Self::Transaction { hash, ordinal: Some(ordinal) } => {
                write!(f, "{}:{ordinal}", hex::encode_prefixed(hash))
            }
            Self::Voucher(voucher) => voucher.fmt(f),
        }
    }
}

impl FromStr for Proof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        let proof = if text.starts_with(PREFIX) {
            Voucher::parse(text).map(Self::Voucher)
        } else {
            transaction(text)
        };
        proof.ok_or(ProofError(text.len()))
    }
}

fn transaction(text: &str) -> Option<Proof> {
    let (hash, ordinal) = match text.split_once(':') {
        Some((hash, ordinal)) => (hash, Some(decimal(ordinal)?)),
        None => (text, None),
    };
    Some(Proof::Transaction { hash: parse_hash(hash)?, ordinal })
}

/// A number in decimal digits without a sign or a leading zero.
fn decimal(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_proof_is_a_transaction_hash_with_or_without_an_ordinal_and_nothing_else() {
        let hash = format!("0x{}", "aB".repeat(32));
        assert_eq!(hash.parse::<Proof>().unwrap().to_string(), hash.to_lowercase());
        for ordinal in [0, 7, u32::MAX] {
            let text = format!("{hash}:{ordinal}");
            assert_eq!(text.parse::<Proof>().unwrap().to_string(), text.to_lowercase());
        }
        let bad = [
            "",
            "0x",
            ":0",
            &hash[2..],
            &hash[..65],
            &format!("{hash}0"),
            &format!(" {hash}"),
            &hash.replace('B', "g"),
            &format!("{hash}:"),
            &format!("{hash}:00"),
            &format!("{hash}:01"),
            &format!("{hash}:+1"),
            &format!("{hash}:-1"),
            &format!("{hash}: 1"),
            &format!("{hash}:1:1"),
            &format!("{hash}:0x1"),
            &format!("{hash}:4294967296"),
            &format!("{hash}:١"),
        ];
        for text in bad {
            assert!(text.parse::<Proof>().is_err(), "{text:?} was accepted");
        }
        assert!(hash.replacen("0x", "0X", 1).parse::<Proof>().is_err());
    }

    #[test]
    fn a_voucher_has_one_spelling() {
        let (channel, signature) = (format!("0x{}", "ab".repeat(32)), format!("0x{}", "Cd".repeat(65)));
        let text = format!("voucher:{channel}:250:{signature}");
        assert_eq!(text.parse::<Proof>().unwrap().to_string(), text.to_lowercase());
        let bad = [
            "voucher:".to_owned(),
            format!("voucher:{channel}:250"),
            format!("voucher:{channel}:250:{}", &signature[..130]),
            format!("voucher:{channel}:250:{signature}00"),
            format!("voucher:{channel}:250:{signature}:"),
            format!("voucher:{channel}:0250:{signature}"),
            format!("voucher:{channel}:0xfa:{signature}"),
            format!("voucher:{channel}:-1:{signature}"),
            format!("voucher:{channel}::{signature}"),
            format!("voucher:{channel}:2{}:{signature}", "0".repeat(78)),
            format!("voucher:{}:250:{signature}", &channel[2..]),
            format!("Voucher:{channel}:250:{signature}"),
            format!(" {text}"),
            format!("{text} "),
        ];
        for text in bad {
            assert!(text.parse::<Proof>().is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn a_voucher_that_is_written_reads_back(
            channel in any::<[u8; 32]>(), ceiling in any::<[u8; 32]>(), start in any::<[u8; 32]>(), v in any::<u8>(),
        ) {
            let mut signature = [v; 65];
            signature[..32].copy_from_slice(&start);
            let ceiling = crate::Amount(alloy_primitives::U256::from_be_bytes(ceiling));
            let proof = Proof::Voucher(Voucher { channel: channel.into(), ceiling, signature });
            prop_assert_eq!(proof.to_string().parse(), Ok(proof));
        }

        #[test]
        fn what_is_written_reads_back(hash in any::<[u8; 32]>(), ordinal in any::<Option<u32>>()) {
            let proof = Proof::Transaction { hash: hash.into(), ordinal };
            prop_assert_eq!(proof.to_string().parse(), Ok(proof));
        }

        #[test]
        fn what_is_read_is_written_so(text in "0[xX][0-9a-fA-F]{62,65}(:[0-9+]{0,11})?") {
            if let Ok(proof) = text.parse::<Proof>() {
                prop_assert_eq!(proof.to_string(), text.to_lowercase());
            }
        }
    }
}
