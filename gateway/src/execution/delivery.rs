//! Runs whose answers are passed on as they come.
//!
//! An answer that is whole and short is kept and told once it is on disk, as others are. Any other is given once: that
//! it was given is on disk before its head is told. This is taken back, and the run counts as one that failed, if nobody
//! is there to be told, or if the upstream breaks the answer off. A process that is killed in between leaves behind that
//! the answer was given.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use salt402_protocol::{Code, PaymentId, Problem};
use salt402_store::{Outcome, Store, StoredOutcome};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::execution::attempts::{self, Failed, Purchase, unkept};
use crate::execution::once::{Noting, Once, PassedHead};
use crate::upstream::admission::Permit;
use crate::upstream::frames::Frames;

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

/// Runs paid requests of services: at most one run at a time per payment.
#[derive(Clone)]
pub(crate) struct Deliveries {
    noting: Noting,
    leave_grace: Duration,
    /// A std mutex, because nothing is awaited while it is held.
    running: Arc<Mutex<HashMap<PaymentId, Arc<Run>>>>,
}

impl Deliveries {
    /// Deliveries that are written down in a store. A payment has `runs` runs at most, and a run whose answer is not
    /// kept goes on for `leave_grace` while nobody waits for it.
    pub(crate) fn new(store: Store, runs: u32, leave_grace: Duration, charged: Arc<Notify>) -> Self {
        Self { noting: Noting::new(store, runs, charged), leave_grace, running: Arc::default() }
    }

    /// Waits until nothing runs any more. No new run may begin meanwhile.
    pub(crate) async fn finish(&self) {
        self.noting.tasks.close();
        self.noting.tasks.wait().await;
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
                    self.noting.tasks.spawn(self.clone().drive(purchase, keeps, run, leaving));
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
                Some(once) => {
                    let (head, body) = once.give(&self.noting);
                    Ok(Delivered::Once(head, body))
                }
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
        let (meter, terms) = (purchase.meter.clone(), purchase.terms());
        let latest = purchase.latest();
        let attempt = attempts::begin(&self.noting.store, self.noting.runs, purchase).await?;
        // Dropped here, the run closes its connection to the upstream.
        let ran = tokio::select! {
            biased;
            ran = run => ran,
            () = entry.left_for(self.leave_grace), if !keeps => Err(left()),
            failed = attempts::too_late(latest) => Err(failed),
        };
        let (head, begun, rest, permit) = match ran {
            // Nobody has it, so nobody pays for it.
            Ok(_) if meter.as_ref().is_some_and(|meter| meter.has_ended()) => {
                let told = attempts::give_up(&self.noting.store, payment).await?;
                self.noting.charged.notify_one();
                return Err(told);
            }
            Ok(Answered::Whole(head, body)) => {
                let outcome = kept(&head, body.to_vec());
                // It is under way until that is on disk.
                let charge = meter.as_ref().map(|meter| {
                    meter.begin(&head.headers);
                    meter.pass(&body);
                    meter.amount()
                });
                self.noting.store.put_charged_outcome(payment, outcome, charge).await.map_err(unkept)?;
                self.noting.charged.notify_one();
                return Ok(Ending::Kept(head, body));
            }
            Ok(Answered::Stream(head, begun, rest, permit)) => (head, begun, rest, permit),
            Err(failed) => return Err(self.noting.failed(attempt, failed, terms).await?),
        };
        if !entry.is_awaited_within(self.leave_grace).await {
            return Err(self.noting.failed(attempt, left(), terms).await?);
        }
        self.noting.store.put_outcome_unkept(payment).await.map_err(unkept)?;
        if let Some(meter) = &meter {
            meter.begin(&head.headers);
        }
        let ends = meter.as_ref().and_then(|meter| meter.left()).map(|left| Instant::now() + left);
        let until = [latest, ends].into_iter().flatten().min();
        *entry.lock() = Some(Once { head, begun, rest, permit, attempt, meter, until, terms });
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
            if let Some(Once { attempt, terms, .. }) = left {
                let failed = Failed::ran("the payer left before the answer reached it");
                let told = self.noting.not_given(attempt, failed, terms).await.unwrap_or_else(|error| {
                    tracing::error!(detail = error.detail, "an answer that nobody took counts as given");
                    error
                });
                entry.ending.send_replace(Some(Ending::Failed(told)));
            }
            return;
        }
    }

    /// What became of a payment's request before.
    async fn known(&self, payment: PaymentId) -> Result<Option<Ending>, Problem> {
        Ok(match self.noting.store.outcome(payment).await.map_err(unkept)? {
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
