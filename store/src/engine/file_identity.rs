//! Whether the open files are still the files at their paths.
//!
//! A file that was removed or replaced stays open, and commits still go into it. The next process would not see them.
//! It would begin a new database at the path and grant the same payments again.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::rows::StoreError;

/// The file's number and its device's. They stay the same when a folder is moved and then mounted or linked at its old
/// path.
pub(crate) type FileIdentity = (u64, u64);

/// The files of an open database: the database, its log, and the shared memory through which processes agree on the
/// log.
#[derive(Debug)]
pub(crate) struct DatabaseFiles {
    files: [(PathBuf, FileIdentity); 3],
    /// Whether it was logged that a file is gone.
    told: AtomicBool,
}

impl DatabaseFiles {
    /// The files at a database's path now. SQLite replaces none of them while this process has connections open.
    pub(crate) fn of(database: &Path) -> Result<Self, StoreError> {
        let told = |error| StoreError::File { path: database.to_owned(), source: Arc::new(error) };
        // If the path is a link, SQLite keeps its log next to the file that the link leads to.
        let real = std::fs::canonicalize(database).map_err(told)?;
        let file = |base: &Path, ending: &str| -> Result<(PathBuf, FileIdentity), StoreError> {
            let mut path = base.as_os_str().to_owned();
            path.push(ending);
            let path = PathBuf::from(path);
            let known = identity(&path)?;
            Ok((path, known))
        };
        let files = [file(database, "")?, file(&real, "-wal")?, file(&real, "-shm")?];
        Ok(Self { files, told: AtomicBool::new(false) })
    }

    /// The identity of the database file itself.
    pub(crate) fn database(&self) -> FileIdentity {
        self.files[0].1
    }

    /// Costs one question to the file system per file.
    ///
    /// # Errors
    /// [`StoreError::Moved`] until the file is back.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let is_away = |(path, known): &&(PathBuf, FileIdentity)| identity(path).ok() != Some(*known);
        let Some((path, _)) = self.files.iter().find(is_away) else {
            if self.told.swap(false, Ordering::Relaxed) {
                tracing::warn!("the database's files are at their paths again");
            }
            return Ok(());
        };
        let error = StoreError::Moved { path: path.clone() };
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "nothing is granted, quoted or indexed any more");
        }
        Err(error)
    }
}

/// Asks by name. If the file were opened and closed instead, the process would lose SQLite's locks on it.
pub(crate) fn identity(path: &Path) -> Result<FileIdentity, StoreError> {
    let told = |error| StoreError::File { path: path.to_owned(), source: Arc::new(error) };
    std::fs::metadata(path).map(|file| (file.dev(), file.ino())).map_err(told)
}
