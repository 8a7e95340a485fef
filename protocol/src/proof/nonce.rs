//! A payment that its payer signed, named by the nonce that the chain takes once.

use std::fmt;

use alloy_primitives::{Address, B256, U256, hex};

use crate::payment::PaymentId;
use crate::typed_data::PERMIT2;
use crate::values::asset::parse_address;
use crate::values::money::Amount;
use crate::values::name::name;
use crate::values::network::ChainId;
use crate::values::request::parse_hash;

/// How the text of an authorization's nonce begins.
pub(crate) const EIP3009: &str = "eip3009:";
/// How the text of a Permit2 nonce begins.
pub(crate) const PERMIT: &str = "permit2:";

/// Which signature paid. Its payer knows it before anybody submits it, and need not know who did in which transaction.
///
/// It is no secret: it is on the chain once it was used, and the reference that it carries is in the 402.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignedNonce {
    /// An authorization by EIP-3009: `eip3009:0x<token>:0x<authorizer>:0x<nonce>`, the nonce in 64 hexadecimal digits.
    Eip3009 {
        /// The token, which keeps the nonces of its authorizations.
        token: Address,
        /// Who signed, and paid.
        authorizer: Address,
        /// What the token takes once from this authorizer.
        nonce: B256,
    },
    /// A permit of Permit2's: `permit2:0x<owner>:<nonce>`, the nonce in decimal digits without a leading zero, or `0x`
    /// and 64 hexadecimal digits, as which it is written.
    Permit2 {
        /// Who signed, and paid.
        owner: Address,
        /// What Permit2 takes once from this owner, in whatever token.
        nonce: U256,
    },
}

impl SignedNonce {
    /// The name of the payment that it signs for:
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
        PaymentId(name(kind, chain, contract, &[payer.as_slice(), nonce.as_slice()]))
    }

    /// Reads one; `None` for whatever is not exactly that.
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

/// As many parts as are asked for, and no more.
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

    /// What was stored under a name is looked for under it: the bytes never change.
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
