//! How a store is opened.

use std::path::PathBuf;
use std::time::Duration;

/// Where the database is and what it may use. Begin with [`Options::new`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file. The file and its directory are created if they are missing. The files `-wal`, `-shm`,
    /// `.indexer.lock` and `.open.lock` next to it belong to it. It must be on a local disk: processes share memory
    /// through it, which does not work over a network.
    pub path: PathBuf,
    /// Reading connections with a thread of their own; at least 1. The same number is kept of those that read on the
    /// caller's thread.
    pub readers: u32,
    /// How long to wait while another process writes. After that: [`StoreError::Busy`](crate::StoreError::Busy).
    pub busy_timeout: Duration,
    /// How often the write-ahead log is moved into the database while there are commits.
    pub checkpoint_every: Duration,
    /// The length of the write-ahead log, in bytes, above which a checkpoint stops the writer for about a tenth of a
    /// second, so that the log can start again. Only steady writing at full speed, as in a back-fill, gets there.
    pub wal_limit: u64,
    /// The length, in bytes, that the write-ahead log's file may keep when nothing is written and all of it is in the
    /// database. A longer file is shortened.
    pub idle_wal_length: u64,
    /// The longest time a read may take. A read without end would keep the log from starting again.
    pub read_limit: Duration,
    /// Memory for recent payments, in bytes; a payment takes about 600. With 0 nothing is kept, and every look-up reads
    /// the database.
    pub memory: usize,
}

impl Options {
    /// The database at `path` with these options: 4 readers, 10 s of waiting for other writers, a checkpoint every
    /// second, a write-ahead log of about 128 MiB and 16 MiB at rest, 10 s for a read, and 16 MiB of recent payments in
    /// memory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            readers: 4,
            busy_timeout: Duration::from_secs(10),
            checkpoint_every: Duration::from_secs(1),
            wal_limit: 128 << 20,
            idle_wal_length: 16 << 20,
            read_limit: Duration::from_secs(10),
            memory: 16 << 20,
        }
    }
}
