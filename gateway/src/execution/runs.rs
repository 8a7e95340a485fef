//! Runs: at most one at a time per payment, and at most one outcome for ever.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use salt402_protocol::{Amount, Code, PaymentId, Problem};
use salt402_store::{Outcome, Store, StoredOutcome};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::execution::attempts::{self, Failed, LEAST_LEFT_S, Purchase, Terms, unkept};
use crate::execution::reader::{Given, Reader};
use crate::execution::recording::{Answer, CONTENT_TYPE, Ending, Head, MODEL_HEADER, Recorder, Recording};
use crate::meter::Meter;
use crate::upstream::failure::FailureClass;

const JSON: &str = "application/json";

/// How many KiB of streams are read from their files at once to be put into the store.
const KEPT_AT_ONCE_KIB: u32 = 4 * 1024;

/// How much runs may take.
#[derive(Clone, Debug)]
pub(crate) struct ExecutionLimits {
    /// How many runs a payment may have.
    pub(crate) runs: u32,
    /// How long the run of a stream goes on that nobody reads.
    pub(crate) leave_grace: Duration,
    /// The longest answer of a stream that is kept, in bytes. A longer one is given once.
    pub(crate) largest_kept: u64,
    /// How long a stream may take at the most after it has begun.
    pub(crate) longest: Duration,
    /// How many bytes a second its readers must take while its run waits for them. 0: any.
    pub(crate) least_rate: u64,
    /// The folder of the files of streams. They have no names, and are gone with the process.
    pub(crate) folder: PathBuf,
}

/// Runs paid requests.
#[derive(Clone)]
pub(crate) struct Executions {
    pub(super) store: Store,
    runs: u32,
    leave_grace: Duration,
    largest_kept: u64,
    longest: Duration,
    least_rate: u64,
    folder: Arc<PathBuf>,
    /// A std mutex, because nothing is awaited while it is held.
    pub(super) running: Arc<Mutex<HashMap<PaymentId, Arc<Recording>>>>,
    /// KiB of memory for streams that are put into the store.
    keeping: Arc<Semaphore>,
    /// Told when something is to be charged.
    pub(crate) charged: Arc<Notify>,
    tasks: TaskTracker,
}

impl Executions {
    /// Executions that keep their outcomes in a store.
    pub(crate) fn new(store: Store, limits: ExecutionLimits) -> Self {
        let ExecutionLimits { runs, leave_grace, largest_kept, longest, least_rate, folder } = limits;
        let keeping = Arc::new(Semaphore::new(KEPT_AT_ONCE_KIB as usize));
        let (folder, running, tasks) = (Arc::new(folder), Arc::default(), TaskTracker::new());
        let charged = Arc::default();
        Self {
            store,
            runs,
            leave_grace,
            largest_kept,
            longest,
            least_rate,
            folder,
            running,
            keeping,
            charged,
            tasks,
        }
    }

