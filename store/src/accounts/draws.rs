//! Draws: what a request may cost is reserved of a key's balance, before it is run.

use salt402_protocol::{Amount, PaymentId, U256};

use crate::accounts::account::{by_id, by_key, lines, write_sums};
use crate::engine::{Columns as _, Connection, Write, WriteTransaction, amount_bytes, bound, query, send};
use crate::rows::account::day;
use crate::rows::{Account, DrawResult, NewDraw, StoreError};
use crate::store::Store;

impl Store {
    /// Reserves what a request may cost. Durable when this returns. The same id is one reservation, however often it comes, and keeps what
    /// was reserved first.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn draw(&self, draw: NewDraw) -> Result<DrawResult, StoreError> {
        send(self.jobs(), draw).await
    }

    /// What was reserved before a time, in milliseconds since 1970 UTC, and not charged yet, of a service's accounts, the oldest first, at
    /// most `most`.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn open_draws(
        &self,
        claimant: &str,
        before_ms: u64,
        most: u32,
    ) -> Result<Vec<PaymentId>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT e.name FROM account_entries e INDEXED BY account_entries_open
               CROSS JOIN accounts a ON a.account_id = e.account_id
             WHERE e.kind = 'draw' AND e.amount IS NULL AND e.at_ms < $1 AND a.claimant = $2 ORDER BY e.at_ms LIMIT $3",
        )
        .bind(bound(before_ms))
        .bind(claimant)
        .bind(i64::from(most))
        .fetch_all(reader.connection()?)?;
        rows.iter().map(|row| row.payment_id("name")).collect()
    }
}

/// A draw that was made before.
struct Known {
    is_own: bool,
    request: salt402_protocol::B256,
    ceiling: Amount,
    captured: Option<Amount>,
}

impl Write for NewDraw {
    type Output = DrawResult;

    const CHANGES_PAYMENTS: bool = false;

    const GRANTS: bool = true;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<DrawResult, StoreError> {
        let connection = transaction.connection();
        let account = by_key(connection, self.key_hash)?.filter(|it| it.claimant == self.claimant);
        let Some(account) = account else { return Ok(DrawResult::KeyRefused) };
        // What was reserved is served, whatever became of the key since.
        if let Some(known) = self.known(connection, &account)? {
            let Known { ceiling, captured, .. } = known;
            return Ok(if known.is_own && known.request == self.request {
                DrawResult::Reserved { account: Box::new(account), first: false, ceiling, captured }
            } else {
                DrawResult::OtherRequest(account.id)
            });
        }
        if let Some(refused) = self.refused(&account) {
            return Ok(refused);
        }
        let now = Account {
            reserved: Amount(account.reserved.0.saturating_add(self.ceiling.0)),
            day: day(self.now_ms),
            day_used: Amount(account.used_on(self.now_ms).0.saturating_add(self.ceiling.0)),
            ..account
        };
        write_sums(connection, &now)?;
        query(
            "INSERT INTO account_entries (account_id, kind, name, ceiling, request_digest, models, day, at_ms)
             VALUES ($1, 'draw', $2, $3, $4, $5, $6, $7)",
        )
        .bind(now.id.0.to_vec())
        .bind(self.draw.0.as_slice())
        .bind(amount_bytes(self.ceiling).to_vec())
        .bind(self.request.as_slice())
        .bind(lines(&self.models))
        .bind(bound(now.day))
        .bind(bound(self.now_ms))
        .execute(connection)?;
        Ok(DrawResult::Reserved {
            account: Box::new(now),
            first: true,
            ceiling: self.ceiling,
            captured: None,
        })
    }
}

impl NewDraw {
    fn known(&self, connection: &mut Connection, account: &Account) -> Result<Option<Known>, StoreError> {
        let row = query(
            "SELECT account_id = $2 AS is_own, request_digest, ceiling, amount IS NOT NULL AS is_captured,
                    COALESCE(amount, ceiling) AS captured
             FROM account_entries WHERE name = $1 AND kind = 'draw'",
        )
        .bind(self.draw.0.as_slice())
        .bind(account.id.0.to_vec())
        .fetch_optional(connection)?;
        let Some(row) = row else { return Ok(None) };
        let captured = row.amount("captured")?;
        Ok(Some(Known {
            is_own: row.flag("is_own")?,
            request: row.hash("request_digest")?,
            ceiling: row.amount("ceiling")?,
            captured: row.flag("is_captured")?.then_some(captured),
        }))
    }

    /// Why nothing new is reserved, if so.
    fn refused(&self, account: &Account) -> Option<DrawResult> {
        let id = account.id;
        if !account.is_open(self.now_ms) {
            return Some(DrawResult::KeyRefused);
        }
        if (account.chain, account.asset) != (self.chain, self.asset) {
            return Some(DrawResult::OtherAsset(id));
        }
        if account.blocked {
            return Some(DrawResult::Blocked(id));
        }
        let limits = &account.limits;
        let among = |all: &[String], one: &String| all.is_empty() || all.contains(one);
        let strange = self.models.iter().find(|model| !among(&limits.models, model));
        let strange = strange.or_else(|| Some(&self.path).filter(|path| !among(&limits.paths, path)));
        if let Some(strange) = strange {
            return Some(DrawResult::NotAllowed(id, strange.clone()));
        }
        let beyond = |used: U256, most: U256| used.checked_add(self.ceiling.0).is_none_or(|with| with > most);
        let used = account.used_on(self.now_ms);
        if let Some(most) = limits.amount_per_day
            && beyond(used.0, most.0)
        {
            return Some(DrawResult::DayUsed { account: id, used, most });
        }
        let free = account.free();
        (self.ceiling > free).then_some(DrawResult::TooLow { account: id, free })
    }
}

/// Whether a draw's account is another service's.
pub(super) fn of_service(
    connection: &mut Connection,
    row: &crate::engine::Row,
    claimant: &str,
) -> Result<Option<Account>, StoreError> {
    let id = row.bytes("account_id")?;
    let id: [u8; 16] = id.try_into().map_err(|_| StoreError::Corrupt { column: "account_id" })?;
    let account = by_id(connection, salt402_protocol::AccountId(id.into()))?;
    Ok(account.filter(|account| account.claimant == claimant))
}
