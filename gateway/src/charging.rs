//! Charging what was used: what was authorized is reserved before a request is run, what it used is written down with its answer, and
//! then moved or counted, by this process or by the next one.
//!
//! Each row of the store is one step on its way, and says which one is next:
//!
//! | row | after a crash |
//! | --- | --- |
//! | none | nothing was run: whoever shows the same again begins |
//! | running | whoever shows the same again has it run again; if nobody does until the authorization ends, nothing is charged |
//! | charged | it is moved or counted, whether or not anybody asks |
//! | unpaid | it is tried again, until its authorization has ended; its payer is served nothing more in this way until it is settled, or its operator writes it off |
//! | settled, written off | nothing |

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use salt402_http::clock::now_ms;
use salt402_paywall::{Authorized, Capture, Moved, Paywall};
use salt402_protocol::api::PaymentView;
use salt402_protocol::{Amount, Code, PaymentId, Problem, RequestDigest};
use salt402_store::{Begun, Charge, ChargeState, NewCharge, Store, StoreError};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::execution::{Deliveries, Executions, given_up};

/// How often it is looked for what is to be done.
const TICK: Duration = Duration::from_secs(1);
/// How many charges are moved at once.
const AT_ONCE: usize = 16;
/// How many requests one payer may have open that a facilitator settles.
const MOST_OPEN: u64 = 64;
/// How many are read at once.
const PAGE: u32 = 256;
/// For how long an authorization must still be good when its request is begun, in seconds.
const LEAST_LEFT_S: u64 = 30;
/// When a voucher's authorization is given up if nobody has its request run, in milliseconds.
const VOUCHER_MS: u64 = 24 * 3600 * 1000;
/// The pause after the first try. Each is twice the one before, up to the longest.
const PAUSE_MS: u64 = 2_000;
const LONGEST_PAUSE_MS: u64 = 60_000;
/// The longest pause of what was refused.
const LONGEST_REFUSED_MS: u64 = 15 * 60_000;
/// For how long after its authorization has ended something that was refused is tried once more: the chain's clock may be behind, and
/// a transaction of before may still be mined.
const AFTER_END_MS: u64 = LONGEST_REFUSED_MS;

