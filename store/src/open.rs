//! Opening a database: checking what it is, bringing it to this program's schema, and every setting it runs with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migrate as _, MigrateError, Migration, MigrationType};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlSafeStr as _};

use crate::columns::Columns as _;
use crate::direct::Direct;
use crate::error::Complaint;
use crate::place::{self, Place};
use crate::readers::Readers;
use crate::recent::Recent;
use crate::steps::StepSettings;
use crate::{Making, Options, StoreError, backup, lock, making, totals};

/// Marks a SQLite file as ours: "S402" in the place that SQLite keeps for this.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"S402");
/// Pages that the writer keeps in memory.
const WRITER_CACHE_KIB: u32 = 8 << 10;
/// How long the last checkpoint waits for other processes. Short: whoever closes last does it all.
const CHECKPOINT_PATIENCE: Duration = Duration::from_millis(250);

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
    pub(crate) making: Making,
    pub(crate) place: Arc<Place>,
    pub(crate) direct: Direct,
    pub(crate) recent: Arc<Recent>,
}

pub(crate) async fn open(options: &Options) -> Result<Opened, StoreError> {
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
    let known = place::identity(path)?;

    let writer_options = plain
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        // Every commit is on disk before it is answered.
        .synchronous(SqliteSynchronous::Full)
        // Checkpoints inside a commit cost it tens of milliseconds; a task of their own does them.
        .pragma("wal_autocheckpoint", "0")
        // A log that grew beyond this is cut when it is begun anew.
        .pragma("journal_size_limit", options.wal_limit.to_string())
        .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
        // What a statement of many rows keeps to undo itself goes to memory instead of a file.
        .pragma("temp_store", "MEMORY")
        .thread_name(|_| "salt402-writer".into());
    let mut writer = writer_options.connect().await.map_err(|error| explain(path, error))?;
    // In a write-ahead log, without a wait for the disk at each step: a power cut takes the last of them at most, and the
    // next start takes them again. The first commit that is answered waits for all that is before it.
    sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut writer).await?;
    migrate(path, &mut writer).await?;
    sqlx::query("PRAGMA synchronous = FULL").execute(&mut writer).await?;
    let refuse_before = sqlx::query("SELECT COALESCE(MAX(refuse_before), 0) AS refuse_before FROM restores")
        .fetch_one(&mut writer)
        .await?
        .number("refuse_before")?;
    let making = making::read(&mut writer).await?;

    let checkpointer = plain
        .clone()
        .busy_timeout(CHECKPOINT_PATIENCE)
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
    let recent = Arc::new(Recent::open(path, options.memory)?);
    let place = Arc::new(Place::of(path)?);
    if place::identity(path)? != known {
        return Err(StoreError::Moved { path: path.to_owned() });
    }
    drop(opening);
    let steps = StepSettings {
        path: path.to_owned(),
        busy_timeout: options.busy_timeout,
        wal_limit: options.wal_limit,
        place: Arc::clone(&place),
    };
    Ok(Opened {
        writer_options,
        writer,
        steps,
        checkpointer,
        readers,
        watcher,
        refuse_before,
        making,
        place,
        direct,
        recent,
    })
}

/// Makes sure that the file is a database of ours, and marks it if it is new. Done before any setting is changed, so
/// that a file of another program stays as it is.
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
    } else if backup::taken_at_ms(&mut connection).await?.is_some() {
        return Err(StoreError::IsBackup { path: path.to_owned() });
    }
    connection.close().await.map_err(|error| explain(path, error))
}

/// Makes sure that an open database is one of ours.
pub(crate) async fn check_ours(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT application_id FROM pragma_application_id")
        .fetch_one(connection)
        .await
        .map_err(|error| explain(path, error))?;
    if row.try_get::<i64, _>(0)? == i64::from(APPLICATION_ID) {
        Ok(())
    } else {
        Err(StoreError::ForeignDatabase { path: path.to_owned() })
    }
}

/// The steps from an empty database to this program's schema. A released step never changes; a new one is added.
fn migrations() -> Vec<Migration> {
    let steps = [
        (1, "first", include_str!("../migrations/0001_first.sql")),
        (2, "policy", include_str!("../migrations/0002_policy.sql")),
        (3, "incidents", include_str!("../migrations/0003_incidents.sql")),
        (4, "sources", include_str!("../migrations/0004_sources.sql")),
        (5, "channels", include_str!("../migrations/0005_channels.sql")),
        (6, "halts", include_str!("../migrations/0006_halts.sql")),
        (7, "vouchers", include_str!("../migrations/0007_vouchers.sql")),
        (8, "risks", include_str!("../migrations/0008_risks.sql")),
        (9, "exposure version", include_str!("../migrations/0009_exposure_version.sql")),
        (10, "final", include_str!("../migrations/0010_final.sql")),
        (11, "doubts", include_str!("../migrations/0011_doubts.sql")),
        (12, "channel times", include_str!("../migrations/0012_channel_times.sql")),
        (13, "merged", include_str!("../migrations/0013_merged.sql")),
        (14, "range ceilings", include_str!("../migrations/0014_range_ceilings.sql")),
        (15, "marks", include_str!("../migrations/0015_marks.sql")),
        (16, "unserved", include_str!("../migrations/0016_unserved.sql")),
        (17, "voucher totals", include_str!("../migrations/0017_voucher_totals.sql")),
        (18, "unreadable", include_str!("../migrations/0018_unreadable.sql")),
        (19, "channels opened", include_str!("../migrations/0019_channels_opened.sql")),
        (20, "making", include_str!("../migrations/0020_making.sql")),
    ];
    steps
        .into_iter()
        .map(|(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect()
}

/// Takes the steps that were not taken yet, each in a transaction, and adds up what is kept added up since one of them.
pub(crate) async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const TAKEN: &str = "_sqlx_migrations";
    let told = |error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => explain(path, error),
        other => StoreError::Sql(Arc::new(sqlx::Error::Migrate(Box::new(other)))),
    };
    let migrations = migrations();
    let known = migrations.last().map_or(0, |step| step.version);
    connection.ensure_migrations_table(TAKEN).await.map_err(told)?;
    let taken = connection.list_applied_migrations(TAKEN).await.map_err(told)?;
    if let Some(found) = taken.iter().map(|step| step.version).max().filter(|found| *found > known) {
        return Err(StoreError::NewerDatabase { path: path.to_owned(), found, known });
    }
    for step in &migrations {
        match taken.iter().find(|taken| taken.version == step.version) {
            None => {
                connection.apply(TAKEN, step).await.map_err(told)?;
            }
            Some(taken) if taken.checksum != step.checksum => {
                return Err(StoreError::ChangedSchema { path: path.to_owned(), version: step.version });
            }
            Some(_) => {}
        }
    }
    totals::add_up(connection).await
}

pub(crate) fn explain(path: &Path, error: sqlx::Error) -> StoreError {
    let path = path.to_owned();
    match Complaint::of(&error) {
        Complaint::NotADatabase => StoreError::NotADatabase { path },
        Complaint::Unwritable => StoreError::CannotOpen { path, reason: error.to_string() },
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_commits_waits_for_the_disk_also_after_a_new_schema() {
        let directory = tempfile::tempdir().expect("a folder");
        let options = Options::new(directory.path().join("salt402.db"));
        for _ in 0..2 {
            let mut opened = open(&options).await.expect("a database");
            let row =
                sqlx::query("PRAGMA synchronous").fetch_one(&mut opened.writer).await.expect("a setting");
            assert_eq!(row.get::<i64, _>(0), 2, "FULL");
        }
    }
}
