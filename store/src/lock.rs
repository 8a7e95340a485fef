//! Locks between processes, as files beside the database. The system releases them when their holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Store, StoreError};

/// A right to a database that at most one process has, given back when this is dropped.
#[must_use = "the right is given back when this is dropped"]
#[derive(Debug)]
pub struct RoleLock {
    _file: File,
}

impl Store {
    /// Takes the right to index into this database, for as long as the result is kept;
    /// [`StoreError::HeldElsewhere`] if somebody has it.
    pub fn lock_indexing(&self) -> Result<RoleLock, StoreError> {
        self.lock("indexer")
    }

    /// Takes the right to run requests whose outcomes are kept in this database, likewise. Two that ran them under the
    /// identity that is stored here could both run one payment's request.
    pub fn lock_serving(&self) -> Result<RoleLock, StoreError> {
        self.lock("gateway")
    }

    /// The right to index into a database that need not be there.
    pub fn reserve_indexing(database: &Path) -> Result<RoleLock, StoreError> {
        if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| StoreError::File { path: folder.to_owned(), source: Arc::new(error) })?;
        }
        take(database, "indexer")
    }

    fn lock(&self, role: &'static str) -> Result<RoleLock, StoreError> {
        take(self.path(), role)
    }
}

fn take(database: &Path, role: &'static str) -> Result<RoleLock, StoreError> {
    let lock = beside(database, &format!("{role}.lock"));
    let file = open(&lock)?;
    match file.try_lock() {
        Ok(()) => Ok(RoleLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(StoreError::HeldElsewhere { role, lock }),
        Err(TryLockError::Error(error)) => Err(StoreError::File { path: lock, source: Arc::new(error) }),
    }
}

/// Waits until no other process is creating or migrating the database. SQLite alone does not order that.
pub(crate) async fn opening(database: &Path) -> Result<File, StoreError> {
    let path = beside(database, "open.lock");
    let file = open(&path)?;
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    let locked = locked.unwrap_or_else(|gone| Err(std::io::Error::other(gone)));
    locked.map_err(|error| StoreError::File { path, source: Arc::new(error) })
}

/// A file that belongs to the database: its path, a dot, and a name.
fn beside(database: &Path, name: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".");
    path.push(name);
    path.into()
}

fn open(path: &Path) -> Result<File, StoreError> {
    let opened = OpenOptions::new().create(true).write(true).truncate(false).open(path);
    opened.map_err(|error| StoreError::File { path: path.to_owned(), source: Arc::new(error) })
}
