//! Channels: identifiers and digests are equal on both sides, and what Rust signs, Solidity pays.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct};
use proptest::prelude::*;
use salt402_protocol::edition::{ChannelEdition, VoucherTerms};
use salt402_protocol::{Amount, Asset, ChainId, Descriptor};

use crate::machine::{Key, Machine, bytes};

mod interface {
    #![allow(clippy::too_many_arguments, reason = "generated: an event has as many as it has parts")]

    alloy_sol_types::sol!(#![sol(all_derives)] "../contracts/interfaces/ISaltChannels.sol");
}

pub(crate) use interface::ISaltChannels;

/// What is signed of a channel, as EIP-712 types.
pub(crate) mod typed {
    alloy_sol_types::sol! {
        #[derive(Debug)]
        struct Voucher { bytes32 channel; address payee; address asset; uint256 ceiling; }
        #[derive(Debug)]
        struct Deposit {
            bytes32 channel; address payee; address asset; uint256 amount; uint256 depositBefore; uint256 deadline;
        }
        #[derive(Debug)]
        struct ClaimTotal { bytes32 channel; uint256 total; }
        #[derive(Debug)]
        struct Claims { ClaimTotal[] totals; }
        #[derive(Debug)]
        struct Close { bytes32 channel; uint256 total; uint256 deposit; uint256 deadline; }
        #[derive(Debug)]
        struct Exit { bytes32 channel; uint256 deposit; uint256 deadline; }
        #[derive(Debug)]
        struct DepositWitness { bytes32 channel; uint256 depositBefore; }
    }
}

/// The domain in which vouchers, deposits, closes and exits are signed.
pub(crate) fn domain(contract: Address) -> Eip712Domain {
    Eip712Domain {
        name: Some("SaltChannels".into()),
        version: Some("1".into()),
        chain_id: Some(U256::from(ChainId::CITRATE.get())),
        verifying_contract: Some(contract),
        salt: None,
    }
}

/// A channel of any content.
fn any_channel() -> impl Strategy<Value = ISaltChannels::Channel> {
    (any::<[[u8; 20]; 5]>(), any::<u32>(), any::<[u8; 32]>()).prop_map(|(accounts, exit_delay, salt)| {
        let [payer, payee, asset, signer, operator] = accounts.map(Address::from);
        ISaltChannels::Channel {
            payer,
            payee,
            asset,
            signer,
            operator,
            exitDelay: exit_delay,
            salt: salt.into(),
        }
    })
}

/// The domain of identifiers, as the contract answers it.
pub(crate) fn domain_of_identifiers(chain: &mut Machine, contract: Address) -> B256 {
    ask(chain, contract, &ISaltChannels::CHANNEL_DOMAIN_SEPARATORCall {})
}

/// A channel's identifier, hashed here.
pub(crate) fn hashed(domain: B256, channel: &ISaltChannels::Channel) -> B256 {
    keccak256([&[0x19, 0x01][..], domain.as_slice(), channel.eip712_hash_struct().as_slice()].concat())
}

/// A channel's identifier, as the protocol computes it in the domain that the contract answers.
pub(crate) fn identifier(chain: &mut Machine, contract: Address, channel: &ISaltChannels::Channel) -> B256 {
    let domain = domain_of_identifiers(chain, contract);
    let some = |account: Address| (!account.is_zero()).then_some(account);
    let descriptor = Descriptor {
        payer: channel.payer,
        payee: channel.payee,
        asset: Asset::from_address(channel.asset),
        signer: some(channel.signer),
        operator: some(channel.operator),
        exit_delay: u64::from(channel.exitDelay),
        salt: channel.salt,
    };
    ChannelEdition::Second { domain }.id(&descriptor, ChainId::CITRATE, contract).unwrap()
}

fn any_word() -> impl Strategy<Value = U256> {
    any::<[u8; 32]>().prop_map(U256::from_be_bytes)
}

fn ask<C: SolCall>(chain: &mut Machine, contract: Address, call: &C) -> C::Return {
    let output = chain.send(Address::ZERO, contract, U256::ZERO, call).unwrap().output;
    C::abi_decode_returns(&output).unwrap()
}

#[test]
fn domain_and_type_hashes_are_equal() {
    let mut chain = Machine::new();
    let contract = chain.deploy("SaltChannels");
    assert_eq!(
        ask(&mut chain, contract, &ISaltChannels::DOMAIN_SEPARATORCall {}),
        domain(contract).separator()
    );
    macro_rules! equal {
        ($call:ident, $kind:ty) => {
            assert_eq!(
                ask(&mut chain, contract, &ISaltChannels::$call {}),
                keccak256(<$kind>::eip712_encode_type().as_bytes())
            );
        };
    }
    equal!(CHANNEL_TYPEHASHCall, ISaltChannels::Channel);
    equal!(VOUCHER_TYPEHASHCall, typed::Voucher);
    equal!(DEPOSIT_TYPEHASHCall, typed::Deposit);
    equal!(CLAIM_TOTAL_TYPEHASHCall, typed::ClaimTotal);
    equal!(CLAIMS_TYPEHASHCall, typed::Claims);
    equal!(CLOSE_TYPEHASHCall, typed::Close);
    equal!(EXIT_TYPEHASHCall, typed::Exit);
    equal!(DEPOSIT_WITNESS_TYPEHASHCall, typed::DepositWitness);
}

#[test]
fn a_deployment_in_another_block_has_other_identifiers_at_the_same_address() {
    let deployed_at = |time: u64| {
        let mut chain = Machine::new();
        chain.time = time;
        let contract = chain.deploy("SaltChannels");
        (contract, ask(&mut chain, contract, &ISaltChannels::CHANNEL_DOMAIN_SEPARATORCall {}))
    };
    let (first, again) = (deployed_at(1_700_000_000), deployed_at(1_700_000_001));
    assert_eq!(first.0, again.0);
    assert_ne!(first.1, again.1);
    assert_ne!(first.1, domain(first.0).separator(), "it cannot be computed from what is known beforehand");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn identifiers_and_digests_are_equal(channel in any_channel(), words in prop::array::uniform3(any_word())) {
        let mut chain = Machine::new();
        let contract = chain.deploy("SaltChannels");
        let domain = domain(contract);
        let id = identifier(&mut chain, contract, &channel);
        let (payee, asset) = (channel.payee, channel.asset);
        prop_assert_eq!(ask(&mut chain, contract, &ISaltChannels::channelIdCall { channel }), id);

        let (channel, [a, b, c]) = (id, words);
        let terms = VoucherTerms { channel, payee, asset: Asset::from_address(asset), ceiling: Amount(a) };
        prop_assert_eq!(
            ask(&mut chain, contract, &ISaltChannels::voucherDigestCall { channel, payee, asset, ceiling: a }),
            typed::Voucher { channel, payee, asset, ceiling: a }.eip712_signing_hash(&domain)
        );
        prop_assert_eq!(
            ask(&mut chain, contract, &ISaltChannels::voucherDigestCall { channel, payee, asset, ceiling: a }),
            terms.digest(ChainId::CITRATE, contract)
        );
        prop_assert_eq!(
            ask(&mut chain, contract, &ISaltChannels::depositDigestCall {
                channel, payee, asset, amount: a, depositBefore: b, deadline: c,
            }),
            typed::Deposit { channel, payee, asset, amount: a, depositBefore: b, deadline: c }
                .eip712_signing_hash(&domain)
        );
        prop_assert_eq!(
            ask(&mut chain, contract, &ISaltChannels::closeDigestCall { channel, total: a, deposit: b, deadline: c }),
            typed::Close { channel, total: a, deposit: b, deadline: c }.eip712_signing_hash(&domain)
        );
        prop_assert_eq!(
            ask(&mut chain, contract, &ISaltChannels::exitDigestCall { channel, deposit: a, deadline: c }),
            typed::Exit { channel, deposit: a, deadline: c }.eip712_signing_hash(&domain)
        );
        prop_assert_eq!(
            ask(&mut chain, contract, &ISaltChannels::authorizationNonceCall { channel, depositBefore: a }),
            keccak256([channel.0, a.to_be_bytes()].concat())
        );
    }

    #[test]
    fn claims_digests_are_equal(
        payee in any::<[u8; 20]>(), asset in any::<[u8; 20]>(),
        rows in prop::collection::vec((any_channel(), any_word(), any_word()), 0..4),
    ) {
        let mut chain = Machine::new();
        let contract = chain.deploy("SaltChannels");
        let domain = domain(contract);
        let (payee, asset) = (Address::from(payee), Address::from(asset));
        let totals = rows.iter().map(|(channel, _, total)| {
            let channel = ISaltChannels::Channel { payee, asset, ..channel.clone() };
            typed::ClaimTotal { channel: identifier(&mut chain, contract, &channel), total: *total }
        });
        let totals = totals.collect::<Vec<_>>();
        let expected = typed::Claims { totals }.eip712_signing_hash(&domain);
        let claims = rows.into_iter().map(|(channel, ceiling, total)| ISaltChannels::Claim {
            payer: channel.payer,
            signer: channel.signer,
            operator: channel.operator,
            exitDelay: channel.exitDelay,
            salt: channel.salt,
            ceiling,
            total,
            voucher: Default::default(),
        });
        let call = ISaltChannels::claimsDigestCall { payee, asset, claims: claims.collect() };
        prop_assert_eq!(ask(&mut chain, contract, &call), expected);
    }

    #[test]
    fn a_voucher_signed_in_rust_is_paid_once(
        seed in any::<[u8; 32]>(), deposit in 1u128.., ceiling in 1u128.., salt in any::<[u8; 32]>(),
    ) {
        let session = Key::new(seed);
        let mut chain = Machine::new();
        let contract = chain.deploy("SaltChannels");
        let (payer, payee) = (Address::repeat_byte(0xaa), Address::repeat_byte(0xbb));
        // What one slot holds.
        let deposit = U256::from(deposit >> 24) + U256::from(1);
        let ceiling = U256::from(ceiling >> 24) + U256::from(1);
        chain.fund(payer, deposit);
        let channel = ISaltChannels::Channel {
            payer, payee, asset: Address::ZERO, signer: session.address, operator: Address::ZERO, exitDelay: 900,
            salt: salt.into(),
        };
        let open = ISaltChannels::openCall { channel: channel.clone(), amount: deposit };
        chain.send(payer, contract, deposit, &open).unwrap();

        let domain = domain(contract);
        let id = identifier(&mut chain, contract, &channel);
        let voucher = typed::Voucher { channel: id, payee, asset: Address::ZERO, ceiling };
        let voucher = bytes(session.sign(voucher.eip712_signing_hash(&domain)));
        let claim = ISaltChannels::claimCall { channel, ceiling, total: ceiling, voucher };
        chain.send(payee, contract, U256::ZERO, &claim).unwrap();
        prop_assert_eq!(chain.balance(payee), ceiling.min(deposit));
        prop_assert!(chain.send(payee, contract, U256::ZERO, &claim).is_err());
        prop_assert_eq!(chain.balance(payee) + chain.balance(contract), deposit);
    }
}
