//! The one task that writes.
//!
//! It owns the only writing connection of this process. Work comes over a bounded channel; whatever waits there is
//! written in one transaction, and every piece is answered after its commit. So nothing is acknowledged that a crash
//! could take back, and a crowd of claims costs one wait for the disk.

use std::slice;
use std::sync::Arc;
use std::time::Instant;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::place::Place;
use crate::recent::{Changes, Recent};
use crate::steps::{StepJob, Stepper};
use crate::sums::Sums;
use crate::transaction::WriteTransaction;
use crate::work::{Group, Job, PendingClaim, Work};
use crate::writable::Standing;
use crate::{StoreError, claim};

/// The writer's end of things.
pub(crate) struct Writer {
    pub(crate) options: SqliteConnectOptions,
    /// `None` while it is in use, and after a failure that left it in an unknown state; then it is opened anew.
    pub(crate) connection: Option<SqliteConnection>,
    pub(crate) stepper: Stepper,
    /// What is granted to payers and not final. As the last transaction left it.
    pub(crate) sums: Sums,
    /// Told what was changed, after the commit and before anybody is answered.
    pub(crate) recent: Arc<Recent>,
    /// Whether what is written stays: asked before every commit.
    pub(crate) place: Arc<Place>,
    /// Told of every piece whether it was written.
    pub(crate) standing: Arc<Standing>,
    /// Held while writing, so that a checkpoint can hold the writer up.
    pub(crate) turn: Arc<Mutex<()>>,
    /// Counts transactions, and ends with the writer.
    pub(crate) commits: watch::Sender<u64>,
    /// Counts those that changed a chain.
    pub(crate) progress: watch::Sender<u64>,
}

