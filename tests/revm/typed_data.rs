//! What Rust signs, Solidity accepts.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolCall as _, SolStruct};
use proptest::prelude::*;
use salt402_protocol::ChainId;
use salt402_protocol::contracts::IWrappedSalt;
use salt402_protocol::typed_data::{
    CancelAuthorization, ReceiveWithAuthorization, TransferWithAuthorization, TransferWithFeeAuthorization,
    wrapped_salt_domain,
};

use crate::machine::{Key, Machine, TIME, parts};
use crate::payments::balanceOfCall;
use crate::sources::{assert_paid, followed, read};

fn machine_with(signer: &Key, amount: U256) -> (Machine, Address) {
    let mut machine = Machine::new();
    let token = machine.deploy("WrappedSalt");
    machine.fund(signer.address, amount);
    machine.send(signer.address, token, amount, &IWrappedSalt::depositCall {}).unwrap();
    (machine, token)
}

fn balance(machine: &mut Machine, token: Address, account: Address) -> U256 {
    let done = machine.send(Address::ZERO, token, U256::ZERO, &balanceOfCall { account }).unwrap();
    balanceOfCall::abi_decode_returns(&done.output).unwrap()
}

#[test]
fn domain_and_type_hashes_are_equal() {
    let signer = Key::new([1; 32]);
    let (mut machine, token) = machine_with(&signer, U256::from(1));
    let domain = wrapped_salt_domain(ChainId::CITRATE, token);
    macro_rules! ask {
        ($call:ident) => {
            B256::from_slice(
                &machine.send(signer.address, token, U256::ZERO, &IWrappedSalt::$call {}).unwrap().output,
            )
        };
    }
    assert_eq!(ask!(DOMAIN_SEPARATORCall), domain.separator());
    let type_hash = |text: &str| keccak256(text.as_bytes());
    for (solidity, rust) in [
        (ask!(TRANSFER_WITH_AUTHORIZATION_TYPEHASHCall), TransferWithAuthorization::eip712_encode_type()),
        (ask!(RECEIVE_WITH_AUTHORIZATION_TYPEHASHCall), ReceiveWithAuthorization::eip712_encode_type()),
        (
            ask!(TRANSFER_WITH_FEE_AUTHORIZATION_TYPEHASHCall),
            TransferWithFeeAuthorization::eip712_encode_type(),
        ),
        (ask!(CANCEL_AUTHORIZATION_TYPEHASHCall), CancelAuthorization::eip712_encode_type()),
    ] {
        assert_eq!(solidity, type_hash(&rust), "{rust}");
    }
    // The value that every EIP-3009 token and x402 client has.
    assert_eq!(
        ask!(TRANSFER_WITH_AUTHORIZATION_TYPEHASHCall).to_string(),
        "0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_authorization_signed_in_rust_moves_the_token_once(
        seed in any::<[u8; 32]>(), to in any::<[u8; 20]>(), value in 1u128.., nonce in any::<[u8; 32]>(),
        since in 0..TIME, until in TIME + 1..,
    ) {
        let (signer, to) = (Key::new(seed), Address::from(to));
        prop_assume!(!to.is_zero() && to != signer.address);
        let value = U256::from(value);
        let (mut machine, token) = machine_with(&signer, value);
        let message = TransferWithAuthorization {
            from: signer.address,
            to,
            value,
            validAfter: U256::from(since),
            validBefore: U256::from(until),
            nonce: nonce.into(),
        };
        let (v, r, s) =
            parts(signer.sign(message.eip712_signing_hash(&wrapped_salt_domain(ChainId::CITRATE, token))));
        let call = IWrappedSalt::transferWithAuthorizationCall {
            from: message.from,
            to,
            value,
            validAfter: message.validAfter,
            validBefore: message.validBefore,
            nonce: message.nonce,
            v,
            r,
            s,
        };
        let anyone = Address::repeat_byte(0x77);
        let mut stolen = call.clone();
        stolen.to = anyone;
        prop_assert!(machine.send(anyone, token, U256::ZERO, &stolen).is_err());
        let done = machine.send(anyone, token, U256::ZERO, &call).unwrap();
        let payments = read(&followed(token, &[], to), &done, None, false);
        assert_paid(&payments, token, (signer.address, to), (token, value), message.nonce);
        prop_assert_eq!(balance(&mut machine, token, to), value);
        prop_assert!(machine.send(anyone, token, U256::ZERO, &call).is_err());
    }

    /// What arrives is the payment; the fee is none of the payee's, and over nothing there is none.
    #[test]
    fn an_authorization_with_a_fee_pays_what_arrives(
        seed in any::<[u8; 32]>(), value in 0u64..4, fee in 0u64..4, nonce in any::<[u8; 32]>(),
    ) {
        prop_assume!(fee <= value);
        let signer = Key::new(seed);
        let (to, treasury) = (Address::repeat_byte(0x11), Address::repeat_byte(0x22));
        let (value, fee) = (U256::from(value), U256::from(fee));
        let (mut machine, token) = machine_with(&signer, U256::from(9));
        let message = TransferWithFeeAuthorization {
            from: signer.address,
            to,
            value,
            treasury,
            fee,
            validAfter: U256::ZERO,
            validBefore: U256::MAX,
            nonce: nonce.into(),
        };
        let (v, r, s) =
            parts(signer.sign(message.eip712_signing_hash(&wrapped_salt_domain(ChainId::CITRATE, token))));
        let call = IWrappedSalt::transferWithFeeAuthorizationCall {
            from: message.from,
            to,
            treasury,
            value,
            fee,
            validAfter: message.validAfter,
            validBefore: message.validBefore,
            nonce: message.nonce,
            v,
            r,
            s,
        };
        let done = machine.send(Address::repeat_byte(0x77), token, U256::ZERO, &call).unwrap();
        let payments = read(&followed(token, &[], to), &done, None, false);
        if value > fee {
            assert_paid(&payments, token, (signer.address, to), (token, value - fee), message.nonce);
        } else {
            prop_assert_eq!(payments, []);
        }
    }
}
