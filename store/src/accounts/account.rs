//! Accounts as they stand, and what happened to them.

use salt402_protocol::api::KeyLimits;
use salt402_protocol::{AccountId, Amount, B128, B256, PaymentId};

use crate::engine::{Columns as _, Connection, Row, amount_bytes, bound, query};
use crate::payments::refunds::given_back;
use crate::rows::{Account, AccountEvent, AccountEventKind, StoreError};
use crate::store::Store;

/// Whether an account `a` has a payment that left the chain, or was given back, or of which nobody knows while its chain is halted; or
/// a voucher whose channel is at risk.
macro_rules! is_blocked {
    () => {
        concat!(
            "EXISTS (SELECT 1 FROM account_entries e INDEXED BY account_entries_bought
                       CROSS JOIN claims k ON k.payment_id = e.name
                     WHERE e.account_id = a.account_id AND e.kind = 'payment' AND e.settled IS NULL
                       AND (EXISTS (SELECT 1 FROM open_halts h WHERE h.chain_id = k.chain_id)
                            OR EXISTS (SELECT 1 FROM incidents i
                                       WHERE i.chain_id = k.chain_id AND i.payment_id = e.name
                                         AND i.kind = 'payment_lost' AND i.resolved_at_ms IS NULL)
                            OR EXISTS (SELECT 1 FROM voucher_grants v
                                         CROSS JOIN channel_risks r ON r.chain_id = v.chain_id
                                           AND r.contract = v.contract AND r.channel = v.channel
                                         CROSS JOIN incidents i ON i.id = r.incident_id
                                       WHERE v.payment_id = e.name AND i.resolved_at_ms IS NULL)
                            OR EXISTS (SELECT 1 FROM payments p
                                       WHERE p.chain_id = k.chain_id AND p.transaction_hash = k.transaction_hash
                                         AND p.payment_id = e.name AND p.canonical AND ",
            given_back!(),
            ")))"
        )
    };
}

/// The columns of an account `a`.
macro_rules! account_columns {
    () => {
        concat!(
            "a.account_id, a.key_hash, a.claimant, a.chain_id, a.asset, a.payer, a.plan, a.label, a.state, a.credited, a.returned,
             a.spent, a.reserved, a.day, a.day_used, a.requests_per_minute, a.amount_per_day IS NOT NULL AS has_daily,
             COALESCE(a.amount_per_day, zeroblob(32)) AS amount_per_day, a.models, a.paths, a.ends_at_ms, a.made_at_ms,
             (SELECT COUNT(*) FROM account_entries b INDEXED BY account_entries_bought
              WHERE b.account_id = a.account_id AND b.kind = 'payment' AND b.settled IS NULL) AS payments, ",
            is_blocked!(),
            " AS blocked"
        )
    };
}

const BY_KEY: &str = concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.key_hash = $1");
const BY_ID: &str = concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.account_id = $1");

/// The columns of what happened.
macro_rules! entry_columns {
    () => {
        "id, account_id, kind, name, ceiling IS NOT NULL AS has_ceiling, COALESCE(ceiling, zeroblob(32)) AS ceiling,
         amount IS NOT NULL AS has_amount, COALESCE(amount, zeroblob(32)) AS amount, models, note, settled, at_ms"
    };
}

impl Store {
    /// The account of a key, by the key's SHA-256.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn account_of_key(&self, key_hash: B256) -> Result<Option<Account>, StoreError> {
        let mut reader = self.reader().await?;
        by_key(reader.connection()?, key_hash)
    }

    /// An account.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        let mut reader = self.reader().await?;
        by_id(reader.connection()?, id)
    }

    /// Accounts, by their ids, at most `most` of those after one.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn accounts(&self, after: Option<AccountId>, most: u32) -> Result<Vec<Account>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(concat!(
            "SELECT ",
            account_columns!(),
            " FROM accounts a WHERE a.account_id > $1 ORDER BY a.account_id LIMIT $2"
        ))
        .bind(after.map(|id| id.0.to_vec()).unwrap_or_default())
        .bind(i64::from(most))
        .fetch_all(reader.connection()?)?;
        rows.iter().map(account).collect()
    }

    /// What happened to an account, the newest first, at most `most` of what was before a number.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn account_events(
        &self,
        id: AccountId,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<AccountEvent>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(concat!(
            "SELECT ",
            entry_columns!(),
            " FROM account_entries WHERE account_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
        ))
        .bind(id.0.to_vec())
        .bind(bound(before.unwrap_or(u64::MAX)))
        .bind(i64::from(most))
        .fetch_all(reader.connection()?)?;
        rows.iter().map(event).collect()
    }

    /// What was credited for a payment: the account, whether it was made by it, and how much, with the bonus, in base units.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn credit_of(&self, payment: PaymentId) -> Result<Option<(Account, bool, Amount)>, StoreError> {
        let mut reader = self.reader().await?;
        let connection = reader.connection()?;
        let row =
            query("SELECT id, account_id, amount FROM account_entries WHERE name = $1 AND kind = 'payment'")
                .bind(payment.0.as_slice())
                .fetch_optional(connection)?;
        let Some(row) = row else { return Ok(None) };
        let (entry, id, paid) = (row.number("id")?, account_id(&row)?, row.amount("amount")?);
        // They were written together.
        let bonus =
            query("SELECT amount FROM account_entries WHERE id = $1 AND account_id = $2 AND kind = 'bonus'")
                .bind(bound(entry.saturating_add(1)))
                .bind(id.0.to_vec())
                .fetch_optional(connection)?;
        let bonus = bonus.map_or(Ok(Amount::ZERO), |row| row.amount("amount"))?;
        let account = by_id(connection, id)?.ok_or(StoreError::Corrupt { column: "account_id" })?;
        let made = AccountId::made_by(payment.0) == id;
        Ok(Some((account, made, Amount(paid.0.saturating_add(bonus.0)))))
    }
}

