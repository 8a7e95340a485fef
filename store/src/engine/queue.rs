//! The queue of work for the writer, and how its senders are answered.

use std::panic::{AssertUnwindSafe, catch_unwind};

use salt402_protocol::PaymentId;
use tokio::sync::{mpsc, oneshot};

use crate::engine::changes::Changes;
use crate::engine::sync_sql::SyncConnection;
use crate::engine::transaction::WriteTransaction;
use crate::engine::write_health::WriteHealth;
use crate::rows::StoreError;

/// How many pieces of work may wait in the queue. Further senders wait until there is room.
pub(crate) const QUEUE: usize = 1024;
/// How many pieces of work make a group full.
const GROUP_ROWS: usize = 512;

/// Where work is sent.
pub(crate) type Jobs<B> = mpsc::Sender<Work<B>>;

/// A piece of work for the writer.
pub(crate) trait Write: Send + Sync + 'static {
    /// What the sender gets.
    type Output: Send + 'static;

    /// Whether this work changes what payment look-ups find: payments, claims, or where an index stands. If so, the
    /// memory forgets everything. There is no default, because it would be wrong for most kinds of work.
    const CHANGES_PAYMENTS: bool;

    /// Whether it grants: somebody waits to be served.
    const GRANTS: bool = false;

    /// Does the work. It may run twice, if another piece of its group makes the group be undone. So it must not change
    /// itself. An error undoes the transaction, so that nothing of the failed piece is left.
    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Self::Output, StoreError>;
}

/// Sends work and waits until it is committed. If the caller stops waiting, the work may still be done.
pub(crate) async fn send<B: Batched, W: Write>(jobs: &Jobs<B>, work: W) -> Result<W::Output, StoreError> {
    let (reply, answer) = oneshot::channel();
    let job = Pending { work, result: Err(StoreError::Closed), reply };
    jobs.send(Work::Other(Box::new(job))).await.map_err(|_| StoreError::Closed)?;
    answer.await.map_err(|_| StoreError::Closed)?
}

/// Work of which many pieces come at once. All pieces of a group are written together.
pub(crate) trait Batched: Send + Sync + Sized + 'static {
    /// What the sender gets.
    type Output: Send + 'static;

    /// What is kept from one transaction to the next. After a failed transaction it starts empty.
    type State: Default + Send + 'static;

    /// Its name in metrics.
    const KIND: &'static str;

    /// The only payment whose look-up it changes.
    fn payment(&self) -> PaymentId;

    /// Writes all pieces. The results are in the order of the pieces. It may run twice, if another piece makes the
    /// group be undone. An error undoes the transaction.
    fn write(
        transaction: &mut WriteTransaction<'_>,
        pieces: &[&Self],
        state: &mut Self::State,
    ) -> Result<Vec<Self::Output>, StoreError>;

    /// Whether a piece with this result was written. A piece that only found an earlier write says nothing about the
    /// disk.
    fn was_written(output: &Self::Output) -> bool;
}

/// [`send`] for batched work.
pub(crate) async fn send_batched<B: Batched>(jobs: &Jobs<B>, work: B) -> Result<B::Output, StoreError> {
    let (reply, answer) = oneshot::channel();
    let pending = PendingBatched { work, result: Err(StoreError::Closed), reply };
    jobs.send(Work::Batched(Box::new(pending))).await.map_err(|_| StoreError::Closed)?;
    answer.await.map_err(|_| StoreError::Closed)?
}

/// Counts work that failed because of the disk or another process, by what an operator would do about it. Notes whether
/// work was written.
pub(crate) fn note_result<T>(result: &Result<T, StoreError>, health: &WriteHealth) {
    health.note(result);
    let reason = match result {
        Err(StoreError::Busy) => "busy",
        Err(StoreError::DiskFull) => "disk_full",
        Err(StoreError::DiskFailed(_)) => "disk_failed",
        Err(StoreError::Moved { .. }) => "moved",
        Err(StoreError::Sql(_) | StoreError::Broke) => "other",
        _ => return,
    };
    metrics::counter!("salt402_store_failures_total", "reason" => reason).increment(1);
}

