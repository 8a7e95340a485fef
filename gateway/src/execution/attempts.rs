//! How often a paid request is run, and what its payer is told when a run fails.
//!
//! A failed request is run again when its payer asks, after a pause that grows, and only a limited number of times. The
//! number of runs is on disk. A new claim itself says that the first run was begun, so a run that succeeds needs no
//! further commit. Each later run is written down before it begins. A request that was run as often as allowed, or that
//! can never be answered, is paid and not served. The payer is told so, and the operator finds it in the store.

use std::sync::Arc;
use std::time::Duration;

use salt402_http::clock::now_ms;
use salt402_protocol::api::PaymentView;
use salt402_protocol::{Amount, Code, PaymentId, Problem};
use salt402_store::{PartOf, Store, StoreError, Unserved};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::meter::Meter;
use crate::upstream::failure::FailureClass;

/// For how long an authorization must still be good when its request is run, in seconds.
pub(crate) const LEAST_LEFT_S: u64 = 30;
/// The pause after the first failure. Each is twice the one before, up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The longest pause that an upstream may ask for.
const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// What was paid for.
#[derive(Clone, Debug)]
pub(crate) struct Purchase {
    pub(crate) payment: Box<PaymentView>,
    /// Whether the payment was claimed for this request just now.
    pub(crate) first: bool,
    /// What was sold, in words.
    pub(crate) sold: String,
    /// Of what it is a part, where the payment pays for several requests at once. `payment` has the part's id, and its amount is what
    /// the part is worth.
    pub(crate) part: Option<PartOf>,
    /// What counts what is used, where that is charged. `None`: it was paid for.
    pub(crate) meter: Option<Arc<Meter>>,
    /// Whether nobody can ask for it again.
    pub(crate) once: bool,
    /// How long a stream of it may take, where that is bounded by who pays: what was given later could not be claimed.
    pub(crate) within: Option<Duration>,
}

impl Purchase {
    /// What a payment paid for.
    pub(crate) fn new(payment: Box<PaymentView>, first: bool, sold: String) -> Self {
        Self { payment, first, sold, part: None, meter: None, once: false, within: None }
    }

    /// How its failures go.
    pub(crate) fn terms(&self) -> Terms {
        match &self.meter {
            _ if self.once => Terms::Once,
            Some(_) => Terms::ByUse,
            None => Terms::Paid,
        }
    }

    /// The same, which nobody can ask for again.
    pub(crate) fn once(self, once: bool) -> Self {
        Self { once, ..self }
    }

    /// The same, which must have ended within a time.
    pub(crate) fn within(self, within: Option<Duration>) -> Self {
        Self { within, ..self }
    }

    /// When it must have ended.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.within.map(|within| Instant::now() + within)
    }

    /// The same, charged by what is used of it.
    pub(crate) fn charged(self, meter: Option<Arc<Meter>>) -> Self {
        Self { meter, ..self }
    }

    /// A part of it: of what is charged by what it uses, nothing is owed for a part that fails, as it is not charged. By its place, with what it is worth of what was paid, in base units.
    pub(crate) fn part(&self, place: u32, worth: Amount, sold: String) -> Self {
        let mut payment = self.payment.clone();
        let part = PartOf { payment: payment.payment_id, place };
        payment.payment_id = part.payment.part(place);
        payment.amount = worth;
        Self {
            payment,
            first: self.first,
            sold,
            part: Some(part),
            meter: None,
            once: self.once || self.meter.is_some(),
            within: self.within,
        }
    }
}

/// How a request is paid for, as far as its failures go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terms {
    /// It was paid for: what fails is run again, and owed if it is given up.
    Paid,
    /// What it uses is charged: what fails is run again, and charged nothing if it is given up.
    ByUse,
    /// The same, and nobody can ask for it again: what fails is given up at once.
    Once,
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

/// How often an answer is run for a payer that leaves while it reads it. A connection may break; but who reads all but the end has
/// nearly all of it.
const MOST_LEFT: u32 = 3;

impl Failed {
    /// A run that may have cost the model server its work.
    pub(crate) fn ran(detail: impl Into<String>) -> Self {
        Self { class: FailureClass::Ran, detail: detail.into(), after: None }
    }

    /// Its payer left while it read the answer.
    pub(crate) fn left(detail: impl Into<String>) -> Self {
        Self { class: FailureClass::Left, detail: detail.into(), after: None }
    }
}

/// Waits until a run can be charged no longer. Nobody gets what it would bring.
pub(super) async fn too_late(latest: Option<Instant>) -> Failed {
    match latest {
        Some(latest) => tokio::time::sleep_until(latest).await,
        None => std::future::pending().await,
    }
    Failed::ran("the answer took so long that its payer could have left its channel before it was charged")
}

