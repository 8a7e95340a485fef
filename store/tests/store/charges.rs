//! Charging by use: never more than was authorized, once, with the answer, and nothing that comes later raises it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use std::time::Duration;

use salt402_protocol::{Address, Amount, B256, PaymentId, U256};
use salt402_store::{
    Begun, Captured, ChargeState, NewCapture, NewCharge, NewPiece, NewReservation, OpenCharges, Options,
    Outcome, Reserved, Store, StoreError, StoredOutcome, backup, restore,
};

use crate::support::{CHAIN, Fixture};

const PAYER: Address = Address::repeat_byte(0xaa);

fn id(payment: u8) -> PaymentId {
    PaymentId(B256::repeat_byte(payment))
}

fn amount(value: u64) -> Amount {
    Amount(U256::from(value))
}

/// A ceiling of 100 that a payer signed, of which it may have 250 open.
fn new(payment: u8) -> NewCharge {
    NewCharge {
        payment: id(payment),
        chain: CHAIN,
        payer: PAYER,
        request: B256::repeat_byte(payment),
        ceiling: amount(100),
        question: Some(vec![payment]),
        most_open: Some(amount(250)),
        most_open_requests: 64,
        ends_at_ms: 1_000,
        too_late: false,
        now_ms: 5,
    }
}

fn answer() -> Outcome {
    Outcome { status: 200, headers: Vec::new(), body: b"answer".to_vec() }
}

async fn begin(fixture: &Fixture, new: NewCharge) -> Begun {
    fixture.store.begin_charge(new).await.unwrap()
}

/// How far a charge is, and over how much.
async fn stands(fixture: &Fixture, payment: u8) -> (ChargeState, Option<Amount>) {
    let charge = fixture.store.charge(id(payment)).await.unwrap().unwrap();
    (charge.state, charge.amount)
}

