//! Signed payments that are settled from here: claimed once, in one slot at a time, with no result lost.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use salt402_protocol::{Address, Amount, B256, PaymentId, U256};
use salt402_store::{
    CalledValid, ClaimResult, Elsewhere, GasBudget, GasBudgets, GasCost, IncidentKind, NewSettlement,
    Recorded, SettlementClaim, SettlementFilter, SettlementOutcome, SettlementRow, SettlementState, Slot,
    SlotMined, SlotState, SlotTransaction, Told, ValidCall,
};

use crate::support::{CHAIN, Fixture, child, genesis, id, transaction};

const SIGNER: Address = Address::repeat_byte(0x51);
const TOKEN: Address = Address::repeat_byte(0x70);
const PAYER: Address = Address::repeat_byte(0xaa);
const BUDGETS: GasBudgets = GasBudgets { all: Some(1_000), payer: Some(400), token: None, caller: Some(300) };

fn new(payment: u8) -> NewSettlement {
    NewSettlement {
        chain: CHAIN,
        payment: PaymentId(B256::repeat_byte(payment)),
        token: TOKEN,
        payer: PAYER,
        payee: Address::repeat_byte(0xbb),
        amount: Amount(U256::from(7_u64)),
        charge: Amount(U256::from(5_u64)),
        method: "eip3009".to_owned(),
        payload: vec![payment],
        sender: None,
        caller: None,
        since_block: 3,
        gas: 100,
    }
}

fn signed(nonce: u64, hash: u8) -> SlotTransaction {
    SlotTransaction {
        slot: Slot { signer: SIGNER, nonce },
        hash: B256::repeat_byte(hash),
        raw: vec![hash],
        carries: true,
        gas_limit: 90,
        max_fee_per_gas: u64::from(hash),
        tip: 1,
        state: SlotState::Open,
        block: None,
    }
}

fn mined(nonce: u64, hash: u8, outcomes: Vec<(u64, SettlementOutcome)>) -> SlotMined {
    SlotMined {
        slot: Slot { signer: SIGNER, nonce },
        hash: B256::repeat_byte(hash),
        block_number: 9,
        block_hash: B256::repeat_byte(0x99),
        outcomes,
    }
}

fn settled(gas: u64) -> SettlementOutcome {
    let cost = GasCost { gas, fee: Amount(U256::from(gas)) };
    SettlementOutcome::Settled { elsewhere: None, cost }
}

fn failed(again: bool) -> SettlementOutcome {
    SettlementOutcome::Failed {
        reason: "reason".to_owned(),
        detail: "detail".to_owned(),
        again,
        cost: GasCost { gas: 20, fee: Amount::ZERO },
    }
}

async fn claim(fixture: &Fixture, payment: u8) -> SettlementRow {
    match fixture.store.claim_settlement(new(payment), GasBudgets::default(), None).await.unwrap() {
        SettlementClaim::New(row) => row,
        other => panic!("{other:?}"),
    }
}

async fn row(fixture: &Fixture, payment: u8) -> SettlementRow {
    fixture.store.settlement(CHAIN, PaymentId(B256::repeat_byte(payment))).await.unwrap().unwrap()
}

async fn recorded(fixture: &Fixture, payment: u8) -> Recorded {
    let payment = PaymentId(B256::repeat_byte(payment));
    fixture.store.recorded(CHAIN, payment, TOKEN, PAYER).await.unwrap()
}

async fn promised(fixture: &Fixture) -> u64 {
    recorded(fixture, 99).await.promised.0.to()
}

#[tokio::test]
async fn a_payment_is_claimed_once_also_by_two_at_a_time() {
    let fixture = Fixture::new().await;
    let (one, two) = tokio::join!(
        fixture.store.claim_settlement(new(1), GasBudgets::default(), None),
        fixture.store.claim_settlement(new(1), GasBudgets::default(), None),
    );
    let new_ones =
        [one.unwrap(), two.unwrap()].iter().filter(|claim| matches!(claim, SettlementClaim::New(_))).count();
    assert_eq!(new_ones, 1);
    let (one, other) = (recorded(&fixture, 1).await, recorded(&fixture, 2).await);
    assert_eq!((one.is_claimed, one.is_on_chain, one.promised.0), (true, false, U256::from(5_u64)));
    assert_eq!(other, Recorded { is_claimed: false, ..one }, "of the same payer");
    let payer = Address::repeat_byte(0xab);
    let stranger =
        fixture.store.recorded(CHAIN, PaymentId(B256::repeat_byte(1)), TOKEN, payer).await.unwrap();
    assert_eq!(stranger, Recorded { is_claimed: true, ..Recorded::default() });
    // Nothing moves for a charge of 0, and the payment is used up all the same.
    let nothing = NewSettlement { charge: Amount::ZERO, ..new(2) };
    let SettlementClaim::New(row) =
        fixture.store.claim_settlement(nothing.clone(), GasBudgets::default(), None).await.unwrap()
    else {
        panic!("it was not claimed")
    };
    assert_eq!((row.state, row.transaction), (SettlementState::Settled, None));
    let again = fixture.store.claim_settlement(nothing, GasBudgets::default(), None).await.unwrap();
    assert_eq!(again, SettlementClaim::Known(row));
    assert_eq!(promised(&fixture).await, 5);
}

