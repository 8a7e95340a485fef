//! What Rust signs for Permit2, EIP-2612 and EIP-3009 settles through the contracts, and nothing else does.

use alloy_primitives::{Address, B256, Bytes, Signature, U256, keccak256};
use alloy_sol_types::{SolCall as _, SolError as _, SolEvent as _, SolStruct as _, SolValue as _};
use proptest::prelude::*;
use salt402_protocol::ChainId;
use salt402_protocol::contracts::{ISalt, IX402ExactPermit2Proxy, IX402Permit2Proxy, IX402UptoPermit2Proxy};
use salt402_protocol::permit2::Call;
use salt402_protocol::source::ProxyScheme;
use salt402_protocol::typed_data::{
    CancelAuthorization, PERMIT2, Permit, ReceiveWithAuthorization, TransferWithAuthorization, exact,
    permit2_domain, salt_domain, upto,
};

use crate::machine::{Done, Key, Machine, TIME, bytes, parts};
use crate::payments::balanceOfCall;
use crate::sources::{assert_paid, followed, read};

const FACILITATOR: Address = Address::repeat_byte(0xfa);
const SUPPLY: U256 = U256::MAX;

alloy_sol_types::sol! {
    function approve(address spender, uint256 amount) external returns (bool);
    function allowance(address owner, address spender) external view returns (uint256);
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s);
    function DOMAIN_SEPARATOR() external view returns (bytes32);
    function WITNESS_TYPEHASH() external view returns (bytes32);
    function WITNESS_TYPE_STRING() external view returns (string);
}

/// A payer with a key and all Salt there is, who lets Permit2 move it; and both proxies.
pub(crate) struct Scene {
    pub(crate) machine: Machine,
    key: Key,
    pub(crate) payer: Address,
    pub(crate) token: Address,
    pub(crate) exact: Address,
    upto: Address,
}

impl Scene {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let key = Key::new(seed);
        let payer = key.address;
        let mut machine = Machine::new();
        machine.deploy_permit2();
        let token = machine.deploy_with("Salt", &(payer, SUPPLY).abi_encode());
        let exact = machine.deploy_with("X402ExactPermit2Proxy", &PERMIT2.abi_encode());
        let upto = machine.deploy_with("X402UptoPermit2Proxy", &PERMIT2.abi_encode());
        let call = approveCall { spender: PERMIT2, amount: U256::MAX };
        machine.send(payer, token, U256::ZERO, &call).unwrap();
        Self { machine, key, payer, token, exact, upto }
    }

    pub(crate) fn sign(&self, digest: B256) -> Signature {
        self.key.sign(digest)
    }

    fn balance(&mut self, account: Address) -> U256 {
        let done = self.ask(self.token, &balanceOfCall { account });
        balanceOfCall::abi_decode_returns(&done.output).unwrap()
    }

    fn ask<C: alloy_sol_types::SolCall>(&mut self, contract: Address, call: &C) -> Done {
        self.machine.send(Address::ZERO, contract, U256::ZERO, call).unwrap()
    }

    pub(crate) fn submit<C: alloy_sol_types::SolCall>(
        &mut self,
        contract: Address,
        call: &C,
    ) -> Result<Done, Bytes> {
        self.machine.send(FACILITATOR, contract, U256::ZERO, call)
    }
}

/// The one event that says what was settled, if it is there.
fn settled(done: &Done, proxy: Address) -> Option<IX402Permit2Proxy::PaymentSettled> {
    let mut events = done
        .logs
        .iter()
        .filter(|log| log.address == proxy)
        .filter_map(|log| IX402Permit2Proxy::PaymentSettled::decode_log_data(&log.data).ok());
    let event = events.next();
    assert!(events.next().is_none(), "one settlement, one event");
    event
}

pub(crate) fn permit_of(
    token: Address,
    amount: U256,
    nonce: U256,
    deadline: U256,
) -> IX402Permit2Proxy::PermitTransferFrom {
    IX402Permit2Proxy::PermitTransferFrom {
        permitted: IX402Permit2Proxy::TokenPermissions { token, amount },
        nonce,
        deadline,
    }
}

