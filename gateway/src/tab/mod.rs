//! Streams that are paid as they go (STREAM-1): what the vouchers that were shown allow, what was given, and whether the stream waits for
//! the next voucher.
//!
//! ```text
//! gives ──the next piece would cost more than is allowed──▶ waits ──a voucher that allows it──▶ gives
//!                                                             └── none in time ──▶ ended: what was given is charged
//! ```
//!
//! A piece is on disk with what all costs before it is given. While a stream waits, its model server is read no further.
//!
//! The rooms: `open`, which has all of them; `told`, what their clients are told.

mod open;
mod told;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use salt402_paywall::{Allowed, Begun, Paywall, Presented};
use salt402_protocol::api::TabView;
use salt402_protocol::{Amount, Code, Problem, Voucher};
use salt402_store::{NewPiece, Store, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use open::Tabs;
pub(crate) use told::Told;

/// How long it may take to see how a channel stands.
const LOOK: Duration = Duration::from_secs(3);

/// A stream that is paid as it goes.
#[derive(Debug)]
pub(crate) struct Tab {
    begun: Begun,
    standing: watch::Sender<Standing>,
    /// One voucher at a time is looked at.
    raising: tokio::sync::Mutex<()>,
    shared: Arc<Shared>,
}

/// What all of them have.
pub(crate) struct Shared {
    store: Store,
    paywall: Paywall,
    /// For how long one stream waits for vouchers, in all its pauses together.
    patience: Duration,
    /// The process ends, and nothing waits any more.
    ending: CancellationToken,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// How a stream stands.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// What it may cost, by the vouchers so far.
    pub(crate) allowed: Amount,
    /// What was given costs so much.
    pub(crate) charged: Amount,
    /// Whether anything was given.
    pub(crate) given: bool,
    /// How its channel stood when that was looked at last.
    pub(crate) channel: TabView,
    /// For what it waits.
    pub(crate) waiting: Option<Waiting>,
    /// How often it has waited.
    pauses: u64,
    /// How long it has waited before.
    waited: Duration,
    /// How it ended, once that is on disk.
    pub(crate) end: Option<End>,
    /// Whether it stops before its end.
    cut: bool,
}

/// A pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Which pause it is.
    pub(crate) number: u64,
    /// What must be allowed for the next piece.
    pub(crate) needs: Amount,
    /// Until when it waits.
    pub(crate) until: Instant,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it was given.
    Whole,
    /// A part of it was.
    Cut,
}

/// Why a piece is not given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotGiven {
    /// No voucher came that allows it, or its client is too slow.
    #[error("{}", .0.detail)]
    Stopped(Problem),
    /// It could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A piece that is to be given.
pub(crate) struct Piece<'a> {
    pub(crate) bytes: &'a Bytes,
    /// The headers of the answer.
    pub(crate) headers: Vec<(String, String)>,
    /// What all that was given costs with it, in base units.
    pub(crate) cost: Amount,
    /// Whether all of it so far is short enough to be kept.
    pub(crate) keeps: bool,
}

impl Tab {
    /// The first voucher's channel.
    pub(crate) fn channel(&self) -> salt402_protocol::B256 {
        self.begun.voucher.channel
    }

    /// What it may cost at the most.
    pub(crate) fn most(&self) -> Amount {
        self.begun.most
    }

    /// Whether more of it may be given.
    pub(crate) fn goes_on(&self) -> bool {
        let standing = self.standing.borrow();
        standing.end.is_none() && !standing.cut
    }

    /// How it stands now.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// What is charged for what was given.
    pub(crate) fn charged(&self) -> Amount {
        self.standing.borrow().charged
    }

    /// Whether anything was given.
    pub(crate) fn has_given(&self) -> bool {
        self.standing.borrow().given
    }

    /// Waits until a piece is allowed, and writes down that it is given.
    pub(crate) async fn give(&self, piece: Piece<'_>) -> Result<(), NotGiven> {
        self.admit(piece.cost).await?;
        let Piece { bytes, headers, cost, keeps } = piece;
        let new =
            NewPiece { payment: self.begun.payment, headers, bytes: bytes.to_vec(), amount: cost, keeps };
        self.shared.store.deliver(new).await?;
        self.standing.send_modify(|standing| {
            standing.charged = cost;
            standing.given = true;
        });
        Ok(())
    }

    /// Waits until its end is allowed, with which all costs so much. It is written down with the answer.
    pub(crate) async fn end(&self, cost: Amount) -> Result<(), NotGiven> {
        self.admit(cost).await?;
        self.standing.send_modify(|standing| {
            standing.charged = cost;
            standing.given = true;
        });
        Ok(())
    }