#[tokio::test]
async fn a_slot_holds_what_waits_and_nothing_twice() {
    let mut fixture = Fixture::new().await;
    let (one, two) = (claim(&fixture, 1).await.number, claim(&fixture, 2).await.number);
    assert!(fixture.store.assign_settlements(CHAIN, signed(0, 1), vec![(one, 70)]).await.unwrap());
    // The first waits no more, so neither is in the other slot.
    assert!(
        !fixture.store.assign_settlements(CHAIN, signed(1, 2), vec![(two, 70), (one, 70)]).await.unwrap()
    );
    assert_eq!(row(&fixture, 2).await.state, SettlementState::Queued);
    assert!(
        !fixture.store.assign_settlements(CHAIN, signed(0, 3), vec![(two, 70)]).await.unwrap(),
        "a used slot"
    );
    assert!(fixture.store.replace_settlement_transaction(CHAIN, signed(0, 4)).await.unwrap());
    assert!(!fixture.store.replace_settlement_transaction(CHAIN, signed(7, 4)).await.unwrap(), "no slot");
    fixture.reopen().await;
    let open = fixture.store.open_slots(CHAIN).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].orders, [one]);
    let hashes: Vec<_> = open[0].transactions.iter().map(|transaction| transaction.hash[0]).collect();
    assert_eq!(hashes, [1, 4]);
    assert_eq!(fixture.store.last_slot_nonce(CHAIN, SIGNER).await.unwrap(), Some(0));
    assert_eq!(fixture.store.last_slot_nonce(CHAIN, TOKEN).await.unwrap(), None);
    let queued = fixture.store.queued_settlements(CHAIN, 0, 10).await.unwrap();
    assert_eq!(queued.iter().map(|row| row.number).collect::<Vec<_>>(), [two]);
}

#[tokio::test]
async fn what_a_mined_transaction_did_is_written_at_once_and_taken_back_with_its_block() {
    let fixture = Fixture::new().await;
    let (one, two) = (claim(&fixture, 1).await.number, claim(&fixture, 2).await.number);
    fixture.store.assign_settlements(CHAIN, signed(0, 1), vec![(one, 70), (two, 70)]).await.unwrap();
    fixture.store.replace_settlement_transaction(CHAIN, signed(0, 2)).await.unwrap();
    let outcomes = vec![(one, settled(60)), (two, failed(false))];
    assert!(fixture.store.note_slot_mined(CHAIN, mined(0, 2, outcomes)).await.unwrap());
    assert!(fixture.store.open_slots(CHAIN).await.unwrap().is_empty());
    let first = row(&fixture, 1).await;
    assert_eq!((first.state, first.transaction), (SettlementState::Settled, Some(B256::repeat_byte(2))));
    assert_eq!((first.gas_used, first.fee, first.block), (60, Amount(U256::from(60_u64)), Some(9)));
    assert_eq!(row(&fixture, 2).await.reason.as_deref(), Some("reason"));
    assert_eq!(promised(&fixture).await, 0);
    // The index does not have the block.
    let unfinal = fixture.store.mined_slots(CHAIN).await.unwrap();
    assert_eq!((unfinal.len(), unfinal[0].canonical), (1, false));

    assert!(fixture.store.reopen_slot(CHAIN, Slot { signer: SIGNER, nonce: 0 }).await.unwrap());
    assert_eq!(row(&fixture, 1).await.state, SettlementState::Sent);
    assert_eq!(promised(&fixture).await, 5);
    assert_eq!(fixture.store.open_slots(CHAIN).await.unwrap()[0].transactions.len(), 2);
    // This time the other transaction is mined, and it settles both.
    let outcomes = vec![(one, settled(60)), (two, settled(60))];
    assert!(fixture.store.note_slot_mined(CHAIN, mined(0, 1, outcomes)).await.unwrap());
    assert_eq!(row(&fixture, 2).await.state, SettlementState::Settled);
    let slot = Slot { signer: SIGNER, nonce: 0 };
    assert!(fixture.store.note_slots_final(CHAIN, vec![(slot, B256::repeat_byte(1))]).await.unwrap());
    assert!(fixture.store.mined_slots(CHAIN).await.unwrap().is_empty());
    assert!(!fixture.store.reopen_slot(CHAIN, slot).await.unwrap(), "it is final");
    let transactions = fixture.store.settlement_transactions(one).await.unwrap();
    let states: Vec<_> = transactions.iter().map(|transaction| transaction.state).collect();
    assert_eq!(states, [SlotState::Final, SlotState::Dropped]);
}

