//! Whether work is written, as the last of it showed.
//!
//! Whoever is asked for money must be able to use the payment up. So a disk that refuses is known to all who ask, before the
//! next claim meets it, and a small write from time to time finds it out where nothing else is written.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::transaction::WriteTransaction;
use crate::work::{Write, send};
use crate::{Store, StoreError, clock};

/// What the last piece of work showed.
#[derive(Debug)]
pub(crate) struct Standing(Mutex<Shown>);

#[derive(Debug)]
struct Shown {
    refused: Option<StoreError>,
    at: Instant,
}

impl Default for Standing {
    fn default() -> Self {
        Self(Mutex::new(Shown { refused: None, at: Instant::now() }))
    }
}

impl Standing {
    /// Notes what came of a piece of work. What was wrong with the work itself says nothing of the disk.
    pub(crate) fn note<T>(&self, result: &Result<T, StoreError>) {
        let refused = match result {
            Ok(_) => None,
            Err(error @ (StoreError::Busy | StoreError::DiskFull | StoreError::DiskFailed(_))) => {
                Some(error.clone())
            }
            Err(_) => return,
        };
        *self.lock() = Shown { refused, at: Instant::now() };
    }

    // A std mutex, because nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Whether what was written last in this process was written.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::DiskFull`] or [`StoreError::DiskFailed`], until something is written again.
    pub fn writable(&self) -> Result<(), StoreError> {
        self.standing().lock().refused.clone().map_or(Ok(()), Err)
    }

    /// Writes a moment down where nothing was written for `quiet`, or the last that was to be written was refused. For every
    /// second or so.
    pub async fn try_writing(&self, quiet: Duration) -> Result<(), StoreError> {
        let due = {
            let shown = self.standing().lock();
            shown.refused.is_some() || shown.at.elapsed() >= quiet
        };
        if due { send(self.jobs(), Moment(clock::now_ms())).await } else { Ok(()) }
    }
}

/// The last moment at which writing was tried.
struct Moment(i64);

impl Write for Moment {
    type Output = ();

    fn changes_payments(&self) -> bool {
        false
    }

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('tried_writing_at_ms', $1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(self.0.to_string())
        .execute(transaction.connection())
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[tokio::test]
    async fn f20_a_refusal_of_the_disk_is_known_until_something_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("writable.db"))).await.unwrap();
        store.writable().unwrap();
        store.standing().note::<()>(&Err(StoreError::DiskFull));
        assert!(matches!(store.writable(), Err(StoreError::DiskFull)));
        // What is wrong with a piece of work is not the disk's.
        store.standing().note::<()>(&Err(StoreError::Corrupt { column: "one" }));
        assert!(matches!(store.writable(), Err(StoreError::DiskFull)));
        store.try_writing(Duration::from_secs(3600)).await.unwrap();
        store.writable().unwrap();
    }
}
