//! A follower's steps. They are written on a connection of their own, on a thread that is not the runtime's.
//!
//! A step of a back-fill has thousands of rows. On one thread, with prepared statements, that costs a third of what it
//! costs when every row goes to another thread as a list of owned values. Steps wait in the same queue as all other
//! work, and the writer does one thing at a time, so the two writing connections never compete for the lock.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::oneshot;

use crate::engine::changes::Changes;
use crate::engine::file_identity::DatabaseFiles;
use crate::engine::memory::{Memory, Publication};
use crate::engine::queue::{Batched, Jobs, StepJob, Work, note_result};
use crate::engine::sync_sql::SyncConnection;
use crate::engine::write_health::WriteHealth;
use crate::rows::StoreError;

/// Memory for the pages of a step, in KiB.
const CACHE_KIB: u32 = 16 << 10;
/// How many statements stay prepared: as many as steps have.
const STATEMENTS: usize = 64;

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
        self.result = self.step.write(connection);
        self.result.is_ok()
    }

    fn changes(&self, connection: &SyncConnection<'_>) -> Changes {
        match &self.result {
            Ok(output) => self.step.changes(output, connection),
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

/// The settings for opening the connection.
#[derive(Clone, Debug)]
pub(crate) struct StepSettings {
    pub(crate) path: PathBuf,
    pub(crate) busy_timeout: Duration,
    pub(crate) wal_limit: u64,
    pub(crate) files: Arc<DatabaseFiles>,
}

/// The connection on which steps are written. The first step opens it, so a process that does not index has none.
pub(crate) struct Stepper {
    settings: StepSettings,
    memory: Arc<dyn Memory>,
    /// `None` while it is in use, and after a failure that left it in an unknown state. Then it is opened again.
    connection: Option<Connection>,
}

impl Stepper {
    pub(crate) fn new(settings: StepSettings, memory: Arc<dyn Memory>) -> Self {
        Self { settings, memory, connection: None }
    }

    /// Writes a step in one transaction. Returns the step, so that it can be answered, and whether it was committed.
    /// `None` if its thread was lost; then the caller is told that the store is closed.
    pub(crate) async fn write(&mut self, mut job: Box<dyn StepJob>) -> Option<(Box<dyn StepJob>, bool)> {
        let (settings, memory) = (self.settings.clone(), Arc::clone(&self.memory));
        if let Err(error) = settings.files.check() {
            job.fail(error);
            return Some((job, false));
        }
        let connection = self.connection.take();
        let done = tokio::task::spawn_blocking(move || {
            let opened = connection.map_or_else(|| settings.open(), Ok);
            match opened {
                Ok(mut connection) => {
                    let (committed, sound) = transact(&mut connection, &memory, &mut *job);
                    // A connection that may still be within a transaction is dropped, which undoes the transaction.
                    (job, committed, sound.then_some(connection))
                }
                Err(error) => {
                    job.fail(error);
                    (job, false, None)
                }
            }
        })
        .await;
        match done {
            Ok((job, committed, connection)) => {
                self.connection = connection;
                Some((job, committed))
            }
            Err(error) => {
                tracing::error!(%error, "a step of a follower ended badly; nothing of it is stored");
                None
            }
        }
    }

    /// Closes the connection, off the runtime's threads.
    pub(crate) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = tokio::task::spawn_blocking(move || drop(connection)).await;
        }
    }
}

impl StepSettings {
    /// Has the same settings as the other writing connection, which explains them.
    fn open(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(
            None,
            "journal_size_limit",
            i64::try_from(self.wal_limit).unwrap_or(i64::MAX),
        )?;
        connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    }
}

/// Runs one transaction. Returns whether it was committed, and whether the connection is in a known state afterwards.
fn transact(connection: &mut Connection, memory: &Arc<dyn Memory>, job: &mut dyn StepJob) -> (bool, bool) {
    // The write lock is taken at once. A transaction that takes it at its first write fails without waiting if somebody
    // wrote since it began to read.
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
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
