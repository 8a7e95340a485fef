//! Incidents of every kind, what is asked of them, and the notices that tell of them.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use salt402_store::{Batch, ClaimResult, IncidentFilter, IncidentKind, NewClaim, NoticeEvent, Replays};
use support::{CHAIN, Fixture, child, genesis, id, transaction};

fn replay(payment: u64, attempts: u64) -> Replays {
    Replays { chain: CHAIN, transaction: transaction(payment), attempts }
}

async fn due(fixture: &Fixture, now_ms: u64) -> Vec<(u64, NoticeEvent, IncidentKind)> {
    let notices = fixture.store.due_notices(now_ms, 100).await.unwrap();
    notices.iter().map(|notice| (notice.id, notice.event, notice.incident.kind)).collect()
}

/// Payments 1 and 2 in a block, the first one used.
async fn claimed() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1, 2])]).await.unwrap();
    assert!(matches!(fixture.claim(1, 1).await, ClaimResult::First { .. }));
    fixture
}

#[tokio::test]
async fn however_often_a_used_proof_is_shown_it_is_one_incident_with_a_count() {
    let fixture = claimed().await;
    fixture.store.note_replays(vec![replay(1, 3), replay(2, 9), replay(77, 1)]).await.unwrap();
    for _ in 0..20 {
        fixture.store.note_replays(vec![replay(1, 5)]).await.unwrap();
    }
    let all = fixture.store.incidents(false, 100).await.unwrap();
    assert_eq!(all.len(), 1, "what was never used cannot be used again: {all:?}");
    assert_eq!((all[0].kind, all[0].payment, all[0].occurrences), (IncidentKind::ReplayAttempt, id(1), 103));
    assert!(all[0].changed_at_ms >= all[0].opened_at_ms && all[0].detail.contains("gateway"), "{all:?}");
    assert_eq!(fixture.store.counts().await.unwrap().open_incidents, 0, "nothing is left to come right");
    assert_eq!(due(&fixture, u64::MAX).await.len(), 1, "it is told once");
}

#[tokio::test]
async fn a_payment_that_was_left_out_of_the_logs_is_noted_with_its_row_or_not_at_all() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    let cursor = fixture.cursor().await.unwrap();
    let found = Batch {
        chain: CHAIN,
        expected: Some(cursor),
        keep_through: None,
        blocks: Vec::new(),
        payments: vec![support::placed(2, one.block)],
        cursor,
        head: Some(cursor.number),
        undecoded: Vec::new(),
        extras: Default::default(),
        prune_below: None,
    };
    // Computed from a place where the index stands no more: neither row nor incident.
    let mut late = found.clone();
    late.expected = None;
    assert!(fixture.store.apply_omitted(late).await.is_err());
    assert!(fixture.store.incidents(false, 9).await.unwrap().is_empty());

    assert_eq!(fixture.store.apply_omitted(found.clone()).await.unwrap().inserted, 1);
    assert_eq!(fixture.store.apply_omitted(found).await.unwrap().inserted, 0, "it is there already");
    let all = fixture.store.incidents(false, 9).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].kind, all[0].payment, all[0].occurrences), (IncidentKind::OmittedLog, id(2), 1));
    assert_eq!(due(&fixture, u64::MAX).await, [(1, NoticeEvent::Noted, IncidentKind::OmittedLog)]);
}

#[tokio::test]
async fn opened_and_resolved_are_told_in_their_order_and_survive_a_restart() {
    let mut fixture = claimed().await;
    let other = child(genesis(), 2, &[]);
    fixture.apply(Some(0), std::slice::from_ref(&other)).await.unwrap();
    fixture.apply(None, &[child(other.block, 2, &[1])]).await.unwrap();
    fixture.store.note_replays(vec![replay(1, 1)]).await.unwrap();
    fixture.reopen().await;

    let lost = IncidentKind::PaymentLost;
    let replayed = (3, NoticeEvent::Noted, IncidentKind::ReplayAttempt);
    assert_eq!(due(&fixture, 0).await, [(1, NoticeEvent::Opened, lost), replayed]);
    // One that fails holds up what follows of its incident, and nothing else.
    fixture.store.notice_failed(1, 5_000).await.unwrap();
    assert_eq!(due(&fixture, 4_999).await, [replayed]);
    let retried = fixture.store.due_notices(5_000, 100).await.unwrap().remove(0);
    assert_eq!((retried.id, retried.attempts), (1, 1));
    fixture.store.notice_delivered(1, 6_000).await.unwrap();
    assert_eq!(due(&fixture, 6_000).await, [(2, NoticeEvent::Resolved, lost), replayed]);
    fixture.store.notice_delivered(3, 6_000).await.unwrap();
    fixture.reopen().await;
    assert_eq!(due(&fixture, 6_000).await, [(2, NoticeEvent::Resolved, lost)]);
    assert_eq!(fixture.store.waiting_notices().await.unwrap(), 1);

    // What was told is forgotten after a while, what was not is not.
    assert_eq!(fixture.store.evict_notices(6_000).await.unwrap(), 0);
    assert_eq!(
        fixture.store.evict_notices(6_001).await.unwrap(),
        1,
        "the newest stays: its number must not come again"
    );
    fixture.store.notice_delivered(2, 6_000).await.unwrap();
    assert_eq!(fixture.store.evict_notices(u64::MAX).await.unwrap(), 1);
    fixture.apply(Some(0), &[child(genesis(), 3, &[])]).await.unwrap();
    let again: Vec<u64> = due(&fixture, u64::MAX).await.into_iter().map(|(id, ..)| id).collect();
    assert_eq!(again, [4]);
    assert_eq!(fixture.store.waiting_notices().await.unwrap(), 1);
}

