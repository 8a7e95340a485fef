//! The EIP-712 typed data that payers sign, with the digests that the contracts compute.

#![allow(missing_docs, reason = "EIP-3009 and the NatSpec of IWrappedSalt say what the fields are")]

use alloy_primitives::Address;
use alloy_sol_types::{Eip712Domain, eip712_domain, sol};

use crate::values::network::ChainId;

sol! {
    /// Moves a token, whoever submits it (EIP-3009).
    #[derive(Debug)]
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// Moves a token only if its receiver submits it (EIP-3009).
    #[derive(Debug)]
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// Cancels an unused authorization (EIP-3009).
    #[derive(Debug)]
    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }

    /// Citrate's extension: `TransferWithAuthorization` less a fee to a treasury.
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

/// The EIP-712 domain of wrapped SALT, on Citrate and on local chains with this project's copy.
pub fn wrapped_salt_domain(chain: ChainId, token: Address) -> Eip712Domain {
    eip712_domain! {
        name: "Wrapped SALT",
        version: "1",
        chain_id: chain.get(),
        verifying_contract: token,
    }
}

sol! {
    /// Gives a spender an allowance ([EIP-2612](https://eips.ethereum.org/EIPS/eip-2612)). The nonce is the owner's
    /// next one at the token; nonces count up.
    #[derive(Debug)]
    struct Permit {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }
}

/// The message of x402's scheme `exact` over Permit2: the whole amount to one payee, with the proxy as spender
/// ([scheme](https://github.com/x402-foundation/x402/blob/main/specs/schemes/exact/scheme_exact_evm.md)). The domain is
/// [`permit2_domain`].
pub mod exact {
    use alloy_sol_types::sol;

    sol! {
        /// What may be moved, in base units of the token. Permit2's own type.
        #[derive(Debug)]
        struct TokenPermissions {
            address token;
            uint256 amount;
        }

        /// What x402 adds to Permit2: the payee, and the first second of validity.
        #[derive(Debug)]
        struct Witness {
            address to;
            uint256 validAfter;
        }

        /// The message. `deadline` is the last second of validity; `nonce` is any number that the payer has not used.
        #[derive(Debug)]
        struct PermitWitnessTransferFrom {
            TokenPermissions permitted;
            address spender;
            uint256 nonce;
            uint256 deadline;
            Witness witness;
        }
    }
}

/// The message of x402's scheme `upto` over Permit2: at most the amount; the named facilitator chooses how much
/// ([scheme](https://github.com/x402-foundation/x402/blob/main/specs/schemes/upto/scheme_upto_evm.md)). The domain is
/// [`permit2_domain`].
pub mod upto {
    use alloy_sol_types::sol;

    sol! {
        /// The most that may be moved, in base units of the token. Permit2's own type.
        #[derive(Debug)]
        struct TokenPermissions {
            address token;
            uint256 amount;
        }

        /// What x402 adds to Permit2: the payee, the only account that may settle, and the first second of validity.
        #[derive(Debug)]
        struct Witness {
            address to;
            address facilitator;
            uint256 validAfter;
        }

        /// The message. `deadline` is the last second of validity; `nonce` is any number that the payer has not used.
        #[derive(Debug)]
        struct PermitWitnessTransferFrom {
            TokenPermissions permitted;
            address spender;
            uint256 nonce;
            uint256 deadline;
            Witness witness;
        }
    }
}

/// Permit2. It has this address on every chain ([source](https://github.com/Uniswap/permit2)).
pub const PERMIT2: Address = alloy_primitives::address!("0x000000000022D473030F116dDEE9F6B43aC78BA3");

/// x402's own proxy for `exact`, on chains that have it. x402 clients sign for no other spender.
pub const X402_EXACT_PROXY: Address =
    alloy_primitives::address!("0x402085c248EeA27D92E8b30b2C58ed07f9E20001");

/// x402's own proxy for `upto`, on chains that have it. x402 clients sign for no other spender.
pub const X402_UPTO_PROXY: Address = alloy_primitives::address!("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");

/// x402's batch settlement, on every chain that has it.
pub const X402_BATCH_SETTLEMENT: Address =
    alloy_primitives::address!("0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003");

/// The EIP-712 domain of Permit2. It has no version.
pub fn permit2_domain(chain: ChainId) -> Eip712Domain {
    eip712_domain! {
        name: "Permit2",
        chain_id: chain.get(),
        verifying_contract: PERMIT2,
    }
}

/// The EIP-712 domain of Salt (an ERC-20), for its authorizations (EIP-3009) and permits (EIP-2612).
pub fn salt_domain(chain: ChainId, token: Address) -> Eip712Domain {
    eip712_domain! {
        name: "Salt",
        version: "1",
        chain_id: chain.get(),
        verifying_contract: token,
    }
}

/// The EIP-712 domain of `SaltChannels`.
pub fn salt_channels_domain(chain: ChainId, contract: Address) -> Eip712Domain {
    eip712_domain! {
        name: "SaltChannels",
        version: "1",
        chain_id: chain.get(),
        verifying_contract: contract,
    }
}
