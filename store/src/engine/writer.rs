//! The thread that writes. There is only one.
//!
//! The writer owns the only writing connection of this process, and the thread that it runs on. Work comes through a bounded channel. All work that
//! waits there is written in one transaction, and every piece is answered after its commit. So a crash never takes back
//! what was answered, and many claims together wait for the disk once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;
use std::time::Instant;

use futures::executor::block_on;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::engine::changes::Changes;
use crate::engine::file_identity::DatabaseFiles;
use crate::engine::memory::{Memory, Publication};
use crate::engine::open::WriterSettings;
use crate::engine::queue::{Batched, Group, Job, PendingBatched, StepJob, Work, guarded};
use crate::engine::sql::{Connection, data_version};
use crate::engine::steps;
use crate::engine::transaction::WriteTransaction;
use crate::engine::write_health::WriteHealth;
use crate::rows::StoreError;

/// The writer's end of things.
pub(crate) struct Writer<B: Batched> {
    pub(crate) settings: WriterSettings,
    /// `None` while it is in use, and after a failure that left it in an unknown state. Then it is opened again.
    pub(crate) connection: Option<Connection>,
    /// The state of the batched work, as the last transaction left it.
    pub(crate) state: B::State,
    /// Is told what was changed, after the commit and before anybody is answered.
    pub(crate) memory: Arc<dyn Memory>,
    /// Checked before every commit: whether the open files are still at their paths.
    pub(crate) files: Arc<DatabaseFiles>,
    /// Is told of every piece of work whether it was written.
    pub(crate) health: Arc<WriteHealth>,
    /// Held while writing. A checkpoint takes it to stop the writer.
    pub(crate) turn: Arc<Mutex<()>>,
    /// Counts transactions, and ends with the writer.
    pub(crate) commits: watch::Sender<u64>,
    /// Counts the transactions that changed a chain.
    pub(crate) progress: watch::Sender<u64>,
}

impl<B: Batched> Writer<B> {
    /// Starts the thread. It writes until `closing` is sent or every sender is gone, and then what is still queued. What is
    /// returned tells when it has ended; it is dropped if the thread ended badly.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(crate) fn start(
        self,
        queue: mpsc::Receiver<Work<B>>,
        closing: oneshot::Receiver<()>,
    ) -> std::io::Result<oneshot::Receiver<()>> {
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new().name("salt402-writer".to_owned()).spawn(move || {
            block_on(self.run(queue, closing));
            let _ = ended.send(());
        })?;
        Ok(end)
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Work<B>>, mut closing: oneshot::Receiver<()>) {
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
            let turn = self.turn.clone();
            // What comes while a checkpoint has the turn is written with the first.
            let _turn = turn.lock().await;
            let mut group = Group::new();
            let mut step = group.add(first);
            while step.is_none() && !group.is_full() {
                let Ok(next) = queue.try_recv() else { break };
                step = group.add(next);
            }
            let work = || {
                if !group.is_empty() {
                    self.write(group);
                }
                if let Some(step) = step {
                    self.step(step);
                }
            };
            // A panic of a piece of work is that piece's failure. One of the writer itself comes here: the connection was dropped,
            // which undid what was not committed.
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("work of the store ended badly; nothing of it is stored");
            }
        }
    }

    /// A follower's step, in a transaction of its own.
    fn step(&mut self, mut step: Box<dyn StepJob>) {
        let begun = Instant::now();
        let committed = match self.files.check().and_then(|()| self.connection()) {
            Ok(connection) => {
                let (committed, sound) = steps::transact(connection.library(), &self.memory, &mut *step);
                // A connection that may still be within a transaction is dropped, which undoes the transaction.
                self.connection = sound.then_some(connection);
                committed
            }
            Err(error) => {
                step.fail(error);
                false
            }
        };
        note_commit(step.kind(), begun);
        if committed {
            if step.wakes() {
                self.progress.send_modify(|count| *count += 1);
            }
            self.commits.send_modify(|count| *count += 1);
        }
        step.answer(&self.health);
    }

    fn write(&mut self, mut group: Group<B>) {
        // One failing piece must not make its neighbours fail. They are tried again, each in a transaction of its own.
        // If the transaction could not even begin, that says nothing about the pieces, and they are not tried again.
        if let Err(Undone::During) = self.commit(&mut group.batched, &mut group.jobs)
            && group.batched.len() + group.jobs.len() > 1
        {
            for mut piece in group.batched {
                let _ = self.commit(slice::from_mut(&mut piece), &mut []);
                piece.answer(&self.health);
            }
            for mut job in group.jobs {
                let _ = self.commit(&mut [], slice::from_mut(&mut job));
                job.answer(&self.health);
            }
            return;
        }
        group.batched.into_iter().for_each(|piece| piece.answer(&self.health));
        group.jobs.into_iter().for_each(|job| job.answer(&self.health));
    }

    /// Writes all pieces in one transaction. Their results are set and not yet answered.
    fn commit(&mut self, batched: &mut [PendingBatched<B>], jobs: &mut [Box<dyn Job>]) -> Result<(), Undone> {
        let mut connection = match self.connection() {
            Ok(connection) => connection,
            Err(error) => {
                fail(batched, jobs, &error);
                return Err(Undone::Before);
            }
        };
        let begun = Instant::now();
        let mut state = std::mem::take(&mut self.state);
        let (result, sound) = transact(&mut connection, &self.memory, &self.files, batched, jobs, &mut state);
        // After a failed transaction the state holds what was not written.
        if result.is_ok() {
            self.state = state;
        }
        note_commit(if batched.is_empty() { group_kind(jobs) } else { B::KIND }, begun);
        // A connection that may still be within a transaction is dropped, which undoes the transaction.
        self.connection = sound.then_some(connection);
        let wakes = result?;
        self.commits.send_modify(|count| *count += 1);
        if wakes {
            self.progress.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    fn connection(&mut self) -> Result<Connection, StoreError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        tracing::warn!("the writing connection is opened anew after a failure");
        // It stays open, so it must be of the database's own file: also when another is at its path for a moment.
        self.files.check()?;
        let opened = self.settings.open()?;
        self.files.check()?;
        Ok(opened)
    }
}

