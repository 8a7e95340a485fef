//! The connections for reading.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::engine::options::Options;
use crate::engine::sql::Connection;
use crate::rows::StoreError;

/// A few connections, lent out one at a time.
///
/// Connections for reading. A general pool would test, time and replace connections and start a task to take one back.
/// Together that costs more than a read. A connection to a file needs none of it.
pub(crate) struct Readers {
    /// The connection that came back last is lent out first, since its cache is warm. A std mutex, because no await
    /// happens while it is held.
    idle: Mutex<Vec<Lent>>,
    /// One permit per connection. Closed with the store.
    permits: Semaphore,
    count: u32,
    begun: Instant,
}

/// After how many steps of SQLite's virtual machine a read looks at the clock. So many take about a tenth of a
/// millisecond, far more than any look-up.
const STEPS: i32 = 20_000;

/// A connection, and when it was lent out, in milliseconds since the readers were opened.
struct Lent {
    connection: Connection,
    since: Arc<AtomicU64>,
}

impl Readers {
    /// Opens as many connections as the options say, at least one. A read that takes longer than they say is broken off.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, rusqlite::Error> {
        let count = options.readers.clamp(1, 1024);
        let begun = Instant::now();
        let limit = u64::try_from(options.read_limit.as_millis()).unwrap_or(u64::MAX);
        let mut connections = Vec::new();
        for _ in 0..count {
            let connection = Connection::open(path, false, options.busy_timeout)?;
            let since = Arc::new(AtomicU64::new(0));
            let lent = Arc::clone(&since);
            let too_long = move || millis(begun).saturating_sub(lent.load(Ordering::Relaxed)) >= limit;
            connection.library().progress_handler(STEPS, Some(too_long))?;
            connections.push(Lent { connection, since });
        }
        Ok(Self { permits: Semaphore::new(connections.len()), idle: Mutex::new(connections), count, begun })
    }

    /// How many are lent out.
    pub(crate) fn busy(&self) -> u32 {
        self.count.saturating_sub(u32::try_from(self.permits.available_permits()).unwrap_or(0))
    }

    /// Waits for a free connection.
    pub(crate) async fn take(&self) -> Result<Reader<'_>, StoreError> {
        let permit = self.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        let lent = self.idle().pop().ok_or(StoreError::Closed)?;
        lent.since.store(millis(self.begun), Ordering::Relaxed);
        Ok(Reader { lent: Some(lent), home: self, _permit: permit })
    }

    /// Closes every connection and waits for those that are lent out. Whoever waits for one gets an error.
    pub(crate) async fn close(&self) {
        let all = self.permits.acquire_many(self.count).await;
        self.permits.close();
        drop(all);
        drop(std::mem::take(&mut *self.idle()));
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Lent>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is lent out. It goes back when this is dropped, also in the middle of a read.
pub(crate) struct Reader<'r> {
    /// `None` only while it goes back.
    lent: Option<Lent>,
    home: &'r Readers,
    _permit: SemaphorePermit<'r>,
}

impl Reader<'_> {
    /// The connection to run statements on.
    pub(crate) fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        self.lent.as_mut().map(|lent| &mut lent.connection).ok_or(StoreError::Closed)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.home.idle().extend(self.lent.take());
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::columns::Columns as _;
    use crate::engine::open;
    use crate::engine::options::Options;
    use crate::engine::schema::NoUpgrade;
    use crate::engine::sql::query;

    #[tokio::test]
    async fn f20_a_read_that_does_not_end_is_broken_off_and_its_connection_reads_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut options = Options::new(directory.path().join("slow.db"));
        (options.readers, options.read_limit) = (1, Duration::from_millis(200));
        let opened = open::open(&options, &NoUpgrade).await.unwrap();
        for _ in 0..2 {
            let mut reader = opened.readers.take().await.unwrap();
            let endless =
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n";
            let endless = query(endless).fetch_one(reader.connection().unwrap());
            assert!(matches!(endless.err().unwrap(), StoreError::ReadTooLong));
            assert_eq!(opened.readers.busy(), 1);
            drop(reader);
            // Long after the first one began: every read has its own time.
            let mut reader = opened.readers.take().await.unwrap();
            let row = query("SELECT COUNT(*) AS n FROM chains").fetch_one(reader.connection().unwrap());
            assert_eq!(row.unwrap().number("n").unwrap(), 0);
        }
        assert_eq!(opened.readers.busy(), 0);
    }
}
