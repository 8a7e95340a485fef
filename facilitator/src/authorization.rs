//! A payment that its payer signed, as both halves of a facilitator know it: what is judged, and what is settled.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use salt402_protocol::{ChainId, PaymentId, SignedNonce};
use serde::{Deserialize, Serialize};

/// A signed payment that was read from a payload and is well formed. Nothing of it is proven yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// The chain.
    pub chain: ChainId,
    /// The token that moves.
    pub token: Address,
    /// The account that signed, and pays.
    pub payer: Address,
    /// The account that is paid.
    pub payee: Address,
    /// What was signed, in base units of the token: the amount, or the most under `upto`.
    pub amount: U256,
    /// The nonce: of EIP-3009 as the number of its 32 bytes, big-endian.
    pub nonce: U256,
    /// From when on it is valid, in seconds since 1970. An EIP-3009 token takes it only after this second.
    pub valid_after: U256,
    /// Until when it is valid, in seconds since 1970. An EIP-3009 token takes it only before this second, Permit2 still
    /// in it.
    pub valid_before: U256,
    /// The signature as it came: 65 bytes of an account without code, or whatever the payer's contract reads.
    pub signature: Bytes,
    /// How it is settled.
    pub method: Method,
}

/// How a signed payment is settled, with what only that way has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// The token itself takes the signature (EIP-3009).
    Eip3009 {
        /// The name in the token's EIP-712 domain, as the requirements say.
        name: String,
        /// The version in it.
        version: String,
        /// What creates the payer's contract, where it does not exist yet (ERC-6492): it is called first, in the same
        /// transaction.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deployment: Option<Deployment>,
    },
    /// Permit2, through x402's proxy for `exact`.
    Permit2Exact {
        /// A permit of the token for Permit2, sent along by the payer (EIP-2612).
        permit: Option<TokenPermit>,
    },
    /// Permit2, through x402's proxy for `upto`. Only the named facilitator can settle it.
    Permit2Upto {
        /// The account that must send the transaction.
        facilitator: Address,
        /// A permit of the token for Permit2, sent along by the payer (EIP-2612).
        permit: Option<TokenPermit>,
    },
    /// Through Citrate's own facilitator, whose authorization names a fee.
    CitrateFee {
        /// The contract. The sender must hold its role.
        contract: Address,
        /// The account that gets the fee.
        treasury: Address,
        /// The fee in base units of the token. It is a part of `amount`.
        fee: U256,
        /// The name in the token's EIP-712 domain.
        name: String,
        /// The version in it.
        version: String,
    },
}

/// A call that creates a payer's contract (ERC-6492).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Who creates it. Only those that the operator allows are called.
    pub factory: Address,
    /// The calldata, as the payer's client made it.
    pub calldata: Bytes,
}

/// A permit that gives Permit2 an allowance (EIP-2612).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPermit {
    /// The allowance in base units of the token.
    pub amount: U256,
    /// The payer's next nonce at the token.
    pub nonce: U256,
    /// The last second of validity, in seconds since 1970.
    pub deadline: U256,
    /// The signature, 65 bytes.
    pub signature: Bytes,
}

impl Authorization {
    /// What the chain takes once.
    pub fn signed_nonce(&self) -> SignedNonce {
        match self.method {
            Method::Eip3009 { .. } | Method::CitrateFee { .. } => SignedNonce::Eip3009 {
                token: self.token,
                authorizer: self.payer,
                nonce: B256::from(self.nonce),
            },
            Method::Permit2Exact { .. } | Method::Permit2Upto { .. } => {
                SignedNonce::Permit2 { owner: self.payer, nonce: self.nonce }
            }
        }
    }

    /// Whether a server says what is charged of it, up to what was signed.
    pub(crate) const fn is_upto(&self) -> bool {
        matches!(self.method, Method::Permit2Upto { .. })
    }

    /// What creates the payer's contract before it is settled, if anything does.
    pub(crate) fn deployment(&self) -> Option<&Deployment> {
        match &self.method {
            Method::Eip3009 { deployment, .. } => deployment.as_ref(),
            _ => None,
        }
    }

    /// The same, and nothing is created for it.
    #[must_use]
    pub(crate) fn without_deployment(mut self) -> Self {
        if let Method::Eip3009 { deployment, .. } = &mut self.method {
            *deployment = None;
        }
        self
    }

    /// The same with the hash of each signature in its place: what is left of it where it is not needed any more, and by which
    /// it is known again. What creates the payer's contract is no part of what was signed.
    #[must_use]
    pub fn without_signatures(&self) -> Self {
        let hashed = |signature: &Bytes| Bytes::copy_from_slice(keccak256(signature).as_slice());
        let mut left = Self { signature: hashed(&self.signature), ..self.clone() }.without_deployment();
        if let Method::Permit2Exact { permit: Some(permit) }
        | Method::Permit2Upto { permit: Some(permit), .. } = &mut left.method
        {
            permit.signature = hashed(&permit.signature);
        }
        left
    }

    /// The id of the payment that it becomes. The index gives it the same.
    pub fn id(&self) -> PaymentId {
        self.signed_nonce().payment_id(self.chain)
    }
}
