//! An answer that is given once, on its way to its client, and what is noted of it.
//!
//! If the upstream breaks it off, it was not given, which is on disk before the payer learns it. Where what passes is charged, that is
//! on disk before its end, and while it can still be settled, whether its client takes more or not: nothing passes after that. Whoever
//! keeps the upstream waiting until it breaks the answer off pays for what has passed, as whoever leaves does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use futures::StreamExt as _;
use salt402_protocol::{Amount, PaymentId, Problem};
use salt402_store::{Store, Unserved};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::execution::attempts::{self, Failed, Terms, unkept};
use crate::meter::Meter;
use crate::upstream::admission::Permit;
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::frames::Frames;

/// How long a client may take to ask for the next piece. Upstreams break off what nobody reads.
const SLOW: Duration = Duration::from_secs(5);

/// The head of an answer that is passed on.
#[derive(Clone, Debug)]
pub(crate) struct PassedHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// What is noted of runs.
#[derive(Clone)]
pub(super) struct Noting {
    pub(super) store: Store,
    /// How many runs a payment has at the most.
    pub(super) runs: u32,
    /// Told when something is to be charged.
    pub(super) charged: Arc<Notify>,
    pub(super) tasks: TaskTracker,
}

impl Noting {
    pub(super) fn new(store: Store, runs: u32, charged: Arc<Notify>) -> Self {
        Self { store, runs, charged, tasks: TaskTracker::new() }
    }

    /// Takes back that an answer was given, and notes that its run failed. Returns what its payer is told.
    pub(super) async fn not_given(
        &self,
        attempt: Unserved,
        failed: Failed,
        terms: Terms,
    ) -> Result<Problem, Problem> {
        self.store.retract_outcome_unkept(attempt.payment).await.map_err(unkept)?;
        self.failed(attempt, failed, terms).await
    }

    /// Notes on disk that an attempt failed. Returns what its payer is told.
    pub(super) async fn failed(
        &self,
        attempt: Unserved,
        failed: Failed,
        terms: Terms,
    ) -> Result<Problem, Problem> {
        attempts::note_failed(&self.store, self.runs, attempt, failed, terms, &self.charged).await
    }

    /// Writes down what is charged of an answer that was given once.
    async fn charge(self, payment: PaymentId, amount: Amount) {
        if let Err(error) = self.store.put_charged_outcome_unkept(payment, Some(amount)).await {
            tracing::error!(%error, %payment, "what an answer cost could not be written down, and is not charged");
        }
        self.charged.notify_one();
    }
}

/// An answer that is given once: its head, what has come of it, and what comes.
pub(super) struct Once {
    pub(super) head: PassedHead,
    pub(super) begun: Bytes,
    pub(super) rest: Frames,
    pub(super) permit: Permit,
    pub(super) attempt: Unserved,
    pub(super) meter: Option<Arc<Meter>>,
    /// Until when what passes of it can be charged.
    pub(super) until: Option<Instant>,
    pub(super) terms: Terms,
}

impl Once {
    /// Its head and its body.
    pub(super) fn give(self, noting: &Noting) -> (PassedHead, Body) {
        let Self { head, begun, rest, permit, attempt, meter, until, terms } = self;
        let counting = meter.map(|meter| {
            let counting = Counting::new(noting.clone(), attempt.payment, meter);
            counting.pass(&begun);
            Arc::new(counting)
        });
        let end = counting.as_ref().zip(until).map(|(counting, until)| {
            let counting = Arc::downgrade(counting);
            // Also where its client takes nothing more, so that nobody asks for the next piece.
            AbortOnDropHandle::new(tokio::spawn(async move {
                tokio::time::sleep_until(until).await;
                if let Some(counting) = counting.upgrade() {
                    counting.end().await;
                }
            }))
        });
        let noting = noting.clone();
        let begun = futures::stream::iter((!begun.is_empty()).then_some(Ok(begun)));
        let passing = Passing {
            rest,
            permit,
            attempt,
            counting,
            _end: end,
            terms,
            noting,
            passed: None,
            slowest: Duration::ZERO,
        };
        let rest = futures::stream::unfold(Some(passing), |passing| async move { passing?.next().await });
        (head, Body::from_stream(begun.chain(rest)))
    }
}

