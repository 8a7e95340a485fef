//! Vouchers that raise what an earlier grant on their channel may cost: of a stream that is paid as it goes.

use salt402_protocol::{Address, Amount, B256, ChainId, PaymentId};

use crate::channels::voucher::facts::Facts;
use crate::engine::{Columns as _, SyncConnection, amount_bytes, integer, params};
use crate::rows::{NewVoucher, StoreError, VoucherAccount, VoucherGrant, VoucherResult};

const RAISED: &str = "
    SELECT g.chain_id, g.contract, g.channel, g.price, g.most, g.captured, k.request_digest, k.claimant, k.claimed_at_ms
    FROM voucher_grants g JOIN claims k ON k.payment_id = g.payment_id
    WHERE g.payment_id = ?1 AND g.by_use";

const RAISE_BY: &str = "SELECT raises FROM voucher_raises WHERE payment_id = ?1";

const NOTE_RAISE: &str = "
    INSERT INTO voucher_raises (payment_id, raises, ceiling, price, raised_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)";

const RAISE_GRANT: &str = "UPDATE voucher_grants SET price = ?2 WHERE payment_id = ?1";

/// A grant that is to be raised.
struct Raised {
    channel: (ChainId, Address, B256),
    price: Amount,
    /// What it may cost at the most. `None`: its voucher has paid for all of it.
    most: Option<Amount>,
    captured: bool,
    request: B256,
    claimant: String,
    claimed_at_ms: u64,
}

impl NewVoucher {
    /// What the voucher allows a request, of which `before` was allowed before, up to `most`; `None` if that is less than `least`.
    pub(super) fn allows(
        &self,
        account: &VoucherAccount,
        (before, least, most): (Amount, Amount, Amount),
    ) -> Option<Amount> {
        let ceiling = self.voucher.ceiling;
        let used = account.spent.checked_add(account.reserved)?;
        let free = ceiling.0.checked_sub(used.0).filter(|_| ceiling > account.ceiling)?;
        let allowed = Amount(before.0.saturating_add(free)).min(most);
        (allowed >= least).then_some(allowed)
    }

    /// Raises a grant. The same voucher again is answered again.
    pub(super) fn raise(
        &self,
        grant: PaymentId,
        facts: &Facts,
        connection: &SyncConnection<'_>,
    ) -> Result<VoucherResult, StoreError> {
        let Some(raised) = Raised::of(grant, connection)? else { return Ok(VoucherResult::NotUnderWay) };
        let ours = raised.request == self.request.0 && raised.claimant == self.claimant;
        let Some(most) = raised.most.filter(|_| ours && !raised.captured) else {
            return Ok(VoucherResult::NotUnderWay);
        };
        if raised.channel != (self.chain, self.contract, self.voucher.channel) {
            return Ok(VoucherResult::OtherChannel(raised.channel.2));
        }
        let account = facts.account;
        let granted = |first, price, account| {
            let grant = VoucherGrant {
                payment: grant,
                first,
                claimed_at_ms: (!first).then_some(raised.claimed_at_ms),
                price,
                by_use: true,
                most: Some(most),
                ..self.grant(facts, account)
            };
            VoucherResult::Granted(Box::new(grant))
        };
        let own = self.voucher.payment_id(self.chain, self.contract);
        match raised_by(own, connection)? {
            Some(other) if other == grant => return Ok(granted(false, raised.price, account)),
            Some(_) => return Ok(VoucherResult::Used(account)),
            None => {}
        }
        if facts.known.is_some() && own != grant {
            return Ok(VoucherResult::Used(account));
        }
        // It can be used for another request.
        if raised.price >= most {
            return Ok(granted(false, raised.price, account));
        }
        if let Some(refusal) = self.unaccepted(facts, connection)? {
            return Ok(refusal);
        }
        let least =
            self.at_least.unwrap_or(Amount::ZERO).max(Amount(raised.price.0.saturating_add(Amount::ONE.0)));
        let least = least.min(most);
        let Some(price) = self.allows(&account, (raised.price, least, most)) else {
            let more = Amount(least.0.saturating_sub(raised.price.0));
            return Ok(VoucherResult::AllowsTooLittle { account: Box::new(account), more });
        };
        let more = price.0.saturating_sub(raised.price.0);
        let reserved = Amount(account.reserved.0.saturating_add(more));
        Ok(granted(true, price, VoucherAccount { ceiling: self.voucher.ceiling, reserved, ..account }))
    }

    /// Writes down that a grant was raised.
    pub(super) fn note_raise(
        &self,
        grant: &VoucherGrant,
        connection: &SyncConnection<'_>,
    ) -> Result<(), StoreError> {
        let own = self.voucher.payment_id(self.chain, self.contract);
        connection
            .prepare_cached(RAISE_GRANT)?
            .execute(params![grant.payment.0.as_slice(), amount_bytes(grant.price)])?;
        connection.prepare_cached(NOTE_RAISE)?.execute(params![
            own.0.as_slice(),
            grant.payment.0.as_slice(),
            amount_bytes(self.voucher.ceiling),
            amount_bytes(grant.price),
            integer("the time of a voucher", self.now_ms)?,
        ])?;
        Ok(())
    }
}

impl Raised {
    fn of(grant: PaymentId, connection: &SyncConnection<'_>) -> Result<Option<Self>, StoreError> {
        connection.prepare_cached(RAISED)?.query_optional(params![grant.0.as_slice()], |row| {
            Ok(Self {
                channel: (row.chain("chain_id")?, row.address("contract")?, row.hash("channel")?),
                price: row.amount("price")?,
                most: row.maybe_hash("most")?.map(|_| row.amount("most")).transpose()?,
                captured: row.maybe_hash("captured")?.is_some(),
                request: row.hash("request_digest")?,
                claimant: row.text("claimant")?,
                claimed_at_ms: row.number("claimed_at_ms")?,
            })
        })
    }
}

/// Which grant a voucher has raised.
fn raised_by(voucher: PaymentId, connection: &SyncConnection<'_>) -> Result<Option<PaymentId>, StoreError> {
    connection
        .prepare_cached(RAISE_BY)?
        .query_optional(params![voucher.0.as_slice()], |row| row.payment_id("raises"))
}
