//! Which account's key signed a digest.
//!
//! libsecp256k1 needs a third of the time that the same takes in Rust, and a voucher is accepted for little more than that.

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, keccak256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, Secp256k1, VerifyOnly};

/// The context of the library, made once.
static LIBRARY: LazyLock<Secp256k1<VerifyOnly>> = LazyLock::new(Secp256k1::verification_only);

/// Half of the order of the curve, the largest `s` that is taken.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d,
    0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// Why no account is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSigner {
    /// `s` is in the upper half. It would be a second signature for the same message, and contracts refuse it.
    #[error("s is in the upper half: sign with a low s")]
    HighS,
    /// No key can have made it.
    #[error("no key made this signature")]
    NoKey,
}

/// The account whose key signed a digest: `r` and `s`, 32 bytes each, and whether the `y` of the signature's point is odd (`v` is 28).
pub fn signer(digest: B256, r_and_s: &[u8; 64], is_odd: bool) -> Result<Address, NoSigner> {
    if r_and_s[32..] > HALF_ORDER[..] {
        return Err(NoSigner::HighS);
    }
    let id = if is_odd { RecoveryId::One } else { RecoveryId::Zero };
    let key = RecoverableSignature::from_compact(r_and_s, id)
        .and_then(|signature| LIBRARY.recover_ecdsa(Message::from_digest(digest.0), &signature))
        .map_err(|_| NoSigner::NoKey)?;
    // The first byte says that both coordinates follow.
    Ok(Address::from_word(keccak256(&key.serialize_uncompressed()[1..])))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Signature, U256};
    use proptest::prelude::*;

    use super::*;

    /// What alloy finds, by the order of the curve written as a number.
    fn by_alloy(digest: B256, r_and_s: &[u8; 64], is_odd: bool) -> Option<Address> {
        let (r, s) = (U256::from_be_slice(&r_and_s[..32]), U256::from_be_slice(&r_and_s[32..]));
        let signature = Signature::new(r, s, is_odd);
        if signature.normalize_s().is_some() {
            return None;
        }
        signature.recover_address_from_prehash(&digest).ok()
    }

    proptest! {
        #[test]
        fn it_finds_whom_alloy_finds(digest: [u8; 32], r in any::<[u8; 32]>(), s in any::<[u8; 32]>(), is_odd: bool, high: bool) {
            let mut r_and_s = [0; 64];
            r_and_s[..32].copy_from_slice(&r);
            r_and_s[32..].copy_from_slice(&s);
            if !high {
                r_and_s[32] &= 0x7f;
            }
            let digest = B256::new(digest);
            prop_assert_eq!(signer(digest, &r_and_s, is_odd).ok(), by_alloy(digest, &r_and_s, is_odd));
        }
    }

    #[test]
    fn the_ends_of_both_numbers_are_judged_alike() {
        let order =
            U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
                .unwrap();
        let half = order >> 1;
        let one = U256::from(1);
        let mut found = 0;
        for r in [U256::ZERO, one, U256::from(2), half, order - one, order, order + one, U256::MAX] {
            for s in [U256::ZERO, one, half - one, half, half + one, order - one, order, U256::MAX] {
                for is_odd in [false, true] {
                    let mut r_and_s = [0; 64];
                    r_and_s[..32].copy_from_slice(&r.to_be_bytes::<32>());
                    r_and_s[32..].copy_from_slice(&s.to_be_bytes::<32>());
                    let digest = B256::repeat_byte(7);
                    let ours = signer(digest, &r_and_s, is_odd);
                    assert_eq!(ours.ok(), by_alloy(digest, &r_and_s, is_odd), "{r} {s} {is_odd}");
                    found += u32::from(ours.is_ok());
                }
            }
        }
        assert!(found > 0);
    }
}