#[tokio::test]
async fn incidents_are_asked_for_by_what_they_are_and_page_by_page() {
    let fixture = Fixture::new().await;
    let payments: Vec<u64> = (1..=7).collect();
    fixture.apply(None, &[child(genesis(), 1, &payments)]).await.unwrap();
    for payment in &payments {
        fixture.claim(*payment, 1).await;
        fixture.store.note_replays(vec![replay(*payment, 1)]).await.unwrap();
    }
    fixture.apply(Some(0), &[child(genesis(), 2, &[1, 2])]).await.unwrap();
    let ask =
        async |filter: IncidentFilter, limit| fixture.store.incidents_where(&filter, limit).await.unwrap();
    let any = IncidentFilter::default();
    assert_eq!(ask(any, 100).await.len(), 12);
    let open = ask(IncidentFilter { open: Some(true), ..any }, 100).await;
    assert!(open.len() == 5 && open.iter().all(|incident| incident.kind == IncidentKind::PaymentLost));
    assert_eq!(ask(IncidentFilter { open: Some(false), ..any }, 100).await.len(), 7);
    let kind = Some(IncidentKind::ReplayAttempt);
    assert_eq!(ask(IncidentFilter { kind, open: Some(true), ..any }, 100).await.len(), 0);
    assert_eq!(ask(IncidentFilter { chain: "eip155:1".parse().ok(), ..any }, 100).await.len(), 0);
    assert_eq!(ask(IncidentFilter { chain: Some(CHAIN), ..any }, 100).await.len(), 12);
    assert_eq!(ask(IncidentFilter { since_ms: Some(u64::MAX), ..any }, 100).await.len(), 0);
    let since_ms = open.iter().map(|incident| incident.changed_at_ms).min();
    assert!(ask(IncidentFilter { since_ms, ..any }, 100).await.len() >= 5);

    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = ask(IncidentFilter { kind, before, ..any }, 3).await;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.iter().map(|incident| incident.payment));
    }
    assert_eq!(seen, payments.iter().rev().map(|payment| id(*payment)).collect::<Vec<_>>());
    let counts = fixture.store.incident_counts(CHAIN).await.unwrap();
    let of = |kind| counts.iter().find(|count| count.kind == kind).map(|count| (count.open, count.all));
    assert_eq!(of(IncidentKind::PaymentLost), Some((5, 5)));
    assert_eq!(of(IncidentKind::ReplayAttempt), Some((0, 7)));
    assert_eq!(of(IncidentKind::OmittedLog), Some((0, 0)));
}

#[tokio::test]
async fn incidents_of_the_first_schema_are_kept() {
    let mut fixture = claimed().await;
    fixture.apply(Some(0), &[child(genesis(), 2, &[])]).await.unwrap();
    let before = fixture.store.incidents(true, 9).await.unwrap().remove(0);
    fixture.store.clone().close().await;
    let database = rusqlite::Connection::open(fixture.directory.path().join("salt402.db")).unwrap();
    for step in [
        "DROP TABLE notices",
        "DROP INDEX incidents_once",
        "ALTER TABLE incidents DROP COLUMN occurrences",
        "ALTER TABLE incidents DROP COLUMN changed_at_ms",
        "DELETE FROM _sqlx_migrations WHERE version = 3",
    ] {
        database.execute_batch(step).unwrap();
    }
    database.close().unwrap();
    fixture.store = support::open(&fixture.directory).await;
    assert_eq!(fixture.store.incidents(true, 9).await.unwrap(), [before]);
    assert_eq!(fixture.store.waiting_notices().await.unwrap(), 0, "what was before is not told late");
}

