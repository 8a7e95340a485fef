//! Whether work is written, as the last of it showed.
//!
//! Whoever is asked for money must be able to use the payment up. So a disk that refuses is known to all who ask, before the
//! next claim meets it, and a small write from time to time finds it out where nothing else is written.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::transaction::WriteTransaction;
use crate::work::{Write, send};
use crate::{Store, StoreError, clock};

/// How long a small write may take. A disk that hangs refuses nothing and writes nothing either.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the last piece of work showed.
#[derive(Debug)]
pub(crate) struct Standing(Mutex<Shown>);

#[derive(Debug)]
struct Shown {
    refused: Option<StoreError>,
    at: Instant,
    /// Since when a small write is under way.
    trying: Option<Instant>,
}

impl Default for Standing {
    fn default() -> Self {
        Self(Mutex::new(Shown { refused: None, at: Instant::now(), trying: None }))
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
        let mut shown = self.lock();
        (shown.refused, shown.at) = (refused, Instant::now());
    }

    fn writable(&self) -> Result<(), StoreError> {
        let shown = self.lock();
        let hangs = shown.trying.is_some_and(|since| since.elapsed() > PATIENCE);
        let refused = shown.refused.clone().or_else(|| hangs.then_some(StoreError::Busy));
        refused.map_or(Ok(()), Err)
    }

    /// Begins a small write, if one is due; one at a time.
    fn try_now(&self, quiet: Duration) -> Option<Trying<'_>> {
        let mut shown = self.lock();
        let due = shown.trying.is_none() && (shown.refused.is_some() || shown.at.elapsed() >= quiet);
        due.then(|| {
            shown.trying = Some(Instant::now());
            Trying(self)
        })
    }

    // A std mutex, because nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A small write that is under way, until this is dropped.
struct Trying<'a>(&'a Standing);

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        self.0.lock().trying = None;
    }
}

impl Store {
    /// Whether what was written last in this process was written.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::DiskFull`] or [`StoreError::DiskFailed`], until something is written again;
    /// [`StoreError::Busy`] too while a small write does not end, and [`StoreError::Moved`] while a file is not at its place.
    pub fn writable(&self) -> Result<(), StoreError> {
        self.in_place()?;
        self.standing().writable()
    }

    /// Writes a moment down where nothing was written for `quiet`, or the last that was to be written was refused. For every
    /// second or so.
    pub async fn try_writing(&self, quiet: Duration) -> Result<(), StoreError> {
        match self.standing().try_now(quiet) {
            Some(_trying) => send(self.jobs(), Moment(clock::now_ms())).await,
            None => Ok(()),
        }
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

    #[test]
    fn f20_a_disk_that_hangs_is_no_better_than_one_that_refuses() {
        let standing = Standing::default();
        let trying = standing.try_now(Duration::ZERO).unwrap();
        assert!(standing.writable().is_ok() && standing.try_now(Duration::ZERO).is_none(), "one at a time");
        standing.lock().trying = Instant::now().checked_sub(PATIENCE * 2);
        assert!(matches!(standing.writable(), Err(StoreError::Busy)));
        drop(trying);
        assert!(standing.writable().is_ok() && standing.try_now(Duration::ZERO).is_some());
    }
}
