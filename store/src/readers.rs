//! The connections that read.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::StoreError;

/// A few connections, lent out one at a time.
///
/// A pool does more than is needed here: it tests, times and replaces connections and starts a task to take one back,
/// which together cost more than the read. A connection to a file does not go stale.
pub(crate) struct Readers {
    /// The last to come back is the next to go, with its cache warm. A std mutex, because no await happens while it
    /// is held.
    idle: Mutex<Vec<SqliteConnection>>,
    /// As many permits as connections; closed with the store.
    permits: Semaphore,
    count: u32,
}

impl Readers {
    /// As many connections as `count`, at least one.
    pub(crate) async fn open(options: &SqliteConnectOptions, count: u32) -> Result<Self, sqlx::Error> {
        let count = count.clamp(1, 1024);
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(options.connect().await?);
        }
        Ok(Self { permits: Semaphore::new(connections.len()), idle: Mutex::new(connections), count })
    }

    /// A connection, when one is free.
    pub(crate) async fn take(&self) -> Result<Reader<'_>, StoreError> {
        let permit = self.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        let connection = self.idle().pop().ok_or(StoreError::Closed)?;
        Ok(Reader { connection: Some(connection), home: self, _permit: permit })
    }

    /// Closes every connection, waiting for those that are lent out. Whoever waits for one is told that it is closed.
    pub(crate) async fn close(&self) {
        let all = self.permits.acquire_many(self.count).await;
        self.permits.close();
        drop(all);
        let connections = std::mem::take(&mut *self.idle());
        for connection in connections {
            let _ = connection.close().await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is lent out. Goes back when it is dropped, also in the middle of a read.
pub(crate) struct Reader<'r> {
    /// `None` only while it goes back.
    connection: Option<SqliteConnection>,
    home: &'r Readers,
    _permit: SemaphorePermit<'r>,
}

impl Reader<'_> {
    /// What statements are run on.
    pub(crate) fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.connection.as_mut().ok_or(StoreError::Closed)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.home.idle().extend(self.connection.take());
    }
}
