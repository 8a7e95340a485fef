//! Runs what was paid for, once per payment.
//!
//! The outcome is on disk before anybody is told it. So if a claim has no outcome and nobody is running it, no payer
//! has been answered: the process ended in between, and the request is run again. Copies of a request that arrive while
//! it runs wait for the same outcome.
//!
//! A failed request is run again when its payer asks, after a pause that grows, and only a limited number of times. The
//! number of runs is on disk. A new claim itself says that the first run was begun, so a run that succeeds needs no
//! further commit. Each later run is written down before it begins. A request that was run as often as allowed, or that
//! can never be answered, is paid and not served. The payer is told so, and the operator finds it in the store.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use salt402_http::clock::now_ms;
use salt402_protocol::api::PaymentView;
use salt402_protocol::{Code, PaymentId, Problem};
use salt402_store::{Outcome, Store, StoreError, StoredOutcome, Unserved};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::upstream::failure::FailureClass;

/// The pause after the first failure. Each is twice the one before, up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The longest pause that an upstream may ask for.
const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// A kept answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    /// Since when, in milliseconds since 1970 UTC.
    pub(crate) kept_at_ms: u64,
}

type Ending = Option<Result<Answer, Problem>>;

/// What was paid for.
#[derive(Clone, Debug)]
pub(crate) struct Purchase {
    pub(crate) payment: Box<PaymentView>,
    /// Whether the payment was claimed for this request just now.
    pub(crate) first: bool,
    /// What was sold, in words.
    pub(crate) sold: String,
}

/// A run without an answer.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) class: FailureClass,
    /// What went wrong, as the payer is told.
    pub(crate) detail: String,
    /// When it may be tried again, where the upstream says.
    pub(crate) after: Option<Duration>,
}

/// Runs paid requests: at most one run at a time per payment, and at most one outcome for ever.
#[derive(Clone)]
pub struct Executions {
    store: Store,
    /// How many runs a payment may have.
    runs: u32,
    /// A std mutex, because nothing is awaited while it is held.
    running: Arc<Mutex<HashMap<PaymentId, watch::Receiver<Ending>>>>,
    tasks: TaskTracker,
}

impl Executions {
    /// Executions that keep their outcomes in a store, with at most this many runs per payment.
    pub fn new(store: Store, runs: u32) -> Self {
        Self { store, runs, running: Arc::default(), tasks: TaskTracker::new() }
    }

    /// Waits until nothing runs any more. No new run may begin meanwhile.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The outcome for a payment: the kept one, that of the run under way, or that of a new run.
    ///
    /// The run goes on when the caller is dropped, as happens when a payer's connection breaks. The payer gets the
    /// outcome when it asks again.
    pub(crate) async fn outcome<R, F>(&self, purchase: Purchase, run: R) -> Result<Answer, Problem>
    where
        R: FnOnce() -> F,
        F: Future<Output = Result<Bytes, Failed>> + Send + 'static,
    {
        let payment = purchase.payment.payment_id;
        let mut ending = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            match running.entry(payment) {
                Entry::Occupied(entry) => entry.get().clone(),
                Entry::Vacant(entry) => {
                    let (sender, receiver) = watch::channel(None);
                    entry.insert(receiver.clone());
                    let (this, run) = (self.clone(), run());
                    self.tasks.spawn(async move {
                        // Removed even if the run panics. Those who wait then see the channel close.
                        let _leaving = Leaving { running: &this.running, payment };
                        let ended = this.keep(purchase, run).await;
                        sender.send_replace(Some(ended));
                    });
                    receiver
                }
            }
        };
        match ending.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or_else(|| Err(broken())),
            Err(_) => Err(broken()),
        }
    }

    async fn keep(
        &self,
        purchase: Purchase,
        run: impl Future<Output = Result<Bytes, Failed>>,
    ) -> Result<Answer, Problem> {
        let payment = purchase.payment.payment_id;
        match self.store.outcome(payment).await.map_err(unkept)? {
            Some(StoredOutcome::Kept { outcome, kept_at_ms }) => {
                return Ok(Answer { body: outcome.body.into(), kept_at_ms });
            }
            Some(StoredOutcome::Evicted) => {
                return Err(Problem::new(
                    Code::OutcomeGone,
                    "this payment's request was run, its answer was given and is no longer kept",
                ));
            }
            None => {}
        }
        let mut attempt = self.begin(purchase).await?;
        match run.await {
            Ok(body) => {
                let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
                let outcome = Outcome { status: 200, headers, body: body.to_vec() };
                let kept_at_ms = self.store.put_outcome(payment, outcome).await.map_err(unkept)?;
                Ok(Answer { body, kept_at_ms })
            }
            Err(failed) => {
                let told = self.failed(&mut attempt, failed);
                self.store.put_unserved(attempt).await.map_err(unkept)?;
                Err(told)
            }
        }
    }

    /// The attempt that now begins, counted and on disk, or why none begins.
    async fn begin(&self, purchase: Purchase) -> Result<Unserved, Problem> {
        let (first, payment) = (purchase.first, purchase.payment.payment_id);
        let mut attempt = match self.store.unserved(payment).await.map_err(unkept)? {
            Some(known) => known,
            None if first => return Ok(Unserved { runs: 1, ..unserved(purchase) }),
            // The run that began with the claim.
            None => Unserved { runs: 1, ..unserved(purchase) },
        };
        if attempt.ended {
            return Err(not_served(&attempt));
        }
        if let Some(left) = left(attempt.not_before_ms) {
            return Err(later(&attempt.detail, left));
        }
        attempt.ended = attempt.runs >= u64::from(self.runs);
        if attempt.ended {
            metrics::counter!("salt402_gateway_not_served_total").increment(1);
        } else {
            attempt.runs += 1;
        }
        self.store.put_unserved(attempt.clone()).await.map_err(unkept)?;
        if attempt.ended { Err(not_served(&attempt)) } else { Ok(attempt) }
    }

    /// Notes that an attempt failed. Returns what its payer is told.
    fn failed(&self, attempt: &mut Unserved, failed: Failed) -> Problem {
        let Failed { class, detail, after } = failed;
        attempt.failures += 1;
        attempt.detail = detail;
        match class {
            FailureClass::NotRun => attempt.runs = attempt.runs.saturating_sub(1),
            FailureClass::Ran => attempt.ended = attempt.runs >= u64::from(self.runs),
            FailureClass::Permanent => attempt.ended = true,
        }
        if attempt.ended {
            metrics::counter!("salt402_gateway_not_served_total").increment(1);
            return not_served(attempt);
        }
        let doublings = u32::try_from(attempt.failures - 1).unwrap_or(u32::MAX);
        let own = PAUSE.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST_PAUSE);
        let pause = after.unwrap_or_default().min(LONGEST_WISH).max(own);
        attempt.not_before_ms = now_ms().saturating_add(millis(pause));
        later(&attempt.detail, pause)
    }
}