#[tokio::test]
async fn a_settlement_that_is_in_another_slot_by_now_waits_for_that_one() {
    let fixture = Fixture::new().await;
    let one = claim(&fixture, 1).await.number;
    fixture.store.assign_settlements(CHAIN, signed(0, 1), vec![(one, 70)]).await.unwrap();
    let again = SettlementOutcome::Again { detail: "alone".to_owned(), cost: GasCost::default() };
    fixture.store.note_slot_mined(CHAIN, mined(0, 1, vec![(one, again)])).await.unwrap();
    assert_eq!((row(&fixture, 1).await.state, row(&fixture, 1).await.slots), (SettlementState::Queued, 1));
    fixture.store.assign_settlements(CHAIN, signed(1, 2), vec![(one, 70)]).await.unwrap();
    // The first slot's block left the chain, and its transaction fails in the next one too.
    fixture.store.reopen_slot(CHAIN, Slot { signer: SIGNER, nonce: 0 }).await.unwrap();
    fixture.store.note_slot_mined(CHAIN, mined(0, 1, vec![(one, failed(false))])).await.unwrap();
    assert_eq!(row(&fixture, 1).await.state, SettlementState::Sent, "the second slot is open");
    assert!(!fixture.store.conclude_settlement(CHAIN, one, failed(true)).await.unwrap());
    fixture.store.note_slot_mined(CHAIN, mined(1, 2, vec![(one, settled(50))])).await.unwrap();
    assert_eq!(row(&fixture, 1).await.transaction, Some(B256::repeat_byte(2)));
    fixture.store.note_slot_mined(CHAIN, mined(0, 1, vec![(one, failed(false))])).await.unwrap();
    assert_eq!(row(&fixture, 1).await.state, SettlementState::Settled);
}

#[tokio::test]
async fn a_taken_nonce_gives_its_settlements_back_and_is_an_incident() {
    let fixture = Fixture::new().await;
    let one = claim(&fixture, 1).await.number;
    fixture.store.assign_settlements(CHAIN, signed(0, 1), vec![(one, 70)]).await.unwrap();
    let slot = Slot { signer: SIGNER, nonce: 0 };
    assert!(fixture.store.void_slot(CHAIN, slot).await.unwrap());
    assert!(!fixture.store.void_slot(CHAIN, slot).await.unwrap());
    assert_eq!(row(&fixture, 1).await.state, SettlementState::Queued);
    assert!(!fixture.store.note_slot_mined(CHAIN, mined(0, 1, Vec::new())).await.unwrap());
    let incidents = fixture.store.incidents(false, 10).await.unwrap();
    assert_eq!(
        incidents.iter().map(|incident| incident.kind).collect::<Vec<_>>(),
        [IncidentKind::NonceTaken]
    );
}