#[test]
fn domains_and_types_are_equal() {
    let mut scene = Scene::new([1; 32]);
    let (token, exact_proxy, upto_proxy) = (scene.token, scene.exact, scene.upto);
    let word = |done: Done| B256::from_slice(&done.output);
    assert_eq!(
        word(scene.ask(PERMIT2, &DOMAIN_SEPARATORCall {})),
        permit2_domain(ChainId::CITRATE).separator()
    );
    assert_eq!(
        word(scene.ask(token, &DOMAIN_SEPARATORCall {})),
        salt_domain(ChainId::CITRATE, token).separator()
    );

    let of = |text: &str| keccak256(text.as_bytes());
    for (proxy, witness, message, published) in [
        (
            exact_proxy,
            exact::Witness::eip712_encode_type(),
            exact::PermitWitnessTransferFrom::eip712_encode_type(),
            "0xebc156cd23678a74c94df13d772ef5478420637f0c94bd10d509e1dc98f521c7",
        ),
        (
            upto_proxy,
            upto::Witness::eip712_encode_type(),
            upto::PermitWitnessTransferFrom::eip712_encode_type(),
            "0x51dff6974ad4388c499e7fcfe838d2bd767162553a144098ce20ea661d70c2ee",
        ),
    ] {
        assert_eq!(word(scene.ask(proxy, &WITNESS_TYPEHASHCall {})), of(&witness));
        assert_eq!(of(&message).to_string(), published);
        let end = scene.ask(proxy, &WITNESS_TYPE_STRINGCall {});
        let end = WITNESS_TYPE_STRINGCall::abi_decode_returns(&end.output).unwrap();
        assert!(message.ends_with(&end), "{message} ends with {end}");
    }
    for (solidity, rust) in [
        (
            word(scene.ask(token, &ISalt::TRANSFER_WITH_AUTHORIZATION_TYPEHASHCall {})),
            TransferWithAuthorization::eip712_encode_type(),
        ),
        (
            word(scene.ask(token, &ISalt::RECEIVE_WITH_AUTHORIZATION_TYPEHASHCall {})),
            ReceiveWithAuthorization::eip712_encode_type(),
        ),
        (
            word(scene.ask(token, &ISalt::CANCEL_AUTHORIZATION_TYPEHASHCall {})),
            CancelAuthorization::eip712_encode_type(),
        ),
    ] {
        assert_eq!(solidity, of(&rust), "{rust}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_exact_payment_signed_in_rust_settles_once(
        seed in any::<[u8; 32]>(), to in any::<[u8; 20]>(), amount in 1u128.., nonce in any::<[u8; 32]>(),
        since in 0..=TIME, until in TIME..,
    ) {
        let mut scene = Scene::new(seed);
        let (to, amount, nonce) = (Address::from(to), U256::from(amount), U256::from_be_bytes(nonce));
        prop_assume!(!to.is_zero() && to != scene.payer);
        let message = exact::PermitWitnessTransferFrom {
            permitted: exact::TokenPermissions { token: scene.token, amount },
            spender: scene.exact,
            nonce,
            deadline: U256::from(until),
            witness: exact::Witness { to, validAfter: U256::from(since) },
        };
        let signature = scene.sign(message.eip712_signing_hash(&permit2_domain(ChainId::CITRATE)));
        let call = IX402ExactPermit2Proxy::settleCall {
            permit: permit_of(scene.token, amount, nonce, message.deadline),
            owner: scene.payer,
            witness: IX402ExactPermit2Proxy::Witness { to, validAfter: message.witness.validAfter },
            signature: bytes(signature),
        };
        let proxy = scene.exact;
        let mut stolen = call.clone();
        stolen.witness.to = FACILITATOR;
        prop_assert!(scene.submit(proxy, &stolen).is_err());
        let done = scene.submit(proxy, &call).unwrap();
        let event = settled(&done, proxy).unwrap();
        prop_assert_eq!(
            (event.owner, event.payee, event.token, event.amount, event.nonce),
            (scene.payer, to, scene.token, amount, nonce)
        );
        let sources = followed(scene.token, &[(proxy, ProxyScheme::Exact)], to);
        let paid = ((scene.payer, to), (scene.token, amount), B256::from(nonce));
        let ours = read(&sources, &done, None, false);
        assert_paid(&ours, proxy, paid.0, paid.1, paid.2);
        // As x402's own proxy logs it, with a mark behind its calldata.
        let input = [call.abi_encode(), b"mark".to_vec()].concat();
        let theirs = read(&sources, &done, Some(Call { to: Some(proxy), input: &input }), true);
        prop_assert_eq!(theirs, ours);
        prop_assert_eq!(scene.balance(to), amount);
        prop_assert!(scene.submit(proxy, &call).is_err());
    }

    #[test]
    fn an_upto_payment_signed_in_rust_settles_once_for_its_facilitator(
        seed in any::<[u8; 32]>(), to in any::<[u8; 20]>(), amounts in (1u128.., 1u128..), nonce in any::<[u8; 32]>(),
        since in 0..=TIME, until in TIME..,
    ) {
        let mut scene = Scene::new(seed);
        let (to, nonce) = (Address::from(to), U256::from_be_bytes(nonce));
        prop_assume!(!to.is_zero() && to != scene.payer);
        let (amount, most) = (U256::from(amounts.0.min(amounts.1)), U256::from(amounts.0.max(amounts.1)));
        let message = upto::PermitWitnessTransferFrom {
            permitted: upto::TokenPermissions { token: scene.token, amount: most },
            spender: scene.upto,
            nonce,
            deadline: U256::from(until),
            witness: upto::Witness { to, facilitator: FACILITATOR, validAfter: U256::from(since) },
        };
        let signature = scene.sign(message.eip712_signing_hash(&permit2_domain(ChainId::CITRATE)));
        let call = IX402UptoPermit2Proxy::settleCall {
            permit: permit_of(scene.token, most, nonce, message.deadline),
            amount,
            owner: scene.payer,
            witness: IX402UptoPermit2Proxy::Witness {
                to,
                facilitator: FACILITATOR,
                validAfter: message.witness.validAfter,
            },
            signature: bytes(signature),
        };
        let proxy = scene.upto;
        let reason = scene.machine.send(to, proxy, U256::ZERO, &call).unwrap_err();
        prop_assert!(reason.starts_with(&IX402UptoPermit2Proxy::UnauthorizedFacilitator::SELECTOR));
        let mut greedy = call.clone();
        greedy.amount = most + U256::ONE;
        let reason = scene.submit(proxy, &greedy).unwrap_err();
        prop_assert!(reason.starts_with(&IX402UptoPermit2Proxy::AmountExceedsPermitted::SELECTOR));
        let done = scene.submit(proxy, &call).unwrap();
        let event = settled(&done, proxy).unwrap();
        prop_assert_eq!(
            (event.owner, event.payee, event.token, event.amount, event.nonce),
            (scene.payer, to, scene.token, amount, nonce)
        );
        let sources = followed(scene.token, &[(proxy, ProxyScheme::Upto)], to);
        let ours = read(&sources, &done, None, false);
        assert_paid(&ours, proxy, (scene.payer, to), (scene.token, amount), B256::from(nonce));
        let input = call.abi_encode();
        let theirs = read(&sources, &done, Some(Call { to: Some(proxy), input: &input }), true);
        prop_assert_eq!(theirs, ours);
        prop_assert_eq!(scene.balance(to), amount);
        prop_assert!(scene.submit(proxy, &call).is_err());
    }

    #[test]
    fn a_permit_signed_in_rust_gives_its_allowance(
        seed in any::<[u8; 32]>(), spender in any::<[u8; 20]>(), value in any::<[u8; 32]>(), deadline in TIME..,
    ) {
        let mut scene = Scene::new(seed);
        let (spender, value) = (Address::from(spender), U256::from_be_bytes(value));
        prop_assume!(!spender.is_zero() && spender != PERMIT2);
        let (token, owner, deadline) = (scene.token, scene.payer, U256::from(deadline));
        let message = Permit { owner, spender, value, nonce: U256::ZERO, deadline };
        let (v, r, s) = parts(scene.sign(message.eip712_signing_hash(&salt_domain(ChainId::CITRATE, token))));
        let call = permitCall { owner, spender, value, deadline, v, r, s };
        scene.submit(token, &call).unwrap();
        let given = scene.ask(token, &allowanceCall { owner, spender });
        prop_assert_eq!(allowanceCall::abi_decode_returns(&given.output).unwrap(), value);
        prop_assert!(scene.submit(token, &call).is_err());
    }

    #[test]
    fn an_authorization_signed_in_rust_moves_salt_once_as_bytes(
        seed in any::<[u8; 32]>(), to in any::<[u8; 20]>(), value in any::<[u8; 32]>(), nonce in any::<[u8; 32]>(),
        since in 0..TIME, until in TIME + 1..,
    ) {
        let mut scene = Scene::new(seed);
        let (to, value) = (Address::from(to), U256::from_be_bytes(value));
        prop_assume!(!to.is_zero() && to != scene.payer);
        let message = TransferWithAuthorization {
            from: scene.payer,
            to,
            value,
            validAfter: U256::from(since),
            validBefore: U256::from(until),
            nonce: nonce.into(),
        };
        let token = scene.token;
        let signature = scene.sign(message.eip712_signing_hash(&salt_domain(ChainId::CITRATE, token)));
        // The overloads have the order of the interface: (v, r, s) is 0, bytes is 1.
        let call = ISalt::transferWithAuthorization_1Call {
            from: message.from,
            to,
            value,
            validAfter: message.validAfter,
            validBefore: message.validBefore,
            nonce: message.nonce,
            signature: bytes(signature),
        };
        let mut stolen = call.clone();
        stolen.to = FACILITATOR;
        prop_assert!(scene.submit(token, &stolen).is_err());
        let done = scene.submit(token, &call).unwrap();
        let used = ISalt::AuthorizationUsed::decode_log_data(&done.logs[0].data).unwrap();
        prop_assert_eq!((used.authorizer, used.nonce), (message.from, message.nonce));
        let payments = read(&followed(token, &[], to), &done, None, false);
        if value.is_zero() {
            prop_assert_eq!(payments, []);
        } else {
            assert_paid(&payments, token, (scene.payer, to), (token, value), message.nonce);
        }
        prop_assert_eq!(scene.balance(to), value);
        let reason = scene.submit(token, &call).unwrap_err();
        let text = alloy_sol_types::Revert::abi_decode(&reason).unwrap();
        prop_assert_eq!(text.reason, "Salt: authorization is used or canceled");
    }
}
