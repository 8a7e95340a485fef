//! Whole transactions: whatever is followed and whatever else a transaction holds, a movement of money is one payment
//! with one name.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::collections::{HashMap, HashSet};

use alloy_primitives::{Bytes, LogData};
use alloy_sol_types::{SolCall, SolEvent};
use proptest::prelude::*;
use salt402_protocol::contracts::{ISaltPay, IX402ExactPermit2Proxy as Exact, IX402Permit2Proxy as Proxy};
use salt402_protocol::foreign::{
    ICitrateFacilitator, ICitratePaywall, IMulticall3, IToken, IX402Settled, MULTICALL3,
};
use salt402_protocol::log::{Decoded, RawLog, decode};
use salt402_protocol::permit2::Call;
use salt402_protocol::source::ProxyScheme;
use salt402_protocol::transaction::{Whole, decode_whole, needs_call};
use salt402_protocol::{Address, B256, ChainId, Payment, Source, SourceKind, U256};

const SALT_PAY: Address = Address::repeat_byte(0x50);
const TOKEN: Address = Address::repeat_byte(0x70);
const FOREIGN_TOKEN: Address = Address::repeat_byte(0x7f);
const OUR_PROXY: Address = Address::repeat_byte(0x60);
const THEIR_PROXY: Address = Address::repeat_byte(0x61);
const FACILITATOR: Address = Address::repeat_byte(0x62);
const PAYWALL: Address = Address::repeat_byte(0x63);
const PAYEE: Address = Address::repeat_byte(0xee);
const OTHER: Address = Address::repeat_byte(0xef);
const TREASURY: Address = Address::repeat_byte(0xed);

type Logs = Vec<(Address, LogData)>;

fn sources() -> Vec<Source> {
    let source = |contract, kind| Source { contract, kind, start_block: 0 };
    let (tokens, payees) = (vec![TOKEN], vec![PAYEE]);
    let proxy = || SourceKind::X402Proxy {
        scheme: ProxyScheme::Exact,
        tokens: tokens.clone(),
        payees: payees.clone(),
    };
    vec![
        source(SALT_PAY, SourceKind::SaltPay),
        source(TOKEN, SourceKind::Eip3009Token { payees: payees.clone() }),
        source(OUR_PROXY, proxy()),
        source(THEIR_PROXY, proxy()),
        source(
            FACILITATOR,
            SourceKind::CitrateFacilitator { tokens: tokens.clone(), payees: payees.clone() },
        ),
        source(PAYWALL, SourceKind::CitratePaywall { tokens: tokens.clone(), payees: payees.clone() }),
    ]
}

fn read_with(sources: &[Source], logs: &Logs, call: Option<Call<'_>>) -> Decoded {
    let logs: Vec<_> = logs.iter().map(|(contract, content)| (*contract, content)).collect();
    decode_whole(ChainId::CITRATE, sources, Whole { transaction: B256::repeat_byte(9), logs: &logs, call })
}

fn read(sources: &[Source], logs: &Logs) -> Decoded {
    read_with(sources, logs, None)
}

fn transfer(token: Address, from: Address, to: Address, value: u64) -> (Address, LogData) {
    (token, IToken::Transfer { from, to, value: U256::from(value) }.encode_log_data())
}

fn used(token: Address, authorizer: Address, nonce: u64) -> (Address, LogData) {
    (token, IToken::AuthorizationUsed { authorizer, nonce: U256::from(nonce).into() }.encode_log_data())
}

fn salt_pay(
    reference: u64,
    payer: Address,
    payee: Address,
    asset: Address,
    amount: u64,
) -> (Address, LogData) {
    let reference = U256::from(reference).into();
    let amount = U256::from(amount);
    let event = ISaltPay::Payment { paymentReference: reference, payer, payee, asset, amount };
    (SALT_PAY, event.encode_log_data())
}

fn proxy_says(
    proxy: Address,
    owner: Address,
    payee: Address,
    token: Address,
    amount: u64,
    nonce: u64,
) -> (Address, LogData) {
    let (amount, nonce) = (U256::from(amount), U256::from(nonce));
    (proxy, Proxy::PaymentSettled { owner, payee, token, amount, nonce }.encode_log_data())
}

fn settled(proxy: Address) -> (Address, LogData) {
    (proxy, IX402Settled::Settled {}.encode_log_data())
}