impl Writer {
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
            let mut group = Group::default();
            let mut step = group.add(first);
            while step.is_none() && !group.is_full() {
                let Ok(next) = queue.try_recv() else { break };
                step = group.add(next);
            }
            if !group.is_empty() {
                self.write(group).await;
            }
            if let Some(step) = step {
                self.step(step).await;
            }
        }
        self.stepper.close().await;
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }

    /// A follower's step, in a transaction of its own.
    async fn step(&mut self, step: Box<dyn StepJob>) {
        let turn = self.turn.clone();
        let _turn = turn.lock().await;
        let (begun, kind) = (Instant::now(), step.kind());
        let written = self.stepper.write(step).await;
        note_commit(kind, begun);
        let Some((step, committed)) = written else { return };
        if committed {
            if step.wakes() {
                self.progress.send_modify(|count| *count += 1);
            }
            self.commits.send_modify(|count| *count += 1);
        }
        step.answer(&self.standing);
    }

    async fn write(&mut self, mut group: Group) {
        let turn = self.turn.clone();
        let _turn = turn.lock().await;
        // One failing piece must not take its neighbours along: they are tried again, each in a transaction of its
        // own. A transaction that could not even begin says nothing about the pieces, and is not tried for each.
        if let Err(Undone::During) = self.commit(&mut group.claims, &mut group.jobs).await
            && group.claims.len() + group.jobs.len() > 1
        {
            for mut claim in group.claims {
                let _ = self.commit(slice::from_mut(&mut claim), &mut []).await;
                claim.answer(&self.standing);
            }
            for mut job in group.jobs {
                let _ = self.commit(&mut [], slice::from_mut(&mut job)).await;
                job.answer(&self.standing);
            }
            return;
        }
        group.claims.into_iter().for_each(|claim| claim.answer(&self.standing));
        group.jobs.into_iter().for_each(|job| job.answer(&self.standing));
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
        let begun = Instant::now();
        let mut sums = std::mem::take(&mut self.sums);
        let (result, sound) =
            transact(&mut connection, &self.recent, &self.place, claims, jobs, &mut sums).await;
        // Of a transaction that failed they hold what was not written.
        if result.is_ok() {
            self.sums = sums;
        }
        note_commit(if claims.is_empty() { group_kind(jobs) } else { "claims" }, begun);
        // A connection that is not certainly outside of a transaction is dropped, which undoes what it had open.
        self.connection = sound.then_some(connection);
        let wakes = result?;
        self.commits.send_modify(|count| *count += 1);
        if wakes {
            self.progress.send_modify(|count| *count += 1);
        }
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

/// Notes how long a transaction took, whatever became of it: all that waits for the writer waited as long.
fn note_commit(kind: &'static str, begun: Instant) {
    metrics::histogram!("salt402_store_commit_seconds", "kind" => kind).record(begun.elapsed().as_secs_f64());
}

/// What a group without claims is called: by vouchers, if there are any, since somebody waits for them.
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

/// One transaction: whether it wakes whoever waits for the index; and whether the connection is in a known state after it.
async fn transact(
    connection: &mut SqliteConnection,
    recent: &Arc<Recent>,
    place: &Place,
    claims: &mut [PendingClaim],
    jobs: &mut [Box<dyn Job>],
    sums: &mut Sums,
) -> (Result<bool, Undone>, bool) {
    let mut transaction = match WriteTransaction::begin(connection).await {
        Ok(transaction) => transaction,
        Err(error) => {
            fail(claims, jobs, &error);
            return (Err(Undone::Before), matches!(error, StoreError::Busy));
        }
    };
    // Dropped on every way out that does not publish: then memory forgets all it has.
    let publication = match recent.is_on() {
        true => Some(recent.begin(data_version(transaction.connection()).await)),
        false => None,
    };
    let mut all_well = true;
    for job in jobs.iter_mut() {
        all_well = all_well && job.run(&mut transaction).await;
    }
    if all_well && !claims.is_empty() {
        let wanted: Vec<_> = claims.iter().map(|pending| &pending.claim).collect();
        match claim::write(&mut transaction, &wanted, sums).await {
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
    // As late as can be. It says nothing of the pieces, so that none is tried alone.
    if let Err(error) = place.check() {
        fail(claims, jobs, &error);
        return (Err(Undone::Before), transaction.rollback().await.is_ok());
    }
    let wakes = transaction.wakes();
    if let Err(error) = transaction.commit().await {
        fail(claims, jobs, &error);
        return (Err(Undone::During), false);
    }
    if let Some(publication) = publication {
        let seen = publication.seen();
        publication.publish(seen, data_version(connection).await, changes(claims, jobs));
    }
    (Ok(wakes), true)
}

/// What a group changed of what look-ups find. A claimed payment is seldom asked for again, so that it is forgotten
/// and not changed in its place.
fn changes(claims: &[PendingClaim], jobs: &[Box<dyn Job>]) -> Changes {
    if jobs.iter().any(|job| job.changes_payments()) {
        return Changes::everything();
    }
    let claimed = claims.iter().map(|pending| pending.claim.payment).collect();
    Changes { claimed, ..Changes::default() }
}

/// The `data_version` that a connection sees: it changes with the commits of others. `None` where it cannot be asked.
async fn data_version(connection: &mut SqliteConnection) -> Option<i64> {
    sqlx::query("PRAGMA data_version").fetch_one(connection).await.and_then(|row| row.try_get(0)).ok()
}

fn fail(claims: &mut [PendingClaim], jobs: &mut [Box<dyn Job>], error: &StoreError) {
    claims.iter_mut().for_each(|pending| pending.result = Err(error.clone()));
    jobs.iter_mut().for_each(|job| job.fail(error.clone()));
}

#[cfg(test)]
mod tests {
    use salt402_protocol::{B256, ChainId};

    use super::*;
    use crate::work::{Jobs, QUEUE, Write, send};
    use crate::{Options, open};

    /// A writer whose connection may hold a few pages more than an empty database.
    async fn cramped() -> (tempfile::TempDir, Jobs, watch::Receiver<u64>) {
        let directory = tempfile::tempdir().unwrap();
        let mut opened = open::open(&Options::new(directory.path().join("writer.db"))).await.unwrap();
        let pages: i64 = sqlx::query("PRAGMA page_count").fetch_one(&mut opened.writer).await.unwrap().get(0);
        // Among the settings, so that a connection that is opened anew has it too.
        let options = opened.writer_options.pragma("max_page_count", (pages + 8).to_string());
        let connection = options.connect().await.unwrap();
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (commits, committed) = watch::channel(0);
        let (progress, _) = watch::channel(0);
        let writer = Writer {
            options,
            connection: Some(connection),
            stepper: Stepper::new(opened.steps, Arc::clone(&opened.recent)),
            sums: Sums::default(),
            recent: opened.recent,
            place: opened.place,
            standing: Arc::default(),
            turn: Arc::default(),
            commits,
            progress,
        };
        tokio::spawn(async move {
            // Never sent: the writer ends with its senders.
            let (_closing, closed) = oneshot::channel();
            writer.run(queue, closed).await;
        });
        (directory, jobs, committed)
    }

    /// Keeps a text of some length under a name.
    struct Keep(&'static str, usize);

    impl Write for Keep {
        type Output = ();

        async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
            sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2)")
                .bind(self.0)
                .bind("x".repeat(self.1))
                .execute(transaction.connection())
                .await?;
            Ok(())
        }
    }

    struct Kept;

    impl Write for Kept {
        type Output = String;

        async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<String, StoreError> {
            let rows = sqlx::query("SELECT name FROM meta WHERE LENGTH(name) = 1 ORDER BY name")
                .fetch_all(transaction.connection())
                .await?;
            Ok(rows.iter().map(|row| row.get::<String, _>(0)).collect())
        }
    }

    /// Fails when it is committed, and not before.
    struct FailsAtCommit;

    impl Write for FailsAtCommit {
        type Output = ();

        async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
            sqlx::query("PRAGMA defer_foreign_keys = ON").execute(transaction.connection()).await?;
            sqlx::query(
                "INSERT INTO incidents (chain_id, kind, payment_id, transaction_hash, opened_at_ms, detail)
                 VALUES (404, 'payment_lost', $1, $1, 0, '')",
            )
            .bind(B256::ZERO.as_slice())
            .execute(transaction.connection())
            .await?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_waits_together_is_committed_together() {
        let (_directory, jobs, commits) = cramped().await;
        let (one, two, three) =
            tokio::join!(send(&jobs, Keep("a", 1)), send(&jobs, Keep("b", 1)), send(&jobs, Keep("c", 1)));
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

    #[test]
    fn every_answer_can_be_awaited_on_any_thread() {
        fn is_send<T: Send>(_: fn(&'static crate::Store) -> T) {}
        const CHAIN: ChainId = ChainId::CITRATE;
        is_send(|store| store.apply(unreachable_batch()));
        is_send(|store| store.evict_outcomes(0, 0));
        is_send(|store| store.payments_in(CHAIN, B256::ZERO));
        is_send(|store| store.pin_chain(CHAIN, B256::ZERO));
        is_send(|store| store.note_head(CHAIN, 0));
        is_send(|store| store.outside_change());
        is_send(|store| store.clone().close());
        is_send(|store| store.incidents(true, 0));
        is_send(|store| store.counts());
    }

    fn unreachable_batch() -> crate::Batch {
        unreachable!("the closures above are never called")
    }
}
