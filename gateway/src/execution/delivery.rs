//! Runs whose answers are passed on as they come.
//!
//! An answer that is whole and short is kept and told once it is on disk, as others are. Any other is given once: that
//! it was given is on disk before its head is told. This is taken back, and the run counts as one that failed, if nobody
//! is there to be told, or if the upstream breaks the answer off. A process that is killed in between leaves behind that
//! the answer was given.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use futures::StreamExt as _;
use salt402_protocol::{Code, PaymentId, Problem};
use salt402_store::{Outcome, Store, StoredOutcome, Unserved};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::execution::attempts::{self, Failed, Purchase, unkept};
use crate::meter::Meter;
use crate::upstream::admission::Permit;
use crate::upstream::frames::Frames;

/// The head of an answer that is passed on.
#[derive(Clone, Debug)]
pub(crate) struct PassedHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// What an upstream answered.
pub(crate) enum Answered {
    /// All of it, to be kept.
    Whole(PassedHead, Bytes),
    /// To be given once: what has come of it, and what comes.
    Stream(PassedHead, Bytes, Frames, Permit),
}

/// What a payer is given.
pub(crate) enum Delivered {
    /// An answer that is kept.
    Kept(PassedHead, Bytes),
    /// An answer that is given once.
    Once(PassedHead, Body),
}

/// How a run ended.
#[derive(Clone)]
enum Ending {
    Kept(PassedHead, Bytes),
    /// Whoever is first takes the answer.
    Once,
    Failed(Problem),
}

/// A run under way.
struct Run {
    ending: watch::Sender<Option<Ending>>,
    /// The answer that is given once, until somebody takes it.
    answer: Mutex<Option<Once>>,
    taken: Notify,
    /// Somebody has come who waits.
    came: Notify,
}

struct Once {
    head: PassedHead,
    begun: Bytes,
    rest: Frames,
    permit: Permit,
    attempt: Unserved,
    meter: Option<(Arc<Meter>, Counted)>,
}

/// A payment of which it is still being counted what its answer costs.
struct Counted {
    counted: Arc<Mutex<HashSet<PaymentId>>>,
    payment: PaymentId,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.payment);
    }
}

/// Runs paid requests of services: at most one run at a time per payment.
#[derive(Clone)]
pub(crate) struct Deliveries {
    store: Store,
    runs: u32,
    leave_grace: Duration,
    /// A std mutex, because nothing is awaited while it is held.
    running: Arc<Mutex<HashMap<PaymentId, Arc<Run>>>>,
    /// Payments whose answers are given once and counted, from before it is on disk that they were given until their charge is.
    counted: Arc<Mutex<HashSet<PaymentId>>>,
    /// Told when something is to be charged.
    charged: Arc<Notify>,
    tasks: TaskTracker,
}

/// What is charged of an answer that is given once, for what has passed of it: at its end, or when its client has left.
struct Counting {
    deliveries: Deliveries,
    meter: Arc<Meter>,
    /// `None`: it was charged, or will not be.
    counted: Option<Counted>,
}

impl Counting {
    /// Writes down what is charged.
    async fn charge(deliveries: Deliveries, counted: Counted, meter: Arc<Meter>) {
        let (payment, charge) = (counted.payment, Some(meter.amount()));
        if let Err(error) = deliveries.store.put_charged_outcome_unkept(payment, charge).await {
            tracing::error!(%error, %payment, "what an answer cost could not be written down, and is not charged");
        }
        deliveries.charged.notify_one();
    }

    async fn end(mut self) {
        if let Some(counted) = self.counted.take() {
            Self::charge(self.deliveries.clone(), counted, Arc::clone(&self.meter)).await;
        }
    }

    /// The answer broke off: it is run again, or nothing is charged.
    fn give_up(mut self) {
        self.counted = None;
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(counted) = self.counted.take() {
            let charge = Self::charge(self.deliveries.clone(), counted, Arc::clone(&self.meter));
            self.deliveries.tasks.spawn(charge);
        }
    }
}

