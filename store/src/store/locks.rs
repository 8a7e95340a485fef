//! Rights to a database that at most one process has.

use std::path::Path;
use std::sync::Arc;

use crate::engine::{RoleLock, lock};
use crate::rows::StoreError;
use crate::store::Store;

impl Store {
    /// Takes the right to index into this database. It lasts until the result is dropped. [`StoreError::HeldElsewhere`]
    /// if another process has it.
    pub fn lock_indexing(&self) -> Result<RoleLock, StoreError> {
        lock::take(self.path(), "indexer")
    }

    /// Takes the right to run requests whose outcomes are kept in this database. Two processes that run requests under
    /// the stored identity could both run the request of one payment.
    pub fn lock_serving(&self) -> Result<RoleLock, StoreError> {
        lock::take(self.path(), "gateway")
    }

    /// Takes the right to index into a database that may not exist yet.
    pub fn reserve_indexing(database: &Path) -> Result<RoleLock, StoreError> {
        if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| StoreError::File { path: folder.to_owned(), source: Arc::new(error) })?;
        }
        lock::take(database, "indexer")
    }
}
