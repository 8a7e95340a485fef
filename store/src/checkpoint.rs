//! The task that moves the write-ahead log into the database.
//!
//! A commit appends to the log; a checkpoint copies the log's pages to where they belong. SQLite would do that inside
//! whichever commit makes the log long, which then takes tens of milliseconds. Here it is done beside the commits.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};
use tokio::sync::watch;

/// The log's end of things.
pub(crate) struct Checkpointer {
    pub(crate) connection: SqliteConnection,
    pub(crate) wal: PathBuf,
    pub(crate) every: Duration,
    pub(crate) limit: u64,
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
        let complete = self.pragma("PRAGMA wal_checkpoint(PASSIVE)").await;
        let length = tokio::fs::metadata(&self.wal).await.map_or(0, |wal| wal.len());
        if length <= self.limit {
            return complete;
        }
        // Under steady writing the log never stands still, so that it is never begun anew and grows without end. This
        // holds writers up, but only for what was written since the line above.
        self.pragma("PRAGMA wal_checkpoint(TRUNCATE)").await
    }

    async fn pragma(&mut self, pragma: &'static str) -> bool {
        let row = match sqlx::query(pragma).fetch_one(&mut self.connection).await {
            Ok(row) => row,
            Err(error) => {
                tracing::warn!(%error, "a checkpoint failed; commits are safe, the write-ahead log grows meanwhile");
                return false;
            }
        };
        // Whether it was kept from finishing, pages in the log, pages of them in the database; -1 for no log.
        let column = |index: usize| row.try_get::<i64, _>(index).unwrap_or(-1);
        column(0) == 0 && column(1) == column(2)
    }
}

/// Until the writer is gone.
async fn ended(mut commits: watch::Receiver<u64>) {
    while commits.changed().await.is_ok() {}
}
