//! Connections for reading on the caller's own thread.
//!
//! SQLite finds a payment within microseconds. To hand the question to another thread and the answer back costs several
//! times that, and on a busy machine also the time until a sleeping thread runs. So the one read that every request
//! needs runs on the thread that asks. It never waits for a lock, since a reader of a write-ahead log needs none. Only
//! while a log is recovered or removed it has to wait, and it does so without blocking a thread.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::engine::file_identity::{FileIdentity, identity};
use crate::engine::sync_sql::SyncConnection;
use crate::rows::StoreError;

/// Memory for pages, per connection. The file is not mapped into memory, because its pages would count as this
/// process's memory.
const CACHE_KIB: u32 = 2 << 10;
/// How many statements stay prepared.
const STATEMENTS: usize = 64;
/// The pause between two attempts at a read that could not begin.
const PAUSE: Duration = Duration::from_millis(1);

/// Connections that are free. The one that was used last is taken first, since its cache is warm.
pub(crate) struct Direct {
    path: PathBuf,
    /// The file that was opened first. Another that is at its path for a moment is never read.
    file: FileIdentity,
    /// How many are kept open. When more threads read at once, more are opened, and closed afterwards.
    keep: usize,
    /// How long a read may be put off.
    timeout: Duration,
    /// `None` once closed. A std mutex, because no await happens while it is held.
    idle: Mutex<Option<Vec<Connection>>>,
}

impl Direct {
    /// Opens the first connection; others follow when they are needed.
    pub(crate) fn open(path: &Path, keep: u32, timeout: Duration) -> Result<Self, StoreError> {
        let (first, file) = (connect(path)?, identity(path)?);
        let keep = usize::try_from(keep.max(1)).unwrap_or(usize::MAX);
        Ok(Self { path: path.to_owned(), file, keep, timeout, idle: Mutex::new(Some(vec![first])) })
    }

    /// Reads. If a read cannot begin, it is tried again until the timeout.
    pub(crate) async fn read<T>(
        &self,
        read: impl Fn(&SyncConnection<'_>) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        let mut begun = None;
        loop {
            match self.once(&read) {
                Err(StoreError::Busy) if begun.get_or_insert_with(Instant::now).elapsed() < self.timeout => {
                    tokio::time::sleep(PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Reads. `None` if the read could not begin.
    fn once<T>(&self, read: impl Fn(&SyncConnection<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle().as_mut().ok_or(StoreError::Closed)?.pop();
        let connection = idle.map_or_else(|| self.connect(), Ok)?;
        // A connection whose read failed is closed: the fault may be in the connection.
        let found = read(&SyncConnection::new(&connection))?;
        match self.idle().as_mut() {
            Some(idle) if idle.len() < self.keep => idle.push(connection),
            _ => drop(connection),
        }
        Ok(found)
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let connection = connect(&self.path)?;
        if identity(&self.path)? == self.file {
            Ok(connection)
        } else {
            Err(StoreError::Moved { path: self.path.clone() })
        }
    }

    /// Closes the free connections. Connections in use are closed when they come back. Later reads get an error that
    /// says that the store is closed.
    pub(crate) fn close(&self) {
        drop(self.idle().take());
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that only reads.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    Ok(connection)
}

/// A connection that notices every commit, of this process and of others.
pub(crate) struct CommitWatcher(Connection);

impl CommitWatcher {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        connect(path).map(Self)
    }

    /// A number that changes with every commit. `None` if the database could not be asked.
    pub(crate) fn data_version(&self) -> Option<i64> {
        SyncConnection::new(&self.0).data_version()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::open;

    #[tokio::test]
    async fn a_read_waits_for_the_moment_in_which_it_can_begin_and_no_longer_than_it_may() {
        // The writer stays open: the last connection that closes locks the file for a moment.
        let (directory, _writer) = open::empty().await;
        let path = directory.path().join("empty.db");
        let direct = Direct::open(&path, 1, Duration::from_secs(60)).unwrap();
        let tries = std::sync::atomic::AtomicU32::new(0);
        let busy_at_first =
            |_: &SyncConnection<'_>| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0..3 => Err(StoreError::Busy),
                _ => Ok(()),
            };
        direct.read(busy_at_first).await.unwrap();
        assert_eq!(tries.into_inner(), 4);
        let direct = Direct { timeout: Duration::from_millis(50), ..direct };
        let never = direct.read(|_| Err::<(), _>(StoreError::Busy)).await;
        assert!(matches!(never, Err(StoreError::Busy)), "{never:?}");
        direct.close();
        assert!(matches!(direct.read(|_| Ok(())).await, Err(StoreError::Closed)));
    }

    #[tokio::test]
    async fn another_file_at_the_path_is_not_read() {
        let (directory, _writer) = open::empty().await;
        let path = directory.path().join("empty.db");
        let direct = Direct::open(&path, 1, Duration::ZERO).unwrap();
        for ending in ["", "-wal", "-shm"] {
            let at = |place: &str| directory.path().join(format!("{place}{ending}"));
            std::fs::rename(at("empty.db"), at("own.db")).unwrap();
        }
        let _other = open::empty_at(&path).await;
        let count = |connection: &SyncConnection<'_>| {
            connection.prepare_cached("SELECT COUNT(*) FROM chains")?.query_row([], |row| row.get::<i64>(0))
        };
        let both = direct.once(|connection| {
            count(connection)?;
            direct.once(count)
        });
        assert!(matches!(both, Err(StoreError::Moved { .. })), "the second one opens a connection: {both:?}");
    }

    #[tokio::test]
    async fn as_many_read_at_once_as_ask_and_no_more_connections_are_kept_than_wished() {
        // The writer stays open: the last connection that closes locks the file for a moment.
        let (directory, _writer) = open::empty().await;
        let path = directory.path().join("empty.db");
        let direct = Direct::open(&path, 2, Duration::ZERO).unwrap();
        let together = std::sync::Barrier::new(5);
        std::thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    direct.once(|_| {
                        together.wait();
                        Ok(())
                    })
                });
            }
        });
        assert_eq!(direct.idle().as_ref().map(Vec::len), Some(2));
    }
}
