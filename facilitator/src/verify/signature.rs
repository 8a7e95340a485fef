//! Signatures of keys: who signed, where the chain would take the form.

use salt402_protocol::recovery::{NoSigner, signer};
use salt402_protocol::{Address, B256};

/// Which forms a contract takes of a key's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forms {
    /// `r`, `s` and `v`, 65 bytes: what tokens take.
    Full,
    /// That, or 64 bytes with `v` in the highest bit of `s` (EIP-2098): what Permit2 takes.
    FullOrCompact,
}

/// Whether a key signed, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeySignature {
    /// The key of this account.
    Of(Address),
    /// It has a form that no key's signature has, or one that is not taken. It says which.
    None(&'static str),
}

/// The account whose key signed a digest. `v` is 27 or 28, and `s` is in the lower half: another form is refused by the
/// chain, or would be a second signature for the same message.
pub(crate) fn recover(digest: B256, signature: &[u8], forms: Forms) -> KeySignature {
    let Some((r_and_s, is_odd)) = take_apart(signature, forms) else {
        let detail = match (signature.len(), forms) {
            (65, _) => "v, the last byte of the signature, is 27 or 28",
            (_, Forms::Full) => "a key's signature has 65 bytes",
            (_, Forms::FullOrCompact) => "a key's signature has 65 or 64 bytes",
        };
        return KeySignature::None(detail);
    };
    match signer(digest, &r_and_s, is_odd) {
        Ok(account) => KeySignature::Of(account),
        Err(NoSigner::HighS) => KeySignature::None("s is in the upper half: sign with a low s"),
        Err(NoSigner::NoKey) => KeySignature::None("no key made this signature"),
    }
}

/// `r` and `s`, and whether the point's `y` is odd.
fn take_apart(signature: &[u8], forms: Forms) -> Option<([u8; 64], bool)> {
    match (signature.len(), forms) {
        (65, _) => {
            let (r_and_s, v) = signature.split_at(64);
            let is_odd = match v {
                [27] => false,
                [28] => true,
                _ => return None,
            };
            Some((r_and_s.try_into().ok()?, is_odd))
        }
        (64, Forms::FullOrCompact) => {
            let mut r_and_s: [u8; 64] = signature.try_into().ok()?;
            let top = r_and_s.get_mut(32)?;
            let is_odd = *top & 0x80 != 0;
            *top &= 0x7f;
            Some((r_and_s, is_odd))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use k256::ecdsa::SigningKey;
    use proptest::prelude::*;
    use salt402_protocol::keccak256;

    use super::*;

    fn signed(key: &SigningKey, digest: B256) -> [u8; 65] {
        let (signature, id) = key.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = 27 + id.to_byte();
        bytes
    }

    fn account(key: &SigningKey) -> Address {
        Address::from_public_key(key.verifying_key())
    }

    fn compact(full: &[u8; 65]) -> Vec<u8> {
        let mut bytes = full[..64].to_vec();
        bytes[32] |= (full[64] - 27) << 7;
        bytes
    }

    /// The same signature with `s` in the other half.
    fn malleated(full: &[u8; 65]) -> [u8; 65] {
        use k256::elliptic_curve::PrimeField as _;
        let s: [u8; 32] = full[32..64].try_into().unwrap();
        let s = k256::Scalar::from_repr(s.into()).unwrap();
        let mut bytes = *full;
        bytes[32..64].copy_from_slice(&(-s).to_repr());
        bytes[64] = 27 + (1 - (full[64] - 27));
        bytes
    }

    proptest! {
        #[test]
        fn the_signer_is_found_in_the_forms_that_the_chain_takes(seed in 1..=u64::MAX, digest in any::<[u8; 32]>()) {
            let mut secret = [0; 32];
            secret[24..].copy_from_slice(&seed.to_be_bytes());
            let key = SigningKey::from_slice(&secret).unwrap();
            let digest = B256::from(digest);
            let full = signed(&key, digest);
            let of = KeySignature::Of(account(&key));
            prop_assert_eq!(recover(digest, &full, Forms::Full), of);
            prop_assert_eq!(recover(digest, &full, Forms::FullOrCompact), of);
            prop_assert_eq!(recover(digest, &compact(&full), Forms::FullOrCompact), of);
            prop_assert!(matches!(recover(digest, &compact(&full), Forms::Full), KeySignature::None(_)));
            prop_assert!(matches!(recover(digest, &malleated(&full), Forms::Full), KeySignature::None(_)));
            for v in [0, 1, 26, 29, 255] {
                let mut other = full;
                other[64] = v;
                prop_assert!(matches!(recover(digest, &other, Forms::FullOrCompact), KeySignature::None(_)));
            }
            let mut other = full;
            other[64] = 27 + (28 - full[64]);
            prop_assert_ne!(recover(digest, &other, Forms::Full), of);
            prop_assert_ne!(recover(keccak256(digest), &full, Forms::Full), of);
        }

        #[test]
        fn whatever_comes_is_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200), digest in any::<[u8; 32]>()) {
            let _ = recover(digest.into(), &bytes, Forms::FullOrCompact);
        }
    }

    #[test]
    fn the_edges_of_r_and_s_have_no_key() {
        for fill in [0_u8, 0xff] {
            let mut bytes = [fill; 65];
            bytes[64] = 27;
            assert!(matches!(recover(B256::repeat_byte(1), &bytes, Forms::Full), KeySignature::None(_)));
        }
    }
}
