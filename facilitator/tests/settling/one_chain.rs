//! What comes of settlements, one cause at a time.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use salt402_facilitator::{
    Engine, SettleChain, SettleContracts, SettleError, SettleFault, Settled, Settler as _, settle_call,
};
use salt402_protocol::X402Reason;
use salt402_protocol::foreign::MULTICALL3;
use salt402_store::{GasBudgets, IncidentKind, IndexChanges, SettlementState};

use crate::ledger::{LIAR, TOKEN};
use crate::node::TestNode;
use crate::shop::{KEYS, PAYEE, Shop, approved, outcome, payer, settle};
use crate::world::{CHAIN, Faults};

fn done(settled: &Settled) -> B256 {
    match settled {
        Settled::Done { transaction: Some(transaction), .. } => *transaction,
        other => panic!("{other:?}"),
    }
}

fn failed(settled: &Settled) -> X402Reason {
    match settled {
        Settled::Failed { reason, .. } => *reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_alone_is_a_call_of_its_token_and_a_copy_gets_its_result() {
    let shop = Shop::new(1).await;
    shop.world.give(payer(1), 10);
    let engine = shop.engine();
    let one = approved(payer(1), 1, 7);
    let transaction = done(&outcome(&shop, &engine, &one).await);
    let mined = shop.world.mined(transaction).unwrap();
    assert_eq!(mined.receipt.to, Some(TOKEN));
    assert_eq!(shop.world.held(PAYEE), U256::from(7_u64));
    assert_eq!(done(&outcome(&shop, &engine, &one).await), transaction);
    let known = engine.known(CHAIN, one.authorization.id()).await.unwrap().unwrap();
    let payee = known.authorization.map(|authorization| authorization.payee);
    assert_eq!((payee, known.charge), (Some(PAYEE), U256::from(7_u64)));
    assert_eq!(shop.row(&one).await.gas_used, 60_000);
    // The same nonce for another payee or another amount is another reading.
    let mut other = one.clone();
    other.authorization.payee = Address::repeat_byte(0xcc);
    let refused = engine.settle(other).await.unwrap_err();
    assert!(matches!(refused, SettleFault::Refused { .. }), "{refused}");
    assert_eq!(
        engine.recorded(&one.authorization, one.authorization.id()).await.unwrap().promised,
        U256::ZERO
    );
}

#[tokio::test]
async fn many_at_once_go_together_and_one_that_would_fail_fails_alone() {
    let shop = Shop::new(2).await;
    let engine = shop.engine();
    let all: Vec<_> = (0..20_u8).map(|number| approved(payer(number), u64::from(number), 5)).collect();
    for number in 0..20 {
        shop.world.give(payer(number), if number == 13 { 1 } else { 5 });
    }
    let tasks: Vec<_> = all.iter().map(|one| settle(&engine, one)).collect();
    let mut transactions = Vec::new();
    for (number, task) in tasks.into_iter().enumerate() {
        let settled = match shop.finish(task).await {
            Settled::Pending { .. } => outcome(&shop, &engine, &all[number]).await,
            settled => settled,
        };
        if number == 13 {
            assert_eq!(failed(&settled), X402Reason::ExactSimulationFailed);
        } else {
            transactions.push(done(&settled));
        }
    }
    transactions.sort_unstable();
    transactions.dedup();
    assert!(transactions.len() < 19, "none went together");
    let together =
        transactions.iter().any(|hash| shop.world.mined(*hash).unwrap().receipt.to == Some(MULTICALL3));
    assert!(together);
    assert_eq!(shop.world.held(PAYEE), U256::from(95_u64));
    {
        let state = shop.world.state();
        assert_eq!(
            *state.ledger.nonces.values().next().unwrap(),
            transactions.len() as u64,
            "a gap, or a waste"
        );
        assert!(state.pool.is_empty());
    }
    // What failed before anything was sent can be asked for again.
    shop.world.give(payer(13), 5);
    done(&outcome(&shop, &engine, &all[13]).await);
}

#[tokio::test]
async fn what_fails_beside_others_is_tried_alone_and_spends_nothing_of_theirs() {
    let mut shop = Shop::new(3).await;
    shop.options.batch_delay = Duration::from_millis(50);
    let engine = shop.engine();
    // Each of the two passes alone, and there is money for one only.
    for number in 1..5 {
        shop.world.give(payer(number), 5);
    }
    let all = [
        approved(payer(1), 1, 5),
        approved(payer(1), 2, 4),
        approved(payer(2), 3, 5),
        approved(payer(3), 4, 5),
    ];
    let first = settle(&engine, &approved(payer(4), 9, 5));
    let tasks: Vec<_> = all.iter().map(|one| settle(&engine, one)).collect();
    shop.finish(first).await;
    for task in tasks {
        shop.finish(task).await;
    }
    let mut outcomes = Vec::new();
    for one in &all {
        outcomes.push(outcome(&shop, &engine, one).await);
    }
    let paid = outcomes.iter().filter(|settled| matches!(settled, Settled::Done { .. })).count();
    assert_eq!(paid, 3, "{outcomes:?}");
    assert!(matches!(outcomes[2], Settled::Done { .. }) && matches!(outcomes[3], Settled::Done { .. }));
}

#[tokio::test]
async fn what_somebody_else_settled_is_a_success_with_that_transaction() {
    let shop = Shop::new(4).await;
    shop.world.give(payer(1), 10);
    let one = approved(payer(1), 1, 7);
    let call = settle_call(&SettleContracts::default(), &one.authorization, one.charge).unwrap();
    let strange = shop.world.state().strange(Address::repeat_byte(0x99), call.to, call.data);
    shop.world.block(&shop.store).await;
    let engine = shop.engine();
    assert_eq!(done(&outcome(&shop, &engine, &one).await), strange);
    assert!(shop.world.state().ledger.nonces.len() == 1, "something was sent");
    // Its block leaves the chain, without it: now it is sent from here.
    shop.drop_block_of(&one).await;
    let settled = outcome(&shop, &engine, &one).await;
    assert_ne!(done(&settled), strange);
    assert_eq!(shop.world.held(PAYEE), U256::from(7_u64));
}

#[tokio::test]
async fn a_token_that_moves_nothing_fails_although_nothing_reverted() {
    let shop = Shop::new(5).await;
    shop.world.give(payer(1), 10);
    let engine = shop.engine();
    let mut one = approved(payer(1), 1, 7);
    one.authorization.token = LIAR;
    assert_eq!(failed(&outcome(&shop, &engine, &one).await), X402Reason::TransferEventMismatch);
}

#[tokio::test]
async fn nothing_is_sent_for_a_charge_of_nothing_and_the_payment_is_used_up() {
    let shop = Shop::new(6).await;
    let engine = shop.engine();
    let mut one = approved(payer(1), 1, 7);
    one.charge = U256::ZERO;
    let settled = engine.settle(one.clone()).await.unwrap();
    assert_eq!(settled, Settled::Done { transaction: None, amount: U256::ZERO });
    one.charge = U256::from(7_u64);
    assert!(matches!(engine.settle(one.clone()).await, Err(SettleFault::Refused { .. })));
    one.charge = U256::from(8_u64);
    let above = engine.settle(one).await.unwrap_err();
    assert!(matches!(above, SettleFault::Refused { reason: X402Reason::UptoSettlementExceedsAmount, .. }));
}

#[tokio::test]
async fn a_transaction_that_a_node_forgot_is_sent_again_and_a_cheap_one_replaced() {
    let shop = Shop::new(7).await;
    shop.world.give(payer(1), 10);
    let engine = shop.engine();
    shop.world.state().faults = Faults { dropped: 100, ..Faults::default() };
    let one = approved(payer(1), 1, 7);
    let pending = shop.finish(settle(&engine, &one)).await;
    assert!(matches!(pending, Settled::Pending { transaction: Some(_) }), "{pending:?}");
    shop.world.state().faults = Faults::default();
    done(&outcome(&shop, &engine, &one).await);
    // Gas gets dearer than what the next one offers.
    let two = approved(payer(1), 2, 3);
    shop.world.state().least_fee = 60;
    let pending = shop.finish(settle(&engine, &two)).await;
    let Settled::Pending { transaction: Some(first) } = pending else { panic!("{pending:?}") };
    let last = done(&outcome(&shop, &engine, &two).await);
    assert_ne!(first, last);
    let number = shop.row(&two).await.number;
    let slots: Vec<_> = shop.store.settlement_transactions(number).await.unwrap();
    assert!(slots.len() > 1 && slots.iter().all(|transaction| transaction.slot == slots[0].slot));
    assert_eq!(shop.world.held(PAYEE), U256::from(10_u64));
}

#[tokio::test]
async fn a_replaced_transaction_that_can_settle_nothing_any_more_only_uses_its_nonce_up() {
    let shop = Shop::new(8).await;
    shop.world.give(payer(1), 10);
    shop.world.give(payer(2), 10);
    let engine = shop.engine();
    shop.world.state().least_fee = 60;
    let mut one = approved(payer(1), 1, 7);
    let time = shop.world.state().head().timestamp;
    one.authorization.valid_before = U256::from(time + 12);
    assert_eq!(failed(&outcome(&shop, &engine, &one).await), X402Reason::ValidBefore);
    shop.world.state().least_fee = 0;
    done(&outcome(&shop, &engine, &approved(payer(2), 2, 3)).await);
    assert_eq!(shop.world.held(PAYEE), U256::from(3_u64));
}

#[tokio::test]
async fn an_account_whose_nonce_another_used_stops_and_the_others_go_on() {
    let shop = Shop::new(9).await;
    shop.world.give(payer(1), 10);
    let node = TestNode::new(&shop.world);
    let engine = shop.engine_over(node, 2);
    // Nothing of ours is mined meanwhile: the stranger pays more.
    shop.world.state().least_fee = 1 << 100;
    let one = approved(payer(1), 1, 7);
    let pending = shop.finish(settle(&engine, &one)).await;
    assert!(matches!(pending, Settled::Pending { transaction: Some(_) }), "{pending:?}");
    let signer = shop.store.open_slots(CHAIN).await.unwrap()[0].slot.signer;
    shop.world.state().strange(signer, Address::repeat_byte(1), Bytes::new());
    shop.world.block(&shop.store).await;
    shop.world.state().least_fee = 0;
    let transaction = done(&outcome(&shop, &engine, &one).await);
    assert!(shop.world.mined(transaction).is_some());
    assert_eq!(shop.world.held(PAYEE), U256::from(7_u64));
    let incidents = shop.store.incidents(false, 10).await.unwrap();
    assert!(incidents.iter().any(|incident| incident.kind == IncidentKind::NonceTaken), "{incidents:?}");
}

#[tokio::test]
async fn a_settlement_that_a_reorganization_drops_is_sent_again_while_it_is_valid() {
    let shop = Shop::new(10).await;
    shop.world.give(payer(1), 10);
    let engine = shop.engine();
    let one = approved(payer(1), 1, 7);
    done(&outcome(&shop, &engine, &one).await);
    shop.drop_block_of(&one).await;
    assert_eq!(shop.world.held(PAYEE), U256::ZERO);
    shop.until("it is settled again", || async {
        shop.world.held(PAYEE) == U256::from(7_u64) && shop.row(&one).await.state == SettlementState::Settled
    })
    .await;
    assert!(shop.store.incidents(true, 10).await.unwrap().is_empty());
    shop.until("it is final", || async { shop.store.mined_slots(CHAIN).await.unwrap().is_empty() }).await;
}

#[tokio::test]
async fn a_settlement_that_is_dropped_and_has_expired_is_an_incident() {
    let shop = Shop::new(11).await;
    shop.world.give(payer(1), 10);
    let engine = shop.engine();
    let mut one = approved(payer(1), 1, 7);
    let time = shop.world.state().head().timestamp;
    one.authorization.valid_before = U256::from(time + 100);
    done(&outcome(&shop, &engine, &one).await);
    shop.world.state().seconds_a_block = 200;
    shop.drop_block_of(&one).await;
    let failed_at_last = || async { shop.row(&one).await.state == SettlementState::Failed };
    shop.until("its loss is noticed", failed_at_last).await;
    assert_eq!(failed(&outcome(&shop, &engine, &one).await), X402Reason::ValidBefore);
    let incidents = shop.store.incidents(true, 10).await.unwrap();
    assert_eq!(incidents[0].kind, IncidentKind::SettlementLost);
    assert!(
        engine.known(CHAIN, one.authorization.id()).await.unwrap().is_some(),
        "it would be claimed again"
    );
}

#[tokio::test]
async fn an_account_has_one_process_whatever_its_database() {
    let shop = Shop::new(12).await;
    let _engine = shop.engine();
    let other = Shop::new(13).await;
    let node = TestNode::new(&other.world);
    let account = Arc::new(salt402_chain::Account::from_key(KEYS[0]).unwrap());
    let chain =
        SettleChain { chain: CHAIN, node, contracts: SettleContracts::default(), accounts: vec![account] };
    let changes = IndexChanges::of_this_process(&other.store);
    let options = shop.options.clone();
    let refused = Engine::start(&other.store, &changes, vec![chain], options).unwrap_err();
    assert!(matches!(refused, SettleError::Lock(_)), "{refused}");
}

#[tokio::test]
async fn what_waits_or_was_sent_survives_the_process() {
    let shop = Shop::new(14).await;
    shop.world.give(payer(1), 10);
    shop.world.give(payer(2), 10);
    let (one, two) = (approved(payer(1), 1, 7), approved(payer(2), 2, 5));
    shop.world.state().faults = Faults { errors: 100, ..Faults::default() };
    let engine = shop.engine();
    let waiting = shop.finish(settle(&engine, &one)).await;
    assert_eq!(waiting, Settled::Pending { transaction: None });
    drop(engine);
    tokio::task::yield_now().await;
    shop.world.state().faults = Faults { dropped: 100, ..Faults::default() };
    let engine = shop.next_engine().await;
    let sent = shop.finish(settle(&engine, &two)).await;
    assert!(matches!(sent, Settled::Pending { transaction: Some(_) }), "{sent:?}");
    drop(engine);
    shop.world.state().faults = Faults::default();
    let engine = shop.next_engine().await;
    for one in [&one, &two] {
        done(&outcome(&shop, &engine, one).await);
    }
    assert_eq!(shop.world.held(PAYEE), U256::from(12_u64));
    let state = shop.world.state();
    assert!(state.slots.values().all(|slots| slots.len() == 1), "{:?}", state.slots);
}

#[tokio::test]
async fn what_there_is_no_room_or_gas_for_is_refused_before_it_is_claimed() {
    let mut shop = Shop::new(15).await;
    shop.options.budgets = GasBudgets { payer: Some(400_000), ..GasBudgets::default() };
    shop.options.queue = 3;
    shop.world.give(payer(1), 100);
    let engine = shop.engine();
    done(&outcome(&shop, &engine, &approved(payer(1), 1, 7)).await);
    // 60,000 are used; a second one may use 300,000, and a third one is too much while the second is on its way.
    shop.world.state().faults = Faults { errors: 100, ..Faults::default() };
    let second = settle(&engine, &approved(payer(1), 2, 7));
    shop.finish(second).await;
    let third = approved(payer(1), 3, 7);
    let refused = engine.settle(third.clone()).await.unwrap_err();
    let SettleFault::Busy { retry_after_ms, .. } = refused else { panic!("{refused}") };
    assert!(retry_after_ms <= 86_400_000);
    assert_eq!(shop.store.settlement(CHAIN, third.authorization.id()).await.unwrap(), None);
    // Each is refused, and whoever asks without end does not fill the disk.
    for _ in 0..100 {
        assert!(engine.settle(third.clone()).await.is_err());
    }
    let written = shop.store.settlement_attempts(CHAIN, third.authorization.id(), 1000).await.unwrap();
    assert!(written.len() >= 30 && written.len() < 60, "{} rows", written.len());
    let more: Vec<_> = (2..4).map(|number| settle(&engine, &approved(payer(number), 9, 7))).collect();
    for task in more {
        shop.finish(task).await;
    }
    let full = engine.settle(approved(payer(9), 9, 7)).await.unwrap_err();
    assert!(matches!(full, SettleFault::Busy { .. }), "{full}");
}
