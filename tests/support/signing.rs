//! Payments that a payer signs and somebody else submits.

use alloy_primitives::{Bytes, Signature, U256, hex};
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct, sol};
use k256::ecdsa::SigningKey;
use salt402_protocol::contracts::{
    ISalt, ISaltChannels, IWrappedSalt, IX402ExactPermit2Proxy, IX402Permit2Proxy,
};
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::typed_data::{
    PERMIT2, TransferWithAuthorization, TransferWithFeeAuthorization, exact, permit2_domain, salt_domain,
    wrapped_salt_domain,
};
use salt402_protocol::{Address, Amount, B256, ChainId};

use crate::payer::{PAYER_KEY, TestPayer};

sol! {
    function approve(address spender, uint256 amount) external returns (bool);
}

/// The payer: anvil's second account.
pub const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

fn sign<T: SolStruct>(message: &T, domain: &Eip712Domain) -> Signature {
    let key = SigningKey::from_slice(&hex::decode(PAYER_KEY).expect("anvil's key")).expect("anvil's key");
    let digest = message.eip712_signing_hash(domain);
    key.sign_prehash_recoverable(digest.as_slice()).expect("a signature").into()
}

fn payer() -> Address {
    PAYER.parse().expect("anvil's account")
}

fn authorization(details: &PaymentDetails) -> TransferWithAuthorization {
    TransferWithAuthorization {
        from: payer(),
        to: details.recipient,
        value: details.amount.0,
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce: details.reference,
    }
}

/// The payer's wrapped SALT authorization for a 402, as the call that anybody may submit to the token.
pub fn wrapped_salt_call(details: &PaymentDetails, token: Address) -> Bytes {
    let message = authorization(details);
    let signature = sign(&message, &wrapped_salt_domain(ChainId::CITRATE, token));
    IWrappedSalt::transferWithAuthorizationCall {
        from: message.from,
        to: message.to,
        value: message.value,
        validAfter: message.validAfter,
        validBefore: message.validBefore,
        nonce: message.nonce,
        v: 27 + u8::from(signature.v()),
        r: signature.r().into(),
        s: signature.s().into(),
    }
    .abi_encode()
    .into()
}

/// The payer's wrapped SALT authorization to move `value`, as `v`, `r` and `s`.
pub fn wrapped_salt_signature(token: Address, to: Address, value: U256, nonce: B256) -> (u8, B256, B256) {
    let message = TransferWithAuthorization {
        from: payer(),
        to,
        value,
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce,
    };
    split(sign(&message, &wrapped_salt_domain(ChainId::CITRATE, token)))
}

/// The same less a fee. The payer signs the fee and its receiver.
pub fn wrapped_salt_fee_signature(
    token: Address,
    to: Address,
    (value, fee): (U256, U256),
    treasury: Address,
    nonce: B256,
) -> (u8, B256, B256) {
    let message = TransferWithFeeAuthorization {
        from: payer(),
        to,
        value,
        treasury,
        fee,
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce,
    };
    split(sign(&message, &wrapped_salt_domain(ChainId::CITRATE, token)))
}

fn split(signature: Signature) -> (u8, B256, B256) {
    (27 + u8::from(signature.v()), signature.r().into(), signature.s().into())
}

/// The call to approve a spender for the caller's tokens.
pub fn approve_call(spender: Address) -> Bytes {
    approveCall { spender, amount: U256::MAX }.abi_encode().into()
}

/// The payer's Salt authorization for a 402, with the signature as bytes.
pub fn salt_call(details: &PaymentDetails, token: Address) -> Bytes {
    let message = authorization(details);
    let signature = sign(&message, &salt_domain(ChainId::CITRATE, token));
    ISalt::transferWithAuthorization_1Call {
        from: message.from,
        to: message.to,
        value: message.value,
        validAfter: message.validAfter,
        validBefore: message.validBefore,
        nonce: message.nonce,
        signature: signature.as_bytes().into(),
    }
    .abi_encode()
    .into()
}

/// The payer's Permit2 signature for a 402 in a token, as the call that anybody may submit to the proxy.
pub fn exact_call(details: &PaymentDetails, token: Address, proxy: Address) -> Bytes {
    let amount = details.amount.0;
    let nonce = U256::from_be_bytes(details.reference.0);
    let message = exact::PermitWitnessTransferFrom {
        permitted: exact::TokenPermissions { token, amount },
        spender: proxy,
        nonce,
        deadline: U256::MAX,
        witness: exact::Witness { to: details.recipient, validAfter: U256::ZERO },
    };
    let signature = sign(&message, &permit2_domain(ChainId::CITRATE));
    IX402ExactPermit2Proxy::settleCall {
        permit: IX402Permit2Proxy::PermitTransferFrom {
            permitted: IX402Permit2Proxy::TokenPermissions { token, amount },
            nonce,
            deadline: U256::MAX,
        },
        owner: payer(),
        witness: IX402ExactPermit2Proxy::Witness { to: details.recipient, validAfter: U256::ZERO },
        signature: signature.as_bytes().into(),
    }
    .abi_encode()
    .into()
}

/// The call to approve Permit2 for the caller's tokens.
pub fn approve_permit2_call() -> Bytes {
    approveCall { spender: PERMIT2, amount: U256::MAX }.abi_encode().into()
}

/// A channel of native coins from the payer.
pub fn channel(payee: Address, salt: u8) -> ISaltChannels::Channel {
    ISaltChannels::Channel {
        payer: payer(),
        payee,
        asset: Address::ZERO,
        signer: payer(),
        operator: Address::ZERO,
        exitDelay: 900,
        salt: B256::repeat_byte(salt),
    }
}

impl TestPayer {
    /// Opens a channel or adds to its deposit.
    pub async fn deposit(
        &self,
        contract: Address,
        channel: ISaltChannels::Channel,
        amount: Amount,
        more: bool,
    ) -> B256 {
        let value = if channel.asset.is_zero() { amount } else { Amount::ZERO };
        let data: Vec<u8> = if more {
            ISaltChannels::topUpCall { channel, amount: amount.0 }.abi_encode()
        } else {
            ISaltChannels::openCall { channel, amount: amount.0 }.abi_encode()
        };
        self.call(contract, data.into(), value).await
    }
}
