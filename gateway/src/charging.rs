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

mod interrupted;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use salt402_http::clock::now_ms;
use salt402_paywall::{Authorized, Capture, Moved, Paywall};
use salt402_protocol::api::{OpenDrawsRequest, PaymentView};
use salt402_protocol::{Amount, Code, PaymentId, Problem, RequestDigest};
use salt402_store::{Begun, Charge, ChargeState, NewCharge, Store, StoreError};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::execution::{LEAST_LEFT_S, charged_of_it, given_up};
use crate::turns::{Turn, Turns};
use crate::under_way::{Hold, UnderWay};

/// How often it is looked for what is to be done.
const TICK: Duration = Duration::from_secs(1);
/// How many charges are moved at once.
const AT_ONCE: usize = 16;
/// How many requests one payer may have open that a facilitator settles.
const MOST_OPEN: u64 = 64;
/// How many are read at once.
const PAGE: u32 = 256;
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
    /// Charges that are being moved.
    moving: Turns,
    /// Charges that are being begun or given up.
    beginning: Turns,
    /// Requests that are being run.
    under_way: UnderWay,
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
        /// Held until it was run and what it used is on disk: it is not given up meanwhile.
        hold: Hold,
    },
    /// It was run, and this was charged; its answer is kept, or was.
    Ran,
}