    /// It stops before its end.
    pub(crate) fn cut(&self) {
        self.standing.send_modify(|standing| standing.cut = true);
    }

    /// Its end is on disk. Whoever has `left` did not get all of it.
    pub(crate) fn ended(&self, left: bool) {
        self.standing.send_modify(|standing| {
            standing.waiting = None;
            standing.end = Some(if standing.cut || left { End::Cut } else { End::Whole });
        });
    }

    async fn admit(&self, cost: Amount) -> Result<(), NotGiven> {
        if cost <= self.standing.borrow().allowed {
            return Ok(());
        }
        let started = Instant::now();
        let until = self.pause(cost, started).await;
        let mut watch = self.watch();
        let allowed = async { watch.wait_for(|standing| standing.allowed >= cost).await.is_ok() };
        let why = tokio::select! {
            biased;
            true = allowed => None,
            () = self.shared.ending.cancelled() => Some("the server stops, and waits for no more vouchers"),
            () = tokio::time::sleep_until(until) => Some("no voucher came in time that pays for more"),
        };
        self.standing.send_modify(|standing| {
            standing.waiting = None;
            standing.waited += started.elapsed();
        });
        let outcome = if why.is_none() { "paid" } else { "unpaid" };
        metrics::counter!("salt402_gateway_pauses_total", "outcome" => outcome).increment(1);
        metrics::histogram!("salt402_gateway_pause_seconds").record(started.elapsed().as_secs_f64());
        why.map_or(Ok(()), |why| Err(self.stop(why)))
    }

    /// It stops before its end, for a reason that its client is told.
    pub(crate) fn stop(&self, why: &str) -> NotGiven {
        self.cut();
        let charged = self.charged();
        let detail = format!(
            "{why}: the stream has ended, and {charged} base units are charged for what was given of it; ask anew to have more"
        );
        NotGiven::Stopped(Problem::new(Code::StreamEnded, detail))
    }

    /// Begins to wait. Returns until when.
    async fn pause(&self, needs: Amount, started: Instant) -> Instant {
        // What other requests of the channel use counts too. Where that cannot be asked, a refusal will say it.
        let now = self.look().await;
        let mut until = started;
        self.standing.send_modify(|standing| {
            if let Some(allowed) = now {
                standing.learn(allowed);
            }
            standing.pauses += 1;
            until += self.shared.patience.saturating_sub(standing.waited);
            standing.waiting = Some(Waiting { number: standing.pauses, needs, until });
        });
        until
    }

    /// How its channel stands at the verifier, which may know of more: whoever sent a voucher may have left before it was noted here.
    async fn look(&self) -> Option<Allowed> {
        let told = tokio::time::timeout(LOOK, self.shared.paywall.standing(&self.begun)).await.ok()?;
        let now = match told {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(detail = error.detail, "how a channel stands is not told");
                return None;
            }
        };
        match self.note(now.amount).await {
            Ok(()) => Some(now),
            Err(error) => {
                tracing::error!(%error, "what a voucher allows could not be written down");
                None
            }
        }
    }

    /// Writes down what it may cost, before anything is given for it.
    async fn note(&self, amount: Amount) -> Result<(), StoreError> {
        self.shared.store.raise_charge(self.begun.payment, amount).await
    }

    /// Takes the next voucher of its channel. Returns how it stands then.
    pub(crate) async fn raise(&self, voucher: Voucher, presented: &Presented) -> Result<Standing, Problem> {
        let _turn = self.raising.lock().await;
        let Standing { allowed, waiting, .. } = self.standing();
        let more = Amount(allowed.0.saturating_add(Amount::ONE.0));
        let least = waiting.map_or(more, |waiting| waiting.needs).min(self.begun.most);
        let raised = self.shared.paywall.raise(&self.begun, voucher, least, presented).await?;
        self.note(raised.amount).await.map_err(|error| {
            tracing::error!(%error, "what a voucher allows could not be written down");
            let detail = "the voucher was taken, and what it allows could not be written down: send the same voucher again";
            Problem::new(Code::Internal, detail).retry_after(1000)
        })?;
        self.standing.send_modify(|standing| standing.learn(raised));
        Ok(self.standing())
    }
}

impl Standing {
    /// What was asked before may be told after.
    fn learn(&mut self, Allowed { amount, tab }: Allowed) {
        self.allowed = self.allowed.max(amount);
        if tab.highest >= self.channel.highest {
            self.channel = tab;
        }
    }
}
