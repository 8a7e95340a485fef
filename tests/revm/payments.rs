//! A payment made from Rust is read by Rust.

use alloy_primitives::{Address, B256, Log, U256};
use alloy_sol_types::SolError as _;
use proptest::prelude::*;
use salt402_protocol::contracts::{ISaltPay, IWrappedSalt};
use salt402_protocol::details::deadline_and_payee;
use salt402_protocol::log::{RawLog, decode};
use salt402_protocol::transaction::{Whole, decode_whole};
use salt402_protocol::{Amount, Asset, ChainId, Payment, Source, SourceKind};

use crate::machine::Machine;

fn payer() -> Address {
    Address::repeat_byte(0xaa)
}

fn read(contract: Address, logs: &[Log]) -> Vec<Payment> {
    let transaction = B256::repeat_byte(7);
    let raw = logs.iter().map(|log| RawLog { contract: log.address, transaction, content: &log.data });
    let source = Source { contract, kind: SourceKind::SaltPay, start_block: 0 };
    decode(ChainId::CITRATE, &[source], raw).payments
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_native_payment_says_what_moved(reference in any::<[u8; 32]>(), payee in any::<[u8; 20]>(), amount in 1u128..) {
        let (reference, payee) = (B256::from(reference), Address::from(payee));
        let mut machine = Machine::new();
        let contract = machine.deploy("SaltPay");
        prop_assume!(!reference.is_zero() && !payee.is_zero() && payee != contract && payee != payer());
        // Precompiles and the like take money in ways of their own.
        prop_assume!(payee.0[..18] != [0; 18]);
        let amount = U256::from(amount);
        machine.fund(payer(), amount);
        let call = ISaltPay::payCall { paymentReference: reference, payee };
        let done = machine.send(payer(), contract, amount, &call).unwrap();
        let payments = read(contract, &done.logs);
        prop_assert_eq!(payments.len(), 1);
        let payment = &payments[0];
        prop_assert_eq!(
            (payment.reference, payment.payer, payment.payee, payment.asset, payment.amount),
            (reference, payer(), payee, Asset::Native, Amount(amount))
        );
    }

    #[test]
    fn a_token_payment_says_what_moved(reference in any::<[u8; 32]>(), amount in 1u128..) {
        let reference = B256::from(reference);
        prop_assume!(!reference.is_zero());
        let (amount, payee) = (U256::from(amount), Address::repeat_byte(0xbb));
        let mut machine = Machine::new();
        let (contract, token) = (machine.deploy("SaltPay"), machine.deploy("WrappedSalt"));
        machine.fund(payer(), amount);
        machine.send(payer(), token, amount, &IWrappedSalt::depositCall {}).unwrap();
        machine.send(payer(), token, U256::ZERO, &erc20::approveCall { spender: contract, amount }).unwrap();
        let call = ISaltPay::payTokenCall { paymentReference: reference, payee, asset: token, amount };
        let done = machine.send(payer(), contract, U256::ZERO, &call).unwrap();
        // The token's own Transfer is no payment.
        prop_assert_eq!(done.logs.len(), 2);
        let payments = read(contract, &done.logs);
        prop_assert_eq!(payments.len(), 1);
        prop_assert_eq!(
            (payments[0].reference, payments[0].payee, payments[0].asset, payments[0].amount),
            (reference, payee, Asset::Token(token), Amount(amount))
        );
        let again = machine.send(payer(), contract, U256::ZERO, &call).unwrap_err();
        prop_assert!(again.starts_with(&ISaltPay::TransferRefused::SELECTOR));
    }
}

/// In the last second of its deadline a payment is one, and a second later it moves nothing, whatever it is in.
#[test]
fn a_payment_with_a_deadline_is_read_as_any_other_and_reverts_after_it() {
    let mut machine = Machine::new();
    let (contract, token) = (machine.deploy("SaltPay"), machine.deploy("WrappedSalt"));
    let (payee, amount) = (Address::repeat_byte(0xbb), U256::from(5));
    machine.fund(payer(), U256::from(1000));
    machine.send(payer(), token, U256::from(100), &IWrappedSalt::depositCall {}).unwrap();
    let approve = erc20::approveCall { spender: contract, amount: U256::from(100) };
    machine.send(payer(), token, U256::ZERO, &approve).unwrap();
    let reference = B256::repeat_byte(1);
    let word = deadline_and_payee(machine.time, payee);
    let native = ISaltPay::payOnTimeCall { paymentReference: reference, deadlineAndPayee: word };
    let in_token = ISaltPay::payTokenOnTimeCall {
        asset: token,
        amount,
        deadlineAndPayee: word,
        paymentReference: reference,
    };
    let order = |asset| ISaltPay::Order { paymentReference: reference, payee, asset, amount };
    let many = ISaltPay::payManyOnTimeCall {
        orders: vec![order(Address::ZERO), order(token)],
        deadline: U256::from(machine.time),
    };
    let mut logs = machine.send(payer(), contract, amount, &native).unwrap().logs;
    logs.extend(machine.send(payer(), contract, U256::ZERO, &in_token).unwrap().logs);
    logs.extend(machine.send(payer(), contract, amount, &many).unwrap().logs);
    let paid: Vec<_> = read(contract, &logs)
        .into_iter()
        .map(|payment| (payment.reference, payment.payer, payment.payee, payment.asset, payment.amount))
        .collect();
    let of = |asset| (reference, payer(), payee, asset, Amount(amount));
    let token = Asset::Token(token);
    assert_eq!(paid, [of(Asset::Native), of(token), of(Asset::Native), of(token)]);
    let (deadline, before) = (machine.time, machine.balance(payee));
    machine.time += 1;
    for reason in [
        machine.send(payer(), contract, amount, &native).unwrap_err(),
        machine.send(payer(), contract, U256::ZERO, &in_token).unwrap_err(),
        machine.send(payer(), contract, amount, &many).unwrap_err(),
    ] {
        let passed = ISaltPay::DeadlinePassed::abi_decode(&reason).unwrap();
        assert_eq!((passed.deadline, passed.time), (U256::from(deadline), U256::from(deadline + 1)));
    }
    assert_eq!(machine.balance(payee), before);
}

