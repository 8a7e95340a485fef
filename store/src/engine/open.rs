//! Opens a database: checks which program's it is, brings it to this program's schema, and sets all its options.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::OpenFlags;

use crate::engine::columns::Columns as _;
use crate::engine::database_mark::{self, DatabaseOrigin};
use crate::engine::direct::{CommitWatcher, Direct};
use crate::engine::file_identity::{self, DatabaseFiles};
use crate::engine::lock;
use crate::engine::options::Options;
use crate::engine::readers::Readers;
use crate::engine::schema::{self, APPLICATION_ID, Upgrade, explain};
use crate::engine::sql::{Connection, query};
use crate::rows::StoreError;

/// Memory for the writer's pages, in KiB.
const WRITER_CACHE_KIB: u32 = 16 << 10;
/// How long the last checkpoint waits for other processes. It is short, because the last process to close copies
/// everything.
const LAST_CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(250);

/// Every connection that a store holds.
pub(crate) struct Opened {
    pub(crate) settings: WriterSettings,
    pub(crate) writer: Connection,
    pub(crate) checkpointer: Connection,
    pub(crate) readers: Readers,
    pub(crate) watcher: Connection,
    /// See [`crate::Store::refuse_before`].
    pub(crate) refuse_before: u64,
    pub(crate) origin: DatabaseOrigin,
    pub(crate) files: Arc<DatabaseFiles>,
    pub(crate) direct: Direct,
    /// Notices commits for the memory of payments. `None` if nothing is kept in memory.
    pub(crate) commit_watcher: Option<CommitWatcher>,
}

/// The settings of the connection that writes. It is opened anew after a failure that left it in an unknown state.
#[derive(Clone, Debug)]
pub(crate) struct WriterSettings {
    pub(crate) path: PathBuf,
    pub(crate) busy_timeout: Duration,
    pub(crate) wal_limit: u64,
    /// How many pages the file may have, for tests. `None`: as many as fit on the disk.
    pub(crate) most_pages: Option<i64>,
}

impl WriterSettings {
    pub(crate) fn open(&self) -> Result<Connection, rusqlite::Error> {
        let connection = Connection::open(&self.path, true, self.busy_timeout)?;
        let set = connection.library();
        set.pragma_update(None, "journal_mode", "WAL")?;
        // Every commit is on disk before it is answered.
        set.pragma_update(None, "synchronous", "FULL")?;
        // A checkpoint within a commit would cost the commit tens of milliseconds. A task of its own makes checkpoints.
        set.pragma_update(None, "wal_autocheckpoint", 0)?;
        // A log that grew longer than this is shortened when it starts at its beginning again.
        set.pragma_update(None, "journal_size_limit", i64::try_from(self.wal_limit).unwrap_or(i64::MAX))?;
        set.pragma_update(None, "cache_size", -i64::from(WRITER_CACHE_KIB))?;
        // What a statement of many rows needs to undo itself is kept in memory, not in a file.
        set.pragma_update(None, "temp_store", "MEMORY")?;
        if let Some(pages) = self.most_pages {
            set.pragma_update(None, "max_page_count", pages)?;
        }
        Ok(connection)
    }
}

