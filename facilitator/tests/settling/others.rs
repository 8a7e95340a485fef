//! What other programs do with the same signatures, and what nodes and the index show late.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use salt402_chain::Call;
use salt402_facilitator::{Approved, Engine, Method, SettleContracts, Settled, Settler as _, settle_call};
use salt402_protocol::X402Reason;
use salt402_protocol::foreign::{IMulticall3, MULTICALL3};
use salt402_store::SettlementState;

use alloy_sol_types::SolCall as _;

use crate::ledger::{ENDLESS, HUNGRY, ROUTER};
use crate::node::TestNode;
use crate::shop::{KEYS, PAYEE, Shop, approved, outcome, payer, permitted, settle};
use crate::world::{CHAIN, Faults};

/// Another program's account. Its transactions come first in a block.
const STRANGER: Address = Address::repeat_byte(0x01);

fn call_of(approved: &Approved) -> Call {
    settle_call(&SettleContracts::default(), &approved.authorization, approved.charge).unwrap()
}

async fn outcomes(shop: &Shop, engine: &Arc<Engine>, all: &[Approved]) -> (usize, Vec<Settled>) {
    let mut told = Vec::new();
    for one in all {
        told.push(outcome(shop, engine, one).await);
    }
    (told.iter().filter(|settled| matches!(settled, Settled::Done { .. })).count(), told)
}

/// A payer signs two payments with the same terms, pays one, and uses the other one's nonce up in the same transaction.
#[tokio::test]
async fn one_transfer_pays_for_one_of_two_authorizations() {
    for turned in [false, true] {
        let shop = Shop::new(20).await;
        shop.world.give(payer(1), 10);
        let mut elsewhere = approved(payer(1), 2, 5);
        elsewhere.authorization.payee = payer(1);
        let mut calls = [call_of(&approved(payer(1), 1, 5)), call_of(&elsewhere)];
        if turned {
            calls.reverse();
        }
        let calls = calls.map(|call| IMulticall3::Call3 {
            target: call.to,
            allowFailure: false,
            callData: call.data,
        });
        let input = IMulticall3::aggregate3Call { calls: calls.to_vec() }.abi_encode();
        shop.world.state().strange(STRANGER, MULTICALL3, input.into());
        shop.world.block(&shop.store).await;
        assert_eq!(shop.world.held(PAYEE), U256::from(5_u64));
        let engine = shop.engine();
        let all = [approved(payer(1), 1, 5), approved(payer(1), 2, 5)];
        let (paid, told) = outcomes(&shop, &engine, &all).await;
        assert!(paid == 1 && matches!(told[0], Settled::Done { .. }), "{told:?}");
    }
}

/// The same with Permit2, whose events do not say which nonce was used: the calldata has both.
#[tokio::test]
async fn one_transfer_pays_for_one_of_many_permits() {
    for through in [SettleContracts::default().exact_proxy, ROUTER] {
        let shop = Shop::new(21).await;
        shop.world.give(payer(1), 10);
        let all: Vec<_> = (1..5).map(|nonce| permitted(payer(1), nonce, 5)).collect();
        let mut input = call_of(&all[0]).data.to_vec();
        for one in &all {
            input.extend(B256::from(one.authorization.nonce));
            input.extend(payer(1).into_word());
            // A payer can use its nonces up without paying.
            shop.world.state().ledger.permits.insert((payer(1), one.authorization.nonce));
        }
        shop.world.state().ledger.permits.remove(&(payer(1), all[0].authorization.nonce));
        let strange = shop.world.state().strange(STRANGER, through, Bytes::from(input));
        shop.world.block(&shop.store).await;
        assert_eq!(shop.world.held(PAYEE), U256::from(5_u64));
        let engine = shop.engine();
        let (paid, told) = outcomes(&shop, &engine, &all).await;
        assert_eq!(paid, 1, "{told:?}");
        assert_eq!(told[0], Settled::Done { transaction: Some(strange), amount: U256::from(5_u64) });
        let failed = |settled: &Settled| {
            matches!(settled, Settled::Failed { reason: X402Reason::Permit2InvalidNonce, .. })
        };
        assert!(told[1..].iter().all(failed), "{told:?}");
        // Neither a new process nor another question changes that.
        drop(engine);
        let engine = shop.next_engine().await;
        let late = permitted(payer(1), 4, 5);
        assert!(failed(&outcome(&shop, &engine, &late).await));
    }
}

