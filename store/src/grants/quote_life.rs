//! How long quotes lived before the operator changed that. A payment without a quote id is found by the quote that it
//! pays, and that quote is derived from the life it had.

use crate::engine::{Columns as _, Write, WriteTransaction, query, send};
use crate::rows::StoreError;
use crate::store::Store;

/// How many lives are returned at most: those that ended last.
const MOST: usize = 3;

/// A life that quotes had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuoteLife {
    /// How long they lived, in seconds.
    pub lifetime: u64,
    /// Until when quotes had it, in seconds since 1970 UTC.
    pub until: u64,
}

impl Store {
    /// Notes that from `now` on (seconds since 1970 UTC) quotes live for `lifetime` seconds. Returns the earlier lives,
    /// the last first. Durable when this returns.
    pub async fn note_quote_life(&self, lifetime: u64, now: u64) -> Result<Vec<QuoteLife>, StoreError> {
        send(self.jobs(), Note { lifetime, now }).await
    }
}

struct Note {
    lifetime: u64,
    now: u64,
}

impl Write for Note {
    type Output = Vec<QuoteLife>;

    const CHANGES_PAYMENTS: bool = false;

    /// Each life is a row in `meta` whose value says when it ended. The value is empty while it lasts.
    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Vec<QuoteLife>, StoreError> {
        let name = format!("quote_life:{}", self.lifetime);
        query(
            "UPDATE meta SET value = $2
             WHERE name >= 'quote_life:' AND name < 'quote_life;' AND value = '' AND name <> $1",
        )
        .bind(name.as_str())
        .bind(self.now.to_string())
        .execute(transaction.connection())?;
        query("INSERT INTO meta (name, value) VALUES ($1, '') ON CONFLICT (name) DO UPDATE SET value = ''")
            .bind(name.as_str())
            .execute(transaction.connection())?;
        let rows = query(
            "SELECT name, value FROM meta WHERE name >= 'quote_life:' AND name < 'quote_life;' AND value <> ''",
        )
        .fetch_all(transaction.connection())?;
        let mut lives = Vec::with_capacity(rows.len());
        for row in &rows {
            let (name, value) = (row.text("name")?, row.text("value")?);
            let lifetime = name.strip_prefix("quote_life:").and_then(|life| life.parse().ok());
            let (Some(lifetime), Ok(until)) = (lifetime, value.parse()) else {
                return Err(StoreError::Corrupt { column: "value" });
            };
            lives.push(QuoteLife { lifetime, until });
        }
        lives.sort_unstable_by_key(|life| std::cmp::Reverse((life.until, life.lifetime)));
        lives.truncate(MOST);
        Ok(lives)
    }
}
