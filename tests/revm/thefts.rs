//! What a thief may make real contracts log: a settlement that fails beside one that moves nothing, around money of others
//! that moves.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, SolEvent as _, SolStruct as _};
use salt402_protocol::contracts::{ISalt, IX402ExactPermit2Proxy, IX402Permit2Proxy};
use salt402_protocol::foreign::{IMulticall3, MULTICALL3};
use salt402_protocol::log::Decoded;
use salt402_protocol::permit2::Call;
use salt402_protocol::source::ProxyScheme;
use salt402_protocol::transaction::{Whole, decode_whole};
use salt402_protocol::typed_data::{TransferWithAuthorization, exact, permit2_domain, salt_domain};
use salt402_protocol::{ChainId, Source};

use crate::machine::{Done, Key, bytes};
use crate::sources::{assert_paid, followed};
use crate::x402::{Scene, permit_of};

const PAYEE: Address = Address::repeat_byte(0xee);
const THIEFS: B256 = B256::repeat_byte(0x66);
const VICTIMS: B256 = B256::repeat_byte(0x77);

alloy_sol_types::sol! {
    function approve(address spender, uint256 amount) external returns (bool);
    function reenter(address target, bytes data) external;
    function transfer(address to, uint256 amount) external returns (bool);
}

/// A victim who has signed, a proxy as x402's own, and a token of the thief's.
struct Theft {
    scene: Scene,
    thief: Key,
    hostile: Address,
    amount: U256,
}

impl Theft {
    fn new() -> Self {
        let mut scene = Scene::new([7; 32]);
        scene.machine.deploy_multicall3();
        let hostile = scene.machine.deploy("HostileToken");
        Self { scene, thief: Key::new([8; 32]), hostile, amount: U256::from(1000) }
    }

    /// The victim's payment for a quote of its own, which anybody may submit.
    fn victim_pays(&self) -> Vec<u8> {
        let message = TransferWithAuthorization {
            from: self.scene.payer,
            to: PAYEE,
            value: self.amount,
            validAfter: U256::ZERO,
            validBefore: U256::MAX,
            nonce: VICTIMS,
        };
        let domain = salt_domain(ChainId::CITRATE, self.scene.token);
        let signature = self.scene.sign(message.eip712_signing_hash(&domain));
        ISalt::transferWithAuthorization_1Call {
            from: message.from,
            to: message.to,
            value: message.value,
            validAfter: message.validAfter,
            validBefore: message.validBefore,
            nonce: message.nonce,
            signature: bytes(signature),
        }
        .abi_encode()
    }

    /// A settlement for the thief's quote, which nobody signed who is named.
    fn fails(&self, owner: Address) -> Vec<u8> {
        IX402ExactPermit2Proxy::settleCall {
            permit: permit_of(self.scene.token, self.amount, THIEFS.into(), U256::MAX),
            owner,
            witness: IX402ExactPermit2Proxy::Witness { to: PAYEE, validAfter: U256::ZERO },
            signature: Bytes::from(vec![1; 65]),
        }
        .abi_encode()
    }

    /// A settlement of the thief's own token, which succeeds.
    fn succeeds(&self) -> Vec<u8> {
        let (token, amount) = (self.hostile, self.amount);
        let message = exact::PermitWitnessTransferFrom {
            permitted: exact::TokenPermissions { token, amount },
            spender: self.scene.exact,
            nonce: U256::ONE,
            deadline: U256::MAX,
            witness: exact::Witness { to: PAYEE, validAfter: U256::ZERO },
        };
        IX402ExactPermit2Proxy::settleCall {
            permit: permit_of(token, amount, message.nonce, message.deadline),
            owner: self.thief.address,
            witness: IX402ExactPermit2Proxy::Witness { to: PAYEE, validAfter: U256::ZERO },
            signature: bytes(self.thief.sign(message.eip712_signing_hash(&permit2_domain(ChainId::CITRATE)))),
        }
        .abi_encode()
    }

    /// Sends calls through Multicall3, which may fail, and reads what came of it as of x402's own proxy, whose events say
    /// nothing.
    fn send(&mut self, calls: &[(Address, Vec<u8>)], sources: &[Source]) -> Decoded {
        let calls = calls.iter().map(|(target, data)| IMulticall3::Call3 {
            target: *target,
            allowFailure: true,
            callData: data.clone().into(),
        });
        let call = IMulticall3::aggregate3Call { calls: calls.collect() };
        let done = self.scene.submit(MULTICALL3, &call).unwrap();
        self.read(&done, &call.abi_encode(), sources)
    }

    fn read(&self, done: &Done, input: &[u8], sources: &[Source]) -> Decoded {
        let ours = IX402Permit2Proxy::PaymentSettled::SIGNATURE_HASH;
        let is_silent = |log: &&alloy_primitives::Log| {
            log.address != self.scene.exact || log.data.topics().first() != Some(&ours)
        };
        let logs: Vec<_> = done.logs.iter().filter(is_silent).map(|log| (log.address, &log.data)).collect();
        let settled = logs.iter().filter(|(contract, _)| *contract == self.scene.exact).count();
        assert_eq!(settled, 1, "the thief's own settlement succeeds, and no other");
        let call = Some(Call { to: Some(MULTICALL3), input });
        decode_whole(
            ChainId::CITRATE,
            sources,
            Whole { transaction: B256::repeat_byte(9), logs: &logs, call },
        )
    }