    /// Waits until nothing runs any more. No new run may begin meanwhile.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Does something that [`Executions::finish`] waits for, also when the caller is dropped.
    pub(crate) fn go_on<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(work)
    }

    /// Whether nothing new is begun, because the process ends.
    pub(crate) fn is_ending(&self) -> bool {
        self.tasks.is_closed()
    }

    /// The outcome for a payment whose request has a whole answer: the kept one, that of the run under way, or that of
    /// a new run.
    ///
    /// The run goes on when the caller is dropped, as happens when a payer's connection breaks. The payer gets the
    /// outcome when it asks again.
    pub(crate) async fn outcome<R, F>(&self, purchase: Purchase, run: R) -> Result<Given, Problem>
    where
        R: FnOnce() -> F,
        F: Future<Output = Result<(Head, Bytes), Failed>> + Send + 'static,
    {
        let payment = purchase.payment.payment_id;
        let whole = |this: Self, _| {
            let run = Box::pin(run());
            async move { this.whole(purchase, run).await }
        };
        self.follow(payment, whole)?.given().await
    }

    /// The outcome for a payment whose request has a streamed answer: the kept one, the stream under way from its
    /// start, or that of a new run. The run returns the last piece, which is given once the outcome is on disk.
    ///
    /// When nobody has read the stream for a while, the run is dropped.
    pub(crate) async fn stream<R, F>(&self, purchase: Purchase, run: R) -> Result<Given, Problem>
    where
        R: FnOnce(Recorder) -> F,
        F: Future<Output = Result<Bytes, Failed>> + Send + 'static,
    {
        let payment = purchase.payment.payment_id;
        let stream = |this: Self, recording: Arc<Recording>| {
            let run = Box::pin(run(Recorder::new(Arc::clone(&recording))));
            async move { this.streamed(purchase, recording, run).await }
        };
        self.follow(payment, stream)?.given().await
    }

    /// A reader of the run under way, or of a new one.
    ///
    /// Futures are boxed here and where they are given: one that is moved into another is in it twice, as what was given and
    /// as what is awaited, and each stream holds all of it.
    fn follow<F>(
        &self,
        payment: PaymentId,
        run: impl FnOnce(Self, Arc<Recording>) -> F,
    ) -> Result<Reader, Problem>
    where
        F: Future<Output = Result<Ending, Problem>> + Send + 'static,
    {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match running.entry(payment) {
            Entry::Occupied(entry) => return Reader::of(entry.get()),
            Entry::Vacant(entry) => entry,
        };
        let recording =
            Arc::new(Recording::new(Arc::clone(&self.folder), self.largest_kept, self.least_rate));
        let reader = Reader::of(&recording)?;
        entry.insert(Arc::clone(&recording));
        let leaving =
            Leaving { running: Arc::clone(&self.running), payment, recording: Arc::clone(&recording) };
        let run = Box::pin(run(self.clone(), recording));
        self.tasks.spawn(async move {
            let ending = run.await.unwrap_or_else(Ending::Failed);
            leaving.recording.end(ending);
        });
        Ok(reader)
    }

    async fn whole(
        &self,
        purchase: Purchase,
        run: impl Future<Output = Result<(Head, Bytes), Failed>>,
    ) -> Result<Ending, Problem> {
        let payment = purchase.payment.payment_id;
        if let Some(known) = self.known(payment).await? {
            return Ok(known);
        }
        let (meter, terms, latest) = (purchase.meter.clone(), purchase.terms(), purchase.latest());
        let attempt = attempts::begin(&self.store, self.runs, purchase).await?;
        let ran = tokio::select! {
            biased;
            ran = run => ran,
            failed = attempts::too_late(latest) => Err(failed),
        };
        match ran {
            // Nobody has it, so nobody pays for it.
            Ok(_) if meter.as_ref().is_some_and(|meter| meter.has_ended()) => {
                let told = attempts::give_up(&self.store, payment).await?;
                self.charged.notify_one();
                Err(told)
            }
            Ok((head, body)) => {
                let charge = meter.as_ref().map(|meter| meter.amount());
                let kept = outcome(&head, body.to_vec());
                let kept_at_ms =
                    self.store.put_charged_outcome(payment, kept, charge).await.map_err(unkept)?;
                self.charged.notify_one();
                Ok(Ending::Answered(Answer { head, body, kept_at_ms }))
            }
            Err(failed) => Err(self.failed(attempt, failed, terms).await?),
        }
    }

    async fn streamed(
        &self,
        purchase: Purchase,
        recording: Arc<Recording>,
        run: impl Future<Output = Result<Bytes, Failed>>,
    ) -> Result<Ending, Problem> {
        let payment = purchase.payment.payment_id;
        if let Some(known) = self.known(payment).await? {
            return Ok(known);
        }
        let (meter, terms) = (purchase.meter.clone(), purchase.terms());
        let longest = purchase.within.map_or(self.longest, |within| within.min(self.longest));
        let attempt = attempts::begin(&self.store, self.runs, purchase).await?;
        let mut too_long = None;
        // Both are dropped here, and the run with its connection to the model server.
        let ended = tokio::select! {
            biased;
            ended = run => ended,
            () = recording.left_for(self.leave_grace) => {
                metrics::counter!("salt402_gateway_streams_left_total").increment(1);
                Err(Failed::left("the payer left before the answer ended"))
            }
            detail = too_long_for(&recording, longest, meter.as_deref()) => {
                metrics::counter!("salt402_gateway_streams_too_long_total").increment(1);
                too_long = Some(detail.clone());
                Err(Failed::ran(detail))
            }
        };
        let tab = meter.as_ref().and_then(|meter| meter.tab());
        let has_left = matches!(ended, Err(Failed { class: FailureClass::Left, .. }));
        // What is on disk is what was given.
        let is_cut = has_left || too_long.is_some();
        if is_cut
            && let Some(tab) = tab
            && self.store.end_delivery(payment).await.map_err(unkept)?
        {
            tab.ended(true);
            self.charged.notify_one();
            return Ok(cut(too_long, meter.as_deref()));
        }
        // A server has read it all the same. Whoever comes back has it run again, and pays for both.
        if has_left
            && recording.lock().head.is_none()
            && let Some(used) =
                meter.as_ref().map(|meter| meter.used_for_nothing()).filter(|used| !used.is_zero())
        {
            self.store.sink(payment, used, LEAST_LEFT_S * 1000).await.map_err(unkept)?;
        }
        // Who leaves has got what was written, which is charged, and kept for it as far as it came.
        let ended = match (ended, &meter) {
            (Err(_), Some(_)) if is_cut && recording.lock().head.is_some() => Ok(Bytes::new()),
            (ended, _) => ended,
        };
        match ended {
            Ok(last) => {
                let charge = meter.as_ref().map(|meter| meter.charged());
                self.keep(payment, &recording, &last, charge).await?;
                if let Some(tab) = tab {
                    tab.ended(is_cut);
                }
                self.charged.notify_one();
                Ok(if is_cut { cut(too_long, meter.as_deref()) } else { Ending::Complete(last) })
            }
            Err(failed) => Err(self.failed(attempt, failed, terms).await?),
        }
    }

    /// Puts what was streamed into the store. What is too long is known to have been given, and no more.
    async fn keep(
        &self,
        payment: PaymentId,
        recording: &Arc<Recording>,
        last: &Bytes,
        charge: Option<Amount>,
    ) -> Result<(), Problem> {
        let length = recording.length(last);
        let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, KEPT_AT_ONCE_KIB);
        let whole = if length > self.largest_kept {
            None
        } else {
            // Never closed.
            let room = Arc::clone(&self.keeping).acquire_many_owned(kib).await.ok();
            let (recording, last) = (Arc::clone(recording), last.clone());
            let all = tokio::task::spawn_blocking(move || recording.all(&last)).await;
            all.map_err(std::io::Error::from).flatten().map_err(unread)?.map(|all| (all, room))
        };
        let head = recording.lock().head.clone();
        match (head, whole) {
            (Some(head), Some((all, _room))) => {
                let kept = outcome(&head, all);
                self.store.put_charged_outcome(payment, kept, charge).await.map_err(unkept)?;
            }
            // A run that wrote no head gave nothing to anybody.
            (None, _) => return Err(broken()),
            (Some(_), None) => {
                tracing::warn!(%payment, length, "a stream was too long to be kept, and was given once");
                self.store.put_charged_outcome_unkept(payment, charge).await.map_err(unkept)?;
            }
        }
        Ok(())
    }

    /// What became of a payment's request before.
    async fn known(&self, payment: PaymentId) -> Result<Option<Ending>, Problem> {
        match self.store.outcome(payment).await.map_err(unkept)? {
            Some(StoredOutcome::Kept { outcome, kept_at_ms }) => {
                let Outcome { status, headers, body } = outcome;
                let header = |wanted: &str| {
                    let found = headers.iter().find(|(name, _)| name == wanted);
                    found.map(|(_, value)| value.clone())
                };
                let content_type = header(CONTENT_TYPE).unwrap_or_else(|| JSON.to_owned());
                let head = Head { status, content_type, model: header(MODEL_HEADER) };
                Ok(Some(Ending::Answered(Answer { head, body: body.into(), kept_at_ms })))
            }
            Some(StoredOutcome::Evicted) => Err(Problem::new(
                Code::OutcomeGone,
                "this payment's request was run, its answer was given and is no longer kept",
            )),
            None => Ok(None),
        }
    }

    /// Notes on disk that an attempt failed. Returns what its payer is told.
    async fn failed(
        &self,
        attempt: salt402_store::Unserved,
        failed: Failed,
        terms: Terms,
    ) -> Result<Problem, Problem> {
        attempts::note_failed(&self.store, self.runs, attempt, failed, terms, &self.charged).await
    }
}

