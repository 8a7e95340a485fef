//! The store itself: its connections, its tasks, and how it ends.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::checkpoint::Checkpointer;
use crate::crowd::Crowds;
use crate::direct::Direct;
use crate::open::{self, Opened};
use crate::place::Place;
use crate::readers::{Reader, Readers};
use crate::recent::Recent;
use crate::references::References;
use crate::steps::Stepper;
use crate::sums::Sums;
use crate::work::{Jobs, QUEUE};
use crate::writable::Standing;
use crate::writer::Writer;
use crate::{Making, Options, StoreError};

/// What a step or a look at a receipt changes, and an indexer's sign of life: each may be what a request waits for.
const PROGRESS: &str = "SELECT (SELECT COALESCE(MAX(id), 0) FROM payments)
        || ' ' || (SELECT COALESCE(MAX(id), 0) FROM channel_events)
        || ' ' || COALESCE((SELECT group_concat(concat_ws(' ', chain_id, COALESCE(cursor_number, '-'),
                   COALESCE(hex(cursor_hash), '-'), COALESCE(head_number, '-'), COALESCE(doubted_above, '-'),
                   COALESCE(noted_at_ms, '-'), payments)) FROM chains), '')";

/// A database that is open. Clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    path: PathBuf,
    jobs: Jobs,
    readers: Readers,
    direct: Direct,
    recent: Arc<Recent>,
    crowds: Crowds,
    references: References,
    standing: Arc<Standing>,
    /// Held apart from the readers: what it tells is told from one connection's point of view. `None` once closed.
    watcher: tokio::sync::Mutex<Option<SqliteConnection>>,
    progress: watch::Receiver<u64>,
    refuse_before: u64,
    making: Making,
    place: Arc<Place>,
    /// Taken by the first [`Store::close`]. A std mutex, because no await happens while it is held.
    tasks: Mutex<Option<Tasks>>,
}

struct Tasks {
    closing: oneshot::Sender<()>,
    writer: JoinHandle<()>,
    checkpointer: JoinHandle<()>,
}

impl Store {
    /// Opens a database; creates it, and its directory, if it is missing; brings it to this program's schema. Must be
    /// called in a tokio runtime, where its two tasks then live: one writes, one checkpoints.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        let Opened {
            writer_options,
            writer,
            steps,
            checkpointer,
            readers,
            watcher,
            refuse_before,
            making,
            place,
            direct,
            recent,
        } = open::open(&options).await?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (closing, closed) = oneshot::channel();
        let (commits, committed) = watch::channel(0);
        let (progressed, progress) = watch::channel(0);

        let (turn, standing) = (Arc::default(), Arc::<Standing>::default());
        let stepper = Stepper::new(steps, Arc::clone(&recent));
        let writer = Writer {
            options: writer_options,
            connection: Some(writer),
            stepper,
            sums: Sums::default(),
            recent: Arc::clone(&recent),
            place: Arc::clone(&place),
            standing: Arc::clone(&standing),
            turn: Arc::clone(&turn),
            commits,
            progress: progressed,
        };
        let checkpointer = Checkpointer {
            connection: checkpointer,
            log: {
                let mut log = options.path.as_os_str().to_owned();
                log.push("-wal");
                log.into()
            },
            every: options.checkpoint_every,
            limit: options.wal_limit,
            idle_length: options.idle_wal_length,
            turn,
        };
        let tasks = Tasks {
            closing,
            writer: tokio::spawn(writer.run(queue, closed)),
            checkpointer: tokio::spawn(checkpointer.run(committed)),
        };
        Ok(Self(Arc::new(Shared {
            path: options.path,
            jobs,
            readers,
            direct,
            recent,
            crowds: Crowds::default(),
            references: References::default(),
            standing,
            watcher: tokio::sync::Mutex::new(Some(watcher)),
            progress,
            refuse_before,
            making,
            place,
            tasks: Mutex::new(Some(tasks)),
        })))
    }

    /// Writes what is queued, moves the log into the database and closes it, for every clone. A store that is dropped
    /// without this loses nothing that was answered.
    pub async fn close(self) {
        let tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Tasks { closing, writer, checkpointer }) = tasks else { return };
        let _ = closing.send(());
        if let Err(error) = writer.await {
            tracing::error!(%error, "the writer ended badly; what it had answered is stored");
        }
        // Readers go before the last checkpoint, which then has the log to itself.
        self.0.recent.close();
        self.0.direct.close();
        self.0.readers.close().await;
        if let Some(watcher) = self.0.watcher.lock().await.take() {
            let _ = watcher.close().await;
        }
        if let Err(error) = checkpointer.await {
            tracing::warn!(%error, "the checkpoint task ended badly; the next start takes over what it left");
        }
    }

    /// A number that changes after every commit of this process that changed a chain, or by which an index is current again
    /// or out of doubt. The channel ends with the store.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.0.progress.clone()
    }

    /// A number that changes when anybody, in this process or another, committed to the database since the last call.
    /// It says nothing by its size. Costs microseconds and never waits for writers.
    pub async fn outside_change(&self) -> Result<i64, StoreError> {
        let mut watcher = self.0.watcher.lock().await;
        let watcher = watcher.as_mut().ok_or(StoreError::Closed)?;
        Ok(sqlx::query("PRAGMA data_version").fetch_one(watcher).await?.try_get(0)?)
    }

    /// Where all chains stand and how much was added to them, in words that change when that does, whoever committed it. Claims
    /// change nothing of it: of those there are many, and nobody waits for them.
    pub async fn outside_progress(&self) -> Result<String, StoreError> {
        let mut watcher = self.0.watcher.lock().await;
        let watcher = watcher.as_mut().ok_or(StoreError::Closed)?;
        Ok(sqlx::query(PROGRESS).fetch_one(watcher).await?.try_get(0)?)
    }

    /// The time of the oldest block, in seconds since 1970 UTC, whose payments can still be claimed if they have no
    /// claim: this database was put back from a backup, and what was claimed before that may be forgotten. 0 where it
    /// never was.
    pub fn refuse_before(&self) -> u64 {
        self.0.refuse_before
    }

    /// Which database this is.
    pub fn making(&self) -> Making {
        self.0.making
    }

    /// Whether the files that are open are at their places.
    ///
    /// # Errors
    /// [`StoreError::Moved`] while one is not.
    pub fn in_place(&self) -> Result<(), StoreError> {
        self.0.place.check()
    }

    /// Device and number of the database's file.
    pub(crate) fn file_identity(&self) -> (u64, u64) {
        self.0.place.database()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    /// Reading connections that are lent out.
    pub(crate) fn readers_busy(&self) -> u32 {
        self.0.readers.busy()
    }

    /// The memory of recent payments.
    pub(crate) fn recent(&self) -> &Recent {
        &self.0.recent
    }

    /// Where payments stand in transactions that hold many.
    pub(crate) fn crowds(&self) -> &Crowds {
        &self.0.crowds
    }

    /// The payments of a time by what they were paid for.
    pub(crate) fn references(&self) -> &References {
        &self.0.references
    }

    /// Whether work is written.
    pub(crate) fn standing(&self) -> &Standing {
        &self.0.standing
    }

    /// The connections to read with on the caller's thread.
    pub(crate) fn direct(&self) -> &Direct {
        &self.0.direct
    }

    /// A connection to read with, when one is free.
    pub(crate) async fn reader(&self) -> Result<Reader<'_>, StoreError> {
        self.0.readers.take().await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.0.path).finish_non_exhaustive()
    }
}
