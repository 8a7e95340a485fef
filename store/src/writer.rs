//! The one task that writes.
//!
//! It owns the only writing connection of this process. Work comes over a bounded channel; whatever waits there is
//! written in one transaction, and every piece is answered after its commit. So nothing is acknowledged that a crash
//! could take back, and a crowd of claims costs one wait for the disk.

use std::future::Future;
use std::pin::Pin;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, oneshot, watch};

use crate::StoreError;
use crate::transaction::WriteTransaction;

/// Pieces of work that may wait; more wait at their senders.
pub(crate) const QUEUE: usize = 1024;
/// Rows after which a group is closed. One batch of a back-fill may hold more and is then a group of its own.
const GROUP_ROWS: usize = 512;

/// A piece of work for the writer.
pub(crate) trait Write: Send + Sync + 'static {
    /// What its sender is answered.
    type Output: Send + 'static;

    /// Whether readers of the chain have something new to see afterwards.
    const CHANGES_CHAIN: bool = false;

    /// Rows it writes, about.
    fn rows(&self) -> usize {
        1
    }

    /// Does it. It may be done twice, when its group is undone because of another piece: it must not change itself.
    /// An error undoes the transaction, so that nothing of a failed piece is left.
    fn write(
        &self,
        transaction: &mut WriteTransaction<'_>,
    ) -> impl Future<Output = Result<Self::Output, StoreError>> + Send;
}

/// Where work is sent.
pub(crate) type Jobs = mpsc::Sender<Box<dyn Job>>;

/// Sends work and waits until it is committed. When the waiting ends early, the work may still be done.
pub(crate) async fn send<W: Write>(jobs: &Jobs, work: W) -> Result<W::Output, StoreError> {
    let (reply, answer) = oneshot::channel();
    let job = Pending { work, result: Err(StoreError::Closed), reply };
    jobs.send(Box::new(job)).await.map_err(|_| StoreError::Closed)?;
    answer.await.map_err(|_| StoreError::Closed)?
}

/// Work of any kind, with its result until it is answered.
pub(crate) trait Job: Send {
    fn rows(&self) -> usize;
    /// Runs the work and keeps its result; `false` if it failed.
    fn run<'a>(
        &'a mut self,
        transaction: &'a mut WriteTransaction<'_>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;
    /// Puts an error in the place of the result.
    fn fail(&mut self, error: StoreError);
    /// Whether it went well and changed what readers of the chain see.
    fn changed_chain(&self) -> bool;
    fn answer(self: Box<Self>);
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

    fn changed_chain(&self) -> bool {
        W::CHANGES_CHAIN && self.result.is_ok()
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone; the work is done all the same.
        let _ = self.reply.send(self.result);
    }
}

/// The writer's end of things.
pub(crate) struct Writer {
    options: SqliteConnectOptions,
    /// `None` while it is in use, and after a failure that left it in an unknown state; then it is opened anew.
    connection: Option<SqliteConnection>,
    commits: watch::Sender<u64>,
    progress: watch::Sender<u64>,
}

impl Writer {
    /// A writer on an open connection. `commits` counts transactions and ends with the writer; `progress` counts
    /// those that changed a chain.
    pub(crate) fn new(
        options: SqliteConnectOptions,
        connection: SqliteConnection,
        commits: watch::Sender<u64>,
        progress: watch::Sender<u64>,
    ) -> Self {
        Self { options, connection: Some(connection), commits, progress }
    }

    /// Writes until `closing` is sent or every sender is gone, and then what is still queued.
    pub(crate) async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Box<dyn Job>>,
        mut closing: oneshot::Receiver<()>,
    ) {
        let mut open = true;
        loop {
            let first = tokio::select! {
                job = jobs.recv() => job,
                _ = &mut closing, if open => {
                    open = false;
                    jobs.close();
                    continue;
                }
            };
            let Some(first) = first else { break };
            let mut rows = first.rows();
            let mut group = vec![first];
            while rows < GROUP_ROWS {
                let Ok(job) = jobs.try_recv() else { break };
                rows += job.rows();
                group.push(job);
            }
            self.write(group).await;
        }
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }

    async fn write(&mut self, mut group: Vec<Box<dyn Job>>) {
        // One failing piece must not take its neighbours along: they are tried again, each in a transaction of its
        // own. A transaction that could not even begin says nothing about the pieces, and is not tried for each.
        if let Err(Undone::During) = self.commit(&mut group).await
            && group.len() > 1
        {
            for mut job in group {
                let _ = self.commit(std::slice::from_mut(&mut job)).await;
                job.answer();
            }
            return;
        }
        for job in group {
            job.answer();
        }
    }

    /// All of `jobs` in one transaction. Their results are set, not yet answered.
    async fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Undone> {
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => {
                jobs.iter_mut().for_each(|job| job.fail(error.clone()));
                return Err(Undone::Before);
            }
        };
        let (result, sound) = transact(&mut connection, jobs).await;
        // A connection that is not certainly outside of a transaction is dropped, which undoes what it had open.
        self.connection = sound.then_some(connection);
        result?;
        if jobs.iter().any(|job| job.changed_chain()) {
            self.progress.send_modify(|count| *count += 1);
        }
        self.commits.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn connection(&mut self) -> Result<SqliteConnection, StoreError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        tracing::warn!("the writing connection is opened anew after a failure");
        Ok(self.options.connect().await?)
    }
}

/// One transaction; and whether the connection is in a known state after it.
async fn transact(
    connection: &mut SqliteConnection,
    jobs: &mut [Box<dyn Job>],
) -> (Result<(), Undone>, bool) {
    let mut transaction = match WriteTransaction::begin(connection).await {
        Ok(transaction) => transaction,
        Err(error) => {
            jobs.iter_mut().for_each(|job| job.fail(error.clone()));
            return (Err(Undone::Before), matches!(error, StoreError::Busy));
        }
    };
    for job in jobs.iter_mut() {
        if !job.run(&mut transaction).await {
            return (Err(Undone::During), transaction.rollback().await.is_ok());
        }
    }
    match transaction.commit().await {
        Ok(()) => (Ok(()), true),
        Err(error) => {
            jobs.iter_mut().for_each(|job| job.fail(error.clone()));
            (Err(Undone::During), false)
        }
    }
}

/// When a transaction failed.
enum Undone {
    /// It could not begin.
    Before,
    /// One of its pieces or its commit failed.
    During,
}
