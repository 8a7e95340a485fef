//! Opens a database: checks which program's it is, brings it to this program's schema, and sets all its options.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::engine::async_sql::AsyncConnection;
use crate::engine::columns::Columns as _;
use crate::engine::database_mark::{self, DatabaseOrigin};
use crate::engine::direct::{CommitWatcher, Direct};
use crate::engine::file_identity::{self, DatabaseFiles};
use crate::engine::lock;
use crate::engine::options::Options;
use crate::engine::readers::Readers;
use crate::engine::schema::{self, APPLICATION_ID, Upgrade, explain};
use crate::engine::steps::StepSettings;
use crate::rows::StoreError;

/// Memory for the writer's pages, in KiB.
const WRITER_CACHE_KIB: u32 = 8 << 10;
/// How long the last checkpoint waits for other processes. It is short, because the last process to close copies
/// everything.
const LAST_CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(250);

/// Every connection that a store holds.
pub(crate) struct Opened {
    pub(crate) writer_options: SqliteConnectOptions,
    pub(crate) writer: SqliteConnection,
    pub(crate) steps: StepSettings,
    pub(crate) checkpointer: SqliteConnection,
    pub(crate) readers: Readers,
    pub(crate) watcher: SqliteConnection,
    /// See [`crate::Store::refuse_before`].
    pub(crate) refuse_before: u64,
    pub(crate) origin: DatabaseOrigin,
    pub(crate) files: Arc<DatabaseFiles>,
    pub(crate) direct: Direct,
    /// Notices commits for the memory of payments. `None` if nothing is kept in memory.
    pub(crate) commit_watcher: Option<CommitWatcher>,
}

pub(crate) async fn open(options: &Options, upgrade: &dyn Upgrade) -> Result<Opened, StoreError> {
    let path = options.path.as_path();
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)
            .map_err(|error| StoreError::File { path: directory.to_owned(), source: Arc::new(error) })?;
    }
    let opening = lock::opening(path).await?;

    let plain = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(options.busy_timeout)
        .foreign_keys(true)
        .disable_statement_logging();
    claim_file(path, &plain.clone().create_if_missing(true)).await?;
    let known = file_identity::identity(path)?;

    let writer_options = plain
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        // Every commit is on disk before it is answered.
        .synchronous(SqliteSynchronous::Full)
        // A checkpoint within a commit would cost the commit tens of milliseconds. A task of its own makes checkpoints.
        .pragma("wal_autocheckpoint", "0")
        // A log that grew longer than this is shortened when it starts at its beginning again.
        .pragma("journal_size_limit", options.wal_limit.to_string())
        .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
        // What a statement of many rows needs to undo itself is kept in memory, not in a file.
        .pragma("temp_store", "MEMORY")
        .thread_name(|_| "salt402-writer".into());
    let mut writer = writer_options.connect().await.map_err(|error| explain(path, error))?;
    // The migrations run without waiting for the disk at each of them. A power cut loses the last of them at most, and
    // the next start runs them again. The first commit that is answered waits until all before it is on disk.
    sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut writer).await?;
    schema::migrate(path, &mut writer, upgrade).await?;
    sqlx::query("PRAGMA synchronous = FULL").execute(&mut writer).await?;
    let refuse_before = sqlx::query("SELECT COALESCE(MAX(refuse_before), 0) AS refuse_before FROM restores")
        .fetch_one(&mut writer)
        .await?
        .number("refuse_before")?;
    let origin = database_mark::read(&mut writer).await?;

    let checkpointer = plain
        .clone()
        .busy_timeout(LAST_CHECKPOINT_TIMEOUT)
        .synchronous(SqliteSynchronous::Full)
        .thread_name(|_| "salt402-checkpoint".into())
        .connect()
        .await
        .map_err(|error| explain(path, error))?;
    let reading = plain.read_only(true).thread_name(|_| "salt402-reader".into());
    let watcher = reading.connect().await.map_err(|error| explain(path, error))?;
    let readers = Readers::open(&reading, options.readers, options.read_limit)
        .await
        .map_err(|error| explain(path, error))?;
    let direct = Direct::open(path, options.readers, options.busy_timeout)?;
    let commit_watcher = if options.memory == 0 { None } else { Some(CommitWatcher::open(path)?) };
    let files = Arc::new(DatabaseFiles::of(path)?);
    if file_identity::identity(path)? != known {
        return Err(StoreError::Moved { path: path.to_owned() });
    }
    drop(opening);
    let steps = StepSettings {
        path: path.to_owned(),
        busy_timeout: options.busy_timeout,
        wal_limit: options.wal_limit,
        files: Arc::clone(&files),
    };
    Ok(Opened {
        writer_options,
        writer,
        steps,
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
async fn claim_file(path: &Path, options: &SqliteConnectOptions) -> Result<(), StoreError> {
    let mut connection = options.connect().await.map_err(|error| explain(path, error))?;
    let row = sqlx::query(
        "SELECT application_id, (SELECT COUNT(*) FROM sqlite_schema) AS objects FROM pragma_application_id",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(|error| explain(path, error))?;
    let (id, objects) = (row.try_get::<i64, _>("application_id")?, row.try_get::<i64, _>("objects")?);
    if id == 0 && objects == 0 {
        let mark = sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}"));
        sqlx::query(mark).execute(&mut connection).await.map_err(|error| explain(path, error))?;
    } else if id != i64::from(APPLICATION_ID) {
        return Err(StoreError::ForeignDatabase { path: path.to_owned() });
    } else if schema::taken_at_ms(&mut connection).await?.is_some() {
        return Err(StoreError::IsBackup { path: path.to_owned() });
    }
    connection.close().await.map_err(|error| explain(path, error))
}

/// A connection that only reads an existing database, in use or not. It does not change its schema.
pub(crate) async fn read_only(path: &Path) -> Result<AsyncConnection, StoreError> {
    if !path.exists() {
        let source = Arc::new(std::io::Error::from(std::io::ErrorKind::NotFound));
        return Err(StoreError::File { path: path.to_owned(), source });
    }
    let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| explain(path, error))?;
    schema::check_ours(path, &mut connection).await?;
    Ok(connection)
}

/// A new database with this program's schema, for tests of one connection.
#[cfg(test)]
pub(crate) async fn empty() -> (tempfile::TempDir, AsyncConnection) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new(directory.path().join("empty.db"));
    let opened = open(&options, &schema::NoUpgrade).await.unwrap();
    (directory, opened.writer)
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
            let mut opened = open(&options, &NoUpgrade).await.expect("a database");
            let row =
                sqlx::query("PRAGMA synchronous").fetch_one(&mut opened.writer).await.expect("a setting");
            assert_eq!(row.get::<i64, _>(0), 2, "FULL");
        }
    }
}