/// Another program's transaction came first. A node behind the index does not know that yet.
#[tokio::test]
async fn a_node_behind_the_index_is_not_believed() {
    for make in [approved, permitted] {
        let shop = Shop::new(22).await;
        shop.world.give(payer(1), 10);
        let one = make(payer(1), 1, 7);
        let call = call_of(&one);
        let strange = shop.world.state().strange(STRANGER, call.to, call.data);
        let engine = shop.engine();
        let first = settle(&engine, &one);
        let row = || async { shop.store.settlement(CHAIN, one.authorization.id()).await.unwrap() };
        while row().await.is_none_or(|row| row.state != SettlementState::Sent) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        while shop.world.state().pool.len() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        shop.world.state().faults = Faults { behind: 1, ..Faults::default() };
        shop.world.block(&shop.store).await;
        let told = first.await.unwrap();
        assert!(matches!(told, Settled::Pending { .. }), "{told:?}");
        shop.world.state().faults = Faults::default();
        let told = outcome(&shop, &engine, &one).await;
        assert_eq!(told, Settled::Done { transaction: Some(strange), amount: U256::from(7_u64) });
    }
}

/// The index stood still while the transaction was mined, and takes up many blocks at a time.
#[tokio::test]
async fn a_mined_transaction_is_not_given_up_while_the_index_catches_up() {
    let shop = Shop::with_finality(23, 5).await;
    shop.world.give(payer(1), 10);
    let engine = shop.engine();
    let one = approved(payer(1), 1, 7);
    shop.world.state().least_fee = 1 << 100;
    let pending = shop.finish(settle(&engine, &one)).await;
    assert!(matches!(pending, Settled::Pending { transaction: Some(_) }), "{pending:?}");
    {
        let mut state = shop.world.state();
        for _ in 0..60 {
            state.make();
        }
        state.least_fee = 0;
        state.make();
    }
    for _ in 0..6 {
        shop.world.catch_up(&shop.store, 10).await;
        tokio::time::sleep(shop.options.stall * 3).await;
    }
    let incidents = shop.store.incidents(true, 10).await.unwrap();
    assert!(incidents.is_empty(), "{incidents:?}");
    assert_eq!(shop.row(&one).await.state, SettlementState::Sent);
    let told = outcome(&shop, &engine, &one).await;
    assert!(matches!(told, Settled::Done { .. }), "{told:?}");
    let row = shop.row(&one).await;
    assert_eq!((row.slots, row.gas_used), (1, 60_000));
}

/// Whoever was told that a payment failed may have paid again.
#[tokio::test]
async fn what_was_told_to_have_failed_is_not_sent_again_after_a_reorganization() {
    let shop = Shop::new(24).await;
    shop.world.give(payer(1), 7);
    let engine = shop.engine();
    let one = approved(payer(1), 1, 7);
    let told = settle(&engine, &one);
    while shop.world.state().pool.is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    shop.world.give(payer(1), 0);
    let told = match shop.finish(told).await {
        Settled::Pending { .. } => outcome(&shop, &engine, &one).await,
        told => told,
    };
    assert!(matches!(told, Settled::Failed { .. }), "{told:?}");
    shop.drop_block_of(&one).await;
    shop.world.give(payer(1), 7);
    shop.until("the nonce is used up", || async {
        shop.store.open_slots(CHAIN).await.unwrap().is_empty()
            && shop.world.state().ledger.nonces.values().any(|next| *next == 1)
    })
    .await;
    assert_eq!(shop.world.held(PAYEE), U256::ZERO);
    assert_eq!(shop.row(&one).await.state, SettlementState::Failed);
}

#[tokio::test]
async fn what_needs_more_gas_than_it_may_use_fails_at_once_and_holds_up_nothing() {
    let shop = Shop::new(25).await;
    shop.world.give(payer(1), 7);
    let engine = shop.engine();
    let mut hungry = approved(payer(2), 1, 7);
    hungry.authorization.token = HUNGRY;
    let told = shop.finish(settle(&engine, &hungry)).await;
    let Settled::Failed { detail, .. } = told else { panic!("{told:?}") };
    assert!(detail.contains("(300000)"), "the node was not told how much it may use: {detail}");
    let told = outcome(&shop, &engine, &approved(payer(1), 1, 7)).await;
    assert!(matches!(told, Settled::Done { .. }), "{told:?}");
}