/// Notes how long a transaction took, whether or not it succeeded. Everybody who waited for the writer waited as long.
fn note_commit(kind: &'static str, begun: Instant) {
    metrics::histogram!("salt402_store_commit_seconds", "kind" => kind).record(begun.elapsed().as_secs_f64());
}

/// The name of a group without batched work: the kind that grants, if there is one, since a request waits for it.
fn group_kind(jobs: &[Box<dyn Job>]) -> &'static str {
    if jobs.iter().any(|job| job.grants()) { "claims" } else { "other" }
}

/// When a transaction failed.
enum Undone {
    /// It could not begin.
    Before,
    /// One of its pieces or its commit failed.
    During,
}

/// Runs one transaction. Returns whether those who wait for the index are to be woken, and whether the connection is in
/// a known state afterwards.
fn transact<B: Batched>(
    connection: &mut Connection,
    memory: &Arc<dyn Memory>,
    files: &DatabaseFiles,
    batched: &mut [PendingBatched<B>],
    jobs: &mut [Box<dyn Job>],
    state: &mut B::State,
) -> (Result<bool, Undone>, bool) {
    let mut transaction = match WriteTransaction::begin(connection) {
        Ok(transaction) => transaction,
        Err(error) => {
            fail(batched, jobs, &error);
            return (Err(Undone::Before), matches!(error, StoreError::Busy));
        }
    };
    // Every way out that does not publish drops this. Then the memory forgets everything.
    let publication = match memory.is_on() {
        true => Some(Publication::begin(memory, data_version(transaction.connection()).ok())),
        false => None,
    };
    let mut all_well = true;
    for job in jobs.iter_mut() {
        all_well = all_well && job.run(&mut transaction);
    }
    if all_well && !batched.is_empty() {
        let pieces: Vec<_> = batched.iter().map(|pending| &pending.work).collect();
        match guarded(|| B::write(&mut transaction, &pieces, state)) {
            Ok(results) => {
                batched.iter_mut().zip(results).for_each(|(pending, result)| pending.result = Ok(result));
            }
            Err(error) => {
                batched.iter_mut().for_each(|pending| pending.result = Err(error.clone()));
                all_well = false;
            }
        }
    }
    if !all_well {
        return (Err(Undone::During), transaction.rollback().is_ok());
    }
    // As late as possible. A fault here is not one of the pieces, so none of them is tried alone.
    if let Err(error) = files.check() {
        fail(batched, jobs, &error);
        return (Err(Undone::Before), transaction.rollback().is_ok());
    }
    let wakes = transaction.wakes();
    if let Err(error) = guarded(|| transaction.commit()) {
        fail(batched, jobs, &error);
        return (Err(Undone::During), false);
    }
    if let Some(publication) = publication {
        let seen = publication.seen();
        publication.publish(seen, data_version(connection).ok(), changes(batched, jobs));
    }
    (Ok(wakes), true)
}