#[tokio::test]
async fn what_another_settled_is_watched_and_lost_with_its_block() {
    let fixture = Fixture::new().await;
    let one = claim(&fixture, 1).await.number;
    let elsewhere = Elsewhere {
        transaction: B256::repeat_byte(0x77),
        block_number: 8,
        block_hash: B256::repeat_byte(0x88),
    };
    let found = || SettlementOutcome::Settled { elsewhere: Some(elsewhere), cost: GasCost::default() };
    assert!(fixture.store.conclude_settlement(CHAIN, one, found()).await.unwrap());
    assert_eq!(row(&fixture, 1).await.transaction, Some(elsewhere.transaction));
    let watched = fixture.store.mined_slots(CHAIN).await.unwrap();
    assert_eq!((watched[0].hash, watched[0].slot.signer), (elsewhere.transaction, Address::ZERO));
    assert!(fixture.store.reopen_slot(CHAIN, watched[0].slot).await.unwrap());
    assert_eq!(row(&fixture, 1).await.state, SettlementState::Queued);
    assert!(fixture.store.mined_slots(CHAIN).await.unwrap().is_empty());
    // It cannot be sent any more: an incident, once, until the money has moved after all.
    assert!(fixture.store.conclude_settlement(CHAIN, one, failed(false)).await.unwrap());
    assert!(fixture.store.conclude_settlement(CHAIN, one, failed(false)).await.unwrap());
    let incidents = fixture.store.incidents(true, 10).await.unwrap();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].kind, IncidentKind::SettlementLost);
    assert!(fixture.store.conclude_settlement(CHAIN, one, found()).await.unwrap());
    assert!(fixture.store.incidents(true, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn budgets_hold_what_may_be_used_until_it_is_known() {
    let fixture = Fixture::new().await;
    let named = |payment| NewSettlement { caller: Some("shop".to_owned()), ..new(payment) };
    let mut numbers = Vec::new();
    for payment in 1..=3 {
        match fixture.store.claim_settlement(named(payment), BUDGETS, None).await.unwrap() {
            SettlementClaim::New(row) => numbers.push(row.number),
            other => panic!("{other:?}"),
        }
    }
    let over = |claim: SettlementClaim| match claim {
        SettlementClaim::OverBudget { budget, retry_after_ms } => {
            assert!(retry_after_ms <= 86_400_000);
            Some(budget)
        }
        _ => None,
    };
    let refused = fixture.store.claim_settlement(named(4), BUDGETS, None).await.unwrap();
    assert_eq!(over(refused), Some(GasBudget::Caller));
    assert_eq!(fixture.store.settlement(CHAIN, named(4).payment).await.unwrap(), None);
    // Another caller's.
    assert_eq!(over(fixture.store.claim_settlement(new(5), BUDGETS, None).await.unwrap()), None);
    let payers = fixture.store.claim_settlement(new(6), BUDGETS, None).await.unwrap();
    assert_eq!(over(payers), Some(GasBudget::Payer));
    // One used 60 of its 100, one failed before anything was sent and used 20: 120 are free again.
    fixture.store.assign_settlements(CHAIN, signed(0, 1), vec![(numbers[0], 70)]).await.unwrap();
    fixture.store.note_slot_mined(CHAIN, mined(0, 1, vec![(numbers[0], settled(60))])).await.unwrap();
    fixture.store.conclude_settlement(CHAIN, numbers[1], failed(true)).await.unwrap();
    assert_eq!(over(fixture.store.claim_settlement(named(4), BUDGETS, None).await.unwrap()), None);
    let refused = fixture.store.claim_settlement(named(7), BUDGETS, None).await.unwrap();
    assert_eq!(over(refused), Some(GasBudget::Payer));
    // A block that leaves the chain takes back that its gas is known.
    fixture.store.reopen_slot(CHAIN, Slot { signer: SIGNER, nonce: 0 }).await.unwrap();
    let all = NewSettlement { payer: Address::repeat_byte(3), gas: 520, ..new(8) };
    assert_eq!(
        over(fixture.store.claim_settlement(all.clone(), BUDGETS, None).await.unwrap()),
        Some(GasBudget::Payer)
    );
    let roomy = GasBudgets { payer: None, ..BUDGETS };
    assert_eq!(over(fixture.store.claim_settlement(all, roomy, None).await.unwrap()), None);
}

#[tokio::test]
async fn failed_ones_are_claimed_again_or_tried_again_and_every_attempt_is_kept() {
    let fixture = Fixture::new().await;
    let one = claim(&fixture, 1).await.number;
    fixture.store.conclude_settlement(CHAIN, one, failed(true)).await.unwrap();
    assert!(row(&fixture, 1).await.again);
    assert_eq!(claim(&fixture, 1).await.number, one);
    fixture.store.assign_settlements(CHAIN, signed(0, 1), vec![(one, 70)]).await.unwrap();
    fixture.store.note_slot_mined(CHAIN, mined(0, 1, vec![(one, failed(false))])).await.unwrap();
    let known = fixture.store.claim_settlement(new(1), GasBudgets::default(), None).await.unwrap();
    assert!(matches!(known, SettlementClaim::Known(row) if row.state == SettlementState::Failed));
    assert!(fixture.store.retry_settlement(CHAIN, new(1).payment).await.unwrap());
    assert!(!fixture.store.retry_settlement(CHAIN, new(1).payment).await.unwrap(), "it waits");
    let attempts = fixture.store.settlement_attempts(CHAIN, new(1).payment, 100).await.unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["failed", "sent", "claimed", "failed", "claimed"]);
    let failed_only =
        SettlementFilter { state: Some(SettlementState::Failed), ..SettlementFilter::default() };
    assert!(fixture.store.settlements_where(&failed_only, 10).await.unwrap().is_empty());
    claim(&fixture, 2).await;
    let page = |before| SettlementFilter { chain: Some(CHAIN), before, state: None };
    let newest = fixture.store.settlements_where(&page(None), 1).await.unwrap();
    assert_eq!(newest[0].claimed.payment, new(2).payment);
    let next = fixture.store.settlements_where(&page(Some(newest[0].number)), 1).await.unwrap();
    assert_eq!(next[0].number, one);
    assert!(!fixture.store.prune_settlement_attempts(CHAIN, u64::MAX).await.unwrap());
    assert!(fixture.store.settlement_attempts(CHAIN, new(1).payment, 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_success_is_told_once_and_none_is_told_whose_block_left_the_chain() {
    let fixture = Fixture::new().await;
    let one = claim(&fixture, 1).await.number;
    let tell =
        |key: Option<u8>| fixture.store.tell_settlement(CHAIN, new(1).payment, key.map(B256::repeat_byte));
    assert_eq!(tell(None).await.unwrap(), Told::Unsettled, "it waits");
    let slot = Slot { signer: SIGNER, nonce: 0 };
    fixture.store.assign_settlements(CHAIN, signed(0, 1), vec![(one, 70)]).await.unwrap();
    fixture.store.note_slot_mined(CHAIN, mined(0, 1, vec![(one, settled(60))])).await.unwrap();
    // Its block leaves the chain before anybody was told: whoever asks then is told the next time.
    assert!(fixture.store.reopen_slot(CHAIN, slot).await.unwrap());
    assert_eq!(tell(Some(7)).await.unwrap(), Told::Unsettled);
    fixture.store.note_slot_mined(CHAIN, mined(0, 1, vec![(one, settled(60))])).await.unwrap();
    assert_eq!(tell(Some(7)).await.unwrap(), Told::Now);
    assert_eq!(tell(Some(7)).await.unwrap(), Told::Now, "the same request once more");
    assert_eq!(tell(Some(8)).await.unwrap(), Told::Before);
    assert_eq!(tell(None).await.unwrap(), Told::Before);
    // The same of one that was told.
    assert!(fixture.store.reopen_slot(CHAIN, slot).await.unwrap());
    assert_eq!(tell(Some(7)).await.unwrap(), Told::Unsettled);
    assert_eq!(tell(None).await.unwrap(), Told::Unsettled);
    let unknown = fixture.store.tell_settlement(CHAIN, new(9).payment, None).await.unwrap();
    assert_eq!(unknown, Told::Unsettled);
}

#[tokio::test]
async fn what_was_signed_is_kept_until_a_block_of_its_slot_is_final() {
    let fixture = Fixture::new().await;
    let one = claim(&fixture, 1).await.number;
    let slot = Slot { signer: SIGNER, nonce: 0 };
    fixture.store.assign_settlements(CHAIN, signed(0, 1), vec![(one, 70)]).await.unwrap();
    assert!(fixture.store.replace_settlement_transaction(CHAIN, signed(0, 2)).await.unwrap());
    fixture.store.note_slot_mined(CHAIN, mined(0, 1, vec![(one, settled(60))])).await.unwrap();
    let raw = async || {
        let all = fixture.store.settlement_transactions(one).await.unwrap();
        all.into_iter().map(|transaction| transaction.raw).collect::<Vec<_>>()
    };
    assert_eq!(raw().await, [vec![1], vec![2]], "either may be sent again after a reorganization");
    assert!(fixture.store.note_slots_final(CHAIN, vec![(slot, B256::repeat_byte(1))]).await.unwrap());
    assert_eq!(raw().await, [Vec::<u8>::new(), Vec::new()]);
    assert_eq!(fixture.store.last_slot_nonce(CHAIN, SIGNER).await.unwrap(), Some(0));
    assert!(!fixture.store.reopen_slot(CHAIN, slot).await.unwrap());
}

#[tokio::test]
async fn pages_of_settlements_are_the_newest_first_whatever_is_asked_for() {
    let fixture = Fixture::new().await;
    let other = salt402_protocol::ChainId::new(84_532).unwrap();
    fixture.store.pin_chain(other, B256::repeat_byte(0xee)).await.unwrap();
    let mut numbers = Vec::new();
    for payment in 1..=6 {
        let chain = if payment % 3 == 0 { other } else { CHAIN };
        let one = NewSettlement { chain, ..new(payment) };
        match fixture.store.claim_settlement(one, GasBudgets::default(), None).await.unwrap() {
            SettlementClaim::New(row) => numbers.push(row.number),
            unexpected => panic!("{unexpected:?}"),
        }
    }
    // 1 and 5 failed, 3 and 6 are of the other chain.
    for payment in [0, 4] {
        fixture.store.conclude_settlement(CHAIN, numbers[payment], failed(true)).await.unwrap();
    }
    let listed = async |chain, state, before: Option<u64>, limit| {
        let filter = SettlementFilter { chain, state, before };
        let rows = fixture.store.settlements_where(&filter, limit).await.unwrap();
        rows.iter().map(|row| row.number - numbers[0] + 1).collect::<Vec<_>>()
    };
    let (queued, failed) = (Some(SettlementState::Queued), Some(SettlementState::Failed));
    assert_eq!(listed(None, None, None, 10).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(listed(None, queued, None, 10).await, [6, 4, 3, 2]);
    assert_eq!(listed(None, queued, Some(numbers[3]), 1).await, [3]);
    assert_eq!(listed(Some(CHAIN), None, None, 3).await, [5, 4, 2]);
    assert_eq!(listed(Some(CHAIN), failed, Some(numbers[4]), 10).await, [1]);
    assert_eq!(listed(Some(other), failed, None, 10).await, [0_u64; 0]);
    assert_eq!(listed(None, Some(SettlementState::Settled), None, 10).await, [0_u64; 0]);
}

/// One payment shown to two sellers with one payee: by its transaction to a verifier, by its signature to a server.
#[tokio::test]
async fn what_a_caller_was_told_of_is_granted_to_nobody_and_what_was_granted_is_told_to_nobody() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1, 2])]).await.unwrap();
    let mut tell = Vec::new();
    for number in [1, 2] {
        let one = NewSettlement { payment: id(number), ..new(1) };
        let SettlementClaim::New(row) =
            fixture.store.claim_settlement(one, GasBudgets::default(), None).await.unwrap()
        else {
            panic!("it was not claimed")
        };
        let elsewhere = Elsewhere {
            transaction: transaction(number),
            block_number: 1,
            block_hash: child(genesis(), 1, &[]).block.hash,
        };
        let outcome = SettlementOutcome::Settled { elsewhere: Some(elsewhere), cost: GasCost::default() };
        assert!(fixture.store.conclude_settlement(CHAIN, row.number, outcome).await.unwrap());
        tell.push(id(number));
    }
    let told = async |number: usize| {
        fixture.store.tell_settlement(CHAIN, tell[number], Some(B256::repeat_byte(7))).await.unwrap()
    };
    // The server was told first.
    assert_eq!(told(0).await, Told::Now);
    assert_eq!(fixture.claim(1, 9).await, ClaimResult::Taken);
    assert_eq!(told(0).await, Told::Now, "its own retry");
    // The verifier granted first.
    assert!(matches!(fixture.claim(2, 9).await, ClaimResult::First { .. }));
    assert_eq!(told(1).await, Told::Before);
    assert!(matches!(fixture.claim(2, 9).await, ClaimResult::Again { .. }));
    // With limits, a claim is made in several statements.
    let many = salt402_store::NewUse {
        request: salt402_protocol::RequestDigest(B256::repeat_byte(5)),
        most: 2,
        again_only: false,
    };
    let used = salt402_store::NewClaim { usage: Some(many), ..support::new_claim(1, 9) };
    assert_eq!(fixture.store.claim(used).await.unwrap(), ClaimResult::Taken);
    assert_eq!(fixture.store.counts().await.unwrap().claims, 1);
}

