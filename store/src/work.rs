//! What waits for the writer, and how it is answered.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::{mpsc, oneshot};

use crate::steps::StepJob;
use crate::transaction::WriteTransaction;
use crate::writable::Standing;
use crate::{ClaimResult, NewClaim, StoreError};

/// Pieces of work that may wait; more wait at their senders.
pub(crate) const QUEUE: usize = 1024;
/// Rows after which a group is closed.
const GROUP_ROWS: usize = 512;

/// Where work is sent.
pub(crate) type Jobs = mpsc::Sender<Work>;

/// A piece of work for the writer.
pub(crate) trait Write: Send + Sync + 'static {
    /// What its sender is answered.
    type Output: Send + 'static;

    /// Rows it writes, about.
    fn rows(&self) -> usize {
        1
    }

    /// Whether it changes what [`Store::payments_in`](crate::Store::payments_in) answers: payments, claims, or where an
    /// index stands. If it may, memory forgets what it has.
    fn changes_payments(&self) -> bool {
        true
    }

    /// Whether it grants: somebody waits to be served.
    fn grants(&self) -> bool {
        false
    }

    /// Does it. It may be done twice, when its group is undone because of another piece: it must not change itself.
    /// An error undoes the transaction, so that nothing of a failed piece is left.
    fn write(
        &self,
        transaction: &mut WriteTransaction<'_>,
    ) -> impl Future<Output = Result<Self::Output, StoreError>> + Send;
}

/// Sends work and waits until it is committed. When the waiting ends early, the work may still be done.
pub(crate) async fn send<W: Write>(jobs: &Jobs, work: W) -> Result<W::Output, StoreError> {
    let (reply, answer) = oneshot::channel();
    let job = Pending { work, result: Err(StoreError::Closed), reply };
    jobs.send(Work::Other(Box::new(job))).await.map_err(|_| StoreError::Closed)?;
    answer.await.map_err(|_| StoreError::Closed)?
}

/// [`send`] for a claim.
pub(crate) async fn send_claim(jobs: &Jobs, claim: NewClaim) -> Result<ClaimResult, StoreError> {
    let (reply, answer) = oneshot::channel();
    let pending = PendingClaim { claim, result: Err(StoreError::Closed), reply };
    jobs.send(Work::Claim(Box::new(pending))).await.map_err(|_| StoreError::Closed)?;
    answer.await.map_err(|_| StoreError::Closed)?
}

/// Counts work that the disk or another process kept from being done, under what an operator would do about it, and notes
/// whether it was done.
pub(crate) fn note_result<T>(result: &Result<T, StoreError>, standing: &Standing) {
    standing.note(result);
    let reason = match result {
        Err(StoreError::Busy) => "busy",
        Err(StoreError::DiskFull) => "disk_full",
        Err(StoreError::DiskFailed(_)) => "disk_failed",
        Err(StoreError::Moved { .. }) => "moved",
        Err(StoreError::Sql(_)) => "other",
        _ => return,
    };
    metrics::counter!("salt402_store_failures_total", "reason" => reason).increment(1);
}

/// What waits. Claims come in crowds and are told apart, because a group makes all of its claims in one statement.
pub(crate) enum Work {
    Claim(Box<PendingClaim>),
    /// A follower's step: a transaction of its own, on a connection of its own.
    Step(Box<dyn StepJob>),
    Other(Box<dyn Job>),
}

/// A claim, its result until it is answered, and who waits for it.
pub(crate) struct PendingClaim {
    pub(crate) claim: NewClaim,
    pub(crate) result: Result<ClaimResult, StoreError>,
    reply: oneshot::Sender<Result<ClaimResult, StoreError>>,
}

impl PendingClaim {
    pub(crate) fn answer(self, standing: &Standing) {
        // What only finds an earlier claim writes nothing, and says nothing of the disk.
        if !self.result.as_ref().is_ok_and(|result| !matches!(result, ClaimResult::First { .. })) {
            note_result(&self.result, standing);
        }
        // Whoever asked may have gone; the claim is made all the same.
        let _ = self.reply.send(self.result);
    }
}

/// Work of any other kind.
pub(crate) trait Job: Send {
    fn rows(&self) -> usize;
    fn changes_payments(&self) -> bool;
    fn grants(&self) -> bool;
    /// Runs the work and keeps its result; `false` if it failed.
    fn run<'a>(
        &'a mut self,
        transaction: &'a mut WriteTransaction<'_>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;
    /// Puts an error in the place of the result.
    fn fail(&mut self, error: StoreError);
    fn answer(self: Box<Self>, standing: &Standing);
}

struct Pending<W: Write> {
    work: W,
    result: Result<W::Output, StoreError>,
    reply: oneshot::Sender<Result<W::Output, StoreError>>,
}

impl<W: Write> Job for Pending<W> {
    fn rows(&self) -> usize {
        self.work.rows()
    }

    fn changes_payments(&self) -> bool {
        self.work.changes_payments()
    }

    fn grants(&self) -> bool {
        self.work.grants()
    }

    fn run<'a>(
        &'a mut self,
        transaction: &'a mut WriteTransaction<'_>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            self.result = self.work.write(transaction).await;
            self.result.is_ok()
        })
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Err(error);
    }

    fn answer(self: Box<Self>, standing: &Standing) {
        note_result(&self.result, standing);
        let _ = self.reply.send(self.result);
    }
}

/// Work that is written in one transaction.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) claims: Vec<PendingClaim>,
    pub(crate) jobs: Vec<Box<dyn Job>>,
    rows: usize,
}

impl Group {
    /// Adds work to the group; gives a step back, which is in no group.
    pub(crate) fn add(&mut self, work: Work) -> Option<Box<dyn StepJob>> {
        match work {
            Work::Claim(claim) => {
                self.rows += 1;
                self.claims.push(*claim);
                None
            }
            Work::Other(job) => {
                self.rows += job.rows();
                self.jobs.push(job);
                None
            }
            Work::Step(step) => Some(step),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.jobs.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows >= GROUP_ROWS
    }
}
