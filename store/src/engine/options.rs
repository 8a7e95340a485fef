//! How a store is opened.

use std::path::PathBuf;
use std::time::Duration;

/// Where the database is and what it may use. Begin with [`Options::new`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file. It and its directory are created if they are missing; files next to it (`-wal`, `-shm`,
    /// `.indexer.lock`, `.open.lock`) belong to it. It must be on a local disk: the shared memory that processes meet
    /// in does not work over a network.
    pub path: PathBuf,
    /// Reading connections, each with a thread of its own; at least 1. As many more are kept that read on the
    /// caller's thread.
    pub readers: u32,
    /// How long to wait while another process writes, before [`StoreError::Busy`](crate::StoreError::Busy).
    pub busy_timeout: Duration,
    /// How often the write-ahead log is moved into the database while there are commits.
    pub checkpoint_every: Duration,
    /// Bytes of write-ahead log above which a checkpoint holds the writer up, some tenth of a second, so that the log
    /// can be begun anew. Only reached under steady writing at full speed, as in a back-fill.
    pub wal_limit: u64,
    /// Bytes that the file of the write-ahead log may keep once nothing is written and all of it is in the database;
    /// a longer one is cut.
    pub idle_wal_length: u64,
    /// The longest that a read may take. A read that never ends would keep the log from being begun anew.
    pub read_limit: Duration,
    /// Bytes of memory for recent payments; some 600 are one payment. 0 keeps none, and then every look-up reads the
    /// database.
    pub memory: usize,
}

impl Options {
    /// The database at `path` with 4 readers, 10 s to wait for other writers, a checkpoint a second, a write-ahead
    /// log of some 128 MiB, 16 at rest, 10 s for a read, and 16 MiB of recent payments in memory.
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
