//! The digests that payers sign, as the contracts compute them.
//!
//! alloy hashes the text of each type for each message, which costs more than the rest. Here a type's hash is computed once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::LazyLock;

use alloy_primitives::{Address, B256, Keccak256, U256, keccak256};
use alloy_sol_types::SolStruct;

use crate::typed_data::{
    PERMIT2, Permit, TransferWithAuthorization, TransferWithFeeAuthorization, exact, upto,
};
use crate::values::network::ChainId;

/// A type's hash, computed once.
type TypeHash = LazyLock<B256>;

static TOKEN_DOMAIN: TypeHash = LazyLock::new(|| {
    keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
});
static PERMIT2_DOMAIN: TypeHash =
    LazyLock::new(|| keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)"));
static PERMIT2_NAME: LazyLock<B256> = LazyLock::new(|| keccak256("Permit2"));
static AUTHORIZATION: TypeHash = LazyLock::new(hash_of_type::<TransferWithAuthorization>);
static FEE_AUTHORIZATION: TypeHash = LazyLock::new(hash_of_type::<TransferWithFeeAuthorization>);
static PERMIT: TypeHash = LazyLock::new(hash_of_type::<Permit>);
static PERMISSIONS: TypeHash = LazyLock::new(hash_of_type::<exact::TokenPermissions>);
static EXACT: TypeHash = LazyLock::new(hash_of_type::<exact::PermitWitnessTransferFrom>);
static EXACT_WITNESS: TypeHash = LazyLock::new(hash_of_type::<exact::Witness>);
static UPTO: TypeHash = LazyLock::new(hash_of_type::<upto::PermitWitnessTransferFrom>);
static UPTO_WITNESS: TypeHash = LazyLock::new(hash_of_type::<upto::Witness>);

fn hash_of_type<S: SolStruct>() -> B256 {
    keccak256(S::eip712_encode_type().as_bytes())
}

/// The hash of a struct (EIP-712): of its type's hash and its members, each as a word.
fn hash_struct<const N: usize>(of_type: &TypeHash, members: [B256; N]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(**of_type);
    members.iter().for_each(|member| hasher.update(member));
    hasher.finalize()
}

fn word(account: Address) -> B256 {
    account.into_word()
}

/// How many domains of tokens each thread remembers. Most payments are of few tokens.
const REMEMBERED: usize = 8;

/// A domain of a token, and what it was computed of.
struct Known {
    chain: ChainId,
    token: Address,
    name: String,
    version: String,
    domain: Domain,
}

thread_local! {
    /// The newest last.
    static KNOWN: RefCell<VecDeque<Known>> = const { RefCell::new(VecDeque::new()) };
}

/// An EIP-712 domain, as its separator: the one part of a digest that is the same for all messages to a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Domain(pub B256);

impl Domain {
    /// The domain of a token, by the name and the version in it. Those that come again are remembered.
    pub fn of_token(name: &str, version: &str, chain: ChainId, token: Address) -> Self {
        let is_it = |known: &&Known| {
            (known.chain, known.token) == (chain, token) && known.name == name && known.version == version
        };
        KNOWN.with_borrow_mut(|all| match all.iter().find(is_it) {
            Some(known) => known.domain,
            None => {
                let domain = Self::computed(name, version, chain, token);
                if all.len() >= REMEMBERED {
                    all.pop_front();
                }
                // A text of whoever asks, of whatever length, is not kept.
                if name.len() + version.len() <= 128 {
                    let (name, version) = (name.to_owned(), version.to_owned());
                    all.push_back(Known { chain, token, name, version, domain });
                }
                domain
            }
        })
    }

    fn computed(name: &str, version: &str, chain: ChainId, token: Address) -> Self {
        let chain = B256::from(U256::from(chain.get()));
        Self(hash_struct(&TOKEN_DOMAIN, [keccak256(name), keccak256(version), chain, word(token)]))
    }

    /// The domain of Permit2.
    pub fn of_permit2(chain: ChainId) -> Self {
        let chain = B256::from(U256::from(chain.get()));
        Self(hash_struct(&PERMIT2_DOMAIN, [*PERMIT2_NAME, chain, word(PERMIT2)]))
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
        let TransferWithAuthorization { from, to, value, validAfter, validBefore, nonce } = *message;
        let members = [word(from), word(to), value.into(), validAfter.into(), validBefore.into(), nonce];
        self.digest(hash_struct(&AUTHORIZATION, members))
    }

    /// Of Citrate's authorization that names a fee.
    pub fn fee_authorization(self, message: &TransferWithFeeAuthorization) -> B256 {
        let TransferWithFeeAuthorization { from, to, value, treasury, fee, validAfter, validBefore, nonce } =
            *message;
        let (value, fee) = (value.into(), fee.into());
        let (after, before) = (validAfter.into(), validBefore.into());
        let members = [word(from), word(to), value, word(treasury), fee, after, before, nonce];
        self.digest(hash_struct(&FEE_AUTHORIZATION, members))
    }

    /// Of a token's permit (EIP-2612).
    pub fn permit(self, message: &Permit) -> B256 {
        let Permit { owner, spender, value, nonce, deadline } = *message;
        let members = [word(owner), word(spender), value.into(), nonce.into(), deadline.into()];
        self.digest(hash_struct(&PERMIT, members))
    }

