//! A payment that its payer signed, identified by its nonce. The chain accepts a nonce once.

use std::fmt;

use alloy_primitives::{Address, B256, U256, hex};

use crate::payment::PaymentId;
use crate::typed_data::PERMIT2;
use crate::values::asset::parse_address;
use crate::values::id::hash_id;
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::values::request::parse_hash;

/// The prefix of an EIP-3009 proof.
pub(crate) const EIP3009: &str = "eip3009:";
/// The prefix of a Permit2 proof.
pub(crate) const PERMIT: &str = "permit2:";

/// The signature that paid. The payer knows it before anybody submits it, and needs no transaction hash.
///
/// It is not secret: the chain shows it once it is used, and the 402 shows the reference that it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignedNonce {
    /// An EIP-3009 authorization: `eip3009:0x<token>:0x<authorizer>:0x<nonce>`. The nonce has 64 hexadecimal digits.
    Eip3009 {
        /// The token. It records the used nonces of its authorizations.
        token: Address,
        /// The account that signed and paid.
        authorizer: Address,
        /// The nonce. The token accepts it once from this authorizer.
        nonce: B256,
    },
    /// A Permit2 permit: `permit2:0x<owner>:<nonce>`. The nonce is read as decimal digits without leading zero, or as
    /// `0x` and 64 hexadecimal digits. It is written in hexadecimal.
    Permit2 {
        /// The account that signed and paid.
        owner: Address,
        /// The nonce. Permit2 accepts it once from this owner, for all tokens together.
        nonce: U256,
    },
}

impl SignedNonce {
    /// The id of the payment:
    ///
    /// ```text
    /// keccak256( "salt402-eip3009-v1" ‖ chain id (8 bytes) ‖ token (20) ‖ authorizer (20) ‖ nonce (32) )
    /// keccak256( "salt402-permit2-v1" ‖ chain id (8 bytes) ‖ Permit2 (20) ‖ owner (20) ‖ nonce (32) )
    /// ```
    pub fn payment_id(&self, chain: ChainId) -> PaymentId {
        let (kind, contract, payer, nonce) = match *self {
            Self::Eip3009 { token, authorizer, nonce } => ("salt402-eip3009-v1", token, authorizer, nonce),
            Self::Permit2 { owner, nonce } => ("salt402-permit2-v1", PERMIT2, owner, B256::from(nonce)),
        };
        PaymentId(hash_id(kind, chain, contract, &[payer.as_slice(), nonce.as_slice()]))
    }

    /// Parses the exact text; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix(EIP3009) {
            let [token, authorizer, nonce] = parts(rest)?;
            let (token, authorizer) = (parse_address(token)?, parse_address(authorizer)?);
            return Some(Self::Eip3009 { token, authorizer, nonce: parse_hash(nonce)? });
        }
        let [owner, nonce] = parts(text.strip_prefix(PERMIT)?)?;
        let nonce = match parse_hash(nonce) {
            Some(hash) => U256::from_be_bytes(hash.0),
            None => Amount::from_base_units(nonce).ok()?.0,
        };
        Some(Self::Permit2 { owner: parse_address(owner)?, nonce })
    }
}

/// Splits a text into exactly `N` parts.
fn parts<const N: usize>(text: &str) -> Option<[&str; N]> {
    let mut parts = text.split(':');
    let mut found = [""; N];
    for place in &mut found {
        *place = parts.next()?;
    }
    parts.next().is_none().then_some(found)
}

impl fmt::Display for SignedNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eip3009 { token, authorizer, nonce } => {
                let (token, authorizer) = (hex::encode_prefixed(token), hex::encode_prefixed(authorizer));
                write!(f, "{EIP3009}{token}:{authorizer}:{}", hex::encode_prefixed(nonce))
            }
            Self::Permit2 { owner, nonce } => {
                let nonce = hex::encode_prefixed(nonce.to_be_bytes::<32>());
                write!(f, "{PERMIT}{}:{nonce}", hex::encode_prefixed(owner))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    /// Stored ids are looked up by these bytes, so they must never change.
    #[test]
    fn a_payment_is_named_by_what_the_chain_takes_once() {
        let (token, payer) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let nonce = B256::repeat_byte(3);
        let chain = 40_204_u64.to_be_bytes();
        let named = |tag: &str, contract: Address| {
            let bytes = [tag.as_bytes(), &chain, contract.as_slice(), payer.as_slice(), nonce.as_slice()];
            PaymentId(keccak256(bytes.concat()))
        };
        let authorization = SignedNonce::Eip3009 { token, authorizer: payer, nonce };
        assert_eq!(authorization.payment_id(ChainId::CITRATE), named("salt402-eip3009-v1", token));
        let permit = SignedNonce::Permit2 { owner: payer, nonce: U256::from_be_bytes(nonce.0) };
        assert_eq!(permit.payment_id(ChainId::CITRATE), named("salt402-permit2-v1", PERMIT2));
        let of_permit2 = SignedNonce::Eip3009 { token: PERMIT2, authorizer: payer, nonce };
        assert_ne!(of_permit2.payment_id(ChainId::CITRATE), permit.payment_id(ChainId::CITRATE));
    }
}