/// What a group changed in the answers of look-ups. A payment that was claimed is seldom asked for again, so it is
/// forgotten and not replaced.
fn changes<B: Batched>(batched: &[PendingBatched<B>], jobs: &[Box<dyn Job>]) -> Changes {
    if jobs.iter().any(|job| job.changes_payments()) {
        return Changes::everything();
    }
    let used = batched.iter().map(|pending| pending.work.payment()).collect();
    Changes { used, ..Changes::default() }
}

fn fail<B: Batched>(batched: &mut [PendingBatched<B>], jobs: &mut [Box<dyn Job>], error: &StoreError) {
    batched.iter_mut().for_each(|pending| pending.result = Err(error.clone()));
    jobs.iter_mut().for_each(|job| job.fail(error.clone()));
}

#[cfg(test)]
mod tests {
    use salt402_protocol::B256;

    use super::*;
    use crate::engine::columns::Columns as _;
    use crate::engine::open;
    use crate::engine::options::Options;
    use crate::engine::queue::{Jobs, QUEUE, Write, send};
    use crate::engine::schema::NoUpgrade;
    use crate::engine::sql::query;
    use crate::payments::cache::Recent;
    use crate::rows::claim::NewClaim;

    /// A writer whose connection may hold a few pages more than an empty database.
    async fn cramped() -> (tempfile::TempDir, Jobs<NewClaim>, watch::Receiver<u64>) {
        cramped_with(Arc::default()).await
    }

    async fn cramped_with(turn: Arc<Mutex<()>>) -> (tempfile::TempDir, Jobs<NewClaim>, watch::Receiver<u64>) {
        let directory = tempfile::tempdir().unwrap();
        let settings = Options::new(directory.path().join("writer.db"));
        let mut opened = open::open(&settings, &NoUpgrade).await.unwrap();
        let memory: Arc<dyn Memory> = Arc::new(Recent::new(opened.commit_watcher, settings.memory));
        let pages = query("PRAGMA page_count").fetch_one(&mut opened.writer).unwrap();
        let pages = i64::try_from(pages.number("page_count").unwrap()).unwrap();
        // Among the settings, so that a connection that is opened anew has it too.
        let settings = WriterSettings { most_pages: Some(pages + 8), ..opened.settings };
        let connection = settings.open().unwrap();
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (commits, committed) = watch::channel(0);
        let (progress, _) = watch::channel(0);
        let writer = Writer::<NewClaim> {
            settings,
            connection: Some(connection),
            state: Default::default(),
            memory,
            files: opened.files,
            health: Arc::default(),
            turn,
            commits,
            progress,
        };
        // Never sent: the writer ends with its senders.
        let (closing, closed) = oneshot::channel();
        std::mem::forget(closing);
        writer.start(queue, closed).unwrap();
        (directory, jobs, committed)
    }

    /// Keeps a text of some length under a name.
    struct Keep(&'static str, usize);

    impl Write for Keep {
        type Output = ();

        const CHANGES_PAYMENTS: bool = true;

        fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
            query("INSERT INTO meta (name, value) VALUES ($1, $2)")
                .bind(self.0)
                .bind("x".repeat(self.1))
                .execute(transaction.connection())?;
            Ok(())
        }
    }

    struct Kept;

    impl Write for Kept {
        type Output = String;

        const CHANGES_PAYMENTS: bool = true;

        fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<String, StoreError> {
            let rows = query("SELECT name FROM meta WHERE LENGTH(name) = 1 ORDER BY name")
                .fetch_all(transaction.connection())?;
            rows.iter().map(|row| row.text("name")).collect()
        }
    }

    /// Fails only when it is committed.
    struct FailsAtCommit;

    impl Write for FailsAtCommit {
        type Output = ();

        const CHANGES_PAYMENTS: bool = true;

        fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
            query("PRAGMA defer_foreign_keys = ON").execute(transaction.connection())?;
            query(
                "INSERT INTO incidents (chain_id, kind, payment_id, transaction_hash, opened_at_ms, detail)
                 VALUES (404, 'payment_lost', $1, $1, 0, '')",
            )
            .bind(B256::ZERO.as_slice())
            .execute(transaction.connection())?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_waits_together_is_committed_together() {
        let turn = Arc::new(Mutex::new(()));
        let (_directory, jobs, commits) = cramped_with(Arc::clone(&turn)).await;
        let held = turn.lock().await;
        let queued = async {
            tokio::task::yield_now().await;
            drop(held);
        };
        let (one, two, three, ()) = tokio::join!(
            send(&jobs, Keep("a", 1)),
            send(&jobs, Keep("b", 1)),
            send(&jobs, Keep("c", 1)),
            queued
        );
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        assert_eq!(*commits.borrow(), 1);
    }

