//! What payers sign: EIP-712 typed data, with the digests that the contracts compute.

#![allow(missing_docs, reason = "EIP-3009 and the NatSpec of IWrappedSalt say what the fields are")]

use alloy_primitives::Address;
use alloy_sol_types::{Eip712Domain, eip712_domain, sol};

use crate::ChainId;

sol! {
    /// Moves a token for whoever submits it (EIP-3009).
    #[derive(Debug)]
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// Moves a token only when its receiver submits it (EIP-3009).
    #[derive(Debug)]
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// Makes an unused authorization's nonce useless (EIP-3009).
    #[derive(Debug)]
    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }

    /// Citrate's own: as `TransferWithAuthorization`, less a fee that goes to a treasury.
    #[derive(Debug)]
    struct TransferWithFeeAuthorization {
        address from;
        address to;
        uint256 value;
        address treasury;
        uint256 fee;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// The EIP-712 domain of wrapped SALT, on Citrate and where ours stands in for it.
pub fn wrapped_salt_domain(chain: ChainId, token: Address) -> Eip712Domain {
    eip712_domain! {
        name: "Wrapped SALT",
        version: "1",
        chain_id: chain.get(),
        verifying_contract: token,
    }
}