/// A wallet whose code does not end any more, beside what the node can judge. Where the node can judge nothing, all waits for it.
#[tokio::test]
async fn what_only_itself_cannot_be_judged_fails_and_else_it_waits_for_the_node() {
    let mut shop = Shop::new(28).await;
    shop.options.wait = Duration::ZERO;
    shop.world.give(payer(1), 7);
    shop.world.state().faults = Faults { estimates_nothing: true, ..Faults::default() };
    let engine = shop.engine();
    let one = approved(payer(1), 1, 7);
    let mut endless = approved(payer(2), 1, 7);
    endless.authorization.token = ENDLESS;
    for waits in [&one, &endless] {
        assert_eq!(engine.settle(waits.clone()).await.unwrap(), Settled::Pending { transaction: None });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(shop.row(&endless).await.state, SettlementState::Queued);
    shop.world.state().faults = Faults::default();
    shop.until("it is settled", || async { shop.row(&one).await.state == SettlementState::Settled }).await;
    // No block is needed for it, and its signature must not expire.
    let row = loop {
        let row = shop.row(&endless).await;
        if row.state != SettlementState::Queued {
            break row;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(row.again, "whoever has it may ask again");
    assert!(row.detail.is_some_and(|detail| detail.contains("timeout")));
}

/// Only the account that they name may settle them, and it has no money. The other one has.
#[tokio::test]
async fn what_an_account_without_money_must_send_holds_up_nothing_of_the_others() {
    let mut shop = Shop::new(26).await;
    shop.options.wait = Duration::ZERO;
    shop.world.give(payer(1), 7);
    let poor = salt402_chain::Account::from_key(KEYS[1]).unwrap().address();
    shop.world.state().faults = Faults { poor: Some(poor), ..Faults::default() };
    let engine = shop.engine_over(TestNode::new(&shop.world), 2);
    let tasks: Vec<_> = (0..250)
        .map(|nonce| {
            let mut one = permitted(payer(2), nonce, 1);
            one.authorization.method = Method::Permit2Upto { facilitator: poor, permit: None };
            settle(&engine, &one)
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Settled::Pending { transaction: None });
    }
    let one = approved(payer(1), 1, 7);
    settle(&engine, &one).await.unwrap();
    shop.until("it is settled", || async { shop.row(&one).await.state == SettlementState::Settled }).await;
}

/// The payer used the nonce up without paying, and no block comes any more.
#[tokio::test]
async fn what_was_cancelled_fails_though_no_block_comes() {
    let mut shop = Shop::new(27).await;
    shop.options.wait = Duration::from_secs(60);
    let one = permitted(payer(1), 1, 7);
    shop.world.state().ledger.permits.insert((payer(1), one.authorization.nonce));
    let engine = shop.engine();
    let told = settle(&engine, &one).await.unwrap();
    let failed = matches!(told, Settled::Failed { reason: X402Reason::Permit2InvalidNonce, .. });
    assert!(failed, "{told:?}");
}

/// It had none when it was verified. Its code could spend the gas of all that are in its transaction.
#[tokio::test]
async fn a_payer_that_got_code_while_it_waited_settles_alone() {
    let shop = Shop::new(29).await;
    let engine = shop.engine();
    let all: Vec<_> = (1..8_u8).map(|number| approved(payer(number), u64::from(number), 5)).collect();
    for number in 1..8 {
        shop.world.give(payer(number), 5);
    }
    shop.world.state().coded.insert(payer(3));
    let tasks: Vec<_> = all.iter().map(|one| settle(&engine, one)).collect();
    for task in tasks {
        shop.finish(task).await;
    }
    let (paid, told) = outcomes(&shop, &engine, &all).await;
    assert_eq!(paid, 7, "{told:?}");
    let transaction = |settled: &Settled| match settled {
        Settled::Done { transaction: Some(hash), .. } => *hash,
        other => panic!("{other:?}"),
    };
    let of: Vec<B256> = told.iter().map(transaction).collect();
    assert_eq!(of.iter().filter(|hash| **hash == of[2]).count(), 1, "it is with others");
    let with_others = of.iter().any(|hash| of.iter().filter(|other| *other == hash).count() > 1);
    assert!(with_others, "none went together");
}