    #[tokio::test]
    async fn f20_a_full_disk_fails_what_does_not_fit_and_nothing_else() {
        let (_directory, jobs, commits) = cramped().await;
        let (before, large, after) = tokio::join!(
            send(&jobs, Keep("a", 1)),
            send(&jobs, Keep("b", 1 << 20)),
            send(&jobs, Keep("c", 1))
        );
        assert!(matches!(large, Err(StoreError::DiskFull)), "{large:?}");
        assert!(before.is_ok() && after.is_ok());
        assert_eq!(*commits.borrow(), 2, "each of the others on its own");
        assert_eq!(send(&jobs, Kept).await.unwrap(), "ac");
        assert!(matches!(send(&jobs, Keep("d", 1 << 20)).await, Err(StoreError::DiskFull)));
        send(&jobs, Keep("e", 1)).await.unwrap();
    }

    #[tokio::test]
    async fn a_commit_that_fails_undoes_its_piece_and_nothing_else() {
        let (_directory, jobs, _) = cramped().await;
        let (before, failing, after) =
            tokio::join!(send(&jobs, Keep("a", 1)), send(&jobs, FailsAtCommit), send(&jobs, Keep("c", 1)));
        assert!(matches!(failing, Err(StoreError::Sql(_))), "{failing:?}");
        assert!(before.is_ok() && after.is_ok());
        assert_eq!(send(&jobs, Kept).await.unwrap(), "ac");
        send(&jobs, Keep("d", 1)).await.unwrap();
    }

    struct Breaks;

    impl Write for Breaks {
        type Output = ();

        const CHANGES_PAYMENTS: bool = true;

        fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
            Keep("b", 1).write(transaction)?;
            panic!("a fault of ours, for a test");
        }
    }

    #[tokio::test]
    async fn a_piece_that_panics_is_undone_and_nothing_else() {
        let turn = Arc::new(Mutex::new(()));
        let (_directory, jobs, _) = cramped_with(Arc::clone(&turn)).await;
        let held = turn.lock().await;
        let queued = async {
            tokio::task::yield_now().await;
            drop(held);
        };
        let (before, breaks, after, ()) =
            tokio::join!(send(&jobs, Keep("a", 1)), send(&jobs, Breaks), send(&jobs, Keep("c", 1)), queued);
        assert!(matches!(breaks, Err(StoreError::Broke)), "{breaks:?}");
        assert!(before.is_ok() && after.is_ok(), "{before:?} {after:?}");
        assert_eq!(send(&jobs, Kept).await.unwrap(), "ac");
    }

    #[tokio::test]
    async fn a_connection_that_is_opened_anew_is_of_the_own_file() {
        let (directory, jobs, _) = cramped().await;
        let path = directory.path().join("writer.db");
        let moved = |from: &str, to: &str| {
            for ending in ["", "-wal", "-shm"] {
                let at = |place: &str| directory.path().join(format!("{place}{ending}"));
                std::fs::rename(at(from), at(to)).unwrap();
            }
        };
        // It leaves the connection in an unknown state, so that the next work opens another.
        assert!(send(&jobs, FailsAtCommit).await.is_err());
        moved("writer.db", "own.db");
        let other = open::open(&Options::new(&path), &NoUpgrade).await.unwrap();
        let away = send(&jobs, Keep("a", 1)).await;
        assert!(matches!(away, Err(StoreError::Moved { .. })), "{away:?}");
        moved("writer.db", "other.db");
        moved("own.db", "writer.db");
        send(&jobs, Keep("b", 1)).await.unwrap();
        let mut own = open::read_only(&path).await.unwrap();
        let kept = query("SELECT name FROM meta WHERE name IN ('a', 'b')").fetch_all(&mut own).unwrap();
        assert_eq!(kept.iter().map(|row| row.text("name").unwrap()).collect::<Vec<_>>(), ["b"]);
        drop(other);
    }

    #[tokio::test]
    async fn work_whose_sender_is_gone_is_done_all_the_same() {
        let (_directory, jobs, _) = cramped().await;
        let mut gone = Box::pin(send(&jobs, Keep("a", 1)));
        std::future::poll_fn(|context| {
            assert!(gone.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(gone);
        assert_eq!(send(&jobs, Kept).await.unwrap(), "a");
    }
}
