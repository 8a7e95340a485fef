//! Locks between processes: files next to the database. The system releases a lock when its holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::rows::StoreError;

/// A right to a database that at most one process has. Dropping this gives it back.
#[must_use = "the right is given back when this is dropped"]
#[derive(Debug)]
pub struct RoleLock {
    _file: File,
}

/// Takes such a right. [`StoreError::HeldElsewhere`] if another process has it.
pub(crate) fn take(database: &Path, role: &'static str) -> Result<RoleLock, StoreError> {
    let lock = file_of(database, &format!("{role}.lock"));
    let file = open(&lock)?;
    match file.try_lock() {
        Ok(()) => Ok(RoleLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(StoreError::HeldElsewhere { role, lock }),
        Err(TryLockError::Error(error)) => Err(StoreError::File { path: lock, source: Arc::new(error) }),
    }
}

/// Waits until no other process creates or migrates the database. SQLite does not do that.
pub(super) async fn opening(database: &Path) -> Result<File, StoreError> {
    let path = file_of(database, "open.lock");
    let file = open(&path)?;
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    let locked = locked.unwrap_or_else(|gone| Err(std::io::Error::other(gone)));
    locked.map_err(|error| StoreError::File { path, source: Arc::new(error) })
}

/// The path of a file that belongs to the database: the database's path, a dot, and a name.
fn file_of(database: &Path, name: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".");
    path.push(name);
    path.into()
}

fn open(path: &Path) -> Result<File, StoreError> {
    let opened = OpenOptions::new().create(true).write(true).truncate(false).open(path);
    opened.map_err(|error| StoreError::File { path: path.to_owned(), source: Arc::new(error) })
}
