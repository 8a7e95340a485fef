//! The digests that payers sign, as the contracts compute them.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct as _};

use crate::typed_data::{
    PERMIT2, Permit, TransferWithAuthorization, TransferWithFeeAuthorization, exact, upto,
};
use crate::values::network::ChainId;

/// An EIP-712 domain, as its separator: the one part of a digest that is the same for all messages to a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Domain(pub B256);

impl Domain {
    /// The domain of a token, by the name and the version in it.
    pub fn of_token(name: &str, version: &str, chain: ChainId, token: Address) -> Self {
        let domain = Eip712Domain {
            name: Some(name.to_owned().into()),
            version: Some(version.to_owned().into()),
            chain_id: Some(U256::from(chain.get())),
            verifying_contract: Some(token),
            salt: None,
        };
        Self(domain.separator())
    }

    /// The domain of Permit2.
    pub fn of_permit2(chain: ChainId) -> Self {
        Self(crate::typed_data::permit2_domain(chain).separator())
    }

    /// The digest of a message, by the hash of its struct.
    fn digest(self, message: B256) -> B256 {
        let mut bytes = [0; 66];
        let (prefix, rest) = bytes.split_at_mut(2);
        prefix.copy_from_slice(&[0x19, 0x01]);
        let (domain, hash) = rest.split_at_mut(32);
        domain.copy_from_slice(self.0.as_slice());
        hash.copy_from_slice(message.as_slice());
        keccak256(bytes)
    }

    /// Of an EIP-3009 authorization.
    pub fn authorization(self, message: &TransferWithAuthorization) -> B256 {
        self.digest(message.eip712_hash_struct())
    }

    /// Of Citrate's authorization that names a fee.
    pub fn fee_authorization(self, message: &TransferWithFeeAuthorization) -> B256 {
        self.digest(message.eip712_hash_struct())
    }

    /// Of a token's permit (EIP-2612).
    pub fn permit(self, message: &Permit) -> B256 {
        self.digest(message.eip712_hash_struct())
    }

    /// Of a Permit2 permit for x402's proxy for `exact`.
    pub fn exact(self, message: &exact::PermitWitnessTransferFrom) -> B256 {
        self.digest(message.eip712_hash_struct())
    }

    /// Of a Permit2 permit for x402's proxy for `upto`.
    pub fn upto(self, message: &upto::PermitWitnessTransferFrom) -> B256 {
        self.digest(message.eip712_hash_struct())
    }
}

/// A permit of a token for Permit2, as its owner signs it.
pub fn permit_for_permit2(owner: Address, value: U256, nonce: U256, deadline: U256) -> Permit {
    Permit { owner, spender: PERMIT2, value, nonce, deadline }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use alloy_sol_types::SolStruct;

    use super::*;

    /// Computed with x402's own client.
    #[test]
    fn the_types_are_those_that_x402_signs() {
        let hash = |text: std::borrow::Cow<'static, str>| keccak256(text.as_bytes());
        assert_eq!(
            hash(TransferWithAuthorization::eip712_encode_type()),
            b256!("7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267")
        );
        assert_eq!(
            hash(exact::PermitWitnessTransferFrom::eip712_encode_type()),
            b256!("ebc156cd23678a74c94df13d772ef5478420637f0c94bd10d509e1dc98f521c7")
        );
        assert_eq!(
            hash(upto::PermitWitnessTransferFrom::eip712_encode_type()),
            b256!("51dff6974ad4388c499e7fcfe838d2bd767162553a144098ce20ea661d70c2ee")
        );
    }

    #[test]
    fn a_digest_is_that_of_the_message_in_its_domain() {
        let token = Address::repeat_byte(7);
        let chain = ChainId::CITRATE;
        let message = TransferWithAuthorization {
            from: Address::repeat_byte(1),
            to: Address::repeat_byte(2),
            value: U256::from(3),
            validAfter: U256::ZERO,
            validBefore: U256::MAX,
            nonce: B256::repeat_byte(4),
        };
        let domain = crate::typed_data::wrapped_salt_domain(chain, token);
        let digest = Domain::of_token("Wrapped SALT", "1", chain, token).authorization(&message);
        assert_eq!(digest, message.eip712_signing_hash(&domain));
        assert_ne!(digest, Domain::of_token("Wrapped SALT", "2", chain, token).authorization(&message));
    }
}