impl Charging {
    pub(crate) fn new(store: Store, paywall: Paywall, charged: Arc<Notify>) -> Self {
        Self {
            store,
            paywall: Arc::new(paywall),
            moving: Turns::default(),
            beginning: Turns::default(),
            under_way: UnderWay::default(),
            charged,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Moves and counts what is charged until [`Charging::finish`].
    pub(crate) fn begin(&self) {
        let this = self.clone();
        self.tasks.spawn(async move {
            this.stop.clone().run_until_cancelled(this.keep()).await;
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
        let turn = self.beginning.wait(payment.payment_id).await;
        let now_ms = now_ms();
        let left_s = authorized.ends_at.map(|ends_at| ends_at.saturating_sub(now_ms / 1000));
        let ends_at_ms = authorized
            .ends_at
            .map_or(now_ms.saturating_add(authorized.kept_ms), |ends_at| ends_at.saturating_mul(1000));
        // What runs goes on.
        let is_under_way = self.under_way.has(payment.payment_id);
        let too_late = left_s.is_some_and(|left| left < LEAST_LEFT_S) && !is_under_way;
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
            too_late,
            now_ms,
        };
        let begun = self.store.begin_charge(new).await.map_err(failed)?;
        // What was given of it before a crash is its answer.
        if matches!(begun, Begun::Running { first: false })
            && !is_under_way
            && self.end_delivery(payment.payment_id).await?
        {
            return Ok(May::Ran);
        }
        let ends_at_ms = authorized.ends_at.map(|_| ends_at_ms);
        let mut hold = self.under_way.hold(payment.payment_id, ends_at_ms);
        if matches!(begun, Begun::Running { first: false }) {
            hold = hold.after(self.store.sunk(payment.payment_id).await.map_err(failed)?);
        }
        drop(turn);
        match begun {
            Begun::Running { first } => {
                if first {
                    count("authorized", payment.amount);
                }
                Ok(May::Run { first, hold })
            }
            Begun::Charged(charge) => {
                if self.store.outcome(payment.payment_id).await.map_err(failed)?.is_some() {
                    return Ok(May::Ran);
                }
                if !too_late {
                    return Err(given_up(payment.payment_id, charge.amount.unwrap_or(Amount::ZERO)));
                }
                // Before the payer is told to sign anew, so that this one stands in for nothing by then.
                drop(hold);
                self.moved(payment.payment_id).await?;
                let detail = format!(
                    "what was signed ends in less than {LEAST_LEFT_S} seconds, and what is used is settled after that: {}, and it pays \
                     for nothing more. Sign anew, for maxTimeoutSeconds",
                    charged_of_it(charge.amount.unwrap_or(Amount::ZERO))
                );
                Err(Problem::new(Code::SignatureRefused, detail))
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

    /// Gives up what was begun and not charged: nothing is charged of it.
    pub(crate) async fn release(&self, payment: PaymentId) -> Result<(), Problem> {
        self.store.release_charge(payment).await.map_err(failed)?;
        self.charged.notify_one();
        Ok(())
    }

    /// Writes down what is charged of something that has several answers, which are on disk. What was charged before stays.
    pub(crate) async fn charge(&self, payment: PaymentId, amount: Amount) -> Result<(), Problem> {
        self.store.put_charged_outcome_unkept(payment, Some(amount)).await.map_err(failed)?;
        self.charged.notify_one();
        Ok(())
    }

    /// What was reserved of balances for so long, and not charged yet.
    pub(crate) async fn open_draws(&self, age: Duration) -> Result<Vec<PaymentId>, Problem> {
        let older_than_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let request = OpenDrawsRequest { claimant: self.paywall.claimant.clone(), older_than_ms };
        Ok(self.paywall.verifier.open_draws(&request).await?.draws)
    }

    /// Has nothing charged of something that was reserved and never begun here.
    pub(crate) async fn let_go(&self, draw: PaymentId) -> Result<(), Problem> {
        let request = RequestDigest(Default::default());
        let capture = Capture { payment: draw, request, amount: Amount::ZERO, question: None };
        match self.paywall.capture(&capture).await {
            Moved::Done(_) => Ok(()),
            Moved::Pending(problem) | Moved::Refused(problem) => Err(problem),
        }
    }

    /// Whether it is written down that something was begun.
    pub(crate) async fn knows(&self, payment: PaymentId) -> Result<bool, Problem> {
        Ok(self.store.charge(payment).await.map_err(failed)?.is_some())
    }

    /// What was charged for a payment, and what became of it: it is moved now, unless that takes longer than the paywall waits.
    pub(crate) async fn moved(&self, payment: PaymentId) -> Result<(Amount, Moved), Problem> {
        let until = Instant::now() + self.paywall.wait;
        let row = self.store.charge(payment).await.map_err(failed)?;
        let Some(amount) = row.and_then(|row| row.amount) else {
            let problem = Problem::new(Code::SettlementPending, "what was used is not charged yet");
            return Ok((Amount::ZERO, Moved::Pending(problem)));
        };
        let moving = async {
            let turn = self.moving.wait(payment).await;
            let this = self.clone();
            // It goes on when nobody waits for it any more. Whoever waits for a turn only is forgotten then.
            self.tasks.spawn(async move { this.advance(payment, turn).await }).await
        };
        let moved = match tokio::time::timeout_at(until, moving).await {
            Ok(Ok(moved)) => moved,
            _ => Moved::Pending(Problem::new(Code::SettlementPending, "the settlement takes its time")),
        };
        Ok((amount, moved))
    }

    async fn keep(&self) {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut told: Option<Instant> = None;
        self.end_interrupted().await;
        loop {
            match self.store.due_charges(now_ms(), PAGE).await {
                Ok(due) => {
                    for Charge { payment, .. } in due {
                        // Never closed.
                        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
                        let Some(turn) = self.moving.free(payment) else { continue };
                        let this = self.clone();
                        self.tasks.spawn(async move {
                            this.advance(payment, turn).await;
                            drop(place);
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "what is to be charged could not be read"),
            }
            self.give_up().await;
            // It reads all that is open.
            if told.is_none_or(|told| told.elapsed() >= TICK) {
                self.tell().await;
                told = Some(Instant::now());
            }
            tokio::select! {
                () = self.charged.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Charges nothing for requests that nobody has had run until their authorization ended.
    async fn give_up(&self) {
        let ended = match self.store.ended_charges(now_ms(), PAGE).await {
            Ok(ended) => ended,
            Err(error) => return tracing::warn!(%error, "what has ended could not be read"),
        };
        for payment in ended {
            let _turn = self.beginning.wait(payment).await;
            if self.under_way.has(payment) {
                continue;
            }
            // What could not be written down at its end.
            match self.end_delivery(payment).await {
                Ok(false) => {}
                Ok(true) | Err(_) => continue,
            }
            tracing::info!(%payment, "an authorization has ended before its request was answered: nothing is charged");
            match self.store.release_charge(payment).await {
                Ok(()) => self.charged.notify_one(),
                Err(error) => tracing::warn!(%error, "an authorization could not be given up"),
            }
        }
    }

    /// Moves or counts a charge, and writes down what became of it.
    async fn advance(&self, payment: PaymentId, _turn: Turn) -> Moved {
        // Somebody may have moved it meanwhile.
        let charge = match self.store.charge(payment).await {
            Ok(charge) => charge,
            Err(error) => return Moved::Pending(failed(error)),
        };
        let Some((charge, amount)) = charge.and_then(|row| row.amount.map(|amount| (row, amount))) else {
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