/// Both at once: one of them has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_and_a_telling_at_once_never_both_succeed() {
    let fixture = Fixture::new().await;
    let numbers: Vec<u64> = (1..=40).collect();
    fixture.apply(None, &[child(genesis(), 1, &numbers)]).await.unwrap();
    for number in numbers {
        let one = NewSettlement { payment: id(number), ..new(1) };
        let SettlementClaim::New(row) =
            fixture.store.claim_settlement(one, GasBudgets::default(), None).await.unwrap()
        else {
            panic!("it was not claimed")
        };
        let outcome = SettlementOutcome::Settled { elsewhere: None, cost: GasCost::default() };
        assert!(fixture.store.conclude_settlement(CHAIN, row.number, outcome).await.unwrap());
        let (claimed, told) =
            tokio::join!(fixture.claim(number, 9), fixture.store.tell_settlement(CHAIN, id(number), None));
        let both = (matches!(claimed, ClaimResult::First { .. }), told.unwrap() == Told::Now);
        assert!(matches!(both, (true, false) | (false, true)), "{number}: {both:?}");
    }
}

/// Until then it may have to be sent again.
#[tokio::test]
async fn a_signature_is_kept_until_nothing_of_its_settlement_can_change() {
    let fixture = Fixture::new().await;
    let ever = i64::MAX as u64;
    let signed_in =
        async |state, before| fixture.store.settlements_still_signed(state, before, 10).await.unwrap();
    let left = |mut row: SettlementRow| {
        row.claimed.payload = vec![99];
        row
    };
    let number = claim(&fixture, 1).await.number;
    fixture.store.assign_settlements(CHAIN, signed(0, 1), vec![(number, 70)]).await.unwrap();
    assert!(signed_in(SettlementState::Sent, ever).await.is_empty());
    assert!(fixture.store.note_slot_mined(CHAIN, mined(0, 1, vec![(number, settled(60))])).await.unwrap());
    assert!(signed_in(SettlementState::Settled, ever).await.is_empty(), "its block may leave the chain");
    let slot = Slot { signer: SIGNER, nonce: 0 };
    fixture.store.note_slots_final(CHAIN, vec![(slot, B256::repeat_byte(1))]).await.unwrap();
    assert!(signed_in(SettlementState::Settled, 0).await.is_empty(), "it ended only now");
    let found = signed_in(SettlementState::Settled, ever).await;
    assert_eq!(found, [row(&fixture, 1).await]);
    fixture.store.forget_signatures(found.into_iter().map(left).collect()).await.unwrap();
    assert_eq!(row(&fixture, 1).await.claimed.payload, [99]);
    assert!(signed_in(SettlementState::Settled, ever).await.is_empty());

    // One that is claimed again while it is forgotten has its signature, and what waits is not touched.
    let number = claim(&fixture, 2).await.number;
    fixture.store.conclude_settlement(CHAIN, number, failed(true)).await.unwrap();
    let found = signed_in(SettlementState::Failed, ever).await;
    assert_eq!(found.len(), 1);
    claim(&fixture, 2).await;
    fixture.store.forget_signatures(found.into_iter().map(left).collect()).await.unwrap();
    assert_eq!(row(&fixture, 2).await.claimed.payload, [2]);
    // Without its signature, nothing can be tried again but by whoever has it.
    fixture.store.conclude_settlement(CHAIN, number, failed(true)).await.unwrap();
    let found = signed_in(SettlementState::Failed, ever).await;
    fixture.store.forget_signatures(found.into_iter().map(left).collect()).await.unwrap();
    assert!(!fixture.store.retry_settlement(CHAIN, new(2).payment).await.unwrap());
    assert_eq!(claim(&fixture, 2).await.claimed.payload, [2]);
    assert!(signed_in(SettlementState::Failed, ever).await.is_empty());
    fixture.store.conclude_settlement(CHAIN, number, failed(false)).await.unwrap();
    assert_eq!(signed_in(SettlementState::Failed, ever).await.len(), 1);
}

