//! Vouchers: the server's check and the contract accept the same texts, and refuse the same.

use alloy_primitives::{Address, Bytes, U256, hex};
use alloy_sol_types::SolCall as _;
use proptest::prelude::*;
use salt402_protocol::channel::EXIT_DELAYS;
use salt402_protocol::edition::VoucherTerms;
use salt402_protocol::{Amount, Asset, ChainId, Proof};

use crate::channels::{ISaltChannels, identifier};
use crate::machine::{Key, Machine, bytes};

/// What is done to a voucher, or to what is signed.
#[derive(Clone, Debug)]
enum Twist {
    Nothing,
    HighS,
    SmallV,
    V(u8),
    /// EIP-2098: 64 bytes, with the parity in the first bit of s.
    Compact,
    Cut(usize),
    Longer(u8),
    Bit(usize),
    Zero,
    OtherChain(u64),
    OtherContract([u8; 20]),
    OtherChannel([u8; 32]),
    OtherCeiling(u128),
    OtherPayee([u8; 20]),
    OtherAsset([u8; 20]),
    OtherKey([u8; 32]),
}

fn any_twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        3 => Just(Twist::Nothing),
        2 => Just(Twist::HighS),
        2 => Just(Twist::SmallV),
        1 => any::<u8>().prop_map(Twist::V),
        2 => Just(Twist::Compact),
        1 => (0..65_usize).prop_map(Twist::Cut),
        1 => any::<u8>().prop_map(Twist::Longer),
        4 => (0..520_usize).prop_map(Twist::Bit),
        1 => Just(Twist::Zero),
        1 => (1..u64::MAX).prop_map(Twist::OtherChain),
        1 => any::<[u8; 20]>().prop_map(Twist::OtherContract),
        1 => any::<[u8; 32]>().prop_map(Twist::OtherChannel),
        1 => any::<u128>().prop_map(Twist::OtherCeiling),
        1 => any::<[u8; 20]>().prop_map(Twist::OtherPayee),
        1 => any::<[u8; 20]>().prop_map(Twist::OtherAsset),
        1 => any::<[u8; 32]>().prop_map(Twist::OtherKey),
    ]
}

/// What is signed, and the bytes that come of it.
fn signature(
    twist: &Twist,
    key: &Key,
    (chain, contract, terms): (ChainId, Address, VoucherTerms),
) -> Vec<u8> {
    let digest = match twist {
        Twist::OtherChain(id) => terms.digest(ChainId::new(*id).unwrap_or(ChainId::CITRATE), contract),
        Twist::OtherContract(other) => terms.digest(chain, Address::from(*other)),
        Twist::OtherChannel(other) => {
            VoucherTerms { channel: (*other).into(), ..terms }.digest(chain, contract)
        }
        Twist::OtherCeiling(other) => {
            VoucherTerms { ceiling: Amount(U256::from(*other)), ..terms }.digest(chain, contract)
        }
        Twist::OtherPayee(other) => VoucherTerms { payee: (*other).into(), ..terms }.digest(chain, contract),
        Twist::OtherAsset(other) => {
            let asset = Asset::from_address(Address::from(*other));
            VoucherTerms { asset, ..terms }.digest(chain, contract)
        }
        _ => terms.digest(chain, contract),
    };
    let other;
    let signer = match twist {
        Twist::OtherKey(seed) => {
            other = Key::new(*seed);
            &other
        }
        _ => key,
    };
    let mut signed = bytes(signer.sign(digest)).to_vec();
    match twist {
        Twist::HighS => {
            let order =
                U256::from_be_bytes(hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
            let high = order - U256::from_be_slice(&signed[32..64]);
            signed[32..64].copy_from_slice(&high.to_be_bytes::<32>());
            signed[64] = 55 - signed[64];
        }
        Twist::SmallV => signed[64] -= 27,
        Twist::V(v) => signed[64] = *v,
        Twist::Compact => {
            signed[32] |= (signed[64] - 27) << 7;
            signed.truncate(64);
        }
        Twist::Cut(length) => signed.truncate(*length),
        Twist::Longer(byte) => signed.push(*byte),
        Twist::Bit(bit) => signed[bit / 8] ^= 1 << (bit % 8),
        Twist::Zero => signed.fill(0),
        _ => {}
    }
    signed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Also of a channel without a session key, whose vouchers the payer signs: who signed is the same on both sides. That
    /// the server takes none of such a channel is its own rule.
    #[test]
    fn what_the_server_accepts_the_contract_pays_and_nothing_else(
        twist in any_twist(), seed in any::<[u8; 32]>(), ceiling in 1_u128..1 << 100, with_session in any::<bool>(),
        salt in any::<[u8; 32]>(),
    ) {
        let key = Key::new(seed);
        let mut machine = Machine::new();
        let contract = machine.deploy("SaltChannels");
        let payee = Address::repeat_byte(0xbb);
        let payer = if with_session { Address::repeat_byte(0xaa) } else { key.address };
        let channel = ISaltChannels::Channel {
            payer,
            payee,
            asset: Address::ZERO,
            signer: if with_session { key.address } else { Address::ZERO },
            operator: Address::ZERO,
            exitDelay: 900,
            salt: salt.into(),
        };
        let deposit = U256::from(5);
        machine.fund(payer, deposit);
        let open = ISaltChannels::openCall { channel: channel.clone(), amount: deposit };
        machine.send(payer, contract, deposit, &open).unwrap();

        let id = identifier(&mut machine, contract, &channel);
        let ceiling = Amount(U256::from(ceiling));
        let terms = VoucherTerms { channel: id, payee, asset: Asset::Native, ceiling };
        let signed = signature(&twist, &key, (ChainId::CITRATE, contract, terms));
        let text = format!("voucher:{id}:{ceiling}:{}", hex::encode_prefixed(&signed));
        let server = match text.parse() {
            Ok(Proof::Voucher(voucher)) => {
                voucher.signer(payee, Asset::Native, ChainId::CITRATE, contract) == Some(key.address)
            },
            Ok(other) => panic!("{other:?}"),
            Err(_) => false,
        };
        let claim = ISaltChannels::claimCall {
            channel,
            ceiling: ceiling.0,
            total: U256::from(1),
            voucher: Bytes::from(signed),
        };
        let paid = machine.send(payee, contract, U256::ZERO, &claim).is_ok();
        prop_assert_eq!(server, paid);
        prop_assert_eq!(machine.balance(payee), U256::from(u64::from(paid)));
        if matches!(twist, Twist::Nothing) {
            prop_assert!(paid);
        }
        if matches!(twist, Twist::HighS | Twist::SmallV | Twist::Compact | Twist::Cut(_) | Twist::Longer(_) | Twist::Zero) {
            prop_assert!(!paid);
        }
    }
}

#[test]
fn the_exit_delays_that_an_operator_may_ask_for_are_those_that_the_contract_takes() {
    let mut machine = Machine::new();
    let contract = machine.deploy("SaltChannels");
    macro_rules! ask {
        ($call:ident) => {{
            let done = machine.send(Address::ZERO, contract, U256::ZERO, &ISaltChannels::$call {}).unwrap();
            ISaltChannels::$call::abi_decode_returns(&done.output).unwrap()
        }};
    }
    assert_eq!(ask!(MIN_EXIT_DELAYCall), U256::from(*EXIT_DELAYS.start()));
    assert_eq!(ask!(MAX_EXIT_DELAYCall), U256::from(*EXIT_DELAYS.end()));
}
