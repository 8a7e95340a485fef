//! Backups: how a database is copied while it is in use, and how a copy is put back.
//!
//! A copy is marked as a copy and cannot be opened as a database. It lacks every claim that was made after it was
//! taken. If it were opened as it is, it would grant a second time on those payments. [`crate::restore`] turns a copy
//! into a database and notes the time. A payment that was mined before that time and has no claim is not granted on any
//! more.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::clock;
use crate::engine::columns::Columns as _;
use crate::engine::schema::{TAKEN, Upgrade, check_ours, explain, migrate, taken_at_ms};
use crate::engine::sql::{Connection, begin, query};
use crate::rows::StoreError;

/// How long to wait while another process writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the progress of a copy is told.
const TELL: Duration = Duration::from_millis(200);

/// A backup that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its length in bytes.
    pub bytes: u64,
    /// The copy holds everything that was committed before this time, in milliseconds since 1970 UTC. It may hold a
    /// little of what came after.
    pub taken_at_ms: u64,
}

/// A database that was put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was taken, in milliseconds since 1970 UTC.
    pub taken_at_ms: u64,
    /// A payment without a claim is not granted on if its block is from before this time, in seconds since 1970 UTC.
    pub refuse_before: u64,
    /// How many claims had no kept answer. They count as answered.
    pub closed: u64,
}

/// Copies a database into a new file. The database may be in use. When this returns, the copy shows one moment, was
/// checked, is on disk, and only its owner can read it. `told` is called with the bytes written so far and with about
/// how many there will be.
///
/// While the copy is made, the write-ahead log of the database grows and does not start again at its beginning.
///
/// # Errors
/// [`StoreError::Exists`] if the target file exists. It is not changed.
pub async fn backup(database: &Path, to: &Path, told: impl Fn(u64, u64)) -> Result<Backup, StoreError> {
    if !database.exists() {
        return Err(file_error(database, std::io::ErrorKind::NotFound.into()));
    }
    let draft = Draft::next_to(to)?;
    let began_at_ms = u64::try_from(clock::now_ms()).unwrap_or(0);
    let mut source = plain(database, false)?;
    check_ours(database, &source)?;
    if taken_at_ms(&mut source)?.is_some() {
        return Err(StoreError::IsBackup { path: database.to_owned() });
    }
    let row = query("SELECT page_count * page_size AS size FROM pragma_page_count, pragma_page_size")
        .fetch_one(&mut source)?;
    let total = row.number("size")?;
    let path = draft.path.to_string_lossy().into_owned();
    let copied = {
        let mut copy =
            tokio::task::spawn_blocking(move || source.library().execute("VACUUM INTO ?1", [path]));
        loop {
            tokio::select! {
                copied = &mut copy => break copied,
                () = tokio::time::sleep(TELL) => told(draft.length().min(total), total),
            }
        }
    };
    let copied = copied.map_err(|gone| file_error(&draft.path, std::io::Error::other(gone)))?;
    copied.map_err(|error| explain(&draft.path, error))?;
    mark(&draft.path, began_at_ms)?;
    let bytes = draft.length();
    draft.publish(to)?;
    told(bytes, bytes);
    Ok(Backup { bytes, taken_at_ms: began_at_ms })
}

/// See [`crate::restore`]; `upgrade` is what the restored database needs besides its schema.
pub(crate) fn restore(
    from: &Path,
    database: &Path,
    skew: Duration,
    upgrade: &dyn Upgrade,
) -> Result<Restored, StoreError> {
    for suffix in ["", "-wal", "-journal"] {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        if Path::new(&path).exists() {
            return Err(StoreError::Exists { path: path.into() });
        }
    }
    if let Some(folder) = folder_of(database) {
        std::fs::create_dir_all(folder).map_err(|error| file_error(folder, error))?;
    }
    let draft = Draft::next_to(database)?;
    std::fs::copy(from, &draft.path).map_err(|error| file_error(from, error))?;
    let mut copy = plain(&draft.path, true)?;
    check_ours(from, &copy)?;
    let taken = taken_at_ms(&mut copy)?;
    let taken_at_ms = taken.ok_or_else(|| StoreError::NoBackup { path: from.to_owned() })?;
    check_sound(&draft.path, &copy)?;
    migrate(from, &mut copy, upgrade)?;
    let restored = note_restore(&mut copy, taken_at_ms, skew)?;
    drop(copy);
    draft.publish(database)?;
    Ok(restored)
}