    /// Of a Permit2 permit for x402's proxy for `exact`.
    pub fn exact(self, message: &exact::PermitWitnessTransferFrom) -> B256 {
        let exact::PermitWitnessTransferFrom { permitted, spender, nonce, deadline, witness } = message;
        let permitted = hash_struct(&PERMISSIONS, [word(permitted.token), permitted.amount.into()]);
        let witness = hash_struct(&EXACT_WITNESS, [word(witness.to), witness.validAfter.into()]);
        let members = [permitted, word(*spender), (*nonce).into(), (*deadline).into(), witness];
        self.digest(hash_struct(&EXACT, members))
    }

    /// Of a Permit2 permit for x402's proxy for `upto`.
    pub fn upto(self, message: &upto::PermitWitnessTransferFrom) -> B256 {
        let upto::PermitWitnessTransferFrom { permitted, spender, nonce, deadline, witness } = message;
        let permitted = hash_struct(&PERMISSIONS, [word(permitted.token), permitted.amount.into()]);
        let by = [word(witness.to), word(witness.facilitator), witness.validAfter.into()];
        let witness = hash_struct(&UPTO_WITNESS, by);
        let members = [permitted, word(*spender), (*nonce).into(), (*deadline).into(), witness];
        self.digest(hash_struct(&UPTO, members))
    }
}

/// A permit of a token for Permit2, as its owner signs it.
pub fn permit_for_permit2(owner: Address, value: U256, nonce: U256, deadline: U256) -> Permit {
    Permit { owner, spender: PERMIT2, value, nonce, deadline }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use alloy_sol_types::Eip712Domain;
    use proptest::prelude::*;

    use super::*;

    /// Computed with x402's own client.
    #[test]
    fn the_types_are_those_that_x402_signs() {
        assert_eq!(*AUTHORIZATION, b256!("7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267"));
        assert_eq!(*EXACT, b256!("ebc156cd23678a74c94df13d772ef5478420637f0c94bd10d509e1dc98f521c7"));
        assert_eq!(*UPTO, b256!("51dff6974ad4388c499e7fcfe838d2bd767162553a144098ce20ea661d70c2ee"));
    }

    fn any_word() -> impl Strategy<Value = B256> {
        any::<[u8; 32]>().prop_map(B256::from)
    }

    proptest! {
        /// What alloy computes from the types themselves.
        #[test]
        fn a_digest_is_that_of_the_message_in_its_domain(
            words in proptest::array::uniform10(any_word()), name in ".{0,40}", version in ".{0,5}", id in 1..u64::MAX / 2,
        ) {
            let account = |place: usize| Address::from_word(words[place]);
            let number = |place: usize| U256::from_be_bytes(words[place].0);
            let chain = ChainId::new(id).unwrap();
            let token = account(9);
            let domain = Eip712Domain {
                name: Some(name.clone().into()),
                version: Some(version.clone().into()),
                chain_id: Some(U256::from(id)),
                verifying_contract: Some(token),
                salt: None,
            };
            let ours = Domain::of_token(&name, &version, chain, token);
            prop_assert_eq!(ours.0, domain.separator());
            // What is remembered is of all of it.
            prop_assert_eq!(Domain::of_token(&name, &version, chain, token), ours);
            let other_chain = ChainId::new(id + 1).unwrap();
            prop_assert_ne!(Domain::of_token(&name, &version, other_chain, token), ours);
            prop_assert_ne!(Domain::of_token(&version, &format!("{name}x"), chain, token), ours);
            prop_assert_ne!(Domain::of_token(&name, &version, chain, account(8)), ours);
            let (from, to, value) = (account(0), account(1), number(2));
            let (valid_after, valid_before, nonce) = (number(3), number(4), words[5]);
            let message = TransferWithAuthorization {
                from, to, value, validAfter: valid_after, validBefore: valid_before, nonce,
            };
            prop_assert_eq!(ours.authorization(&message), message.eip712_signing_hash(&domain));
            let (treasury, fee) = (account(6), number(7));
            let message =
                TransferWithFeeAuthorization { from, to, value, treasury, fee, validAfter: valid_after, validBefore: valid_before, nonce };
            prop_assert_eq!(ours.fee_authorization(&message), message.eip712_signing_hash(&domain));
            let message = permit_for_permit2(from, value, number(8), valid_before);
            prop_assert_eq!(ours.permit(&message), message.eip712_signing_hash(&domain));

            let (domain, ours) = (crate::typed_data::permit2_domain(chain), Domain::of_permit2(chain));
            prop_assert_eq!(ours.0, domain.separator());
            let (spender, nonce, deadline) = (account(6), number(7), number(8));
            let message = exact::PermitWitnessTransferFrom {
                permitted: exact::TokenPermissions { token, amount: value },
                spender,
                nonce,
                deadline,
                witness: exact::Witness { to, validAfter: valid_after },
            };
            prop_assert_eq!(ours.exact(&message), message.eip712_signing_hash(&domain));
            let message = upto::PermitWitnessTransferFrom {
                permitted: upto::TokenPermissions { token, amount: value },
                spender,
                nonce,
                deadline,
                witness: upto::Witness { to, facilitator: from, validAfter: valid_after },
            };
            prop_assert_eq!(ours.upto(&message), message.eip712_signing_hash(&domain));
        }
    }
}
