//! `X-Payment-Proof`: how a payer proves a payment. A proof is a transaction hash, a voucher, or a signed nonce.
//!
//! This module only parses proofs. It does not check them against a chain.

pub mod nonce;
pub mod voucher;

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{B256, hex};

use crate::proof::nonce::{EIP3009, PERMIT, SignedNonce};
use crate::proof::voucher::{PREFIX, Voucher};
use crate::values::request::parse_hash;
use crate::values::text::serde_as_text;

/// The request header that carries a [`Proof`].
pub const PROOF_HEADER: &str = "x-payment-proof";

/// A proof of payment. It has one spelling, except for the case of hexadecimal digits and the two forms of a Permit2
/// nonce. A mixed-case address must carry the right EIP-55 checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A transaction: `0x` and the 64 hexadecimal digits of its hash. An ordinal follows after `:`, in decimal digits.
    Transaction {
        /// The transaction's hash.
        hash: B256,
        /// Which payment of the transaction is meant, from 0 in the order of the logs. `None`: the payment that pays
        /// for the request.
        ordinal: Option<u32>,
    },
    /// A channel voucher: `voucher:0x<channel>:<ceiling>:0x<signature>`.
    Voucher(Voucher),
    /// The nonce that the payer signed, whoever submitted it: `eip3009:0x<token>:0x<authorizer>:0x<nonce>` or
    /// `permit2:0x<owner>:<nonce>`.
    Nonce(SignedNonce),
}

impl Proof {
    /// A transaction hash without ordinal.
    pub const fn transaction(hash: B256) -> Self {
        Self::Transaction { hash, ordinal: None }
    }

    /// The transaction's hash, if the proof is one.
    pub const fn hash(&self) -> Option<B256> {
        match self {
            Self::Transaction { hash, .. } => Some(*hash),
            Self::Voucher(_) | Self::Nonce(_) => None,
        }
    }

    /// The ordinal, if the proof has one.
    pub const fn ordinal(&self) -> Option<u32> {
        match self {
            Self::Transaction { ordinal, .. } => *ordinal,
            Self::Voucher(_) | Self::Nonce(_) => None,
        }
    }
}

/// Why a text is not a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a payment proof is one of: \"0x\" and the 64 hexadecimal digits of a transaction hash; the same with \":\" and the \
     payment's ordinal in the transaction, from 0; \"voucher:0x<channel>:<ceiling>:0x<signature>\"; \
     \"eip3009:0x<token>:0x<authorizer>:0x<nonce>\"; \"permit2:0x<owner>:<nonce>\". This one has {0} characters"
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
            Self::Nonce(nonce) => nonce.fmt(f),
        }
    }
}

impl FromStr for Proof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        let proof = if text.starts_with(PREFIX) {
            Voucher::parse(text).map(Self::Voucher)
        } else if text.starts_with(EIP3009) || text.starts_with(PERMIT) {
            SignedNonce::parse(text).map(Self::Nonce)
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

/// Parses decimal digits without a sign or leading zero.
fn decimal(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

serde_as_text!(Proof);

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use proptest::prelude::*;

    use super::*;
    use crate::values::money::Amount;

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

    #[test]
    fn a_nonce_names_who_signed_it_and_has_one_reading() {
        let (token, owner) = (format!("0x{}", "ab".repeat(20)), format!("0x{}", "12".repeat(20)));
        let nonce = format!("0x{}", "Cd".repeat(32));
        let text = format!("eip3009:{token}:{owner}:{nonce}");
        assert_eq!(text.parse::<Proof>().unwrap().to_string(), text.to_lowercase());
        let permit = format!("permit2:{owner}:{nonce}");
        assert_eq!(permit.parse::<Proof>().unwrap().to_string(), permit.to_lowercase());
        let decimal = format!("permit2:{owner}:26").parse::<Proof>().unwrap();
        assert_eq!(decimal, format!("permit2:{owner}:0x{}1a", "0".repeat(62)).parse().unwrap());
        assert_eq!(decimal.to_string().parse(), Ok(decimal));
        let most = U256::MAX;
        let greatest = format!("permit2:{owner}:{most}").parse().unwrap();
        assert_eq!(
            Proof::Nonce(SignedNonce::Permit2 { owner: owner.parse().unwrap(), nonce: most }),
            greatest
        );
        let checksummed = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
        assert!(format!("permit2:{checksummed}:0").parse::<Proof>().is_ok());
        let bad = [
            "eip3009:".to_owned(),
            "permit2:".to_owned(),
            format!("eip3009:{token}:{owner}"),
            format!("eip3009:{token}:{nonce}"),
            format!("eip3009:{token}:{owner}:7"),
            format!("eip3009:{token}:{owner}:{nonce}:0"),
            format!("eip3009:{token}:{owner}:{nonce}:"),
            format!("eip3009::{token}:{owner}:{nonce}"),
            format!("eip3009:{}:{owner}:{nonce}", &token[2..]),
            format!("eip3009:{token}:{owner}:{}", &nonce[2..]),
            format!("eip3009:{token}:{owner}:{}", &nonce[..65]),
            format!("EIP3009:{token}:{owner}:{nonce}"),
            format!("eip3009:{token}:{owner}:0X{}", &nonce[2..]),
            format!("permit2:{owner}"),
            format!("permit2:{owner}:"),
            format!("permit2:{owner}:026"),
            format!("permit2:{owner}:+26"),
            format!("permit2:{owner}:0x1a"),
            format!("permit2:{owner}:1a"),
            format!("permit2:{owner}:26 "),
            format!("permit2:{owner}:1{}", "0".repeat(78)),
            format!(
                "permit2:{owner}:115792089237316195423570985008687907853269984665640564039457584007913129639936"
            ),
            format!("permit2:{token}:{owner}:26"),
            format!("permit2:{}:26", checksummed.replacen("3C", "3c", 1)),
            format!("permit:{owner}:26"),
            format!(" {permit}"),
        ];
        for text in bad {
            assert!(text.parse::<Proof>().is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn a_nonce_that_is_written_reads_back(
            token in any::<[u8; 20]>(), payer in any::<[u8; 20]>(), nonce in any::<[u8; 32]>(),
        ) {
            let (token, payer, nonce) = (token.into(), payer.into(), B256::from(nonce));
            let authorization = SignedNonce::Eip3009 { token, authorizer: payer, nonce };
            let number = U256::from_be_bytes(nonce.0);
            let permit = SignedNonce::Permit2 { owner: payer, nonce: number };
            for proof in [Proof::Nonce(authorization), Proof::Nonce(permit)] {
                prop_assert_eq!(proof.to_string().parse(), Ok(proof));
            }
            prop_assert_eq!(format!("permit2:{payer}:{number}").parse(), Ok(Proof::Nonce(permit)));
        }

        #[test]
        fn a_voucher_that_is_written_reads_back(
            channel in any::<[u8; 32]>(), ceiling in any::<[u8; 32]>(), start in any::<[u8; 32]>(), v in any::<u8>(),
        ) {
            let mut signature = [v; 65];
            signature[..32].copy_from_slice(&start);
            let ceiling = Amount(U256::from_be_bytes(ceiling));
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