fn valid(payment: u64, caller: Option<&str>) -> CalledValid {
    let (payment, signed) = (id(payment), B256::repeat_byte(7));
    CalledValid { chain: CHAIN, payment, signed, caller: caller.map(str::to_owned) }
}

async fn call(fixture: &Fixture, valid: CalledValid, is_exclusive: bool) -> bool {
    fixture.store.call_valid(vec![ValidCall { valid, is_exclusive }]).await.unwrap() == [true]
}

#[tokio::test]
async fn what_was_called_valid_is_known_after_a_restart_and_is_one_callers_where_it_must_be() {
    let mut fixture = Fixture::new().await;
    assert!(call(&fixture, valid(1, Some("shop")), true).await);
    fixture.reopen().await;
    let known = async || fixture.store.called_valid(CHAIN, id(1)).await.unwrap();
    assert_eq!(known().await, Some(valid(1, Some("shop"))));
    assert_eq!(fixture.store.called_valid(CHAIN, id(2)).await.unwrap(), None);
    for other in [Some("blog"), None] {
        assert!(!call(&fixture, valid(1, other), true).await);
    }
    assert_eq!(known().await, Some(valid(1, Some("shop"))));
    // Under `exact` nobody says what is charged, and the payer may have signed another one with this nonce.
    let other = CalledValid { signed: B256::repeat_byte(8), ..valid(1, Some("blog")) };
    assert!(call(&fixture, other.clone(), false).await);
    assert_eq!(known().await, Some(other));
    // Of many at once each has its own answer, also where two of them are one payment.
    let many = [(valid(5, Some("shop")), true), (valid(5, Some("blog")), true), (valid(6, None), true)];
    let many = many.map(|(valid, is_exclusive)| ValidCall { valid, is_exclusive });
    assert_eq!(fixture.store.call_valid(many.into()).await.unwrap(), [true, false, true]);
    assert_eq!(fixture.store.called_valid(CHAIN, id(5)).await.unwrap(), Some(valid(5, Some("shop"))));
}

