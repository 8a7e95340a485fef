//! A database of before charging by use, and what lived in it when it was migrated.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use rusqlite::Connection;
use salt402_protocol::{
    Address, Amount, Asset, B256, ChannelChange, Descriptor, PaymentId, RequestDigest, U256, Voucher,
};
use salt402_store::{
    Begun, Captured, ChargeState, GasBudgets, GasCost, NewCapture, NewCharge, NewReservation, NewSettlement,
    NewVoucher, Reserved, SettlementClaim, SettlementOutcome, SettlementState, Unserved, VoucherAccount,
    VoucherResult,
};

use crate::support::{CHAIN, CHANNELS as CONTRACT, Fixture, channel_block};

const CHANNEL: B256 = B256::repeat_byte(0xc1);
const SIGNER: Address = Address::repeat_byte(3);
const PAYEE: Address = Address::repeat_byte(2);
const PAYER: Address = Address::repeat_byte(0xaa);
const TOKEN: Address = Address::repeat_byte(0x70);

/// What the steps since made, undone.
const UNDO: [&str; 15] = [
    "DROP INDEX unserved_parts",
    "ALTER TABLE unserved DROP COLUMN part_of",
    "ALTER TABLE unserved DROP COLUMN place",
    "DROP TABLE charges",
    "ALTER TABLE reservations DROP COLUMN captured",
    "ALTER TABLE voucher_grants DROP COLUMN by_use",
    "ALTER TABLE voucher_grants DROP COLUMN captured",
    "ALTER TABLE vouchers DROP COLUMN reserved",
    "DROP INDEX settlement_orders_signed",
    "ALTER TABLE settlement_orders DROP COLUMN is_signed",
    "DELETE FROM _sqlx_migrations WHERE description = 'unserved parts'",
    "DELETE FROM _sqlx_migrations WHERE description = 'charges'",
    "DELETE FROM _sqlx_migrations WHERE description = 'settlement signatures'",
    "DELETE FROM _sqlx_migrations WHERE description = 'charges written off'",
    "VACUUM",
];

fn amount(value: u64) -> Amount {
    Amount(U256::from(value))
}

fn id(payment: u8) -> PaymentId {
    PaymentId(B256::repeat_byte(payment))
}

fn voucher(ceiling: u64, price: u64, by_use: bool) -> NewVoucher {
    NewVoucher {
        chain: CHAIN,
        contract: CONTRACT,
        voucher: Voucher { channel: CHANNEL, ceiling: amount(ceiling), signature: [7; 65] },
        signer: SIGNER,
        payee: PAYEE,
        asset: Asset::Native,
        price: amount(price),
        by_use,
        at_least: None,
        raises: None,
        request: RequestDigest(B256::from(U256::from(ceiling))),
        claimant: "shop".into(),
        holder: Default::default(),
        confirmations: 1,
        after_loss: 0,
        opened_from: 0,
        past: Vec::new(),
        operators: Vec::new(),
        least_exit_delay: 0,
        late_ms: None,
        now_ms: 5,
        credit: None,
    }
}

async fn granted(fixture: &Fixture, voucher: NewVoucher) -> (bool, bool, VoucherAccount) {
    let VoucherResult::Granted(grant) = fixture.store.accept_voucher(voucher).await.unwrap() else {
        panic!()
    };
    (grant.first, grant.by_use, grant.account)
}

fn kept(payment: u8) -> NewReservation {
    NewReservation {
        payment: id(payment),
        chain: CHAIN,
        claimant: "shop".to_owned(),
        request: B256::repeat_byte(payment),
        payer: PAYER,
        token: TOKEN,
        amount: amount(9),
        payload: Some(vec![payment]),
        since_ms: 0,
        answers_are_kept: true,
        now_ms: 5,
    }
}

fn order(payment: u8) -> NewSettlement {
    NewSettlement {
        chain: CHAIN,
        payment: id(payment),
        token: TOKEN,
        payer: PAYER,
        payee: PAYEE,
        amount: amount(9),
        charge: amount(9),
        method: "eip3009".to_owned(),
        payload: b"{}".to_vec(),
        sender: None,
        caller: None,
        since_block: 3,
        gas: 100,
    }
}

fn unserved(payment: u8) -> Unserved {
    Unserved {
        payment: id(payment),
        part: None,
        chain: CHAIN,
        transaction: B256::repeat_byte(payment),
        payer: PAYER,
        asset: Asset::Native,
        amount: amount(5),
        sold: "an answer".into(),
        runs: 2,
        failures: 2,
        not_before_ms: 7,
        ended: true,
        detail: "it broke".into(),
        since_ms: 1,
        changed_at_ms: 1,
        settled: None,
    }
}

