//! The schema: the mark that says that a database is ours, the migrations to this program's tables, and what can be
//! wrong with a file.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use sqlx::migrate::{Migrate as _, MigrateError, Migration, MigrationType};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Row as _, SqlSafeStr as _};

use crate::engine::async_sql::AsyncConnection;
use crate::engine::columns::Columns as _;
use crate::engine::result_code::ResultCode;
use crate::rows::StoreError;

/// Marks a SQLite file as ours: "S402" in the header field that SQLite reserves for applications.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"S402");
/// The name under which the table `meta` of a copy holds when the copy was taken, in milliseconds since 1970 UTC.
pub(super) const TAKEN: &str = "backup_taken_at_ms";

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

/// When the copy was taken. `None` if the database is not a copy.
pub(super) async fn taken_at_ms(connection: &mut SqliteConnection) -> Result<Option<u64>, StoreError> {
    // A new database has no table yet.
    let exists = sqlx::query("SELECT 1 FROM sqlite_schema WHERE name = 'meta'")
        .fetch_optional(&mut *connection)
        .await?;
    if exists.is_none() {
        return Ok(None);
    }
    let row =
        sqlx::query("SELECT value FROM meta WHERE name = $1").bind(TAKEN).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    row.text("value")?.parse().map(Some).map_err(|_| StoreError::Corrupt { column: "value" })
}

/// The migrations, from an empty database to this program's schema. A released migration never changes; new ones are
/// added at the end.
fn migrations() -> Vec<Migration> {
    let steps = [
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
    ];
    steps
        .into_iter()
        .map(|(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect()
}

/// What an older database needs besides its new schema, where SQL alone cannot do it. Every start runs it. It finds out
/// itself whether there is anything to do.
pub(crate) trait Upgrade: Sync {
    /// Does what is left to do.
    fn run<'a>(
        &'a self,
        connection: &'a mut AsyncConnection,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;
}

/// Runs the migrations that were not run yet, each in a transaction. Then runs the upgrade.
pub(super) async fn migrate(
    path: &Path,
    connection: &mut SqliteConnection,
    upgrade: &dyn Upgrade,
) -> Result<(), StoreError> {
    const STEPS_TAKEN: &str = "_sqlx_migrations";
    let told = |error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => explain(path, error),
        other => StoreError::Sql(Arc::new(sqlx::Error::Migrate(Box::new(other)))),
    };
    let migrations = migrations();
    let known = migrations.last().map_or(0, |step| step.version);
    connection.ensure_migrations_table(STEPS_TAKEN).await.map_err(told)?;
    let taken = connection.list_applied_migrations(STEPS_TAKEN).await.map_err(told)?;
    if let Some(found) = taken.iter().map(|step| step.version).max().filter(|found| *found > known) {
        return Err(StoreError::NewerDatabase { path: path.to_owned(), found, known });
    }
    for step in &migrations {
        match taken.iter().find(|taken| taken.version == step.version) {
            None => {
                connection.apply(STEPS_TAKEN, step).await.map_err(told)?;
            }
            Some(taken) if taken.checksum != step.checksum => {
                return Err(StoreError::ChangedSchema { path: path.to_owned(), version: step.version });
            }
            Some(_) => {}
        }
    }
    upgrade.run(connection).await
}

pub(crate) fn explain(path: &Path, error: sqlx::Error) -> StoreError {
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
    fn run<'a>(
        &'a self,
        _: &'a mut AsyncConnection,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>> {
        Box::pin(async { Ok(()) })
    }
}