pub(super) fn by_key(connection: &mut Connection, key_hash: B256) -> Result<Option<Account>, StoreError> {
    let row = query(BY_KEY).bind(key_hash.to_vec()).fetch_optional(connection)?;
    row.as_ref().map(account).transpose()
}

pub(super) fn by_id(connection: &mut Connection, id: AccountId) -> Result<Option<Account>, StoreError> {
    let row = query(BY_ID).bind(id.0.to_vec()).fetch_optional(connection)?;
    row.as_ref().map(account).transpose()
}

fn account_id(row: &Row) -> Result<AccountId, StoreError> {
    let bytes = row.bytes("account_id")?;
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| StoreError::Corrupt { column: "account_id" })?;
    Ok(AccountId(B128::new(bytes)))
}

/// Names, one a line.
pub(super) fn lines(names: &[String]) -> String {
    names.join("\n")
}

fn names(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn account(row: &Row) -> Result<Account, StoreError> {
    let daily = row.amount("amount_per_day")?;
    let limits = KeyLimits {
        requests_per_minute: row
            .maybe_number("requests_per_minute")?
            .map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
        amount_per_day: row.flag("has_daily")?.then_some(daily),
        models: names(&row.text("models")?),
        paths: names(&row.text("paths")?),
        ends_at: row.maybe_number("ends_at_ms")?.map(|ends_at| ends_at / 1000),
    };
    Ok(Account {
        id: account_id(row)?,
        key_hash: row.hash("key_hash")?,
        claimant: row.text("claimant")?,
        chain: row.chain("chain_id")?,
        asset: row.asset("asset")?,
        payer: row.address("payer")?,
        plan: row.text("plan")?,
        label: row.text("label")?,
        revoked: row.text("state")? != "active",
        blocked: row.flag("blocked")?,
        credited: row.amount("credited")?,
        returned: row.amount("returned")?,
        spent: row.amount("spent")?,
        reserved: row.amount("reserved")?,
        day: row.number("day")?,
        day_used: row.amount("day_used")?,
        limits,
        payments: row.number("payments")?,
        made_at_ms: row.number("made_at_ms")?,
    })
}

fn event(row: &Row) -> Result<AccountEvent, StoreError> {
    let kind = AccountEventKind::of(&row.text("kind")?).ok_or(StoreError::Corrupt { column: "kind" })?;
    let (ceiling, amount) = (row.amount("ceiling")?, row.amount("amount")?);
    Ok(AccountEvent {
        id: row.number("id")?,
        account: account_id(row)?,
        kind,
        name: row.maybe_hash("name")?.map(PaymentId),
        ceiling: row.flag("has_ceiling")?.then_some(ceiling),
        amount: row.flag("has_amount")?.then_some(amount),
        models: names(&row.text("models")?),
        note: row.text("note")?,
        settled: row.maybe_text("settled")?,
        at_ms: row.number("at_ms")?,
    })
}

/// Something that is added to what happened.
pub(super) struct NewEvent<'a> {
    pub(super) account: AccountId,
    pub(super) kind: AccountEventKind,
    pub(super) name: Option<PaymentId>,
    pub(super) amount: Amount,
    pub(super) note: &'a str,
    pub(super) now_ms: u64,
}

impl NewEvent<'_> {
    pub(super) fn write(&self, connection: &mut Connection) -> Result<(), StoreError> {
        query(
            "INSERT INTO account_entries (account_id, kind, name, amount, note, at_ms) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.account.0.to_vec())
        .bind(self.kind.word())
        .bind(self.name.map(|name| name.0.to_vec()))
        .bind(amount_bytes(self.amount).to_vec())
        .bind(self.note)
        .bind(bound(self.now_ms))
        .execute(connection)?;
        Ok(())
    }
}

/// Writes down the sums of an account.
pub(super) fn write_sums(connection: &mut Connection, account: &Account) -> Result<(), StoreError> {
    query(
        "UPDATE accounts SET credited = $2, returned = $3, spent = $4, reserved = $5, day = $6, day_used = $7
         WHERE account_id = $1",
    )
    .bind(account.id.0.to_vec())
    .bind(amount_bytes(account.credited).to_vec())
    .bind(amount_bytes(account.returned).to_vec())
    .bind(amount_bytes(account.spent).to_vec())
    .bind(amount_bytes(account.reserved).to_vec())
    .bind(bound(account.day))
    .bind(amount_bytes(account.day_used).to_vec())
    .execute(connection)?;
    Ok(())
}
