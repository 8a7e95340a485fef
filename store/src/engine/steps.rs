//! A follower's steps. Each has a transaction of its own. Steps wait in the same queue as all other work.

use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::engine::changes::Changes;
use crate::engine::memory::{Memory, Publication};
use crate::engine::queue::{Batched, Jobs, StepJob, Work, guarded, note_result};
use crate::engine::sync_sql::SyncConnection;
use crate::engine::write_health::WriteHealth;
use crate::rows::StoreError;

/// One step. All of it is written, or nothing.
pub(crate) trait Step: Send + 'static {
    /// What the sender gets.
    type Output: Send + 'static;

    /// Its name in metrics.
    const KIND: &'static str;

    /// Whether the commit may bring what somebody waits for. By default it may.
    const WAKES: bool = true;

    /// Writes the step, within a transaction. An error undoes the transaction.
    fn write(&self, connection: &SyncConnection<'_>) -> Result<Self::Output, StoreError>;

    /// What the step changed in the answers of payment look-ups. Asked after it was written, on the same connection,
    /// before the commit.
    fn changes(&self, output: &Self::Output, connection: &SyncConnection<'_>) -> Changes;
}

/// Sends a step and waits until it is committed. If the caller stops waiting, the step may still be done.
pub(crate) async fn send_step<B: Batched, S: Step>(jobs: &Jobs<B>, step: S) -> Result<S::Output, StoreError> {
    let (reply, answer) = oneshot::channel();
    let pending = PendingStep { step, result: Err(StoreError::Closed), reply };
    jobs.send(Work::Step(Box::new(pending))).await.map_err(|_| StoreError::Closed)?;
    answer.await.map_err(|_| StoreError::Closed)?
}

struct PendingStep<S: Step> {
    step: S,
    result: Result<S::Output, StoreError>,
    reply: oneshot::Sender<Result<S::Output, StoreError>>,
}

impl<S: Step> StepJob for PendingStep<S> {
    fn kind(&self) -> &'static str {
        S::KIND
    }

    fn wakes(&self) -> bool {
        S::WAKES
    }

    fn run(&mut self, connection: &SyncConnection<'_>) -> bool {
        self.result = guarded(|| self.step.write(connection));
        self.result.is_ok()
    }

    fn changes(&self, connection: &SyncConnection<'_>) -> Changes {
        match &self.result {
            Ok(output) => guarded(|| Ok(self.step.changes(output, connection)))
                .unwrap_or_else(|_| Changes::everything()),
            Err(_) => Changes::everything(),
        }
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Err(error);
    }

    fn answer(self: Box<Self>, health: &WriteHealth) {
        note_result(&self.result, health);
        // The caller may have gone. The step is done all the same.
        let _ = self.reply.send(self.result);
    }
}

/// Runs one transaction. Returns whether it was committed, and whether the connection is in a known state afterwards.
pub(super) fn transact(
    connection: &Connection,
    memory: &Arc<dyn Memory>,
    job: &mut dyn StepJob,
) -> (bool, bool) {
    // The write lock is taken at once. A transaction that takes it at its first write fails without waiting if somebody
    // wrote since it began to read.
    let transaction = match Transaction::new_unchecked(connection, TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            let error = StoreError::from(error);
            let sound = matches!(error, StoreError::Busy);
            job.fail(error);
            return (false, sound);
        }
    };
    // Every way out that does not publish drops this. Then the memory forgets everything.
    let inside = SyncConnection::new(&transaction);
    let publication = memory.is_on().then(|| Publication::begin(memory, inside.data_version()));
    if !job.run(&inside) {
        return (false, transaction.rollback().is_ok());
    }
    let publication = publication.map(|publication| (publication, job.changes(&inside)));
    if let Err(error) = transaction.commit() {
        job.fail(error.into());
        return (false, false);
    }
    if let Some((publication, changes)) = publication {
        let seen = publication.seen();
        publication.publish(seen, SyncConnection::new(connection).data_version(), changes);
    }
    (true, true)
}