/// What is charged of an answer that is given once, for what has passed of it: at its end, when its client has left, or when it can be
/// charged no longer.
struct Counting {
    noting: Noting,
    payment: PaymentId,
    meter: Arc<Meter>,
    /// Whether it was not charged yet, and may be. What passes is counted under the same lock. A std mutex, because nothing is awaited
    /// while it is held.
    is_open: Mutex<bool>,
}

impl Counting {
    fn new(noting: Noting, payment: PaymentId, meter: Arc<Meter>) -> Self {
        Self { noting, payment, meter, is_open: Mutex::new(true) }
    }

    fn is_open(&self) -> MutexGuard<'_, bool> {
        self.is_open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a piece, which may be given then. `false`: it was charged without this piece.
    fn pass(&self, piece: &[u8]) -> bool {
        let is_open = self.is_open();
        if *is_open {
            self.meter.pass(piece);
        }
        *is_open
    }

    fn charge(&self) -> Option<JoinHandle<()>> {
        let amount = {
            let mut is_open = self.is_open();
            std::mem::take(&mut *is_open).then(|| self.meter.amount())?
        };
        Some(self.noting.tasks.spawn(self.noting.clone().charge(self.payment, amount)))
    }

    /// Waits until it is on disk. It goes on if nobody waits for it.
    async fn end(&self) {
        if let Some(charging) = self.charge() {
            let _ = charging.await;
        }
    }

    /// The answer broke off: it is run again, or nothing is charged. `false`: it was charged before.
    fn give_up(&self) -> bool {
        std::mem::take(&mut *self.is_open())
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        drop(self.charge());
    }
}

/// What comes of an answer, and how fast its client takes it.
struct Passing {
    rest: Frames,
    permit: Permit,
    attempt: Unserved,
    counting: Option<Arc<Counting>>,
    /// Ends it in time.
    _end: Option<AbortOnDropHandle<()>>,
    terms: Terms,
    noting: Noting,
    /// When its client got the last piece.
    passed: Option<Instant>,
    /// The longest time that its client took to ask for another.
    slowest: Duration,
}

impl Passing {
    /// The next piece, and what comes after it.
    async fn next(mut self) -> Option<(Result<Bytes, UpstreamError>, Option<Self>)> {
        self.slowest = self.slowest.max(self.passed.map_or(Duration::ZERO, |passed| passed.elapsed()));
        let Some(next) = self.rest.next().await else {
            if let Some(counting) = self.counting {
                counting.end().await;
            }
            return None;
        };
        let error = match next {
            // Nobody pays for the rest.
            Ok(piece) if !self.counting.as_ref().is_none_or(|counting| counting.pass(&piece)) => {
                return Some((Err(Failure::BrokenOff.into()), None));
            }
            Ok(piece) => {
                self.passed = Some(Instant::now());
                return Some((Ok(piece), Some(self)));
            }
            Err(error) => error,
        };
        let Self { rest, permit, attempt, counting, terms, noting, slowest, .. } = self;
        drop((rest, permit));
        match counting {
            Some(counting) if slowest >= SLOW => {
                counting.end().await;
                return Some((Err(error), None));
            }
            Some(counting) if !counting.give_up() => return Some((Err(error), None)),
            Some(_) | None => {}
        }
        let failed = Failed { class: error.class(), ..Failed::ran(error.of_service()) };
        let noted = noting.tasks.spawn({
            let noting = noting.clone();
            async move { noting.not_given(attempt, failed, terms).await }
        });
        if !matches!(noted.await, Ok(Ok(_))) {
            tracing::error!("an answer that broke off counts as given");
        }
        Some((Err(error), None))
    }
}