#[test]
fn what_is_given_back_is_read_as_a_refund_and_as_no_payment() {
    let mut machine = Machine::new();
    let (contract, token) = (machine.deploy("SaltPay"), machine.deploy("WrappedSalt"));
    let (payee, reference) = (Address::repeat_byte(0xbb), B256::repeat_byte(1));
    machine.fund(payee, U256::from(100));
    machine.send(payee, token, U256::from(50), &IWrappedSalt::depositCall {}).unwrap();
    let approve = erc20::approveCall { spender: contract, amount: U256::from(50) };
    machine.send(payee, token, U256::ZERO, &approve).unwrap();
    let native = ISaltPay::refundCall { paymentReference: reference, payer: payer() };
    let mut logs = machine.send(payee, contract, U256::from(7), &native).unwrap().logs;
    let amount = U256::from(9);
    let in_token =
        ISaltPay::refundTokenCall { paymentReference: reference, payer: payer(), asset: token, amount };
    logs.extend(machine.send(payee, contract, U256::ZERO, &in_token).unwrap().logs);
    assert_eq!(machine.balance(payer()), U256::from(7));
    let transaction = B256::repeat_byte(7);
    let raw = logs.iter().map(|log| RawLog { contract: log.address, transaction, content: &log.data });
    let source = Source { contract, kind: SourceKind::SaltPay, start_block: 0 };
    let direct = decode(ChainId::CITRATE, std::slice::from_ref(&source), raw);
    let all: Vec<_> = logs.iter().map(|log| (log.address, &log.data)).collect();
    let whole = Whole { transaction, logs: &all, call: None };
    let whole = decode_whole(ChainId::CITRATE, std::slice::from_ref(&source), whole);
    assert_eq!(direct.refunds, whole.refunds);
    assert_eq!((direct.payments.len(), whole.payments.len(), whole.skipped), (0, 0, 0));
    let told: Vec<_> = direct
        .refunds
        .iter()
        .map(|refund| (refund.reference, refund.payee, refund.payer, refund.asset, refund.amount))
        .collect();
    let of = |asset, amount: u64| (reference, payee, payer(), asset, Amount(U256::from(amount)));
    assert_eq!(told, [of(Asset::Native, 7), of(Asset::Token(token), 9)]);
}

#[test]
fn many_payments_of_one_call_are_each_read_also_when_they_are_equal() {
    let mut machine = Machine::new();
    let contract = machine.deploy("SaltPay");
    machine.fund(payer(), U256::from(10));
    let order = |payee: u8, amount: u64| ISaltPay::Order {
        paymentReference: B256::repeat_byte(1),
        payee: Address::repeat_byte(payee),
        asset: Address::ZERO,
        amount: U256::from(amount),
    };
    let call = ISaltPay::payManyCall { orders: vec![order(0xbb, 2), order(0xcc, 3), order(0xbb, 2)] };
    let reason = machine.send(payer(), contract, U256::from(6), &call).unwrap_err();
    assert!(reason.starts_with(&ISaltPay::ValueTooSmall::SELECTOR));
    let reason = machine.send(payer(), contract, U256::from(8), &call).unwrap_err();
    assert!(reason.starts_with(&ISaltPay::ValueTooLarge::SELECTOR));
    let done = machine.send(payer(), contract, U256::from(7), &call).unwrap();
    let payments = read(contract, &done.logs);
    let amounts: Vec<_> = payments.iter().map(|payment| (payment.payee, payment.amount)).collect();
    let paid = |payee: u8, amount: u64| (Address::repeat_byte(payee), Amount(U256::from(amount)));
    assert_eq!(amounts, [paid(0xbb, 2), paid(0xcc, 3), paid(0xbb, 2)]);
    assert_ne!(payments[0].id, payments[2].id, "two payments, though their events are equal");
}

#[test]
fn what_is_no_payment_reverts_with_a_reason_that_rust_reads() {
    let mut machine = Machine::new();
    let contract = machine.deploy("SaltPay");
    machine.fund(payer(), U256::from(10));
    let payee = Address::repeat_byte(0xbb);
    let pay =
        |reference: u8, payee| ISaltPay::payCall { paymentReference: B256::repeat_byte(reference), payee };
    let reason = machine.send(payer(), contract, U256::ZERO, &pay(1, payee)).unwrap_err();
    assert!(reason.starts_with(&ISaltPay::ZeroAmount::SELECTOR));
    let reason = machine.send(payer(), contract, U256::from(1), &pay(0, payee)).unwrap_err();
    assert!(reason.starts_with(&ISaltPay::ZeroReference::SELECTOR));
    let reason = machine.send(payer(), contract, U256::from(1), &pay(1, Address::ZERO)).unwrap_err();
    assert_eq!(ISaltPay::InvalidPayee::abi_decode(&reason).unwrap().payee, Address::ZERO);
    let reason = machine.send(payer(), contract, U256::from(1), &pay(1, contract)).unwrap_err();
    assert_eq!(ISaltPay::InvalidPayee::abi_decode(&reason).unwrap().payee, contract);
}

mod erc20 {
    alloy_sol_types::sol! {
        function approve(address spender, uint256 amount) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
    }
}

pub(crate) use erc20::balanceOfCall;