/// The attempt that now begins, counted and on disk, or why none begins. A payment may have `most` runs.
pub(super) async fn begin(store: &Store, most: u32, purchase: Purchase) -> Result<Unserved, Problem> {
    let (first, payment, by_use) = (purchase.first, purchase.payment.payment_id, purchase.meter.is_some());
    let mut attempt = match store.unserved(payment).await.map_err(unkept)? {
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
    attempt.ended = attempt.runs >= u64::from(most);
    if attempt.ended && by_use {
        return Err(give_up(store, payment).await?);
    }
    if attempt.ended {
        metrics::counter!("salt402_gateway_not_served_total").increment(1);
    } else {
        attempt.runs += 1;
    }
    store.put_unserved(attempt.clone()).await.map_err(unkept)?;
    if attempt.ended { Err(not_served(&attempt)) } else { Ok(attempt) }
}

/// Charges nothing for a request that will not be answered, but what its payer made a server read. Returns what its payer is told.
pub(super) async fn give_up(store: &Store, payment: PaymentId) -> Result<Problem, Problem> {
    store.release_charge(payment).await.map_err(unkept)?;
    metrics::counter!("salt402_gateway_given_up_total").increment(1);
    Ok(given_up(payment, store.sunk(payment).await.map_err(unkept)?))
}

/// What is said to be charged of something that was not answered.
pub(crate) fn charged_of_it(amount: Amount) -> String {
    if amount.is_zero() {
        return "nothing is charged of it".into();
    }
    format!("{amount} base units are charged of it, for what was read before its payer left")
}

/// The answer will not come.
pub(crate) fn given_up(payment: PaymentId, amount: Amount) -> Problem {
    let detail = format!(
        "the request of payment {payment} was not answered, and {}: it pays for nothing more, sign anew to ask again",
        charged_of_it(amount)
    );
    Problem::new(Code::SignatureUsed, detail)
}

/// Notes that an attempt failed. Returns what its payer is told. A payment may have `most` runs.
pub(super) fn failed(attempt: &mut Unserved, most: u32, failed: Failed) -> Problem {
    let Failed { class, detail, after } = failed;
    attempt.failures += 1;
    attempt.detail = detail;
    match class {
        FailureClass::NotRun => attempt.runs = attempt.runs.saturating_sub(1),
        FailureClass::Ran => attempt.ended = attempt.runs >= u64::from(most),
        FailureClass::Left => attempt.ended = attempt.runs >= u64::from(most.min(MOST_LEFT)),
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

/// Notes on disk that an attempt failed. Returns what its payer is told. `charged` is told when something is given up that is charged by
/// what it uses.
pub(super) async fn note_failed(
    store: &Store,
    most: u32,
    mut attempt: Unserved,
    why: Failed,
    terms: Terms,
    charged: &Notify,
) -> Result<Problem, Problem> {
    if terms == Terms::Once {
        give_up(store, attempt.payment).await?;
        charged.notify_one();
        return Ok(unanswered(why));
    }
    let told = failed(&mut attempt, most, why);
    if terms == Terms::ByUse && attempt.ended {
        let told = give_up(store, attempt.payment).await?;
        charged.notify_one();
        return Ok(told);
    }
    store.put_unserved(attempt).await.map_err(unkept)?;
    Ok(told)
}

/// What is said of a request that nobody can ask for again. It can be sent anew, as nothing was charged: a server error says so to clients.
fn unanswered(why: Failed) -> Problem {
    let Failed { class, detail, after } = why;
    if class == FailureClass::Permanent {
        return Problem::new(Code::UpstreamFailed, format!("{detail}; nothing was charged"));
    }
    let detail = format!("{detail}; nothing was charged: send the request again");
    let pause = after.unwrap_or_default().min(LONGEST_WISH).max(PAUSE);
    let mut problem = Problem::new(Code::UpstreamFailed, detail).retry_after(millis(pause));
    problem.status = 503;
    problem
}

/// The state of a payment whose request was not tried yet.
fn unserved(purchase: Purchase) -> Unserved {
    let Purchase { payment, sold, part, .. } = purchase;
    Unserved {
        payment: payment.payment_id,
        part,
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

fn later(detail: &str, pause: Duration) -> Problem {
    let detail = format!("{detail}; the payment stays good for this request: show the same proof again");
    Problem::new(Code::UpstreamFailed, detail).retry_after(millis(pause))
}

fn not_served(attempt: &Unserved) -> Problem {
    let Unserved { detail, payment, part, amount, .. } = attempt;
    let detail = match part {
        None => format!(
            "{detail}; the payment is noted as paid and not served: do not pay again, and ask who runs this server for a refund \
             of payment {payment}"
        ),
        Some(PartOf { payment, .. }) => format!(
            "{detail}; it is noted as paid and not served: do not pay again, and ask who runs this server for a refund of \
             {amount} base units of payment {payment}"
        ),
    };
    Problem::new(Code::NotServed, detail)
}

pub(super) fn unkept(error: StoreError) -> Problem {
    tracing::error!(%error, "an outcome could not be read or kept");
    Problem::new(Code::Internal, "the answer could not be kept and is not given; show the same proof again")
        .retry_after(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_another_clock_wrote_is_not_waited_for() {
        assert_eq!(left(now_ms() - 1), None);
        assert!(left(now_ms() + 60_000).is_some());
        assert_eq!(left(now_ms() + 10_000_000), None);
    }
}
