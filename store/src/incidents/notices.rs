//! Notices: messages about incidents. Each is kept until it was delivered.

use crate::channels::risk_rows;
use crate::engine::{Columns as _, Write, WriteTransaction, bound, query, query_made, send};
use crate::incidents::incident::{Incident, incident_of};
use crate::incidents::outbox::NoticeEvent;
use crate::rows::StoreError;
use crate::store::Store;

/// A message about an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number, ascending in time. A repeated delivery has the same number. No other notice of this database has it,
    /// but after a restore a new one may.
    pub id: u64,
    /// What happened.
    pub event: NoticeEvent,
    /// When, in milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// How often it was tried to be told.
    pub attempts: u32,
    /// The incident, as it is now.
    pub incident: Incident,
}

impl Store {
    /// Notices that are due at `now_ms` (milliseconds since 1970 UTC), the oldest first, at most `limit`. Of each
    /// incident only the first undelivered notice is returned. The next is due when that one was delivered.
    pub async fn due_notices(&self, now_ms: u64, limit: u32) -> Result<Vec<Notice>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query_made(format!(
            "SELECT i.*, n.id AS notice_id, n.event, n.at_ms, n.attempts, {}
             FROM notices n INDEXED BY notices_due JOIN incidents i ON i.id = n.incident_id
             LEFT JOIN channel_risks r ON r.incident_id = i.id
             WHERE n.delivered_at_ms IS NULL AND n.due_at_ms <= $1
               AND NOT EXISTS (SELECT 1 FROM notices earlier
                               WHERE earlier.incident_id = n.incident_id AND earlier.id < n.id
                                 AND earlier.delivered_at_ms IS NULL)
             ORDER BY n.id LIMIT $2",
            risk_rows::COLUMNS
        ))
        .bind(bound(now_ms))
        .bind(i64::from(limit))
        .fetch_all(reader.connection()?)?;
        rows.iter()
            .map(|row| {
                Ok(Notice {
                    id: row.number("notice_id")?,
                    event: NoticeEvent::named(&row.text("event")?)
                        .ok_or(StoreError::Corrupt { column: "event" })?,
                    at_ms: row.number("at_ms")?,
                    attempts: u32::try_from(row.number("attempts")?).unwrap_or(u32::MAX),
                    incident: incident_of(row)?,
                })
            })
            .collect()
    }

    /// How many notices were not told yet.
    pub async fn waiting_notices(&self) -> Result<u64, StoreError> {
        let mut reader = self.reader().await?;
        query("SELECT COUNT(*) AS number FROM notices WHERE delivered_at_ms IS NULL")
            .fetch_one(reader.connection()?)?
            .number("number")
    }

    /// Notes that a notice was delivered at `now_ms`.
    pub async fn notice_delivered(&self, id: u64, now_ms: u64) -> Result<(), StoreError> {
        send(self.jobs(), Told { id, ending: Ending::Delivered(now_ms) }).await
    }

    /// Notes that a delivery failed, and is to be tried again at `due_at_ms`.
    pub async fn notice_failed(&self, id: u64, due_at_ms: u64) -> Result<(), StoreError> {
        send(self.jobs(), Told { id, ending: Ending::Failed(due_at_ms) }).await
    }

    /// Forgets notices that were delivered before `before_ms`, some at a time. Returns how many. The newest stays, so
    /// that SQLite never gives its number again.
    pub async fn evict_notices(&self, before_ms: u64) -> Result<u64, StoreError> {
        send(self.jobs(), Evict(before_ms)).await
    }
}

struct Told {
    id: u64,
    ending: Ending,
}

enum Ending {
    Delivered(u64),
    Failed(u64),
}

impl Write for Told {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        let (sql, moment) = match self.ending {
            Ending::Delivered(now) => {
                ("UPDATE notices SET attempts = attempts + 1, delivered_at_ms = $2 WHERE id = $1", now)
            }
            Ending::Failed(due) => {
                ("UPDATE notices SET attempts = attempts + 1, due_at_ms = $2 WHERE id = $1", due)
            }
        };
        query(sql).bind(bound(self.id)).bind(bound(moment)).execute(transaction.connection())?;
        Ok(())
    }
}

struct Evict(u64);

impl Write for Evict {
    type Output = u64;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<u64, StoreError> {
        let done = query(
            "DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE delivered_at_ms < $1
                                                AND id < (SELECT MAX(id) FROM notices)
                                              ORDER BY delivered_at_ms LIMIT 256)",
        )
        .bind(bound(self.0))
        .execute(transaction.connection())?;
        Ok(done.rows_affected())
    }
}
