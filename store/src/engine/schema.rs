//! The schema: the mark that says that a database is ours, the migrations to this program's tables, and what can be
//! wrong with a file.

use std::path::Path;

use sha2::{Digest as _, Sha384};

use crate::engine::columns::Columns as _;
use crate::engine::result_code::ResultCode;
use crate::engine::sql::{Connection, begin, query};
use crate::rows::StoreError;

/// Marks a SQLite file as ours: "S402" in the header field that SQLite reserves for applications.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"S402");
/// The name under which the table `meta` of a copy holds when the copy was taken, in milliseconds since 1970 UTC.
pub(super) const TAKEN: &str = "backup_taken_at_ms";

/// Makes sure that an open database is one of ours.
pub(crate) fn check_ours(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let found =
        connection
            .library()
            .query_row("SELECT application_id FROM pragma_application_id", [], |row| row.get(0));
    let found: i64 = found.map_err(|error| explain(path, error))?;
    if found == i64::from(APPLICATION_ID) {
        Ok(())
    } else {
        Err(StoreError::ForeignDatabase { path: path.to_owned() })
    }
}

/// When the copy was taken. `None` if the database is not a copy.
pub(super) fn taken_at_ms(connection: &mut Connection) -> Result<Option<u64>, StoreError> {
    // A new database has no table yet.
    let exists = query("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetch_optional(connection)?;
    if exists.is_none() {
        return Ok(None);
    }
    let row = query("SELECT value FROM meta WHERE name = $1").bind(TAKEN).fetch_optional(connection)?;
    let Some(row) = row else { return Ok(None) };
    row.text("value")?.parse().map(Some).map_err(|_| StoreError::Corrupt { column: "value" })
}

/// The migrations, from an empty database to this program's schema. A released migration never changes; new ones are
/// added at the end.
const MIGRATIONS: [(i64, &str, &str); 37] = [
    (1, "first", include_str!("../../migrations/0001_first.sql")),
    (2, "policy", include_str!("../../migrations/0002_policy.sql")),
    (3, "incidents", include_str!("../../migrations/0003_incidents.sql")),
    (4, "sources", include_str!("../../migrations/0004_sources.sql")),
    (5, "channels", include_str!("../../migrations/0005_channels.sql")),
    (6, "halts", include_str!("../../migrations/0006_halts.sql")),
    (7, "vouchers", include_str!("../../migrations/0007_vouchers.sql")),
    (8, "risks", include_str!("../../migrations/0008_risks.sql")),
    (9, "exposure version", include_str!("../../migrations/0009_exposure_version.sql")),
    (10, "final", include_str!("../../migrations/0010_final.sql")),
    (11, "doubts", include_str!("../../migrations/0011_doubts.sql")),
    (12, "channel times", include_str!("../../migrations/0012_channel_times.sql")),
    (13, "merged", include_str!("../../migrations/0013_merged.sql")),
    (14, "range ceilings", include_str!("../../migrations/0014_range_ceilings.sql")),
    (15, "marks", include_str!("../../migrations/0015_marks.sql")),
    (16, "unserved", include_str!("../../migrations/0016_unserved.sql")),
    (17, "voucher totals", include_str!("../../migrations/0017_voucher_totals.sql")),
    (18, "unreadable", include_str!("../../migrations/0018_unreadable.sql")),
    (19, "channels opened", include_str!("../../migrations/0019_channels_opened.sql")),
    (20, "making", include_str!("../../migrations/0020_making.sql")),
    (21, "names", include_str!("../../migrations/0021_names.sql")),
    (22, "no range ceilings", include_str!("../../migrations/0022_no_range_ceilings.sql")),
    (23, "one place", include_str!("../../migrations/0023_one_place.sql")),
    (24, "refunds", include_str!("../../migrations/0024_refunds.sql")),
    (25, "closings", include_str!("../../migrations/0025_closings.sql")),
    (26, "settlement orders", include_str!("../../migrations/0026_settlement_orders.sql")),
    (27, "refunds and operators", include_str!("../../migrations/0027_refunds_and_operators.sql")),
    (28, "reservations", include_str!("../../migrations/0028_reservations.sql")),
    (29, "settlements by state", include_str!("../../migrations/0029_settlements_by_state.sql")),
    (30, "unserved parts", include_str!("../../migrations/0030_unserved_parts.sql")),
    (31, "charges", include_str!("../../migrations/0031_charges.sql")),
    (32, "settlement signatures", include_str!("../../migrations/0032_settlement_signatures.sql")),
    (33, "charges written off", include_str!("../../migrations/0033_charges_written_off.sql")),
    (34, "accounts", include_str!("../../migrations/0034_accounts.sql")),
    (35, "called valid", include_str!("../../migrations/0035_called_valid.sql")),
    (36, "gas of slots", include_str!("../../migrations/0036_gas_of_slots.sql")),
    (37, "streams", include_str!("../../migrations/0037_streams.sql")),
];

/// What an older database needs besides its new schema, where SQL alone cannot do it. Every start runs it. It finds out
/// itself whether there is anything to do.
pub(crate) trait Upgrade: Sync {
    /// Does what is left to do.
    fn run(&self, connection: &mut Connection) -> Result<(), StoreError>;
}

/// The table of the migrations that were run. It is that of sqlx, with which earlier versions ran them: each version goes on where
/// another ended. `checksum` is the SHA-384 of a migration's text.
const TAKEN_STEPS: &str = "
CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
)";

/// Runs the migrations that were not run yet, each in a transaction. Then runs the upgrade.
pub(super) fn migrate(
    path: &Path,
    connection: &mut Connection,
    upgrade: &dyn Upgrade,
) -> Result<(), StoreError> {
    let known = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
    let made = connection.library().execute_batch(TAKEN_STEPS);
    made.map_err(|error| explain(path, error))?;
    let mut taken = Vec::new();
    for row in query("SELECT version, checksum FROM _sqlx_migrations").fetch_all(connection)? {
        let version = row.number("version")?;
        taken.push((i64::try_from(version).unwrap_or(i64::MAX), row.bytes("checksum")?));
    }
    if let Some(found) = taken.iter().map(|(version, _)| *version).max().filter(|found| *found > known) {
        return Err(StoreError::NewerDatabase { path: path.to_owned(), found, known });
    }
    for (version, name, sql) in MIGRATIONS {
        let checksum = Sha384::digest(sql).to_vec();
        match taken.iter().find(|(taken, _)| *taken == version) {
            None => {
                let mut transaction = begin(connection)?;
                let done = transaction.connection().library().execute_batch(sql);
                done.map_err(|error| explain(path, error))?;
                query(
                    "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                     VALUES ($1, $2, TRUE, $3, -1)",
                )
                .bind(version)
                .bind(name)
                .bind(checksum)
                .execute(transaction.connection())?;
                transaction.commit()?;
            }
            Some((_, taken)) if *taken != checksum => {
                return Err(StoreError::ChangedSchema { path: path.to_owned(), version });
            }
            Some(_) => {}
        }
    }
    upgrade.run(connection)
}

pub(crate) fn explain(path: &Path, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match ResultCode::of(&error) {
        ResultCode::NotADatabase => StoreError::NotADatabase { path },
        ResultCode::Unwritable => StoreError::CannotOpen { path, reason: error.to_string() },
        _ => error.into(),
    }
}

/// Where there is nothing to upgrade, as in a new database.
#[cfg(test)]
pub(crate) struct NoUpgrade;

#[cfg(test)]
impl Upgrade for NoUpgrade {
    fn run(&self, _: &mut Connection) -> Result<(), StoreError> {
        Ok(())
    }
}
