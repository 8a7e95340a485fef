//! The task that moves the write-ahead log into the database file.
//!
//! A commit appends to the log. A checkpoint copies the log's pages into the database file. By default SQLite does that
//! within the commit that makes the log too long, and that commit then takes tens of milliseconds. This task does it
//! between commits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::engine::columns::Columns as _;
use crate::engine::sql::{Connection, query};

/// Bytes of the log for one page: the page and its header.
const FRAME: u64 = 4096 + 24;

/// The log's end of things.
pub(crate) struct Checkpointer {
    pub(crate) connection: Connection,
    /// The log's file.
    pub(crate) log: PathBuf,
    pub(crate) every: Duration,
    /// The length of the log, in bytes, above which the writer is stopped.
    pub(crate) limit: u64,
    /// Bytes that the log's file may keep while nothing is written.
    pub(crate) idle_length: u64,
    /// The writer holds it while it writes.
    pub(crate) turn: Arc<Mutex<()>>,
}

/// If a checkpoint makes no progress for this long, that is logged. It is also the least time between two such
/// messages.
const STUCK: Duration = Duration::from_secs(60);

/// How far a checkpoint came.
struct Progress {
    complete: bool,
    /// Bytes of the log that are in use.
    length: u64,
}

impl Checkpointer {
    /// Makes checkpoints as long as there are commits. When the writer is gone, makes a last one and ends.
    pub(crate) async fn run(mut self, mut commits: watch::Receiver<u64>) {
        let mut complete = true;
        let mut stuck: Option<Instant> = None;
        loop {
            // Readers may have kept a checkpoint from copying everything. Then it is tried again without a new commit.
            if complete && commits.changed().await.is_err() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = ended(commits.clone()) => break,
            }
            commits.mark_unchanged();
            complete = self.checkpoint().await;
            if complete {
                stuck = None;
                tokio::select! {
                    () = tokio::time::sleep(self.every) => self.shorten(),
                    _ = commits.changed() => commits.mark_changed(),
                }
            } else if stuck.get_or_insert_with(Instant::now).elapsed() >= STUCK {
                stuck = Some(Instant::now());
                tracing::warn!(
                    "the write-ahead log could not be moved into the database for {} s and grows: is a transaction of \
                     another program open on the database?",
                    STUCK.as_secs()
                );
            }
        }
        self.pragma("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Returns whether the whole log is in the database.
    async fn checkpoint(&mut self) -> bool {
        let progress = self.pragma("PRAGMA wal_checkpoint(PASSIVE)");
        if progress.length <= self.limit {
            return progress.complete;
        }
        // A commit starts the log at its beginning only after a checkpoint that copied everything. Under steady writing
        // that never happens, and the log would grow without end. So the writer waits during this checkpoint. Most of
        // the log is copied already.
        let turn = Arc::clone(&self.turn);
        let _turn = turn.lock().await;
        self.pragma("PRAGMA wal_checkpoint(PASSIVE)").complete
    }

    /// Shortens the log's file while nobody writes. Otherwise the file keeps its length.
    fn shorten(&mut self) {
        let Ok(log) = std::fs::metadata(&self.log) else { return };
        let turn = Arc::clone(&self.turn);
        let Ok(_turn) = turn.try_lock() else { return };
        if log.len() > self.idle_length {
            self.pragma("PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }

    fn pragma(&mut self, pragma: &'static str) -> Progress {
        let row = match query(pragma).fetch_one(&mut self.connection) {
            Ok(row) => row,
            Err(error) => {
                tracing::warn!(%error, "a checkpoint failed; commits are safe, the write-ahead log grows meanwhile");
                metrics::counter!("salt402_store_checkpoints_total", "result" => "failed").increment(1);
                return Progress { complete: false, length: 0 };
            }
        };
        // The columns: whether the checkpoint was kept from finishing, the pages in the log, and how many of them are
        // in the database. -1, which is no number here, means that there is no log.
        let column = |name: &'static str| row.number(name).ok();
        let length = column("log").unwrap_or(0).saturating_mul(FRAME);
        let complete = column("busy") == Some(0) && column("log") == column("checkpointed");
        let result = if complete { "complete" } else { "partial" };
        metrics::counter!("salt402_store_checkpoints_total", "result" => result).increment(1);
        Progress { complete, length }
    }
}

/// Waits until the writer is gone.
async fn ended(mut commits: watch::Receiver<u64>) {
    while commits.changed().await.is_ok() {}
}