/// Whoever shows used proofs chooses how many there are. Work is written in the order in which it came, so the claim is made
/// between two parts of the replays, and the last part finds it.
#[tokio::test]
async fn a_claim_does_not_wait_for_all_of_a_thousand_replays() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1, 2])]).await.unwrap();
    let mut replays: Vec<Replays> = (1000..2023).map(|payment| replay(payment, 1)).collect();
    replays.push(replay(2, 1));
    let (noted, claimed) = tokio::join!(fixture.store.note_replays(replays), fixture.claim(2, 1));
    noted.unwrap();
    assert!(matches!(claimed, ClaimResult::First { .. }));
    let all = fixture.store.incidents(false, 9).await.unwrap();
    assert_eq!(all.iter().map(|incident| incident.payment).collect::<Vec<_>>(), [id(2)]);
}

#[tokio::test]
async fn one_transaction_with_many_payments_is_few_incidents() {
    let fixture = Fixture::new().await;
    let next = child(genesis(), 1, &(0..100).collect::<Vec<_>>());
    let mut batch = fixture.batch(None, std::slice::from_ref(&next)).await;
    batch.payments.iter_mut().for_each(|placed| placed.payment.transaction = transaction(0));
    fixture.store.apply_omitted(batch).await.unwrap();
    let omitted = fixture.store.incidents(false, 200).await.unwrap();
    assert_eq!(omitted.len(), 64);
    assert!(omitted[0].detail.contains("36 more"), "{}", omitted[0].detail);

    for payment in 0..100 {
        let claim = NewClaim { transaction: transaction(0), ..support::new_claim(payment, 1) };
        assert!(matches!(fixture.store.claim(claim).await.unwrap(), ClaimResult::First { .. }));
    }
    for _ in 0..3 {
        fixture.store.note_replays(vec![replay(0, 1)]).await.unwrap();
    }
    let all = fixture.store.incidents(false, 500).await.unwrap();
    let replayed: Vec<_> = all.iter().filter(|found| found.kind == IncidentKind::ReplayAttempt).collect();
    assert_eq!(replayed.len(), 64, "the same ones each time");
    assert!(replayed.iter().all(|found| found.occurrences == 3));
}

/// Where more incidents are open than payments came, each payment is looked for, and not each incident.
#[tokio::test]
async fn of_many_lost_payments_the_one_that_comes_back_is_resolved() {
    let fixture = Fixture::new().await;
    let lost: Vec<u64> = (1..=9).collect();
    fixture.apply(None, &[child(genesis(), 1, &lost)]).await.unwrap();
    for payment in &lost {
        fixture.claim(*payment, 1).await;
    }
    let other = child(genesis(), 2, &[]);
    fixture.apply(Some(0), std::slice::from_ref(&other)).await.unwrap();
    assert_eq!(fixture.store.incidents(true, 20).await.unwrap().len(), 9);
    let next = child(other.block, 2, &[3, 77]);
    fixture.apply(None, std::slice::from_ref(&next)).await.unwrap();
    let open = fixture.store.incidents(true, 20).await.unwrap();
    assert_eq!(open.len(), 8);
    assert!(!open.iter().any(|incident| incident.payment == id(3)));
    let resolved = (10, NoticeEvent::Resolved, IncidentKind::PaymentLost);
    for notice in 1..=9 {
        fixture.store.notice_delivered(notice, 1).await.unwrap();
    }
    assert_eq!(due(&fixture, u64::MAX).await, [resolved]);
    // All the others at once, which is as many as are open.
    fixture.apply(None, &[child(next.block, 2, &[1, 2, 4, 5, 6, 7, 8, 9])]).await.unwrap();
    assert!(fixture.store.incidents(true, 20).await.unwrap().is_empty());
}

/// Strangers choose how often they show what was used, and everybody who waits looks again when woken.
#[tokio::test]
async fn what_is_written_of_replays_wakes_nobody_who_waits_for_the_chain() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    fixture.claim(1, 1).await;
    let mut progress = fixture.store.progress();
    progress.borrow_and_update();
    fixture.store.note_replays(vec![replay(1, 3)]).await.unwrap();
    assert_eq!(fixture.store.incidents(false, 10).await.unwrap().len(), 1);
    assert!(!progress.has_changed().unwrap());
    fixture.apply(None, &[child(one.block, 2, &[2])]).await.unwrap();
    assert!(progress.has_changed().unwrap());
}