/// Charges what was used. Clones share one state.
#[derive(Clone)]
pub(crate) struct Charging {
    store: Store,
    paywall: Arc<Paywall>,
    /// Charges that are being moved. A std mutex, because nothing is awaited while it is held.
    busy: Arc<Mutex<HashSet<PaymentId>>>,
    /// One of them has ended.
    freed: Arc<Notify>,
    /// Something was charged.
    charged: Arc<Notify>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Whether a request may be run that was authorized.
pub(crate) enum May {
    /// It may.
    Run {
        /// Whether it was not begun before.
        first: bool,
    },
    /// It was run, and this was charged; its answer is kept, or was.
    Ran,
}

impl Charging {
    pub(crate) fn new(store: Store, paywall: Paywall, charged: Arc<Notify>) -> Self {
        Self {
            store,
            paywall: Arc::new(paywall),
            busy: Arc::default(),
            freed: Arc::default(),
            charged,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Moves and counts what is charged until [`Charging::finish`].
    pub(crate) fn begin(&self, executions: &Executions, deliveries: &Deliveries) {
        let (this, executions, deliveries) = (self.clone(), executions.clone(), deliveries.clone());
        self.tasks.spawn(async move {
            let is_running = |payment| executions.is_running(payment) || deliveries.is_running(payment);
            this.stop.clone().run_until_cancelled(this.keep(&is_running)).await;
        });
    }

    /// Ends after what is being moved.
    pub(crate) async fn finish(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Reserves what was authorized for a request, on disk, before it is run.
    pub(crate) async fn reserve(
        &self,
        payment: &PaymentView,
        request: RequestDigest,
        authorized: &Authorized,
    ) -> Result<May, Problem> {
        let now_ms = now_ms();
        let left_s = authorized.ends_at.map(|ends_at| ends_at.saturating_sub(now_ms / 1000));
        let ends_at_ms = authorized
            .ends_at
            .map_or(now_ms.saturating_add(VOUCHER_MS), |ends_at| ends_at.saturating_mul(1000));
        let new = NewCharge {
            payment: payment.payment_id,
            chain: payment.chain,
            payer: payment.payer,
            request: request.0,
            ceiling: payment.amount,
            question: authorized.question.as_ref().map(|question| question.to_vec()),
            most_open: self.paywall.signed.as_ref().and_then(|way| way.most_open),
            most_open_requests: MOST_OPEN,
            ends_at_ms,
            now_ms,
        };
        // It is given up on disk, so that it stands in for nothing that is signed anew. One that was begun goes on.
        if left_s.is_some_and(|left| left < LEAST_LEFT_S)
            && self.store.give_up_charge(new.clone()).await.map_err(failed)?
        {
            self.moved(payment.payment_id).await?;
            let detail = format!(
                "what was signed ends in less than {LEAST_LEFT_S} seconds, and what is used is settled after that: sign anew, \
                 for maxTimeoutSeconds"
            );
            return Err(Problem::new(Code::SignatureRefused, detail));
        }
        match self.store.begin_charge(new).await.map_err(failed)? {
            Begun::Running { first } => {
                if first {
                    count("authorized", payment.amount);
                }
                Ok(May::Run { first })
            }
            Begun::Charged(_) => {
                if self.store.outcome(payment.payment_id).await.map_err(failed)?.is_some() {
                    return Ok(May::Ran);
                }
                Err(given_up(payment.payment_id))
            }
            Begun::Owing => {
                let detail = "an earlier request of this payer was served, and what it used could not be settled: nothing more \
                              is charged by use until it is. Let the balance and Permit2's allowance cover it; if what was \
                              signed for it has ended, ask the server's operator; or pay in another way";
                Err(Problem::new(Code::PayerRefused, detail).retry_after(LONGEST_PAUSE_MS))
            }
            Begun::Exposed(open) => {
                let detail = format!(
                    "{open} base units of this payer are authorized and not settled yet, and with this request it would be \
                     more than one payer may have open: send the same payment again later"
                );
                Err(Problem::new(Code::AccountLimited, detail).retry_after(PAUSE_MS))
            }
        }
    }

    /// What was charged for a payment, and what became of it: it is moved now, unless that takes longer than the paywall waits.
    pub(crate) async fn moved(&self, payment: PaymentId) -> Result<(Amount, Moved), Problem> {
        let row = self.store.charge(payment).await.map_err(failed)?;
        let Some((row, amount)) = row.and_then(|row| Some((row.clone(), row.amount?))) else {
            let problem = Problem::new(Code::SettlementPending, "what was used is not charged yet");
            return Ok((Amount::ZERO, Moved::Pending(problem)));
        };
        let this = self.clone();
        let moving = self.tasks.spawn(async move { this.advance(row).await });
        let moved = match tokio::time::timeout(self.paywall.wait, moving).await {
            Ok(Ok(moved)) => moved,
            _ => Moved::Pending(Problem::new(Code::SettlementPending, "the settlement takes its time")),
        };
        Ok((amount, moved))
    }

    async fn keep(&self, is_running: &(dyn Fn(PaymentId) -> bool + Sync)) {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            match self.store.due_charges(now_ms(), PAGE).await {
                Ok(due) => {
                    for charge in due {
                        if charge.state == ChargeState::Running {
                            self.give_up(&charge, is_running).await;
                            continue;
                        }
                        if self.is_busy(charge.payment) {
                            continue;
                        }
                        // Never closed.
                        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
                        let this = self.clone();
                        self.tasks.spawn(async move {
                            this.advance(charge).await;
                            drop(place);
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "what is to be charged could not be read"),
            }
            self.tell().await;
            tokio::select! {
                () = self.charged.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Charges nothing for a request that nobody has had run until its authorization ended.
    async fn give_up(&self, charge: &Charge, is_running: &(dyn Fn(PaymentId) -> bool + Sync)) {
        if is_running(charge.payment) {
            return;
        }
        tracing::info!(payment = %charge.payment, "an authorization has ended before its request was answered: nothing is charged");
        if let Err(error) = self.store.release_charge(charge.payment).await {
            tracing::warn!(%error, "an authorization could not be given up");
        }
    }

    /// Moves or counts a charge, one at a time for each, and writes down what became of it.
    async fn advance(&self, charge: Charge) -> Moved {
        let _busy = self.enter(charge.payment).await;
        let Some(amount) = charge.amount else {
            return Moved::Pending(Problem::new(Code::SettlementPending, "nothing is charged yet"));
        };
        let capture = Capture {
            payment: charge.payment,
            request: RequestDigest(charge.request),
            amount,
            question: charge.question.as_deref(),
        };
        let moved = self.paywall.capture(&capture).await;
        if let Err(error) = self.note(&charge, amount, &moved).await {
            tracing::warn!(%error, payment = %charge.payment, "what became of a charge could not be written down");
        }
        moved
    }

    async fn note(&self, charge: &Charge, amount: Amount, moved: &Moved) -> Result<(), StoreError> {
        let is_done = matches!(moved, Moved::Done(_));
        if charge.state == ChargeState::Settled || (charge.state == ChargeState::WrittenOff && !is_done) {
            return Ok(());
        }
        let pause = |longest: u64| {
            let doublings = u32::try_from(charge.tries).unwrap_or(u32::MAX);
            PAUSE_MS.saturating_mul(2u64.saturating_pow(doublings)).min(longest)
        };
        match moved {
            Moved::Done(_) => {
                count("captured", amount);
                count("given_back", Amount(charge.ceiling.0.saturating_sub(amount.0)));
                self.store.settle_charge(charge.payment).await
            }
            Moved::Pending(problem) => {
                let due = now_ms().saturating_add(pause(LONGEST_PAUSE_MS));
                let refused = charge.state == ChargeState::Unpaid;
                self.store.postpone_charge(charge.payment, refused, Some(due), problem.detail.clone()).await
            }
            Moved::Refused(problem) => {
                let now_ms = now_ms();
                let has_ended = now_ms > charge.ends_at_ms.saturating_add(AFTER_END_MS);
                let due = (!has_ended).then(|| now_ms.saturating_add(pause(LONGEST_REFUSED_MS)));
                let next = if has_ended { "never: see `salt402 charges`" } else { "again" };
                tracing::error!(payment = %charge.payment, payer = %charge.payer, %amount, why = problem.detail, tried = next,
                    "what a request used could not be settled: its payer is served nothing more by use until it is");
                self.store.postpone_charge(charge.payment, true, due, problem.detail.clone()).await
            }
        }
    }

    /// Sets the gauges.
    async fn tell(&self) {
        let Ok(open) = self.store.open_charges().await else { return };
        for (state, count) in [("running", open.running), ("charged", open.charged), ("unpaid", open.unpaid)]
        {
            metrics::gauge!("salt402_gateway_charges", "state" => state).set(count as f64);
        }
        // For people to look at.
        metrics::gauge!("salt402_gateway_unpaid_units").set(f64::from(open.unpaid_amount.0));
    }

    fn is_busy(&self, payment: PaymentId) -> bool {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).contains(&payment)
    }

    /// Waits until nobody moves it.
    async fn enter(&self, payment: PaymentId) -> Busy {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(payment) {
                return Busy { busy: Arc::clone(&self.busy), freed: Arc::clone(&self.freed), payment };
            }
            freed.await;
        }
    }
}

/// Lets others move it when it is dropped.
struct Busy {
    busy: Arc<Mutex<HashSet<PaymentId>>>,
    freed: Arc<Notify>,
    payment: PaymentId,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.payment);
        self.freed.notify_waiters();
    }
}

/// Counts requests and base units. The units are for people to look at.
fn count(step: &'static str, amount: Amount) {
    metrics::counter!("salt402_gateway_charged_requests_total", "step" => step).increment(1);
    metrics::gauge!("salt402_gateway_charged_units", "step" => step).increment(f64::from(amount.0));
}

fn failed(error: StoreError) -> Problem {
    tracing::error!(%error, "a charge could not be read or written");
    let detail = "what is charged could not be written down, so nothing was run: show the same payment again";
    Problem::new(Code::Internal, detail).retry_after(1000)
}
