//! What an operator does to accounts. Each change is an entry of the account, with who did it and why.

use salt402_protocol::api::KeyLimits;
use salt402_protocol::{AccountId, Amount, PaymentId};

use crate::accounts::account::{NewEvent, by_id, by_key, lines, write_sums};
use crate::engine::{Connection, Write, WriteTransaction, amount_bytes, bound, chain_id, query, send};
use crate::rows::{Account, AccountChange, AccountEventKind, Changed, NewAccount, StoreError};
use crate::store::Store;

impl Store {
    /// Makes an account. Durable when this returns. `false` if there is one with this id or key.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn make_account(&self, new: NewAccount) -> Result<bool, StoreError> {
        send(self.jobs(), new).await
    }

    /// Changes an account. Durable when this returns. `note` says who does it, and why.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn change_account(
        &self,
        id: AccountId,
        change: AccountChange,
        note: String,
        now_ms: u64,
    ) -> Result<Changed, StoreError> {
        send(self.jobs(), Change { id, change, note, now_ms }).await
    }
}

impl Write for NewAccount {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let connection = transaction.connection();
        if by_id(connection, self.id)?.is_some() || by_key(connection, self.key_hash)?.is_some() {
            return Ok(false);
        }
        query(
            "INSERT INTO accounts (account_id, key_hash, claimant, chain_id, asset, payer, plan, label, credited, made_at_ms)
             VALUES ($1, $2, $3, $4, $5, zeroblob(20), $6, $7, $8, $9)",
        )
        .bind(self.id.0.to_vec())
        .bind(self.key_hash.to_vec())
        .bind(self.claimant.as_str())
        .bind(chain_id(self.chain))
        .bind(self.asset.address().to_vec())
        .bind(self.plan.as_str())
        .bind(self.label.as_str())
        .bind(amount_bytes(self.amount).to_vec())
        .bind(bound(self.now_ms))
        .execute(connection)?;
        set_limits(connection, self.id, &self.limits)?;
        NewEvent {
            account: self.id,
            kind: AccountEventKind::Created,
            name: None,
            amount: self.amount,
            note: &self.note,
            now_ms: self.now_ms,
        }
        .write(connection)?;
        Ok(true)
    }
}

fn set_limits(connection: &mut Connection, id: AccountId, limits: &KeyLimits) -> Result<(), StoreError> {
    query(
        "UPDATE accounts SET requests_per_minute = $2, amount_per_day = $3, models = $4, paths = $5, ends_at_ms = $6
         WHERE account_id = $1",
    )
    .bind(id.0.to_vec())
    .bind(limits.requests_per_minute)
    .bind(limits.amount_per_day.map(|most| amount_bytes(most).to_vec()))
    .bind(lines(&limits.models))
    .bind(lines(&limits.paths))
    .bind(limits.ends_at.map(|ends_at| bound(ends_at.saturating_mul(1000))))
    .execute(connection)?;
    Ok(())
}

struct Change {
    id: AccountId,
    change: AccountChange,
    note: String,
    now_ms: u64,
}

impl Write for Change {
    type Output = Changed;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Changed, StoreError> {
        let connection = transaction.connection();
        let Some(account) = by_id(connection, self.id)? else { return Ok(Changed::NoAccount) };
        let (kind, name, amount) = match &self.change {
            AccountChange::Grant(amount) => {
                let Some(credited) = account.credited.0.checked_add(amount.0) else {
                    return Ok(Changed::TooMuch);
                };
                write_sums(connection, &Account { credited: Amount(credited), ..account })?;
                (AccountEventKind::Granted, None, *amount)
            }
            AccountChange::Return(amount, payment) => {
                let free = account.free();
                if *amount > free {
                    return Ok(Changed::TooLow(free));
                }
                if let Some(payment) = payment
                    && !self.settle(connection, *payment)?
                {
                    return Ok(Changed::NoPayment);
                }
                let returned = Amount(account.returned.0.saturating_add(amount.0));
                write_sums(connection, &Account { returned, ..account })?;
                (AccountEventKind::Returned, *payment, *amount)
            }
            AccountChange::Limits(limits) => {
                set_limits(connection, self.id, limits)?;
                (AccountEventKind::Limits, None, Amount::ZERO)
            }
            AccountChange::Revoke => {
                query("UPDATE accounts SET state = 'revoked' WHERE account_id = $1")
                    .bind(self.id.0.to_vec())
                    .execute(connection)?;
                (AccountEventKind::Revoked, None, Amount::ZERO)
            }
        };
        let (account, note, now_ms) = (self.id, self.note.as_str(), self.now_ms);
        NewEvent { account, kind, name, amount, note, now_ms }.write(connection)?;
        let now = by_id(connection, self.id)?.ok_or(StoreError::Corrupt { column: "account_id" })?;
        Ok(Changed::Done(Box::new(now)))
    }
}

impl Change {
    /// Lets a payment that was credited block the account no more. Returns whether there was one.
    fn settle(&self, connection: &mut Connection, payment: PaymentId) -> Result<bool, StoreError> {
        let settled = query(
            "UPDATE account_entries SET settled = $3
             WHERE name = $1 AND kind = 'payment' AND account_id = $2 AND settled IS NULL",
        )
        .bind(payment.0.as_slice())
        .bind(self.id.0.to_vec())
        .bind(self.note.as_str())
        .execute(connection)?;
        Ok(settled.rows_affected() > 0)
    }
}