/// Whoever has money can sign without end.
#[tokio::test]
async fn of_what_was_called_valid_the_oldest_is_forgotten() {
    let fixture = Fixture::new().await;
    for payment in 1..=3 {
        assert!(call(&fixture, valid(payment, None), false).await);
    }
    let raw = rusqlite::Connection::open(support::options(&fixture.directory).path).unwrap();
    // Three of 200,000 and more: the oldest that is kept, one below it, and the last before some are deleted.
    for (payment, place) in [(1, 704), (2, 705), (3, 200_703)] {
        let payment = id(payment).0;
        raw.execute("UPDATE called_valid SET id = ?1 WHERE payment_id = ?2", (place, payment.as_slice()))
            .unwrap();
    }
    assert!(call(&fixture, valid(4, None), false).await);
    let mut known = Vec::new();
    for payment in 1..=4 {
        known.push(fixture.store.called_valid(CHAIN, id(payment)).await.unwrap().is_some());
    }
    assert_eq!(known, [false, true, true, true]);
}

/// A failed one, and one that is claimed again since, are mined a second time after their block left the chain.
#[tokio::test]
async fn gas_of_a_transaction_that_is_mined_again_counts_once() {
    let fixture = Fixture::new().await;
    let used = async |cost: u64| {
        let all = NewSettlement { payer: Address::repeat_byte(4), gas: 1_000 - cost, ..new(9) };
        let budgets = GasBudgets { all: Some(999), ..GasBudgets::default() };
        let claim = fixture.store.claim_settlement(all, budgets, None).await.unwrap();
        assert!(matches!(claim, SettlementClaim::OverBudget { .. }), "less than {cost} counts: {claim:?}");
        let all = NewSettlement { payer: Address::repeat_byte(4), gas: 999 - cost, ..new(9) };
        let claim = fixture.store.claim_settlement(all, budgets, None).await.unwrap();
        assert!(matches!(claim, SettlementClaim::New(_)), "more than {cost} counts: {claim:?}");
        let row = row(&fixture, 9).await;
        let nothing = SettlementOutcome::Failed {
            reason: String::new(),
            detail: String::new(),
            again: true,
            cost: GasCost::default(),
        };
        assert!(fixture.store.conclude_settlement(CHAIN, row.number, nothing).await.unwrap());
    };
    let (one, two) = (claim(&fixture, 1).await.number, claim(&fixture, 2).await.number);
    fixture.store.assign_settlements(CHAIN, signed(0, 1), vec![(one, 70), (two, 90)]).await.unwrap();
    assert_eq!(fixture.store.open_slots(CHAIN).await.unwrap()[0].gas_alone, [70, 90]);
    let slot = Slot { signer: SIGNER, nonce: 0 };
    for _ in 0..3 {
        let outcomes = vec![(one, settled(60)), (two, failed(true))];
        fixture.store.note_slot_mined(CHAIN, mined(0, 1, outcomes)).await.unwrap();
        assert_eq!((row(&fixture, 1).await.gas_used, row(&fixture, 2).await.gas_used), (60, 20));
        used(80).await;
        fixture.store.reopen_slot(CHAIN, slot).await.unwrap();
        assert_eq!((row(&fixture, 1).await.gas_used, row(&fixture, 2).await.gas_used), (0, 0));
        // What the first may use counts again.
        used(100).await;
    }
    // What two slots cost is the sum of both.
    let outcomes = vec![(one, settled(60)), (two, failed(true))];
    fixture.store.note_slot_mined(CHAIN, mined(0, 1, outcomes)).await.unwrap();
    claim(&fixture, 2).await;
    fixture.store.assign_settlements(CHAIN, signed(1, 2), vec![(two, 90)]).await.unwrap();
    fixture.store.note_slot_mined(CHAIN, mined(1, 2, vec![(two, settled(50))])).await.unwrap();
    assert_eq!(row(&fixture, 2).await.gas_used, 70);
    used(130).await;
    fixture.store.reopen_slot(CHAIN, Slot { signer: SIGNER, nonce: 1 }).await.unwrap();
    assert_eq!(row(&fixture, 2).await.gas_used, 20, "the first one's stays");
}