    fn sources(&self) -> Vec<Source> {
        followed(self.scene.token, &[(self.scene.exact, ProxyScheme::Exact)], PAYEE)
    }
}

#[test]
fn a_victims_authorization_pays_for_no_settlement_that_failed() {
    let mut theft = Theft::new();
    let (token, proxy) = (theft.scene.token, theft.scene.exact);
    let calls =
        [(proxy, theft.fails(theft.scene.payer)), (token, theft.victim_pays()), (proxy, theft.succeeds())];
    let decoded = theft.send(&calls, &theft.sources());
    // It stays the victim's, and what stands behind it does not make it doubtful.
    let paid = ((theft.scene.payer, PAYEE), (token, theft.amount));
    assert_paid(&decoded.payments, token, paid.0, paid.1, VICTIMS);
    assert_eq!(decoded.ambiguities, []);
}

#[test]
fn money_that_a_hostile_token_moves_pays_for_no_settlement_that_failed() {
    // The victim's authorization, used while the thief's token is settled.
    let mut theft = Theft::new();
    let (token, proxy, thief) = (theft.scene.token, theft.scene.exact, theft.thief.address);
    let call = reenterCall { target: token, data: theft.victim_pays().into() };
    theft.scene.machine.send(thief, theft.hostile, U256::ZERO, &call).unwrap();
    let calls = [(proxy, theft.fails(theft.scene.payer)), (proxy, theft.succeeds())];
    let decoded = theft.send(&calls, &theft.sources());
    let paid = ((theft.scene.payer, PAYEE), (token, theft.amount));
    assert_paid(&decoded.payments, token, paid.0, paid.1, VICTIMS);

    // What the token itself has, which carries no reference: as a contract's that owes the payee.
    let mut theft = Theft::new();
    let (token, proxy, thief) = (theft.scene.token, theft.scene.exact, theft.thief.address);
    let (owed, payer) = (transferCall { to: theft.hostile, amount: theft.amount }, theft.scene.payer);
    theft.scene.machine.send(payer, token, U256::ZERO, &owed).unwrap();
    let out = transferCall { to: PAYEE, amount: theft.amount }.abi_encode();
    let call = reenterCall { target: token, data: out.into() };
    theft.scene.machine.send(thief, theft.hostile, U256::ZERO, &call).unwrap();
    let calls = [(proxy, theft.fails(theft.hostile)), (proxy, theft.succeeds())];
    let decoded = theft.send(&calls, &theft.sources());
    assert_eq!(decoded.payments, []);
    assert_eq!(decoded.ambiguities.len(), 1);
}

#[test]
fn what_our_proxy_tells_is_read_before_what_is_silent_whatever_the_order() {
    for silent_first in [true, false] {
        let mut theft = Theft::new();
        let token = theft.scene.token;
        let telling = theft.scene.machine.deploy_with(
            "X402ExactPermit2Proxy",
            salt402_protocol::typed_data::PERMIT2.into_word().as_slice(),
        );
        let message = exact::PermitWitnessTransferFrom {
            permitted: exact::TokenPermissions { token, amount: theft.amount },
            spender: telling,
            nonce: VICTIMS.into(),
            deadline: U256::MAX,
            witness: exact::Witness { to: PAYEE, validAfter: U256::ZERO },
        };
        let domain = permit2_domain(ChainId::CITRATE);
        let settle = IX402ExactPermit2Proxy::settleCall {
            permit: permit_of(token, theft.amount, message.nonce, message.deadline),
            owner: theft.scene.payer,
            witness: IX402ExactPermit2Proxy::Witness { to: PAYEE, validAfter: U256::ZERO },
            signature: bytes(theft.scene.sign(message.eip712_signing_hash(&domain))),
        };
        // Our proxy is asked while the thief's token is settled by x402's.
        let call = reenterCall { target: telling, data: settle.abi_encode().into() };
        theft.scene.machine.send(theft.thief.address, theft.hostile, U256::ZERO, &call).unwrap();
        let mut proxies = [(theft.scene.exact, ProxyScheme::Exact), (telling, ProxyScheme::Exact)];
        if !silent_first {
            proxies.reverse();
        }
        let sources = followed(token, &proxies, PAYEE);
        let silent = theft.scene.exact;
        let calls = [(silent, theft.fails(theft.scene.payer)), (silent, theft.succeeds())];
        let decoded = theft.send(&calls, &sources);
        let paid = ((theft.scene.payer, PAYEE), (token, theft.amount));
        assert_paid(&decoded.payments, telling, paid.0, paid.1, VICTIMS);
        assert_eq!(decoded.ambiguities, []);
    }
}