pub(crate) async fn open(options: &Options, upgrade: &dyn Upgrade) -> Result<Opened, StoreError> {
    let path = options.path.as_path();
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)
            .map_err(|error| StoreError::File { path: directory.to_owned(), source: Arc::new(error) })?;
    }
    let opening = lock::opening(path).await?;

    claim_file(path, options.busy_timeout)?;
    let known = file_identity::identity(path)?;

    let settings = WriterSettings {
        path: path.to_owned(),
        busy_timeout: options.busy_timeout,
        wal_limit: options.wal_limit,
        most_pages: None,
    };
    let mut writer = settings.open().map_err(|error| explain(path, error))?;
    // The migrations run without waiting for the disk at each of them. A power cut loses the last of them at most, and
    // the next start runs them again. The first commit that is answered waits until all before it is on disk.
    writer.library().pragma_update(None, "synchronous", "NORMAL")?;
    schema::migrate(path, &mut writer, upgrade)?;
    writer.library().pragma_update(None, "synchronous", "FULL")?;
    let refuse_before = query("SELECT COALESCE(MAX(refuse_before), 0) AS refuse_before FROM restores")
        .fetch_one(&mut writer)?
        .number("refuse_before")?;
    let origin = database_mark::read(&mut writer)?;

    let explained = |error| explain(path, error);
    let checkpointer = Connection::open(path, true, LAST_CHECKPOINT_TIMEOUT).map_err(explained)?.apart();
    checkpointer.library().pragma_update(None, "synchronous", "FULL")?;
    let watcher = Connection::open(path, false, options.busy_timeout).map_err(explained)?;
    let readers = Readers::open(path, options).map_err(explained)?;
    let direct = Direct::open(path, options.readers, options.busy_timeout)?;
    let commit_watcher = if options.memory == 0 { None } else { Some(CommitWatcher::open(path)?) };
    let files = Arc::new(DatabaseFiles::of(path)?);
    if file_identity::identity(path)? != known {
        return Err(StoreError::Moved { path: path.to_owned() });
    }
    drop(opening);
    Ok(Opened {
        settings,
        writer,
        checkpointer,
        readers,
        watcher,
        refuse_before,
        origin,
        files,
        direct,
        commit_watcher,
    })
}

/// Makes sure that the file is one of our databases, and marks a new one. This is done before any setting is changed,
/// so that another program's file stays as it is.
fn claim_file(path: &Path, busy_timeout: Duration) -> Result<(), StoreError> {
    let explained = |error| explain(path, error);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    drop(rusqlite::Connection::open_with_flags(path, flags).map_err(explained)?);
    let mut connection = Connection::open(path, true, busy_timeout).map_err(explained)?;
    let (id, objects): (i64, i64) = connection
        .library()
        .query_row(
            "SELECT application_id, (SELECT COUNT(*) FROM sqlite_schema) FROM pragma_application_id",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(explained)?;
    if id == 0 && objects == 0 {
        connection.library().pragma_update(None, "application_id", APPLICATION_ID).map_err(explained)?;
    } else if id != i64::from(APPLICATION_ID) {
        return Err(StoreError::ForeignDatabase { path: path.to_owned() });
    } else if schema::taken_at_ms(&mut connection)?.is_some() {
        return Err(StoreError::IsBackup { path: path.to_owned() });
    }
    Ok(())
}

/// A connection that only reads an existing database, in use or not. It does not change its schema.
pub(crate) async fn read_only(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        let source = Arc::new(std::io::Error::from(std::io::ErrorKind::NotFound));
        return Err(StoreError::File { path: path.to_owned(), source });
    }
    let connection = Connection::open(path, false, Options::new(path).busy_timeout);
    let connection = connection.map_err(|error| explain(path, error))?;
    schema::check_ours(path, &connection)?;
    Ok(connection)
}

/// A new database with this program's schema, for tests of one connection.
#[cfg(test)]
pub(crate) async fn empty() -> (tempfile::TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let writer = empty_at(&directory.path().join("empty.db")).await;
    (directory, writer)
}

/// The same at a path.
#[cfg(test)]
pub(crate) async fn empty_at(path: &Path) -> Connection {
    open(&Options::new(path), &schema::NoUpgrade).await.unwrap().writer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::schema::NoUpgrade;

    #[tokio::test]
    async fn whoever_commits_waits_for_the_disk_also_after_a_new_schema() {
        let directory = tempfile::tempdir().expect("a folder");
        let options = Options::new(directory.path().join("salt402.db"));
        for _ in 0..2 {
            let opened = open(&options, &NoUpgrade).await.expect("a database");
            let set = opened.writer.library().query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0));
            assert_eq!(set.expect("a setting"), 2, "FULL");
        }
    }
}
