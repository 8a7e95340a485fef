//! What a payment buys, in the transaction of its claim.

use salt402_protocol::{AccountId, Amount, ChainId, PaymentId};

use crate::accounts::account::{NewEvent, by_id, by_key, lines, write_sums};
use crate::engine::{Connection, amount_bytes, bound, chain_id, query};
use crate::rows::{Account, AccountEventKind, NewCredit, StoreError};

/// Who credits, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credits<'a> {
    pub(crate) payment: PaymentId,
    pub(crate) claimant: &'a str,
    pub(crate) chain: ChainId,
    pub(crate) now_ms: u64,
}

impl Credits<'_> {
    /// Whether a payment can be credited. One that was claimed before was, or is somebody else's.
    pub(crate) fn fits(&self, connection: &mut Connection, credit: &NewCredit) -> Result<bool, StoreError> {
        let claimed = query("SELECT 1 AS claimed FROM claims WHERE payment_id = $1")
            .bind(self.payment.0.as_slice())
            .fetch_optional(connection)?;
        if claimed.is_some() {
            return Ok(true);
        }
        let account = match credit.account {
            Some(id) => by_id(connection, id)?,
            None => match by_key(connection, credit.key_hash)? {
                Some(account) => Some(account),
                None => return Ok(true),
            },
        };
        let Some(account) = account else { return Ok(false) };
        let more = credit.amount.0.checked_add(credit.bonus.0);
        let sum = more.and_then(|more| account.credited.0.checked_add(more));
        Ok(account.claimant == self.claimant
            && (account.chain, account.asset) == (self.chain, credit.asset)
            && account.is_open(self.now_ms)
            && sum.is_some()
            && !account.is_full())
    }

    /// Credits a payment that was claimed in this transaction, and for which it fits.
    pub(crate) fn write(&self, connection: &mut Connection, credit: &NewCredit) -> Result<(), StoreError> {
        let known = match credit.account {
            Some(id) => by_id(connection, id)?,
            None => by_key(connection, credit.key_hash)?,
        };
        let account = match known {
            Some(account) => account,
            None => self.make(connection, credit)?,
        };
        let more = credit.amount.0.saturating_add(credit.bonus.0);
        let now = Account { credited: Amount(account.credited.0.saturating_add(more)), ..account };
        write_sums(connection, &now)?;
        let event = NewEvent {
            account: now.id,
            kind: AccountEventKind::Payment,
            name: Some(self.payment),
            amount: credit.amount,
            note: "",
            now_ms: self.now_ms,
        };
        event.write(connection)?;
        if credit.bonus.is_zero() {
            return Ok(());
        }
        NewEvent { kind: AccountEventKind::Bonus, name: None, amount: credit.bonus, ..event }
            .write(connection)
    }

    fn make(&self, connection: &mut Connection, credit: &NewCredit) -> Result<Account, StoreError> {
        let id = AccountId::made_by(self.payment.0);
        let limits = &credit.limits;
        query(
            "INSERT INTO accounts (account_id, key_hash, claimant, chain_id, asset, payer, plan, requests_per_minute,
                                   amount_per_day, models, paths, ends_at_ms, made_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(id.0.to_vec())
        .bind(credit.key_hash.to_vec())
        .bind(self.claimant)
        .bind(chain_id(self.chain))
        .bind(credit.asset.address().to_vec())
        .bind(credit.payer.as_slice())
        .bind(credit.plan.as_str())
        .bind(limits.requests_per_minute)
        .bind(limits.amount_per_day.map(|most| amount_bytes(most).to_vec()))
        .bind(lines(&limits.models))
        .bind(lines(&limits.paths))
        .bind(limits.ends_at.map(|ends_at| bound(ends_at.saturating_mul(1000))))
        .bind(bound(self.now_ms))
        .execute(connection)?;
        by_id(connection, id)?.ok_or(StoreError::Corrupt { column: "account_id" })
    }
}
