//! Runs with whole answers. Those of streams are tested in `streams`.

mod as_it_goes;
mod delivery;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use salt402_protocol::api::PaymentView;
use salt402_protocol::{Amount, Asset, B256, Code, PaymentId, Problem};
use salt402_store::{Options, Store, StoredOutcome, Unserved};

use super::*;
use crate::upstream::failure::FailureClass;

/// The longest stream that is kept.
const LARGEST: u64 = 256 * 1024;
/// How long a stream runs on that nobody reads.
const GRACE: Duration = Duration::from_secs(10);

/// How long a stream may take.
const LONGEST: Duration = Duration::from_secs(3600);

async fn executions() -> (Executions, tempfile::TempDir) {
    executions_with(LONGEST, 0).await
}

async fn executions_with(longest: Duration, least_rate: u64) -> (Executions, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path().join("outcomes.db"))).await.unwrap();
    let limits = ExecutionLimits {
        runs: 3,
        leave_grace: GRACE,
        largest_kept: LARGEST,
        longest,
        least_rate,
        folder: folder.path().to_owned(),
    };
    (Executions::new(store, limits), folder)
}

fn whole(text: &'static str) -> Result<(Head, Bytes), Failed> {
    Ok((Head::json(), Bytes::from_static(text.as_bytes())))
}

fn body(given: Result<Given, Problem>) -> Bytes {
    given.unwrap().whole().unwrap().body
}

const PAYMENT: PaymentId = PaymentId(B256::repeat_byte(1));

/// The payment, claimed just now or before.
fn purchase(first: bool) -> Purchase {
    let payment = Box::new(PaymentView {
        payment_id: PAYMENT,
        chain: salt402_protocol::ChainId::new(40204).unwrap(),
        transaction: B256::repeat_byte(2),
        contract: Default::default(),
        reference: B256::ZERO,
        payer: Default::default(),
        payee: Default::default(),
        asset: Asset::Native,
        amount: Amount::ZERO,
        block_number: 1,
        block_hash: B256::ZERO,
        block_timestamp: 1,
        confirmations: 1,
        canonical: true,
        claimed: true,
        refunded: None,
    });
    Purchase::new(payment, first, "an answer".into())
}

fn fail(class: FailureClass) -> impl FnOnce() -> std::future::Ready<Result<(Head, Bytes), Failed>> {
    move || std::future::ready(Err(Failed { class, detail: "no".into(), after: None }))
}

/// Removes the pause before an attempt.
async fn without_pause(executions: &Executions) -> Unserved {
    let known = executions.store.unserved(PAYMENT).await.unwrap().unwrap();
    executions.store.put_unserved(Unserved { not_before_ms: 0, ..known.clone() }).await.unwrap();
    known
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_copies_run_once_and_all_are_answered() {
    let (executions, _folder) = executions().await;
    let runs = Arc::new(AtomicU32::new(0));
    let copies: Vec<_> = (0..100)
        .map(|_| {
            let (executions, runs) = (executions.clone(), runs.clone());
            tokio::spawn(async move {
                let run = || async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    whole("answer")
                };
                executions.outcome(purchase(true), run).await
            })
        })
        .collect();
    for copy in copies {
        assert_eq!(body(copy.await.unwrap()), "answer");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let later = executions.outcome(purchase(false), || async { panic!("run again") }).await;
    assert_eq!(body(later), "answer");
}

#[tokio::test]
async fn a_run_outlives_the_caller() {
    let (executions, _folder) = executions().await;
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        whole("slow")
    };
    let gone = tokio::time::timeout(Duration::from_millis(5), executions.outcome(purchase(true), slow)).await;
    assert!(gone.is_err());
    executions.finish().await;
    let kept = executions.store.outcome(PAYMENT).await.unwrap();
    assert!(matches!(kept, Some(StoredOutcome::Kept { outcome, .. }) if outcome.body == b"slow"));
}

