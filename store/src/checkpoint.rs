//! The task that moves the write-ahead log into the database.
//!
//! A commit appends to the log; a checkpoint copies the log's pages to where they belong. SQLite would do that inside
//! whichever commit makes the log long, which then takes tens of milliseconds. Here it is done beside the commits.

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};
use tokio::sync::{Mutex, watch};

/// Bytes of the log for one page: the page and its header.
const FRAME: u64 = 4096 + 24;

/// The log's end of things.
pub(crate) struct Checkpointer {
    pub(crate) connection: SqliteConnection,
    pub(crate) every: Duration,
    /// Bytes of log above which the writer is held up.
    pub(crate) limit: u64,
    /// Held by the writer while it writes.
    pub(crate) turn: Arc<Mutex<()>>,
}

/// How far a checkpoint came.
struct Progress {
    complete: bool,
    /// Bytes of the log that are in use.
    length: u64,
}

impl Checkpointer {
    /// Checkpoints while there are commits, until the writer that counts them is gone; then once for all.
    pub(crate) async fn run(mut self, mut commits: watch::Receiver<u64>) {
        let mut complete = true;
        loop {
            // What readers kept a checkpoint from copying is tried again without a new commit.
            if complete && commits.changed().await.is_err() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = ended(commits.clone()) => break,
            }
            commits.mark_unchanged();
            complete = self.checkpoint().await;
        }
        self.pragma("PRAGMA wal_checkpoint(TRUNCATE)").await;
        let _ = self.connection.close().await;
    }

    /// Returns whether the whole log is in the database.
    async fn checkpoint(&mut self) -> bool {
        let progress = self.pragma("PRAGMA wal_checkpoint(PASSIVE)").await;
        if progress.length <= self.limit {
            return progress.complete;
        }
        // The log is begun anew by the first commit after a checkpoint that caught up with it. Under steady writing
        // none does, and the log would grow without end. So the writer waits for this one; most is copied already.
        let turn = Arc::clone(&self.turn);
        let _turn = turn.lock().await;
        self.pragma("PRAGMA wal_checkpoint(PASSIVE)").await.complete
    }

    async fn pragma(&mut self, pragma: &'static str) -> Progress {
        let row = match sqlx::query(pragma).fetch_one(&mut self.connection).await {
            Ok(row) => row,
            Err(error) => {
                tracing::warn!(%error, "a checkpoint failed; commits are safe, the write-ahead log grows meanwhile");
                return Progress { complete: false, length: 0 };
            }
        };
        // Whether it was kept from finishing, pages in the log, pages of them in the database; -1 for no log.
        let column = |index: usize| row.try_get::<i64, _>(index).unwrap_or(-1);
        let length = u64::try_from(column(1)).unwrap_or(0).saturating_mul(FRAME);
        Progress { complete: column(0) == 0 && column(1) == column(2), length }
    }
}

/// Until the writer is gone.
async fn ended(mut commits: watch::Receiver<u64>) {
    while commits.changed().await.is_ok() {}
}
