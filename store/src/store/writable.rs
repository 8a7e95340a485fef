//! Whether this process can write, and the small write that finds it out.

use std::time::Duration;

use crate::engine::{Write, WriteTransaction, clock, query, send};
use crate::rows::StoreError;
use crate::store::Store;

impl Store {
    /// Whether the last write of this process succeeded.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::DiskFull`] or [`StoreError::DiskFailed`], until something is written again.
    /// [`StoreError::Busy`] also while a small write does not end. [`StoreError::Moved`] while a file is not at its
    /// path.
    pub fn writable(&self) -> Result<(), StoreError> {
        self.check_files()?;
        self.health().writable()
    }

    /// Writes the time into the database if nothing was written for `quiet`, or if the last write failed. Call it about
    /// once a second.
    pub async fn try_writing(&self, quiet: Duration) -> Result<(), StoreError> {
        match self.health().try_now(quiet) {
            Some(_small_write) => send(self.jobs(), Moment(clock::now_ms())).await,
            None => Ok(()),
        }
    }
}

/// The last moment at which writing was tried.
struct Moment(i64);

impl Write for Moment {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        query(
            "INSERT INTO meta (name, value) VALUES ('tried_writing_at_ms', $1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(self.0.to_string())
        .execute(transaction.connection())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::options::Options;

    #[tokio::test]
    async fn f20_a_refusal_of_the_disk_is_known_until_something_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("writable.db"))).await.unwrap();
        store.writable().unwrap();
        store.health().note::<()>(&Err(StoreError::DiskFull));
        assert!(matches!(store.writable(), Err(StoreError::DiskFull)));
        // A fault of the work itself is not the disk's.
        store.health().note::<()>(&Err(StoreError::Corrupt { column: "one" }));
        assert!(matches!(store.writable(), Err(StoreError::DiskFull)));
        store.try_writing(Duration::from_secs(3600)).await.unwrap();
        store.writable().unwrap();
    }
}