#[tokio::test]
async fn a_failed_run_is_made_again_after_a_pause_that_grows_and_so_often_and_no_more() {
    let (executions, _folder) = executions().await;
    let told = executions.outcome(purchase(true), fail(FailureClass::Ran)).await.unwrap_err();
    assert_eq!((told.code, told.retry_after_ms), (Code::UpstreamFailed, Some(1000)));
    // Nobody who asks during the pause starts a run.
    let early = executions.outcome(purchase(false), || async { panic!("run in the pause") }).await;
    assert_eq!(early.unwrap_err().code, Code::UpstreamFailed);
    assert_eq!(without_pause(&executions).await.runs, 1);

    let told = executions.outcome(purchase(false), fail(FailureClass::Ran)).await.unwrap_err();
    assert_eq!((told.code, told.retry_after_ms), (Code::UpstreamFailed, Some(2000)));
    without_pause(&executions).await;
    let told = executions.outcome(purchase(false), fail(FailureClass::Ran)).await.unwrap_err();
    assert_eq!((told.code, told.retry_after_ms), (Code::NotServed, None));
    without_pause(&executions).await;
    let ended = executions.outcome(purchase(false), || async { panic!("run beyond the bound") }).await;
    assert_eq!(ended.unwrap_err(), told);
    let listed = executions.store.all_unserved(false, 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].runs, listed[0].ended), (1, 3, true));

    // The operator may have it run again. An answer ends everything.
    assert!(executions.store.reopen_unserved(PAYMENT).await.unwrap());
    let good = || async { whole("good") };
    assert_eq!(body(executions.outcome(purchase(false), good).await), "good");
    assert_eq!(executions.store.all_unserved(true, 10).await.unwrap(), vec![]);
}

#[tokio::test]
async fn runs_that_the_process_did_not_survive_count() {
    let (executions, _folder) = executions().await;
    // The first run began with the claim and left only the claim.
    for runs in 2..=3 {
        let never = executions.outcome(purchase(false), std::future::pending);
        assert!(tokio::time::timeout(Duration::from_millis(100), never).await.is_err());
        assert_eq!(executions.store.unserved(PAYMENT).await.unwrap().unwrap().runs, runs);
        // As in a new process.
        executions.running.lock().unwrap().clear();
    }
    let ended = executions.outcome(purchase(false), || async { panic!("run again") }).await;
    assert_eq!(ended.unwrap_err().code, Code::NotServed);
}

#[tokio::test]
async fn where_nothing_ran_it_is_tried_again_as_often_as_it_is_asked_for() {
    let (executions, _folder) = executions().await;
    for attempt in 0..10 {
        let told = executions.outcome(purchase(attempt == 0), fail(FailureClass::NotRun)).await.unwrap_err();
        assert_eq!(told.code, Code::UpstreamFailed);
        assert!(told.retry_after_ms.unwrap() <= 300_000);
        assert_eq!(without_pause(&executions).await.runs, 0);
    }
    let good = || async { whole("good") };
    assert_eq!(body(executions.outcome(purchase(false), good).await), "good");
}

#[tokio::test]
async fn what_will_never_be_answered_is_asked_once_and_can_be_made_good_once() {
    let (executions, _folder) = executions().await;
    let told = executions.outcome(purchase(true), fail(FailureClass::Permanent)).await.unwrap_err();
    assert_eq!((told.code, told.retry_after_ms), (Code::NotServed, None));
    let again = executions.outcome(purchase(false), || async { panic!("run again") }).await;
    assert_eq!(again.unwrap_err(), told);
    assert!(executions.store.settle_unserved(PAYMENT, "refunded".into()).await.unwrap());
    assert!(!executions.store.settle_unserved(PAYMENT, "twice".into()).await.unwrap());
    // A refunded payer is not served too.
    assert!(!executions.store.reopen_unserved(PAYMENT).await.unwrap());
    let after = executions.outcome(purchase(false), || async { panic!("run after the refund") }).await;
    assert_eq!(after.unwrap_err().code, Code::NotServed);
    assert_eq!(executions.store.all_unserved(false, 10).await.unwrap(), vec![]);
    assert_eq!(
        executions.store.all_unserved(true, 10).await.unwrap()[0].settled.as_deref(),
        Some("refunded")
    );
}

#[tokio::test]
async fn whoever_leaves_while_the_answer_is_read_has_it_run_three_times_in_all() {
    for (failed, most) in [(Failed::left as fn(&'static str) -> Failed, 3), (Failed::ran, 10)] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("outcomes.db"))).await.unwrap();
        let mut attempt = attempts::begin(&store, 10, purchase(true)).await.unwrap();
        let mut runs = 1;
        loop {
            let told = attempts::failed(&mut attempt, 10, failed("no"));
            if told.code == Code::NotServed {
                break;
            }
            store.put_unserved(Unserved { not_before_ms: 0, ..attempt }).await.unwrap();
            attempt = attempts::begin(&store, 10, purchase(false)).await.unwrap();
            runs += 1;
        }
        assert_eq!(runs, most);
    }
}