fn note_restore(copy: &mut Connection, taken_at_ms: u64, skew: Duration) -> Result<Restored, StoreError> {
    let now_ms = clock::now_ms();
    let refuse_before = u64::try_from(now_ms).unwrap_or(0) / 1000 + skew.as_secs();
    let mut transaction = begin(copy)?;
    query("DELETE FROM meta WHERE name = $1").bind(TAKEN).execute(transaction.connection())?;
    query("INSERT INTO restores (taken_at_ms, restored_at_ms, refuse_before) VALUES ($1, $2, $3)")
        .bind(i64::try_from(taken_at_ms).unwrap_or(i64::MAX))
        .bind(now_ms)
        .bind(i64::try_from(refuse_before).unwrap_or(i64::MAX))
        .execute(transaction.connection())?;
    // What was called valid may have been settled since, and told.
    query("DELETE FROM called_valid").execute(transaction.connection())?;
    // Nobody knows whether these were answered after the backup was taken. To run them again could serve twice.
    let closed = query(
        "INSERT INTO outcomes (payment_id, status, headers, body, size, stored_at_ms, evicted)
         SELECT payment_id, 200, '[]', x'', 0, $1, TRUE FROM claims
         WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.payment_id = claims.payment_id)",
    )
    .bind(now_ms)
    .execute(transaction.connection())?
    .rows_affected();
    // Nor what was charged of these. To charge them anew could charge more than was charged then.
    query(
        "INSERT INTO outcomes (payment_id, status, headers, body, size, stored_at_ms, evicted)
         SELECT payment_id, 200, '[]', x'', 0, $1, TRUE FROM charges WHERE state = 'running'
         ON CONFLICT (payment_id) DO NOTHING",
    )
    .bind(now_ms)
    .execute(transaction.connection())?;
    query("UPDATE charges SET state = 'charged', amount = zeroblob(32), due_ms = 0 WHERE state = 'running'")
        .execute(transaction.connection())?;
    for forget in ["DELETE FROM deliveries", "DELETE FROM delivery_pieces"] {
        query(forget).execute(transaction.connection())?;
    }
    transaction.commit()?;
    Ok(Restored { taken_at_ms, refuse_before, closed })
}

/// Marks a file as a copy, so that it cannot be opened as a database, and checks that it is sound.
fn mark(path: &Path, taken_at_ms: u64) -> Result<(), StoreError> {
    let mut copy = plain(path, true)?;
    query("INSERT OR REPLACE INTO meta (name, value) VALUES ($1, $2)")
        .bind(TAKEN)
        .bind(taken_at_ms.to_string())
        .execute(&mut copy)?;
    check_sound(path, &copy)
}

fn check_sound(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let said: String = connection.library().query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(StoreError::Damaged { path: path.to_owned(), said }) }
}

fn plain(path: &Path, writes: bool) -> Result<Connection, StoreError> {
    Connection::open(path, writes, BUSY_TIMEOUT).map_err(|error| explain(path, error))
}

/// A file that is written under another name next to its target. It is removed if it never gets its final name.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn next_to(target: &Path) -> Result<Self, StoreError> {
        if target.exists() {
            return Err(StoreError::Exists { path: target.to_owned() });
        }
        let mut path = target.as_os_str().to_owned();
        path.push(format!(".{}.partial", std::process::id()));
        let path = PathBuf::from(path);
        // The file is created with these rights, so that at no time anybody else can read it.
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        made.map_err(|error| file_error(&path, error))?;
        Ok(Self { path })
    }

    fn length(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Gives the file its final name, on disk. It never replaces another file.
    fn publish(self, target: &Path) -> Result<(), StoreError> {
        let told = |error| file_error(target, error);
        File::open(&self.path).and_then(|file| file.sync_all()).map_err(told)?;
        std::fs::hard_link(&self.path, target).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => StoreError::Exists { path: target.to_owned() },
            _ => file_error(target, error),
        })?;
        std::fs::remove_file(&self.path).map_err(told)?;
        File::open(folder_of(target).unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(told)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

fn file_error(path: &Path, error: std::io::Error) -> StoreError {
    StoreError::File { path: path.to_owned(), source: Arc::new(error) }
}