/// The state of a payment whose request was not tried yet.
fn unserved(purchase: Purchase) -> Unserved {
    let Purchase { payment, sold, .. } = purchase;
    Unserved {
        payment: payment.payment_id,
        chain: payment.chain,
        transaction: payment.transaction,
        payer: payment.payer,
        asset: payment.asset,
        amount: payment.amount,
        sold,
        runs: 0,
        failures: 0,
        not_before_ms: 0,
        ended: false,
        detail: "the run broke off".into(),
        since_ms: 0,
        changed_at_ms: 0,
        settled: None,
    }
}

/// How long it is until a time. A time further away than any pause was written by another clock and is not waited for.
fn left(not_before_ms: u64) -> Option<Duration> {
    let left = Duration::from_millis(not_before_ms.saturating_sub(now_ms()));
    (!left.is_zero() && left <= LONGEST_WISH).then_some(left)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

struct Leaving<'a> {
    running: &'a Mutex<HashMap<PaymentId, watch::Receiver<Ending>>>,
    payment: PaymentId,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.payment);
    }
}

fn later(detail: &str, pause: Duration) -> Problem {
    let detail = format!("{detail}; the payment stays good for this request: show the same proof again");
    Problem::new(Code::UpstreamFailed, detail).retry_after(millis(pause))
}

fn not_served(attempt: &Unserved) -> Problem {
    let detail = format!(
        "{}; the payment is noted as paid and not served: do not pay again, and ask who runs this server for a refund of \
         payment {}",
        attempt.detail, attempt.payment
    );
    Problem::new(Code::NotServed, detail)
}

fn broken() -> Problem {
    Problem::new(Code::Internal, "the run broke off; nothing was answered, show the same proof again")
        .retry_after(1000)
}

fn unkept(error: StoreError) -> Problem {
    tracing::error!(%error, "an outcome could not be read or kept");
    Problem::new(Code::Internal, "the answer could not be kept and is not given; show the same proof again")
        .retry_after(1000)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use salt402_protocol::{Amount, Asset, B256};
    use salt402_store::Options;

    use super::*;

    async fn executions() -> (Executions, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("outcomes.db"))).await.unwrap();
        (Executions::new(store, 3), folder)
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
        Purchase { payment, first, sold: "an answer".into() }
    }

    fn fail(class: FailureClass) -> impl FnOnce() -> std::future::Ready<Result<Bytes, Failed>> {
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
                        Ok(Bytes::from_static(b"answer"))
                    };
                    executions.outcome(purchase(true), run).await
                })
            })
            .collect();
        for copy in copies {
            assert_eq!(copy.await.unwrap().unwrap().body, "answer");
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        let later = executions.outcome(purchase(false), || async { panic!("run again") }).await;
        assert_eq!(later.unwrap().body, "answer");
    }

    #[tokio::test]
    async fn a_run_outlives_the_caller() {
        let (executions, _folder) = executions().await;
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(Bytes::from_static(b"slow"))
        };
        let gone =
            tokio::time::timeout(Duration::from_millis(5), executions.outcome(purchase(true), slow)).await;
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
        let good = || async { Ok(Bytes::from_static(b"good")) };
        assert_eq!(executions.outcome(purchase(false), good).await.unwrap().body, "good");
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
            let told =
                executions.outcome(purchase(attempt == 0), fail(FailureClass::NotRun)).await.unwrap_err();
            assert_eq!(told.code, Code::UpstreamFailed);
            assert!(told.retry_after_ms.unwrap() <= 300_000);
            assert_eq!(without_pause(&executions).await.runs, 0);
        }
        let good = || async { Ok(Bytes::from_static(b"good")) };
        assert_eq!(executions.outcome(purchase(false), good).await.unwrap().body, "good");
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

    #[test]
    fn a_pause_that_another_clock_wrote_is_not_waited_for() {
        assert_eq!(left(now_ms() - 1), None);
        assert!(left(now_ms() + 60_000).is_some());
        assert_eq!(left(now_ms() + 10_000_000), None);
    }
}