impl Deliveries {
    /// Deliveries that are written down in a store. A payment has `runs` runs at most, and a run whose answer is not
    /// kept goes on for `leave_grace` while nobody waits for it.
    pub(crate) fn new(store: Store, runs: u32, leave_grace: Duration, charged: Arc<Notify>) -> Self {
        Self {
            store,
            runs,
            leave_grace,
            running: Arc::default(),
            counted: Arc::default(),
            charged,
            tasks: TaskTracker::new(),
        }
    }

    /// Whether the request of a payment is being run, or its answer is still being counted.
    pub(crate) fn is_running(&self, payment: PaymentId) -> bool {
        // In this order: what is counted was run before, and is counted before it is no more run.
        self.lock().contains_key(&payment)
            || self.counted.lock().unwrap_or_else(PoisonError::into_inner).contains(&payment)
    }

    /// Notes that an answer is counted.
    fn count(&self, payment: PaymentId) -> Counted {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).insert(payment);
        Counted { counted: Arc::clone(&self.counted), payment }
    }

    /// Waits until nothing runs any more. No new run may begin meanwhile.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The answer for a payment: the kept one, that of the run under way, or that of a new run. A run whose answer is
    /// kept goes on without anybody who waits.
    pub(crate) async fn outcome<R, F>(
        &self,
        purchase: Purchase,
        keeps: bool,
        run: R,
    ) -> Result<Delivered, Problem>
    where
        R: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<Answered, Failed>> + Send + 'static,
    {
        let payment = purchase.payment.payment_id;
        let (entry, mut ending) = {
            let mut running = self.lock();
            match running.entry(payment) {
                Entry::Occupied(entry) => {
                    let receiver = entry.get().ending.subscribe();
                    entry.get().came.notify_waiters();
                    (Arc::clone(entry.get()), receiver)
                }
                Entry::Vacant(vacant) => {
                    let (sender, receiver) = watch::channel(None);
                    let entry = Arc::new(Run {
                        ending: sender,
                        answer: Mutex::default(),
                        taken: Notify::new(),
                        came: Notify::new(),
                    });
                    vacant.insert(Arc::clone(&entry));
                    let leaving =
                        Leaving { running: Arc::clone(&self.running), payment, entry: Arc::clone(&entry) };
                    let run = async move { run().await };
                    self.tasks.spawn(self.clone().drive(purchase, keeps, run, leaving));
                    (entry, receiver)
                }
            }
        };
        let ended = match ending.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone(),
            Err(_) => None,
        };
        match ended {
            Some(Ending::Kept(head, body)) => Ok(Delivered::Kept(head, body)),
            Some(Ending::Failed(problem)) => Err(problem),
            Some(Ending::Once) => match entry.take() {
                Some(once) => Ok(self.give(once)),
                None => Err(given()),
            },
            None => Err(broken()),
        }
    }

    async fn drive(
        self,
        purchase: Purchase,
        keeps: bool,
        run: impl Future<Output = Result<Answered, Failed>>,
        leaving: Leaving,
    ) {
        let entry = &leaving.entry;
        let ended = self.ended(purchase, keeps, run, entry).await.unwrap_or_else(Ending::Failed);
        let is_offered = matches!(ended, Ending::Once);
        entry.ending.send_replace(Some(ended));
        if is_offered {
            self.hand_over(&leaving).await;
        }
    }

    async fn ended(
        &self,
        purchase: Purchase,
        keeps: bool,
        run: impl Future<Output = Result<Answered, Failed>>,
        entry: &Run,
    ) -> Result<Ending, Problem> {
        let payment = purchase.payment.payment_id;
        if let Some(known) = self.known(payment).await? {
            return Ok(known);
        }
        let meter = purchase.meter.clone();
        let attempt = attempts::begin(&self.store, self.runs, purchase).await?;
        // Dropped here, the run closes its connection to the upstream.
        let ran = tokio::select! {
            biased;
            ran = run => ran,
            () = entry.left_for(self.leave_grace), if !keeps => Err(left()),
        };
        let (head, begun, rest, permit) = match ran {
            Ok(Answered::Stream(head, begun, rest, permit)) => (head, begun, rest, permit),
            Ok(Answered::Whole(head, body)) => {
                let outcome = kept(&head, body.to_vec());
                let charge = meter.map(|meter| {
                    meter.begin(&head.headers);
                    meter.pass(&body);
                    meter.amount()
                });
                self.store.put_charged_outcome(payment, outcome, charge).await.map_err(unkept)?;
                self.charged.notify_one();
                return Ok(Ending::Kept(head, body));
            }
            Err(failed) => return Err(self.failed(attempt, failed, meter.is_some()).await?),
        };
        if !entry.is_awaited_within(self.leave_grace).await {
            return Err(self.failed(attempt, left(), meter.is_some()).await?);
        }
        self.store.put_outcome_unkept(payment).await.map_err(unkept)?;
        let meter = meter.map(|meter| {
            meter.begin(&head.headers);
            (meter, self.count(payment))
        });
        *entry.lock() = Some(Once { head, begun, rest, permit, attempt, meter });
        Ok(Ending::Once)
    }

    /// Waits until somebody has taken the answer that is offered. If nobody is there any more, it was not given.
    async fn hand_over(&self, leaving: &Leaving) {
        let entry = &leaving.entry;
        loop {
            let taken = entry.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            if entry.lock().is_none() {
                return;
            }
            tokio::select! {
                () = taken => {}
                () = entry.ending.closed() => {}
            }
            let left = {
                let _running = self.lock();
                if entry.ending.receiver_count() > 0 {
                    continue;
                }
                let left = entry.take();
                if left.is_some() {
                    // Whoever comes now waits until the disk no longer says that it was given.
                    entry.ending.send_replace(None);
                }
                left
            };
            if let Some(Once { attempt, meter, .. }) = left {
                let failed = Failed::ran("the payer left before the answer reached it");
                let told = self.not_given(attempt, failed, meter.is_some()).await.unwrap_or_else(|error| {
                    tracing::error!(detail = error.detail, "an answer that nobody took counts as given");
                    error
                });
                entry.ending.send_replace(Some(Ending::Failed(told)));
            }
            return;
        }
    }

    /// The answer's body. If the upstream breaks it off, it was not given, which is on disk before the payer learns it.
    fn give(&self, once: Once) -> Delivered {
        let Once { head, begun, rest, permit, attempt, meter } = once;
        let this = self.clone();
        let counting = meter.map(|(meter, counted)| {
            meter.pass(&begun);
            Counting { deliveries: self.clone(), meter, counted: Some(counted) }
        });
        let begun = futures::stream::iter((!begun.is_empty()).then_some(Ok(begun)));
        let rest = futures::stream::unfold(Some((rest, permit, attempt, counting)), move |state| {
            let this = this.clone();
            async move {
                let (mut rest, permit, attempt, counting) = state?;
                let Some(next) = rest.next().await else {
                    // The end waits until what the answer cost is on disk.
                    if let Some(counting) = counting {
                        counting.end().await;
                    }
                    return None;
                };
                match next {
                    Ok(piece) => {
                        if let Some(counting) = &counting {
                            counting.meter.pass(&piece);
                        }
                        Some((Ok(piece), Some((rest, permit, attempt, counting))))
                    }
                    Err(error) => {
                        drop((rest, permit));
                        let by_use = counting.is_some();
                        if let Some(counting) = counting {
                            counting.give_up();
                        }
                        let failed = Failed { class: error.class(), ..Failed::ran(error.of_service()) };
                        let noted = this.tasks.spawn({
                            let this = this.clone();
                            async move { this.not_given(attempt, failed, by_use).await }
                        });
                        if !matches!(noted.await, Ok(Ok(_))) {
                            tracing::error!("an answer that broke off counts as given");
                        }
                        Some((Err(error), None))
                    }
                }
            }
        });
        Delivered::Once(head, Body::from_stream(begun.chain(rest)))
    }

    /// Takes back that an answer was given, and notes that its run failed. Returns what its payer is told.
    async fn not_given(&self, attempt: Unserved, failed: Failed, by_use: bool) -> Result<Problem, Problem> {
        self.store.retract_outcome_unkept(attempt.payment).await.map_err(unkept)?;
        self.failed(attempt, failed, by_use).await
    }

    /// Notes on disk that an attempt failed. Returns what its payer is told.
    async fn failed(&self, mut attempt: Unserved, failed: Failed, by_use: bool) -> Result<Problem, Problem> {
        let told = attempts::failed(&mut attempt, self.runs, failed);
        if by_use && attempt.ended {
            let told = attempts::give_up(&self.store, attempt.payment).await?;
            self.charged.notify_one();
            return Ok(told);
        }
        self.store.put_unserved(attempt).await.map_err(unkept)?;
        Ok(told)
    }

    /// What became of a payment's request before.
    async fn known(&self, payment: PaymentId) -> Result<Option<Ending>, Problem> {
        Ok(match self.store.outcome(payment).await.map_err(unkept)? {
            None => None,
            Some(StoredOutcome::Evicted) => return Err(given()),
            Some(StoredOutcome::Kept { outcome: Outcome { status, headers, body }, .. }) => {
                let header = |(name, value): (String, String)| {
                    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                    Some((name, HeaderValue::from_str(&value).ok()?))
                };
                let head = PassedHead {
                    status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
                    headers: headers.into_iter().filter_map(header).collect(),
                };
                Some(Ending::Kept(head, body.into()))
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PaymentId, Arc<Run>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    fn lock(&self) -> MutexGuard<'_, Option<Once>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Once> {
        let once = self.lock().take();
        self.taken.notify_waiters();
        once
    }

    /// Waits until nobody has waited for so long.
    async fn left_for(&self, grace: Duration) {
        loop {
            self.ending.closed().await;
            if !self.is_awaited_within(grace).await {
                return;
            }
        }
    }

    /// Whether somebody waits, or does within a time.
    async fn is_awaited_within(&self, grace: Duration) -> bool {
        let until = Instant::now() + grace;
        loop {
            let came = self.came.notified();
            tokio::pin!(came);
            came.as_mut().enable();
            if self.ending.receiver_count() > 0 {
                return true;
            }
            if timeout_at(until, came).await.is_err() {
                return false;
            }
        }
    }
}

/// Removes a run from those under way, even if it panics. Those who wait are then told that it broke off.
struct Leaving {
    running: Arc<Mutex<HashMap<PaymentId, Arc<Run>>>>,
    payment: PaymentId,
    entry: Arc<Run>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(&self.payment).is_some_and(|entry| Arc::ptr_eq(entry, &self.entry)) {
            running.remove(&self.payment);
        }
        drop(running);
        self.entry.ending.send_if_modified(|ending| {
            let unended = ending.is_none();
            ending.get_or_insert_with(|| Ending::Failed(broken()));
            unended
        });
    }
}

fn kept(head: &PassedHead, body: Vec<u8>) -> Outcome {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    Outcome { status: head.status.as_u16(), headers: head.headers.iter().filter_map(text).collect(), body }
}

fn left() -> Failed {
    Failed::ran("the payer left before the answer began")
}

fn given() -> Problem {
    Problem::new(
        Code::OutcomeGone,
        "this payment's request was run, and its answer was given; it is not kept, so it is given once",
    )
}

fn broken() -> Problem {
    Problem::new(Code::Internal, "the run broke off; nothing was answered, show the same proof again")
        .retry_after(1000)
}