#[tokio::test]
async fn what_is_charged_is_written_once_with_the_answer_and_never_above_the_ceiling() {
    let mut fixture = Fixture::new().await;
    assert_eq!(begin(&fixture, new(1)).await, Begun::Running { first: true });
    assert_eq!(begin(&fixture, new(1)).await, Begun::Running { first: false });
    fixture.reopen().await;
    assert_eq!(stands(&fixture, 1).await, (ChargeState::Running, None));

    // Both or none of it.
    let above = fixture.store.put_charged_outcome(id(1), answer(), Some(amount(101))).await;
    assert!(matches!(above, Err(StoreError::AboveCeiling { .. })), "{above:?}");
    assert_eq!(fixture.store.outcome(id(1)).await.unwrap(), None);
    assert_eq!(stands(&fixture, 1).await, (ChargeState::Running, None));
    let nothing = fixture.store.put_charged_outcome(id(9), answer(), Some(amount(1))).await;
    assert!(matches!(nothing, Err(StoreError::AboveCeiling { .. })), "nothing was authorized: {nothing:?}");

    fixture.store.put_charged_outcome(id(1), answer(), Some(amount(30))).await.unwrap();
    fixture.reopen().await;
    assert_eq!(stands(&fixture, 1).await, (ChargeState::Charged, Some(amount(30))));
    assert!(matches!(fixture.store.outcome(id(1)).await.unwrap(), Some(StoredOutcome::Kept { .. })));
    // What comes later changes nothing.
    fixture.store.put_charged_outcome(id(1), answer(), Some(amount(90))).await.unwrap();
    fixture.store.put_charged_outcome_unkept(id(1), Some(amount(90))).await.unwrap();
    fixture.store.release_charge(id(1)).await.unwrap();
    assert_eq!(stands(&fixture, 1).await, (ChargeState::Charged, Some(amount(30))));
    let Begun::Charged(charge) = begin(&fixture, new(1)).await else { panic!() };
    assert_eq!((charge.amount, charge.question), (Some(amount(30)), Some(vec![1])));

    assert_eq!(fixture.store.due_charges(u64::MAX, 9).await.unwrap().len(), 1);
    fixture.store.settle_charge(id(1)).await.unwrap();
    fixture.store.postpone_charge(id(1), true, Some(1), "late".into()).await.unwrap();
    assert_eq!(stands(&fixture, 1).await, (ChargeState::Settled, Some(amount(30))));
    assert!(fixture.store.due_charges(u64::MAX, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_payer_has_a_bounded_part_open_and_none_while_it_owes() {
    let fixture = Fixture::new().await;
    for payment in [1, 2] {
        assert_eq!(begin(&fixture, new(payment)).await, Begun::Running { first: true });
    }
    assert_eq!(begin(&fixture, new(3)).await, Begun::Exposed(amount(200)));
    assert!(fixture.store.charge(id(3)).await.unwrap().is_none());
    let other = NewCharge { payer: Address::repeat_byte(0xbb), ..new(4) };
    assert_eq!(begin(&fixture, other).await, Begun::Running { first: true });
    let few = NewCharge { most_open: None, most_open_requests: 2, ..new(3) };
    assert_eq!(begin(&fixture, few).await, Begun::Exposed(amount(200)));
    // A channel's deposit covers what is charged of it.
    assert_eq!(begin(&fixture, NewCharge { question: None, ..new(5) }).await, Begun::Running { first: true });

    // What was used counts in the place of what was authorized.
    fixture.store.put_charged_outcome(id(1), answer(), Some(amount(50))).await.unwrap();
    assert_eq!(begin(&fixture, new(3)).await, Begun::Running { first: true });
    fixture.store.postpone_charge(id(1), true, Some(700), "no balance".into()).await.unwrap();
    assert_eq!(begin(&fixture, new(6)).await, Begun::Owing);
    let open = fixture.store.open_charges().await.unwrap();
    assert_eq!(open, OpenCharges { running: 4, charged: 0, unpaid: 1, unpaid_amount: amount(50) });
    let due = fixture.store.due_charges(699, 9).await.unwrap();
    assert!(due.is_empty(), "{due:?}");
    assert_eq!(fixture.store.due_charges(700, 9).await.unwrap()[0].detail, "no balance");
    fixture.store.settle_charge(id(1)).await.unwrap();
    fixture.store.release_charge(id(2)).await.unwrap();
    fixture.store.settle_charge(id(2)).await.unwrap();
    assert_eq!(begin(&fixture, new(6)).await, Begun::Running { first: true });
}

#[tokio::test]
async fn what_is_owed_and_ended_is_tried_no_more_and_shuts_its_payer_out_until_it_is_written_off() {
    let mut fixture = Fixture::new().await;
    begin(&fixture, new(1)).await;
    let write_off =
        async |fixture: &Fixture| fixture.store.write_charge_off(id(1), "lost".into()).await.unwrap();
    assert!(!write_off(&fixture).await, "it may still be answered");
    fixture.store.put_charged_outcome(id(1), answer(), Some(amount(50))).await.unwrap();
    fixture.store.postpone_charge(id(1), true, None, "it has ended".into()).await.unwrap();
    fixture.reopen().await;
    assert!(fixture.store.due_charges(u64::MAX, 9).await.unwrap().is_empty());
    assert_eq!(begin(&fixture, new(2)).await, Begun::Owing);
    let open = fixture.store.charges(false, 9).await.unwrap();
    assert_eq!((open.len(), open[0].state, open[0].due_ms), (1, ChargeState::Unpaid, None));
    assert_eq!(fixture.store.open_charges().await.unwrap().unpaid, 1);

    assert!(write_off(&fixture).await);
    assert!(!write_off(&fixture).await, "once");
    fixture.reopen().await;
    // What was under way meanwhile brings it back only if money moved.
    fixture.store.postpone_charge(id(1), true, Some(1), "late".into()).await.unwrap();
    assert_eq!(stands(&fixture, 1).await, (ChargeState::WrittenOff, Some(amount(50))));
    assert_eq!(begin(&fixture, new(2)).await, Begun::Running { first: true });
    let Begun::Charged(charge) = begin(&fixture, new(1)).await else { panic!("it is run again") };
    assert_eq!(charge.note.as_deref(), Some("lost"));
    let listed =
        |charges: Vec<salt402_store::Charge>| charges.iter().map(|charge| charge.payment).collect::<Vec<_>>();
    assert_eq!(listed(fixture.store.charges(false, 9).await.unwrap()), [id(2)]);
    assert_eq!(listed(fixture.store.charges(true, 9).await.unwrap()), [id(2), id(1)]);
    fixture.store.settle_charge(id(1)).await.unwrap();
    assert_eq!(stands(&fixture, 1).await, (ChargeState::Settled, Some(amount(50))));
    // What nobody knows is written off when it has ended.
    fixture.store.put_charged_outcome(id(2), answer(), Some(amount(1))).await.unwrap();
    assert!(fixture.store.write_charge_off(id(2), "its facilitator is gone".into()).await.unwrap());
    let lasting = NewCharge { ends_at_ms: u64::MAX, ..new(3) };
    begin(&fixture, lasting).await;
    fixture.store.put_charged_outcome(id(3), answer(), Some(amount(1))).await.unwrap();
    assert!(!fixture.store.write_charge_off(id(3), "too soon".into()).await.unwrap());
}

#[tokio::test]
async fn what_comes_too_late_is_given_up_and_what_has_ended_hides_nothing_that_is_due() {
    let mut fixture = Fixture::new().await;
    let late = |payment| NewCharge { too_late: true, now_ms: 990, ..new(payment) };
    // Nothing is opened by it, whatever else is open.
    for payment in [1, 2] {
        assert_eq!(begin(&fixture, new(payment)).await, Begun::Running { first: true });
    }
    let Begun::Charged(charge) = begin(&fixture, late(3)).await else { panic!() };
    assert_eq!((charge.payment, charge.amount), (id(3), Some(amount(0))));
    let Begun::Charged(charge) = begin(&fixture, late(1)).await else { panic!() };
    assert_eq!((charge.payment, charge.amount), (id(1), Some(amount(0))));
    fixture.reopen().await;
    for payment in [1, 3] {
        assert_eq!(stands(&fixture, payment).await, (ChargeState::Charged, Some(amount(0))));
        assert!(matches!(begin(&fixture, new(payment)).await, Begun::Charged(_)), "it stays given up");
    }
    fixture.store.put_charged_outcome(id(1), answer(), Some(amount(30))).await.unwrap();
    assert_eq!(stands(&fixture, 1).await.1, Some(amount(0)));
    // What was charged before stays so.
    fixture.store.put_charged_outcome(id(2), answer(), Some(amount(30))).await.unwrap();
    let Begun::Charged(charge) = begin(&fixture, late(2)).await else { panic!() };
    assert_eq!(charge.amount, Some(amount(30)));

    // One that has ended and is under way stands in nobody's way.
    begin(&fixture, NewCharge { ends_at_ms: 1, ..new(4) }).await;
    assert_eq!(fixture.store.ended_charges(0, 9).await.unwrap(), []);
    assert_eq!(fixture.store.ended_charges(1, 9).await.unwrap(), [id(4)]);
    assert_eq!(fixture.store.due_charges(u64::MAX, 1).await.unwrap()[0].state, ChargeState::Charged);
    assert_eq!(fixture.store.due_charges(u64::MAX, 9).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_restored_backup_charges_nothing_for_what_was_under_way() {
    let fixture = Fixture::new().await;
    for payment in [1, 2] {
        begin(&fixture, new(payment)).await;
    }
    fixture.store.put_charged_outcome(id(2), answer(), Some(amount(30))).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (copy, database) = (folder.path().join("copy"), folder.path().join("restored"));
    backup(&fixture.directory.path().join("salt402.db"), &copy, |_, _| {}).await.unwrap();
    // After the copy it was answered, and charged.
    fixture.store.put_charged_outcome(id(1), answer(), Some(amount(20))).await.unwrap();
    restore(&copy, &database, Duration::ZERO).await.unwrap();
    let store = Store::open(Options::new(&database)).await.unwrap();
    let charge = store.charge(id(1)).await.unwrap().unwrap();
    assert_eq!((charge.state, charge.amount), (ChargeState::Charged, Some(amount(0))));
    assert_eq!(store.outcome(id(1)).await.unwrap(), Some(StoredOutcome::Evicted), "it is not run again");
    store.put_charged_outcome(id(1), answer(), Some(amount(90))).await.unwrap();
    assert_eq!(store.charge(id(1)).await.unwrap().unwrap().amount, Some(amount(0)));
    assert_eq!(store.charge(id(2)).await.unwrap().unwrap().amount, Some(amount(30)));
    store.close().await;
}

#[tokio::test]
async fn of_a_kept_signature_the_first_amount_is_captured_and_none_above_it() {
    let mut fixture = Fixture::new().await;
    let reservation = NewReservation {
        payment: id(1),
        chain: CHAIN,
        claimant: "shop".to_owned(),
        request: B256::repeat_byte(1),
        payer: PAYER,
        token: Address::repeat_byte(0x70),
        amount: amount(100),
        payload: Some(vec![1]),
        since_ms: 0,
        answers_are_kept: true,
        now_ms: 5,
    };
    assert!(matches!(fixture.store.reserve(reservation).await.unwrap(), Reserved::Kept(_)));
    let capture = |claimant: &str, units| NewCapture {
        payment: id(1),
        claimant: claimant.to_owned(),
        amount: amount(units),
    };
    assert_eq!(
        fixture.store.capture(capture("shop", 101)).await.unwrap(),
        Captured::AboveCeiling(amount(100))
    );
    assert_eq!(fixture.store.capture(capture("another", 1)).await.unwrap(), Captured::Unknown);
    assert_eq!(
        fixture.store.capture(capture("shop", 30)).await.unwrap(),
        Captured::Done { amount: amount(30), settled: false }
    );
    fixture.reopen().await;
    for units in [30, 90, 0, 101] {
        assert_eq!(
            fixture.store.capture(capture("shop", units)).await.unwrap(),
            Captured::Done { amount: amount(30), settled: false }
        );
    }
    // Its claim is over what was captured.
    assert!(fixture.store.conclude_reservation(id(1), "shop".to_owned(), true).await.unwrap());
    let again = fixture.store.capture(capture("shop", 90)).await.unwrap();
    assert_eq!(again, Captured::Done { amount: amount(30), settled: true });
    let terms = fixture.store.settled_reservation(id(1)).await.unwrap().unwrap();
    assert_eq!(terms.amount, amount(30));
}

/// Nothing was charged for the first, since it was not answered before its end. Its payer is told to sign anew, and must be heard.
#[tokio::test]
async fn a_signature_of_which_nothing_is_charged_stands_in_for_no_later_one() {
    let fixture = Fixture::new().await;
    let shown = |payment: u8| NewReservation {
        payment: id(payment),
        chain: CHAIN,
        claimant: "shop".to_owned(),
        request: B256::repeat_byte(1),
        payer: PAYER,
        token: Address::repeat_byte(0x70),
        amount: amount(100),
        payload: Some(vec![payment]),
        since_ms: 0,
        answers_are_kept: true,
        now_ms: 5,
    };
    assert!(matches!(fixture.store.reserve(shown(1)).await.unwrap(), Reserved::Kept(_)));
    let Reserved::Earlier(earlier) = fixture.store.reserve(shown(2)).await.unwrap() else { panic!() };
    assert_eq!(earlier.payment, id(1), "it may still be answered");
    let capture = NewCapture { payment: id(1), claimant: "shop".to_owned(), amount: amount(0) };
    fixture.store.capture(capture).await.unwrap();
    for settled in [false, true] {
        if settled {
            fixture.store.conclude_reservation(id(1), "shop".to_owned(), true).await.unwrap();
        }
        let look = NewReservation { payload: None, ..shown(2) };
        assert_eq!(fixture.store.reserve(look).await.unwrap(), Reserved::Unknown);
    }
    let Reserved::Kept(kept) = fixture.store.reserve(shown(2)).await.unwrap() else { panic!() };
    assert_eq!(kept.payment, id(2));
}

/// What is given of a stream that is paid as it goes is on disk before it is given, with what it costs.
#[tokio::test]
async fn what_was_given_of_a_stream_that_nobody_runs_any_more_is_its_answer_and_is_charged() {
    let mut fixture = Fixture::new().await;
    let give = async |fixture: &Fixture, payment, text: &str, units, keeps| {
        let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
        let (bytes, amount) = (text.as_bytes().to_vec(), amount(units));
        fixture.store.deliver(NewPiece { payment: id(payment), headers, bytes, amount, keeps }).await
    };
    assert!(
        matches!(give(&fixture, 1, "a", 0, true).await, Err(StoreError::AboveCeiling { .. })),
        "nothing runs"
    );
    for payment in 1..=4 {
        begin(&fixture, NewCharge { question: None, ..new(payment) }).await;
    }
    give(&fixture, 1, "one ", 60, true).await.unwrap();
    assert!(matches!(give(&fixture, 1, "two", 101, true).await, Err(StoreError::AboveCeiling { .. })));
    fixture.store.raise_charge(id(1), amount(120)).await.unwrap();
    fixture.store.raise_charge(id(1), amount(90)).await.unwrap();
    give(&fixture, 1, "two", 101, true).await.unwrap();
    give(&fixture, 2, "long", 5, true).await.unwrap();
    give(&fixture, 2, "er", 6, false).await.unwrap();
    give(&fixture, 2, "still", 7, true).await.unwrap();
    give(&fixture, 3, "whole", 5, true).await.unwrap();
    fixture.store.put_charged_outcome(id(3), answer(), Some(amount(4))).await.unwrap();
    fixture.reopen().await;
    assert_eq!(fixture.store.open_deliveries(None, 9).await.unwrap(), [id(1), id(2)]);
    assert_eq!(fixture.store.open_deliveries(Some(id(1)), 9).await.unwrap(), [id(2)]);

    for (payment, given) in [(1, true), (2, true), (3, false), (4, false), (1, false)] {
        assert_eq!(fixture.store.end_delivery(id(payment)).await.unwrap(), given, "{payment}");
    }
    let charges = [(ChargeState::Charged, 101), (ChargeState::Charged, 7), (ChargeState::Charged, 4)];
    for (payment, (state, units)) in (1..).zip(charges) {
        assert_eq!(stands(&fixture, payment).await, (state, Some(amount(units))), "{payment}");
    }
    assert_eq!(stands(&fixture, 4).await, (ChargeState::Running, None));
    let Some(StoredOutcome::Kept { outcome, .. }) = fixture.store.outcome(id(1)).await.unwrap() else {
        panic!()
    };
    assert_eq!(
        (outcome.body.as_slice(), outcome.headers[0].1.as_str()),
        (&b"one two"[..], "text/event-stream")
    );
    assert_eq!(fixture.store.outcome(id(2)).await.unwrap(), Some(StoredOutcome::Evicted), "it was too long");
    assert!(give(&fixture, 1, "more", 102, true).await.is_err(), "it has ended");
    assert!(fixture.store.open_deliveries(None, 9).await.unwrap().is_empty());
}

/// Whoever leaves before it got anything of an answer pays for what was read for it.
#[tokio::test]
async fn what_was_sunk_in_a_request_is_charged_where_it_is_given_up_and_in_time_to_be_settled() {
    let mut fixture = Fixture::new().await;
    for payment in [1, 2] {
        begin(&fixture, new(payment)).await;
    }
    begin(&fixture, NewCharge { question: None, ..new(3) }).await;
    for (payment, units) in [(1, 60), (2, 30), (2, 5), (3, 60), (3, 60), (9, 1)] {
        fixture.store.sink(id(payment), amount(units), 300).await.unwrap();
    }
    fixture.reopen().await;
    for (payment, units) in [(1, 60), (2, 35), (3, 100), (9, 0)] {
        assert_eq!(fixture.store.sunk(id(payment)).await.unwrap(), amount(units), "{payment}");
    }
    // What a facilitator settles ends before its signature does.
    assert_eq!(fixture.store.ended_charges(700, 9).await.unwrap(), [id(1), id(2)]);
    assert_eq!(fixture.store.ended_charges(699, 9).await.unwrap(), []);
    assert_eq!(fixture.store.ended_charges(1_000, 9).await.unwrap().len(), 3);
    fixture.store.release_charge(id(1)).await.unwrap();
    assert_eq!(stands(&fixture, 1).await, (ChargeState::Charged, Some(amount(60))));
    // With an answer, whoever charges it counts what was sunk.
    fixture.store.put_charged_outcome(id(2), answer(), Some(amount(40))).await.unwrap();
    fixture.store.sink(id(2), amount(9), 300).await.unwrap();
    assert_eq!(stands(&fixture, 2).await, (ChargeState::Charged, Some(amount(40))));
}