/// Does work that may panic. A panic is a failure of this piece of work and of no other: its transaction is undone as after any
/// error.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        tracing::error!("work of the store broke; nothing of it is stored");
        Err(StoreError::Broke)
    })
}

/// What waits.
pub(crate) enum Work<B: Batched> {
    Batched(Box<PendingBatched<B>>),
    /// A step of a follower. It has its own transaction on its own connection.
    Step(Box<dyn StepJob>),
    Other(Box<dyn Job>),
}

/// A piece of batched work, its result until it is answered, and who waits for it.
pub(crate) struct PendingBatched<B: Batched> {
    pub(super) work: B,
    pub(super) result: Result<B::Output, StoreError>,
    reply: oneshot::Sender<Result<B::Output, StoreError>>,
}

impl<B: Batched> PendingBatched<B> {
    pub(super) fn answer(self, health: &WriteHealth) {
        if !self.result.as_ref().is_ok_and(|output| !B::was_written(output)) {
            note_result(&self.result, health);
        }
        // The caller may have gone. The work is done all the same.
        let _ = self.reply.send(self.result);
    }
}

/// A step in the queue, whatever its sender gets.
pub(crate) trait StepJob: Send {
    fn kind(&self) -> &'static str;
    fn wakes(&self) -> bool;
    /// Writes it and keeps its result; `false` if it failed.
    fn run(&mut self, connection: &SyncConnection<'_>) -> bool;
    /// What it changed, after it was written.
    fn changes(&self, connection: &SyncConnection<'_>) -> Changes;
    /// Replaces the result by an error.
    fn fail(&mut self, error: StoreError);
    fn answer(self: Box<Self>, health: &WriteHealth);
}

/// Work of any other kind.
pub(crate) trait Job: Send {
    fn changes_payments(&self) -> bool;
    fn grants(&self) -> bool;
    /// Runs the work and keeps its result. `false` if it failed.
    fn run(&mut self, transaction: &mut WriteTransaction<'_>) -> bool;
    /// Replaces the result by an error.
    fn fail(&mut self, error: StoreError);
    fn answer(self: Box<Self>, health: &WriteHealth);
}

struct Pending<W: Write> {
    work: W,
    result: Result<W::Output, StoreError>,
    reply: oneshot::Sender<Result<W::Output, StoreError>>,
}

impl<W: Write> Job for Pending<W> {
    fn changes_payments(&self) -> bool {
        W::CHANGES_PAYMENTS
    }

    fn grants(&self) -> bool {
        W::GRANTS
    }

    fn run(&mut self, transaction: &mut WriteTransaction<'_>) -> bool {
        self.result = guarded(|| self.work.write(transaction));
        self.result.is_ok()
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Err(error);
    }

    fn answer(self: Box<Self>, health: &WriteHealth) {
        note_result(&self.result, health);
        let _ = self.reply.send(self.result);
    }
}

/// Work that is written in one transaction.
pub(super) struct Group<B: Batched> {
    pub(super) batched: Vec<PendingBatched<B>>,
    pub(super) jobs: Vec<Box<dyn Job>>,
}

impl<B: Batched> Group<B> {
    pub(super) fn new() -> Self {
        Self { batched: Vec::new(), jobs: Vec::new() }
    }

    /// Adds work to the group. Gives a step back, because steps are in no group.
    pub(super) fn add(&mut self, work: Work<B>) -> Option<Box<dyn StepJob>> {
        match work {
            Work::Batched(pending) => {
                self.batched.push(*pending);
                None
            }
            Work::Other(job) => {
                self.jobs.push(job);
                None
            }
            Work::Step(step) => Some(step),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batched.is_empty() && self.jobs.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.batched.len() + self.jobs.len() >= GROUP_ROWS
    }
}