/// In two slots, one of the two transactions fails and costs its gas.
#[tokio::test]
async fn what_may_still_be_mined_after_a_reorganization_is_put_into_no_other_slot() {
    let fixture = Fixture::new().await;
    let slot = Slot { signer: SIGNER, nonce: 0 };
    let number = claim(&fixture, 1).await.number;
    fixture.store.assign_settlements(CHAIN, signed(0, 1), vec![(number, 70)]).await.unwrap();
    let fail = async || {
        fixture.store.note_slot_mined(CHAIN, mined(0, 1, vec![(number, failed(true))])).await.unwrap();
        assert_eq!(row(&fixture, 1).await.state, SettlementState::Failed);
    };
    let waits = async || {
        assert_eq!(row(&fixture, 1).await.state, SettlementState::Sent);
        assert!(!fixture.store.assign_settlements(CHAIN, signed(1, 2), vec![(number, 70)]).await.unwrap());
        assert_eq!(promised(&fixture).await, 5);
    };
    // It is claimed again after its block has left, by whoever asks and by the operator, and before that.
    fail().await;
    fixture.store.reopen_slot(CHAIN, slot).await.unwrap();
    assert_eq!(row(&fixture, 1).await.state, SettlementState::Failed, "it was told so");
    claim(&fixture, 1).await;
    waits().await;
    fail().await;
    fixture.store.reopen_slot(CHAIN, slot).await.unwrap();
    assert!(fixture.store.retry_settlement(CHAIN, new(1).payment).await.unwrap());
    waits().await;
    fail().await;
    claim(&fixture, 1).await;
    assert_eq!(row(&fixture, 1).await.state, SettlementState::Queued);
    fixture.store.reopen_slot(CHAIN, slot).await.unwrap();
    waits().await;
    // And it settles there.
    fixture.store.note_slot_mined(CHAIN, mined(0, 1, vec![(number, settled(60))])).await.unwrap();
    assert_eq!(row(&fixture, 1).await.state, SettlementState::Settled);
}