fn facilitator_says(from: Address, to: Address, value: u64, fee: u64, nonce: u64) -> (Address, LogData) {
    let (value, fee, nonce) = (U256::from(value), U256::from(fee), U256::from(nonce).into());
    (FACILITATOR, ICitrateFacilitator::PaymentSettled { from, to, value, fee, nonce }.encode_log_data())
}

/// What one call in a transaction logs, from an honest token and an honest contract.
#[derive(Clone, Debug)]
enum Piece {
    Authorization {
        payer: u8,
        payee: bool,
        value: u64,
        fee: bool,
        facilitated: bool,
    },
    /// An authorization over nothing, of which Citrate's wSALT logs no transfer.
    Nothing {
        payer: u8,
    },
    SaltPay {
        payer: u8,
        payee: bool,
        value: u64,
        native: bool,
    },
    OurProxy {
        payer: u8,
        payee: bool,
        value: u64,
    },
    /// Events of contracts that nobody follows, made up to look like those that somebody does.
    Fake {
        kind: u8,
        payer: u8,
        value: u64,
    },
}

fn payer(number: u8) -> Address {
    Address::repeat_byte(0xa0 + number)
}

impl Piece {
    /// Its logs; `nonce` is of this piece alone, as the chain has it.
    fn logs(&self, nonce: u64) -> Logs {
        let to = |payee: bool| if payee { PAYEE } else { OTHER };
        match *self {
            Self::Authorization { payer: p, payee, value, fee, facilitated } => {
                let (from, to) = (payer(p), to(payee));
                let mut logs = vec![used(TOKEN, from, nonce), transfer(TOKEN, from, to, value)];
                logs.extend(fee.then(|| transfer(TOKEN, from, TREASURY, 1)));
                logs.extend(facilitated.then(|| facilitator_says(from, to, value, u64::from(fee), nonce)));
                logs
            }
            Self::Nothing { payer: p } => vec![used(TOKEN, payer(p), nonce)],
            Self::SaltPay { payer: p, payee, value, native } => {
                let (from, to) = (payer(p), to(payee));
                let asset = if native { Address::ZERO } else { TOKEN };
                let mut logs = Vec::new();
                logs.extend((!native).then(|| transfer(TOKEN, from, to, value)));
                logs.push(salt_pay(nonce, from, to, asset, value));
                logs
            }
            Self::OurProxy { payer: p, payee, value } => {
                let (from, to) = (payer(p), to(payee));
                vec![
                    transfer(TOKEN, from, to, value),
                    proxy_says(OUR_PROXY, from, to, TOKEN, value, nonce),
                    settled(OUR_PROXY),
                ]
            }
            Self::Fake { kind, payer: p, value } => {
                let from = payer(p);
                match kind {
                    0 => vec![used(FOREIGN_TOKEN, from, nonce), transfer(FOREIGN_TOKEN, from, PAYEE, value)],
                    1 => vec![
                        proxy_says(FOREIGN_TOKEN, from, PAYEE, TOKEN, value, nonce),
                        settled(FOREIGN_TOKEN),
                    ],
                    // A real proxy over a token that nobody asked for.
                    2 => vec![
                        transfer(FOREIGN_TOKEN, from, PAYEE, value),
                        proxy_says(OUR_PROXY, from, PAYEE, FOREIGN_TOKEN, value, nonce),
                        settled(OUR_PROXY),
                    ],
                    // The same, and the token is silent.
                    3 => vec![
                        proxy_says(OUR_PROXY, from, PAYEE, FOREIGN_TOKEN, value, nonce),
                        settled(OUR_PROXY),
                    ],
                    4 => vec![(FOREIGN_TOKEN, salt_pay(nonce, from, PAYEE, TOKEN, value).1)],
                    _ => vec![(OTHER, facilitator_says(from, PAYEE, value, 0, nonce).1)],
                }
            }
        }
    }

