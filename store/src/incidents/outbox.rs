//! The outbox of incidents: a notice is written in the same transaction as its incident.

use std::fmt;

use crate::engine::{SyncConnection, params};
use crate::rows::StoreError;

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeEvent {
    /// An incident that lasts began.
    Opened,
    /// It came right.
    Resolved,
    /// An incident that does not last happened.
    Noted,
}

impl NoticeEvent {
    /// Its name in the database and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Resolved => "resolved",
            Self::Noted => "noted",
        }
    }

    /// The event of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Opened, Self::Resolved, Self::Noted].into_iter().find(|event| event.name() == name)
    }
}

impl fmt::Display for NoticeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Writes a notice in the transaction of its incident.
pub(crate) fn write(
    connection: &SyncConnection<'_>,
    incident: i64,
    event: NoticeEvent,
    at_ms: i64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO notices (incident_id, event, at_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![incident, event.name(), at_ms])?;
    Ok(())
}