/// Waits until a stream has taken too long since it began: what is charged of it must be settled while that is authorized.
async fn too_long_for(recording: &Recording, longest: Duration, meter: Option<&Meter>) -> String {
    recording.begun().await;
    match meter.and_then(Meter::left).filter(|left| *left < longest) {
        Some(left) => {
            tokio::time::sleep(left).await;
            "the stream went on until its authorization had to be settled".to_owned()
        }
        None => {
            tokio::time::sleep(longest).await;
            format!("the stream took longer than {} s", longest.as_secs())
        }
    }
}

fn outcome(head: &Head, body: Vec<u8>) -> Outcome {
    Outcome { status: head.status, headers: head.headers(), body }
}

/// The end of a stream that is charged by use, was cut off, and is on disk.
fn cut(too_long: Option<String>, meter: Option<&Meter>) -> Ending {
    let Some(detail) = too_long else { return Ending::Complete(Bytes::new()) };
    let charged = meter.map_or(Amount::ZERO, Meter::charged);
    let detail = format!("{detail}, and has ended: {charged} base units are charged for what was given");
    Ending::Failed(Problem::new(Code::StreamEnded, detail))
}

/// Removes a run from those under way, even if it panics. Those who read are then told that it broke off.
struct Leaving {
    running: Arc<Mutex<HashMap<PaymentId, Arc<Recording>>>>,
    payment: PaymentId,
    recording: Arc<Recording>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.payment);
        self.recording.end(Ending::Failed(broken()));
    }
}

fn broken() -> Problem {
    Problem::new(Code::Internal, "the run broke off; nothing more was answered, show the same proof again")
        .retry_after(1000)
}

fn unread(error: std::io::Error) -> Problem {
    tracing::error!(%error, "what a run has written could not be read");
    Problem::new(Code::Internal, "the answer could not be kept and is not given; show the same proof again")
        .retry_after(1000)
}