    /// How much of the token it moves to the payee as a payment that counts.
    fn pays(&self) -> Option<u64> {
        match *self {
            Self::Authorization { payee: true, value, .. } | Self::OurProxy { payee: true, value, .. } => {
                Some(value)
            }
            Self::SaltPay { value, .. } => Some(value),
            _ => None,
        }
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    // Payers and amounts often meet: that is where two things look alike.
    let (payer, value) = (0u8..2, 1u64..3);
    prop_oneof![
        4 => (payer.clone(), any::<bool>(), value.clone(), any::<bool>(), any::<bool>()).prop_map(
            |(payer, payee, value, fee, facilitated)| Piece::Authorization { payer, payee, value, fee, facilitated }
        ),
        2 => payer.clone().prop_map(|payer| Piece::Nothing { payer }),
        3 => (payer.clone(), any::<bool>(), value.clone(), any::<bool>())
            .prop_map(|(payer, payee, value, native)| Piece::SaltPay { payer, payee, value, native }),
        3 => (payer.clone(), any::<bool>(), value.clone())
            .prop_map(|(payer, payee, value)| Piece::OurProxy { payer, payee, value }),
        3 => (0u8..6, payer, value).prop_map(|(kind, payer, value)| Piece::Fake { kind, payer, value }),
    ]
}

fn logs_of(pieces: &[Piece]) -> Logs {
    pieces.iter().enumerate().flat_map(|(nonce, piece)| piece.logs(nonce as u64)).collect()
}

fn by_name(payments: &[Payment]) -> HashMap<B256, Payment> {
    payments.iter().map(|payment| (payment.id.0, payment.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Every payment that was made is counted, once, with its own reference; nothing else is.
    #[test]
    fn what_was_paid_is_counted_once_and_nothing_is_invented(pieces in prop::collection::vec(piece(), 0..12)) {
        let decoded = read(&sources(), &logs_of(&pieces));
        let expected: Vec<_> =
            pieces.iter().enumerate().filter_map(|(nonce, piece)| Some((nonce as u64, piece.pays()?))).collect();
        let counted: Vec<_> =
            decoded.payments.iter().map(|p| (p.reference.into(), p.amount.0.to::<u64>())).collect();
        let expected: Vec<(U256, u64)> = expected.into_iter().map(|(n, value)| (U256::from(n), value)).collect();
        prop_assert_eq!(counted, expected);
        prop_assert_eq!(by_name(&decoded.payments).len(), decoded.payments.len());
        let movements: HashSet<_> = decoded.settlements.iter().map(|s| s.movement).collect();
        prop_assert_eq!(movements.len(), decoded.settlements.len());
    }

    /// With fewer sources fewer payments are found, and each is the one that is found with all.
    #[test]
    fn sources_that_come_and_go_change_no_name(
        pieces in prop::collection::vec(piece(), 0..12),
        followed in prop::collection::vec(any::<bool>(), 6),
    ) {
        // What moved nothing may be taken for what another source knows better, where that one is not followed: then
        // the movement has the same name.
        let logs = logs_of(&pieces);
        let all = read(&sources(), &logs);
        let some: Vec<Source> =
            sources().into_iter().zip(&followed).filter(|(s, f)| **f || s.contract == SALT_PAY).map(|(s, _)| s).collect();
        let few = read(&some, &logs);
        let known = by_name(&all.payments);
        let movements: HashMap<_, _> = all.settlements.iter().map(|s| (s.movement, s.payment)).collect();
        for settlement in &few.settlements {
            let rival = movements.get(&settlement.movement);
            let nothing = pieces.iter().any(|piece| matches!(piece, Piece::Nothing { .. }));
            prop_assert!(rival == Some(&settlement.payment) || (nothing && !followed[2]), "{:?}", settlement);
        }
        for payment in &few.payments {
            if let Some(same) = known.get(&payment.id.0) {
                prop_assert_eq!(payment, same);
            }
        }
    }

    /// Logs by a question for one contract give the names that the whole receipt gives.
    #[test]
    fn a_payment_has_the_same_name_by_its_logs_and_by_its_receipt(pieces in prop::collection::vec(piece(), 0..12)) {
        let logs = logs_of(&pieces);
        let own = logs.iter().filter(|(contract, _)| *contract == SALT_PAY).map(|(contract, content)| RawLog {
            contract: *contract, transaction: B256::repeat_byte(9), content,
        });
        let by_logs = decode(ChainId::CITRATE, &sources(), own).payments;
        let whole = read(&sources(), &logs);
        let by_receipt: Vec<_> = whole.payments.into_iter().filter(|p| p.contract == SALT_PAY).collect();
        prop_assert_eq!(by_logs, by_receipt);
    }

    /// Logs in any order, as no honest contract would log: no transfer counts twice, and none that was not there.
    #[test]
    fn no_transfer_counts_twice_in_whatever_order_logs_come(
        logs in prop::collection::vec(piece(), 0..8).prop_map(|pieces| logs_of(&pieces)).prop_shuffle(),
    ) {
        let decoded = read(&sources(), &logs);
        let mut moved: HashMap<(Address, U256), usize> = HashMap::new();
        for (_, content) in logs.iter().filter(|(contract, _)| *contract == TOKEN) {
            if let Ok(event) = IToken::Transfer::decode_log_data_validate(content) {
                *moved.entry((event.from, event.value)).or_default() += usize::from(event.to == PAYEE);
            }
        }
        let settled: HashSet<_> = decoded.settlements.iter().map(|s| s.payment).collect();
        for payment in decoded.payments.iter().filter(|p| settled.contains(&p.id)) {
            prop_assert_eq!(payment.payee, PAYEE);
            let left = moved.entry((payment.payer, payment.amount.0)).or_default();
            prop_assert!(*left > 0, "{:?}", payment);
            *left -= 1;
        }
    }
}

fn ask(owner: u8, amount: u64, nonce: u64, token: Address) -> Exact::settleCall {
    Exact::settleCall {
        permit: Proxy::PermitTransferFrom {
            permitted: Proxy::TokenPermissions { token, amount: U256::from(amount) },
            nonce: U256::from(nonce),
            deadline: U256::MAX,
        },
        owner: payer(owner),
        witness: Exact::Witness { to: PAYEE, validAfter: U256::ZERO },
        signature: Bytes::from(vec![7; 65]),
    }
}

fn multicall(calls: &[(Address, Vec<u8>)]) -> Vec<u8> {
    let calls = calls.iter().map(|(target, data)| IMulticall3::Call3 {
        target: *target,
        allowFailure: true,
        callData: data.clone().into(),
    });
    IMulticall3::aggregate3Call { calls: calls.collect() }.abi_encode()
}

/// What x402's own proxy logs for a settlement.
fn silent(owner: u8, amount: u64) -> Logs {
    vec![transfer(TOKEN, payer(owner), PAYEE, amount), settled(THEIR_PROXY)]
}

fn references(decoded: &Decoded) -> Vec<u64> {
    decoded.payments.iter().map(|payment| U256::from_be_bytes(payment.reference.0).to()).collect()
}

#[test]
fn a_silent_settlement_is_read_from_its_calldata_whatever_stands_behind_it() {
    let logs = silent(0, 5);
    let borrowed: Vec<_> = logs.iter().map(|(contract, content)| (*contract, content)).collect();
    assert!(needs_call(&sources(), &borrowed));
    let mut input = ask(0, 5, 77, TOKEN).abi_encode();
    for suffix in [&b""[..], &b"\x80\x21\x80\x21"[..], &[0xff; 40][..]] {
        input.extend_from_slice(suffix);
        let decoded = read_with(&sources(), &logs, Some(Call { to: Some(THEIR_PROXY), input: &input }));
        assert_eq!((references(&decoded), decoded.ambiguities.len()), (vec![77], 0), "{suffix:?}");
        let payment = &decoded.payments[0];
        assert_eq!((payment.payer, payment.payee, payment.contract), (payer(0), PAYEE, THEIR_PROXY));
    }
}

#[test]
fn both_proxies_name_a_payment_alike() {
    let ours = read(&sources(), &Piece::OurProxy { payer: 0, payee: true, value: 5 }.logs(77));
    let input = ask(0, 5, 77, TOKEN).abi_encode();
    let theirs = read_with(&sources(), &silent(0, 5), Some(Call { to: Some(THEIR_PROXY), input: &input }));
    assert_eq!(ours.payments[0].id, theirs.payments[0].id);
}

#[test]
fn several_settlements_in_one_transaction_are_matched_one_to_one() {
    let calls = [
        (THEIR_PROXY, ask(0, 5, 1, TOKEN).abi_encode()),
        (THEIR_PROXY, ask(1, 5, 2, TOKEN).abi_encode()),
        (THEIR_PROXY, ask(0, 5, 3, TOKEN).abi_encode()),
        (TOKEN, IToken::transferFromCall::SELECTOR.to_vec()),
    ];
    let logs: Logs = [silent(0, 5), silent(1, 5), silent(0, 5)].concat();
    let input = multicall(&calls);
    let decoded = read_with(&sources(), &logs, Some(Call { to: Some(MULTICALL3), input: &input }));
    assert_eq!((references(&decoded), decoded.ambiguities.len()), (vec![1, 2, 3], 0));
    let with = |place: usize, more: (Address, Vec<u8>)| {
        let mut calls = calls.to_vec();
        calls.insert(place, more);
        let input = multicall(&calls);
        let decoded = read_with(&sources(), &logs, Some(Call { to: Some(MULTICALL3), input: &input }));
        (references(&decoded), decoded.ambiguities.len())
    };
    for place in 0..calls.len() {
        // A call more than was settled: it failed, and what moved says which one it was.
        let failed = (THEIR_PROXY, ask(1, 6, 4, TOKEN).abi_encode());
        assert_eq!(with(place, failed), (vec![1, 2, 3], 0), "{place}");
        // The same terms as another: the order says which of the two failed, or nobody does.
        let twin = (THEIR_PROXY, ask(1, 5, 4, TOKEN).abi_encode());
        let certain = place == 0 || place == 3;
        assert_eq!(with(place, twin), if certain { (vec![1, 2, 3], 0) } else { (vec![], 3) }, "{place}");
        // A token that nobody trusts may settle without a word, right behind another's transfer.
        let foreign = (THEIR_PROXY, ask(1, 6, 4, FOREIGN_TOKEN).abi_encode());
        assert_eq!(with(place, foreign), (vec![], 3), "{place}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_no_payment_and_is_told() {
    let ambiguous = |logs: &Logs, to: Address, input: &[u8]| {
        let decoded = read_with(&sources(), logs, Some(Call { to: Some(to), input }));
        (references(&decoded), decoded.ambiguities.len())
    };
    // Two of three that look alike were settled, and nobody says which.
    let alike: Vec<_> = (1..4).map(|nonce| (THEIR_PROXY, ask(0, 5, nonce, TOKEN).abi_encode())).collect();
    let two: Logs = [silent(0, 5), silent(0, 5)].concat();
    assert_eq!(ambiguous(&two, MULTICALL3, &multicall(&alike)), (vec![], 2));
    // A contract that nobody knows was called too, and may have settled something itself.
    let beside = [(THEIR_PROXY, ask(0, 5, 1, TOKEN).abi_encode()), (OTHER, vec![1, 2, 3, 4])];
    assert_eq!(ambiguous(&silent(0, 5), MULTICALL3, &multicall(&beside)), (vec![], 1));
    // Neither are followed contracts known to leave proxies alone: they call whoever is paid, and whatever token is named.
    for beside in [SALT_PAY, salt402_protocol::typed_data::PERMIT2, OUR_PROXY] {
        let calls = [(THEIR_PROXY, ask(0, 5, 1, TOKEN).abi_encode()), (beside, vec![1, 2, 3, 4])];
        assert_eq!(ambiguous(&silent(0, 5), MULTICALL3, &multicall(&calls)), (vec![], 1), "{beside}");
    }
    // Nor is a function of the token that may call others.
    let calls = [(THEIR_PROXY, ask(0, 5, 1, TOKEN).abi_encode()), (TOKEN, vec![1, 2, 3, 4])];
    assert_eq!(ambiguous(&silent(0, 5), MULTICALL3, &multicall(&calls)), (vec![], 1));
    // Something else than a multicall stands in between.
    assert_eq!(ambiguous(&silent(0, 5), OTHER, &ask(0, 5, 1, TOKEN).abi_encode()), (vec![], 1));
    // The calldata tells of another amount.
    assert_eq!(ambiguous(&silent(0, 5), THEIR_PROXY, &ask(0, 6, 1, TOKEN).abi_encode()), (vec![], 1));
    // Cut short.
    assert_eq!(ambiguous(&silent(0, 5), THEIR_PROXY, &ask(0, 5, 1, TOKEN).abi_encode()[..200]), (vec![], 1));
    // Our proxy says more than the token moved, as with a token that takes a fee.
    let logs = vec![transfer(TOKEN, payer(0), PAYEE, 4), proxy_says(OUR_PROXY, payer(0), PAYEE, TOKEN, 5, 1)];
    let decoded = read(&sources(), &logs);
    assert_eq!((decoded.payments.len(), decoded.ambiguities.len()), (0, 1));
}

/// A token that logs nothing is settled right behind a payment, to make it look like two.
#[test]
fn a_silent_token_does_not_hide_a_payment() {
    let calls = [
        (THEIR_PROXY, ask(0, 5, 1, TOKEN).abi_encode()),
        (THEIR_PROXY, ask(1, 5, 2, FOREIGN_TOKEN).abi_encode()),
    ];
    let logs: Logs = [silent(0, 5), vec![settled(THEIR_PROXY)]].concat();
    let input = multicall(&calls);
    let decoded = read_with(&sources(), &logs, Some(Call { to: Some(MULTICALL3), input: &input }));
    assert_eq!((references(&decoded), decoded.ambiguities.len()), (vec![1], 0));
    // Behind an authorization, through a contract that nobody knows.
    let logs: Logs = [
        Piece::Authorization { payer: 0, payee: true, value: 5, fee: false, facilitated: false }.logs(3),
        vec![settled(THEIR_PROXY)],
    ]
    .concat();
    let decoded = read_with(&sources(), &logs, Some(Call { to: Some(OTHER), input: &[] }));
    assert_eq!((references(&decoded), decoded.ambiguities.len()), (vec![3], 0));
}

/// Many calls that point at the same bytes are no larger than what was sent: copied, these would be 3 GB.
#[test]
fn calldata_that_repeats_itself_is_read_in_place() {
    let word = |value: usize| U256::from(value).to_be_bytes::<32>();
    let call = |target: Address, data: Vec<u8>| {
        let length = data.len();
        let padded = [data, vec![0; length.next_multiple_of(32) - length]].concat();
        [&target.into_word().0[..], &word(64), &word(length), &padded].concat()
    };
    let settle = call(THEIR_PROXY, ask(0, 5, 1, TOKEN).abi_encode());
    let large = [IToken::transferFromCall::SELECTOR.to_vec(), vec![0; 1_000_000]].concat();
    let repeated = 3_000;
    // Of each call one word: where it begins.
    let begins = (repeated + 1) * 32;
    let mut input = IMulticall3::aggregateCall::SELECTOR.to_vec();
    input.extend([word(32), word(repeated + 1), word(begins)].concat());
    (0..repeated).for_each(|_| input.extend(word(begins + settle.len())));
    input.extend([settle, call(TOKEN, large)].concat());
    let decoded = read_with(&sources(), &silent(0, 5), Some(Call { to: Some(MULTICALL3), input: &input }));
    assert_eq!((references(&decoded), decoded.ambiguities.len()), (vec![1], 0));
}

#[test]
fn a_facilitators_payment_is_the_tokens() {
    let logs = Piece::Authorization { payer: 0, payee: true, value: 5, fee: true, facilitated: true }.logs(8);
    let by = |contract: Address| {
        let some: Vec<_> = sources().into_iter().filter(|source| source.contract == contract).collect();
        read(&some, &logs).payments
    };
    let by_token = by(TOKEN);
    assert_eq!((by_token.len(), by_token[0].amount.0, by_token[0].contract), (1, U256::from(5), TOKEN));
    assert_eq!(by(FACILITATOR), by_token);
    // Without the facilitator's event it is none of the facilitator's.
    let some: Vec<_> = sources().into_iter().filter(|source| source.contract == FACILITATOR).collect();
    assert!(read(&some, &logs[..3].to_vec()).payments.is_empty());
}

#[test]
fn a_paywall_brings_the_authorizations_that_gave_access() {
    let only: Vec<_> = sources().into_iter().filter(|source| source.contract == PAYWALL).collect();
    let access = |payer_of: u8, amount: u64| {
        let event = ICitratePaywall::AccessGranted {
            payer: payer(payer_of),
            resourceId: B256::repeat_byte(1),
            amount: U256::from(amount),
            expiresAt: U256::MAX,
        };
        (PAYWALL, event.encode_log_data())
    };
    let paid = |nonce| vec![used(TOKEN, payer(0), nonce), transfer(TOKEN, payer(0), PAYWALL, 5)];
    let one: Logs = [paid(1), vec![access(0, 5)]].concat();
    let decoded = read(&only, &one);
    assert_eq!((references(&decoded), decoded.payments[0].payee), (vec![1], PAYWALL));
    // Two payments and one access: which was it?
    let two: Logs = [paid(1), paid(2), vec![access(0, 5)]].concat();
    let decoded = read(&only, &two);
    assert_eq!((references(&decoded), decoded.ambiguities.len()), (vec![], 1));
    // Access for another amount, or for nothing at all.
    let decoded = read(&only, &[paid(1), vec![access(0, 6)]].concat());
    assert_eq!((references(&decoded), decoded.ambiguities.len()), (vec![], 1));
}

#[test]
fn a_token_that_repeats_itself_is_not_believed_twice() {
    let once = vec![used(TOKEN, payer(0), 1), transfer(TOKEN, payer(0), PAYEE, 5)];
    let decoded = read(&sources(), &[once.clone(), once].concat());
    assert_eq!(references(&decoded), vec![1]);
}
