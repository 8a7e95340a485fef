//! Which database this is, and since when it knows what was granted.

use salt402_protocol::DatabaseMark;

use crate::engine::columns::Columns as _;
use crate::engine::sql::{Connection, query};
use crate::rows::StoreError;

/// The identity of a database. A backup that was put back keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseOrigin {
    /// A random name from when it was created, or from when this was first stored.
    pub mark: DatabaseMark,
    /// When the database was created, in seconds since 1970 UTC, by the clock of that moment. 0 if it was created by a
    /// program that did not note this.
    pub made_at: u64,
    /// Quotes that name no database may have been given with it until this time, in seconds since 1970 UTC. 0 if there
    /// were none.
    pub unmarked_until: u64,
}

pub(super) fn read(connection: &mut Connection) -> Result<DatabaseOrigin, StoreError> {
    let rows = query("SELECT name, value FROM meta WHERE name IN ('mark', 'made_at', 'unmarked_until')")
        .fetch_all(connection)?;
    let (mut mark, mut made_at, mut unmarked_until) = (None, 0, 0);
    for row in &rows {
        let value = row.text("value")?;
        let moment = || value.parse().map_err(|_| StoreError::Corrupt { column: "value" });
        match row.text("name")?.as_str() {
            "mark" => mark = mark_of(&value),
            "made_at" => made_at = moment()?,
            _ => unmarked_until = moment()?,
        }
    }
    let mark = mark.ok_or(StoreError::Corrupt { column: "value" })?;
    Ok(DatabaseOrigin { mark, made_at, unmarked_until })
}

fn mark_of(text: &str) -> Option<DatabaseMark> {
    u64::from_str_radix(text, 16)
        .ok()
        .filter(|_| text.len() == 16)
        .map(|mark| DatabaseMark(mark.to_be_bytes()))
}
