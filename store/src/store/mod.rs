//! The open database as every other room holds it: its connections and tasks, its identity, who may use it, and the
//! look-ups of payments. It knows no other tables than those about the database itself.

mod identity;
pub(crate) mod index_changes;
pub(crate) mod lease;
mod locks;
mod lookups;
mod writable;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::engine::{
    Checkpointer, Columns as _, Connection, DatabaseFiles, DatabaseOrigin, Direct, Jobs, Memory, Opened,
    Options, QUEUE, Reader, Readers, Upgrade, WriteHealth, Writer, close, data_version, open, query,
};
use crate::payments::cache::Recent;
use crate::payments::many_payments::ManyPayments;
use crate::payments::references::References;
use crate::rows::{NewClaim, StoreError};

/// Changes with every step, with every look at a receipt and with an indexer's sign of life. A request may wait for any
/// of them.
const PROGRESS: &str = "SELECT (SELECT COALESCE(MAX(id), 0) FROM payments)
        || ' ' || (SELECT COALESCE(MAX(id), 0) FROM channel_events)
        || ' ' || COALESCE((SELECT group_concat(concat_ws(' ', chain_id, COALESCE(cursor_number, '-'),
                   COALESCE(hex(cursor_hash), '-'), COALESCE(head_number, '-'), COALESCE(lower_fork_at, '-'),
                   COALESCE(noted_at_ms, '-'), payments)) FROM chains), '') AS progress";

/// An open database. Clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    path: PathBuf,
    jobs: Jobs<NewClaim>,
    readers: Readers,
    direct: Direct,
    recent: Arc<Recent>,
    many_payments: ManyPayments,
    references: References,
    health: Arc<WriteHealth>,
    /// Not one of the readers, because the number that it tells is relative to one connection. `None` once closed.
    watcher: tokio::sync::Mutex<Option<Connection>>,
    progress: watch::Receiver<u64>,
    refuse_before: u64,
    origin: DatabaseOrigin,
    files: Arc<DatabaseFiles>,
    /// The first [`Store::close`] takes them. A std mutex, because no await happens while it is held.
    tasks: Mutex<Option<Tasks>>,
}

struct Tasks {
    closing: oneshot::Sender<()>,
    /// Tells when the writer's thread has ended.
    writer: oneshot::Receiver<()>,
    checkpointer: JoinHandle<()>,
}

impl Store {
    /// Opens a database and brings it to this program's schema. Call it in a tokio runtime, where the task then
    /// runs that makes checkpoints; the writer has a thread of its own.
    pub(crate) async fn open_with(options: Options, upgrade: &dyn Upgrade) -> Result<Self, StoreError> {
        let Opened {
            settings,
            writer,
            checkpointer,
            readers,
            watcher,
            refuse_before,
            origin,
            files,
            direct,
            commit_watcher,
        } = open::open(&options, upgrade).await?;
        let recent = Arc::new(Recent::new(commit_watcher, options.memory));
        let memory: Arc<dyn Memory> = recent.clone();
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (closing, closed) = oneshot::channel();
        let (commits, committed) = watch::channel(0);
        let (progressed, progress) = watch::channel(0);

        let (turn, health) = (Arc::default(), Arc::<WriteHealth>::default());
        let writer = Writer {
            settings,
            connection: Some(writer),
            state: Default::default(),
            memory,
            files: Arc::clone(&files),
            health: Arc::clone(&health),
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
            writer: writer
                .start(queue, closed)
                .map_err(|error| StoreError::File { path: options.path.clone(), source: Arc::new(error) })?,
            checkpointer: tokio::spawn(checkpointer.run(committed)),
        };
        Ok(Self(Arc::new(Shared {
            path: options.path,
            jobs,
            readers,
            direct,
            recent,
            many_payments: ManyPayments::default(),
            references: References::default(),
            health,
            watcher: tokio::sync::Mutex::new(Some(watcher)),
            progress,
            refuse_before,
            origin,
            files,
            tasks: Mutex::new(Some(tasks)),
        })))
    }

    /// Writes what is queued, moves the log into the database and closes it, for every clone. A store that is dropped
    /// without this loses nothing that was answered.
    pub async fn close(self) {
        let tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Tasks { closing, writer, checkpointer }) = tasks else { return };
        let _ = closing.send(());
        if writer.await.is_err() {
            tracing::error!("the writer ended badly; what it had answered is stored");
        }
        // Readers close before the last checkpoint, so that it need not wait for them.
        self.0.recent.close();
        self.0.direct.close();
        self.0.readers.close().await;
        if let Some(watcher) = self.0.watcher.lock().await.take() {
            close(watcher);
        }
        if let Err(error) = checkpointer.await {
            tracing::warn!(%error, "the checkpoint task ended badly; the next start takes over what it left");
        }
    }

    /// A number that changes after every commit of this process that changed a chain, made an index current again, or
    /// ended a lower fork. The channel ends with the store.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.0.progress.clone()
    }

    /// A number that changes if anybody, in this process or another, committed to the database since the last call.
    /// Only the change has a meaning. It costs microseconds and never waits for writers.
    pub async fn outside_change(&self) -> Result<i64, StoreError> {
        let mut watcher = self.0.watcher.lock().await;
        let watcher = watcher.as_mut().ok_or(StoreError::Closed)?;
        data_version(watcher)
    }

    /// A text that changes when an index moves or something is added to a chain, whoever committed it. Claims do not
    /// change it: there are many, and nobody waits for them.
    pub async fn outside_progress(&self) -> Result<String, StoreError> {
        let mut watcher = self.0.watcher.lock().await;
        let watcher = watcher.as_mut().ok_or(StoreError::Closed)?;
        query(PROGRESS).fetch_one(watcher)?.text("progress")
    }

    /// A payment without a claim can be claimed only if its block is from this time or later, in seconds since 1970
    /// UTC. Not 0 only if the database was restored from a backup: earlier claims may be forgotten.
    pub fn refuse_before(&self) -> u64 {
        self.0.refuse_before
    }

    /// Which database this is.
    pub fn origin(&self) -> DatabaseOrigin {
        self.0.origin
    }

    /// Whether the open files are still at their paths.
    ///
    /// # Errors
    /// [`StoreError::Moved`] if one is not.
    pub fn check_files(&self) -> Result<(), StoreError> {
        self.0.files.check()
    }

    /// The device and number of the database's file.
    fn file_identity(&self) -> (u64, u64) {
        self.0.files.database()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    pub(crate) fn jobs(&self) -> &Jobs<NewClaim> {
        &self.0.jobs
    }

    /// Reading connections that are lent out.
    pub(crate) fn readers_busy(&self) -> u32 {
        self.0.readers.busy()
    }

    /// The memory of recent payments.
    fn recent(&self) -> &Recent {
        &self.0.recent
    }

    /// The positions of payments in transactions that hold many.
    fn many_payments(&self) -> &ManyPayments {
        &self.0.many_payments
    }

    /// The payments of a time by their reference.
    fn references(&self) -> &References {
        &self.0.references
    }

    /// Whether work is written.
    fn health(&self) -> &WriteHealth {
        &self.0.health
    }

    /// The connections to read with on the caller's thread.
    pub(crate) fn direct(&self) -> &Direct {
        &self.0.direct
    }

    /// Waits for a free connection to read with.
    pub(crate) async fn reader(&self) -> Result<Reader<'_>, StoreError> {
        self.0.readers.take().await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.0.path).finish_non_exhaustive()
    }
}