#[tokio::test]
async fn what_lived_in_a_database_of_before_charging_by_use_goes_on() {
    let mut fixture = Fixture::new().await;
    fixture.follow_channels().await;
    let descriptor = Descriptor {
        payer: Address::repeat_byte(1),
        payee: PAYEE,
        asset: Asset::Native,
        signer: Some(SIGNER),
        operator: None,
        exit_delay: 900,
        salt: B256::ZERO,
    };
    let opened = ChannelChange::Opened { descriptor, deposit: amount(100) };
    channel_block(&fixture, None, 1, &[(CHANNEL, opened)]).await;
    assert!(granted(&fixture, voucher(30, 20, false)).await.0);
    for payment in [1, 2] {
        assert!(matches!(fixture.store.reserve(kept(payment)).await.unwrap(), Reserved::Kept(_)));
    }
    assert!(fixture.store.conclude_reservation(id(2), "shop".to_owned(), true).await.unwrap());
    for payment in [3, 4] {
        let claimed =
            fixture.store.claim_settlement(order(payment), GasBudgets::default(), None).await.unwrap();
        let SettlementClaim::New(row) = claimed else { panic!("{claimed:?}") };
        if payment == 4 {
            let outcome = SettlementOutcome::Failed {
                reason: "reason".to_owned(),
                detail: "detail".to_owned(),
                again: false,
                cost: GasCost::default(),
            };
            fixture.store.conclude_settlement(CHAIN, row.number, outcome).await.unwrap();
        }
    }
    fixture.store.put_unserved(unserved(5)).await.unwrap();
    let before = fixture.store.unserved(id(5)).await.unwrap();

    fixture.store.clone().close().await;
    let path = fixture.directory.path().join("salt402.db");
    let former = Connection::open(&path).unwrap();
    for sql in UNDO {
        former.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    former.close().unwrap();
    fixture.reopen().await;

    // What was accepted of a channel is spent, and nothing of it is reserved.
    let account = |ceiling, spent, reserved| VoucherAccount {
        ceiling: amount(ceiling),
        spent: amount(spent),
        reserved: amount(reserved),
    };
    assert_eq!(granted(&fixture, voucher(30, 20, false)).await, (false, false, account(30, 20, 0)));
    assert_eq!(granted(&fixture, voucher(60, 40, true)).await, (true, true, account(60, 20, 40)));
    let payment = voucher(30, 0, false).voucher.payment_id(CHAIN, CONTRACT);
    let capture = |payment, units| NewCapture { payment, claimant: "shop".into(), amount: amount(units) };
    assert_eq!(fixture.store.capture(capture(payment, 1)).await.unwrap(), Captured::Unknown);
    // What was kept is kept, and what was settled counts for its price.
    let Reserved::Kept(first) = fixture.store.reserve(kept(1)).await.unwrap() else { panic!() };
    assert_eq!((first.payload, first.settled), (vec![1], false));
    assert_eq!(fixture.store.settled_reservation(id(2)).await.unwrap().unwrap().amount, amount(9));
    // What waits to be sent waits, with its signature, and what failed can be tried again.
    let row = fixture.store.settlement(CHAIN, id(3)).await.unwrap().unwrap();
    assert_eq!((row.state, row.claimed.payload.as_slice()), (SettlementState::Queued, b"{}".as_slice()));
    let signed = fixture.store.settlements_still_signed(SettlementState::Failed, u64::MAX, 9).await.unwrap();
    assert_eq!(signed.iter().map(|row| row.claimed.payment).collect::<Vec<_>>(), [id(4)]);
    assert!(fixture.store.retry_settlement(CHAIN, id(4)).await.unwrap());
    assert_eq!(fixture.store.recorded(CHAIN, id(3), TOKEN, PAYER).await.unwrap().promised, amount(18));
    assert_eq!(fixture.store.unserved(id(5)).await.unwrap(), before);
    assert!(fixture.store.settle_unserved(id(5), "refunded".into()).await.unwrap());
    // And what is new begins.
    let charge = NewCharge {
        too_late: false,
        payment: id(6),
        chain: CHAIN,
        payer: PAYER,
        request: B256::ZERO,
        ceiling: amount(1),
        question: Some(vec![6]),
        most_open: None,
        most_open_requests: 1,
        ends_at_ms: 9,
        now_ms: 5,
    };
    assert_eq!(fixture.store.begin_charge(charge).await.unwrap(), Begun::Running { first: true });
}

/// What was owed before the operator could write it off can be written off.
#[tokio::test]
async fn what_was_owed_in_a_database_of_before_is_shown_and_can_be_written_off() {
    let mut fixture = Fixture::new().await;
    let charge = NewCharge {
        too_late: false,
        payment: id(6),
        chain: CHAIN,
        payer: PAYER,
        request: B256::ZERO,
        ceiling: amount(1),
        question: Some(vec![6]),
        most_open: None,
        most_open_requests: 1,
        ends_at_ms: 9,
        now_ms: 5,
    };
    fixture.store.begin_charge(charge).await.unwrap();
    fixture.store.put_charged_outcome_unkept(id(6), Some(amount(1))).await.unwrap();
    fixture.store.postpone_charge(id(6), true, Some(8), "no balance".into()).await.unwrap();
    fixture.store.clone().close().await;
    let path = fixture.directory.path().join("salt402.db");
    let former = Connection::open(&path).unwrap();
    for sql in [
        "ALTER TABLE charges DROP COLUMN note",
        "ALTER TABLE charges DROP COLUMN changed_at_ms",
        "DELETE FROM _sqlx_migrations WHERE description = 'charges written off'",
    ] {
        former.execute_batch(sql).unwrap();
    }
    former.close().unwrap();
    fixture.reopen().await;
    let owed = fixture.store.charge(id(6)).await.unwrap().unwrap();
    assert_eq!(
        (owed.state, owed.due_ms, owed.note, owed.changed_at_ms),
        (ChargeState::Unpaid, Some(8), None, 5)
    );
    assert!(fixture.store.write_charge_off(id(6), "lost".into()).await.unwrap());
}
