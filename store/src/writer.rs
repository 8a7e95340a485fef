//! The one task that writes.
//!
//! It owns the only writing connection of this process. Work comes over a bounded channel; whatever waits there is
//! written in one transaction, and every piece is answered after its commit. So nothing is acknowledged that a crash
//! could take back, and a crowd of claims costs one wait for the disk.

use std::slice;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, oneshot, watch};

use crate::transaction::WriteTransaction;
use crate::work::{Group, Job, PendingClaim, Work};
use crate::{StoreError, claim};

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
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Work>, mut closing: oneshot::Receiver<()>) {
        let mut open = true;
        loop {
            let first = tokio::select! {
                work = queue.recv() => work,
                _ = &mut closing, if open => {
                    open = false;
                    queue.close();
                    continue;
                }
            };
            let Some(first) = first else { break };
            let mut group = Group::of(first);
            while !group.is_full() {
                let Ok(next) = queue.try_recv() else { break };
                group.add(next);
            }
            self.write(group).await;
        }
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }

    async fn write(&mut self, mut group: Group) {
        // One failing piece must not take its neighbours along: they are tried again, each in a transaction of its
        // own. A transaction that could not even begin says nothing about the pieces, and is not tried for each.
        if let Err(Undone::During) = self.commit(&mut group.claims, &mut group.jobs).await
            && group.claims.len() + group.jobs.len() > 1
        {
            for mut claim in group.claims {
                let _ = self.commit(slice::from_mut(&mut claim), &mut []).await;
                claim.answer();
            }
            for mut job in group.jobs {
                let _ = self.commit(&mut [], slice::from_mut(&mut job)).await;
                job.answer();
            }
            return;
        }
        group.claims.into_iter().for_each(PendingClaim::answer);
        group.jobs.into_iter().for_each(|job| job.answer());
    }

    /// All in one transaction. The results are set, not yet answered.
    async fn commit(&mut self, claims: &mut [PendingClaim], jobs: &mut [Box<dyn Job>]) -> Result<(), Undone> {
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => {
                fail(claims, jobs, &error);
                return Err(Undone::Before);
            }
        };
        let (result, sound) = transact(&mut connection, claims, jobs).await;
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

/// When a transaction failed.
enum Undone {
    /// It could not begin.
    Before,
    /// One of its pieces or its commit failed.
    During,
}

/// One transaction; and whether the connection is in a known state after it.
async fn transact(
    connection: &mut SqliteConnection,
    claims: &mut [PendingClaim],
    jobs: &mut [Box<dyn Job>],
) -> (Result<(), Undone>, bool) {
    let mut transaction = match WriteTransaction::begin(connection).await {
        Ok(transaction) => transaction,
        Err(error) => {
            fail(claims, jobs, &error);
            return (Err(Undone::Before), matches!(error, StoreError::Busy));
        }
    };
    let mut all_well = true;
    for job in jobs.iter_mut() {
        all_well = all_well && job.run(&mut transaction).await;
    }
    if all_well && !claims.is_empty() {
        let wanted: Vec<_> = claims.iter().map(|pending| &pending.claim).collect();
        match claim::write(&mut transaction, &wanted).await {
            Ok(results) => {
                claims.iter_mut().zip(results).for_each(|(pending, result)| pending.result = Ok(result));
            }
            Err(error) => {
                claims.iter_mut().for_each(|pending| pending.result = Err(error.clone()));
                all_well = false;
            }
        }
    }
    if !all_well {
        return (Err(Undone::During), transaction.rollback().await.is_ok());
    }
    match transaction.commit().await {
        Ok(()) => (Ok(()), true),
        Err(error) => {
            fail(claims, jobs, &error);
            (Err(Undone::During), false)
        }
    }
}

fn fail(claims: &mut [PendingClaim], jobs: &mut [Box<dyn Job>], error: &StoreError) {
    claims.iter_mut().for_each(|pending| pending.result = Err(error.clone()));
    jobs.iter_mut().for_each(|job| job.fail(error.clone()));
}
