//! One payment, one run.
//!
//! The outcome is on disk before anybody is told it. So where a claim has no outcome and nobody is running it, no payer
//! has been answered: the process ended in between, and the run is made again. Copies of a request that arrive while
//! it runs wait for the same outcome.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use salt402_protocol::{Code, PaymentId, Problem};
use salt402_store::{Outcome, Store, StoreError, StoredOutcome};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

type Ending = Option<Result<Bytes, Problem>>;

/// Runs of paid requests: at most one at a time for a payment, and at most one outcome for ever.
#[derive(Clone)]
pub struct Executions {
    store: Store,
    /// A std mutex, because nothing is awaited while it is held.
    running: Arc<Mutex<HashMap<PaymentId, watch::Receiver<Ending>>>>,
    tasks: TaskTracker,
}

impl Executions {
    /// Executions whose outcomes are kept in a store.
    pub fn new(store: Store) -> Self {
        Self { store, running: Arc::default(), tasks: TaskTracker::new() }
    }

    /// Waits until nothing runs any more. New runs must have stopped.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The outcome of what `payment` paid for: the kept one, that of the run under way, or that of a new run.
    ///
    /// The run goes on when the caller is dropped, as it is when a payer's connection breaks: the payer finds the
    /// outcome when it asks again.
    pub(crate) async fn outcome<R, F>(&self, payment: PaymentId, run: R) -> Result<Bytes, Problem>
    where
        R: FnOnce() -> F,
        F: Future<Output = Result<Bytes, Problem>> + Send + 'static,
    {
        let mut ending = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            match running.entry(payment) {
                Entry::Occupied(entry) => entry.get().clone(),
                Entry::Vacant(entry) => {
                    let (sender, receiver) = watch::channel(None);
                    entry.insert(receiver.clone());
                    let (this, run) = (self.clone(), run());
                    self.tasks.spawn(async move {
                        // Removed also when the run panics; those who wait then see the channel close.
                        let _leaving = Leaving { running: &this.running, payment };
                        let ended = this.keep(payment, run).await;
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
        payment: PaymentId,
        run: impl Future<Output = Result<Bytes, Problem>>,
    ) -> Result<Bytes, Problem> {
        match self.store.outcome(payment).await.map_err(unkept)? {
            Some(StoredOutcome::Kept(outcome)) => return Ok(outcome.body.into()),
            Some(StoredOutcome::Evicted) => {
                return Err(Problem::new(
                    Code::OutcomeGone,
                    "this payment's request was run, its answer was given and is no longer kept",
                ));
            }
            None => {}
        }
        let body = run.await?;
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let outcome = Outcome { status: 200, headers, body: body.to_vec() };
        self.store.put_outcome(payment, outcome).await.map_err(unkept)?;
        Ok(body)
    }
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

    use salt402_protocol::B256;
    use salt402_store::Options;

    use super::*;

    async fn executions() -> (Executions, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("outcomes.db"))).await.unwrap();
        (Executions::new(store), folder)
    }

    const PAYMENT: PaymentId = PaymentId(B256::repeat_byte(1));

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
                    executions.outcome(PAYMENT, run).await
                })
            })
            .collect();
        for copy in copies {
            assert_eq!(copy.await.unwrap().unwrap(), "answer");
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        let later = executions.outcome(PAYMENT, || async { panic!("run again") }).await;
        assert_eq!(later.unwrap(), "answer");
    }

    #[tokio::test]
    async fn a_run_outlives_the_caller() {
        let (executions, _folder) = executions().await;
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(Bytes::from_static(b"slow"))
        };
        let gone = tokio::time::timeout(Duration::from_millis(5), executions.outcome(PAYMENT, slow)).await;
        assert!(gone.is_err());
        executions.finish().await;
        let kept = executions.store.outcome(PAYMENT).await.unwrap();
        assert!(matches!(kept, Some(StoredOutcome::Kept(outcome)) if outcome.body == b"slow"));
    }

    #[tokio::test]
    async fn a_failed_run_keeps_nothing_and_may_be_made_again() {
        let (executions, _folder) = executions().await;
        let fail = || async { Err(Problem::new(Code::UpstreamFailed, "no")) };
        assert_eq!(executions.outcome(PAYMENT, fail).await.unwrap_err().code, Code::UpstreamFailed);
        let good = || async { Ok(Bytes::from_static(b"good")) };
        assert_eq!(executions.outcome(PAYMENT, good).await.unwrap(), "good");
    }
}
