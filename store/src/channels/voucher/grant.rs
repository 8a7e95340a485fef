//! The grant on a voucher: whose channel it must be, what its account allows, and the rows that record the grant.

use salt402_protocol::{Amount, Descriptor, PaymentId};

use crate::accounts::credit::Credits;
use crate::chains::chain::count_claim;
use crate::channels::totals::{self, TotalsChanges};
use crate::channels::voucher::facts::Facts;
use crate::engine::{
    SyncConnection, Write, WriteTransaction, amount_bytes, bound, chain_id, integer, params,
};
use crate::rows::{NewVoucher, Share, StoreError, VoucherAccount, VoucherGrant, VoucherResult};

const ACCOUNT: &str = "
    INSERT INTO vouchers (chain_id, contract, channel, ceiling, signature, spent, updated_at_ms, counted_asset, counted,
                          reserved)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    ON CONFLICT (chain_id, contract, channel)
    DO UPDATE SET ceiling = excluded.ceiling, signature = excluded.signature, spent = excluded.spent,
                  updated_at_ms = excluded.updated_at_ms, counted_asset = excluded.counted_asset, counted = excluded.counted,
                  reserved = excluded.reserved";

/// In the claim, the channel takes the place of a payment's reference.
const CLAIM: &str = "
    INSERT INTO claims (payment_id, chain_id, transaction_hash, request_digest, reference, claimant, claimed_at_ms,
                        block_number, block_hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

const GRANT: &str = "
    INSERT INTO voucher_grants (payment_id, chain_id, contract, channel, ceiling, price, by_use, most)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

impl Write for NewVoucher {
    type Output = VoucherResult;

    const GRANTS: bool = true;

    /// Its rows are of no payment's name.
    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<VoucherResult, StoreError> {
        let (mut result, shares) = self.decide(&transaction.connection().borrowing())?;
        if let VoucherResult::Granted(grant) = &mut result
            && grant.claimed_at_ms.is_none()
        {
            let credits = self.credit.as_deref().map(|credit| (self.credits(grant.payment), credit));
            if let Some((credits, credit)) = &credits
                && !credits.fits(transaction.connection(), credit)?
            {
                return Ok(VoucherResult::AccountClosed);
            }
            self.note(grant, shares, transaction)?;
            if let Some((credits, credit)) = &credits {
                credits.write(transaction.connection(), credit)?;
            }
            grant.claimed_at_ms = Some(self.now_ms);
            if self.raises.is_none() {
                count_claim(transaction, self.chain);
            }
        }
        Ok(result)
    }
}

impl NewVoucher {
    fn credits(&self, payment: PaymentId) -> Credits<'_> {
        let Self { chain, ref claimant, now_ms, .. } = *self;
        Credits { payment, claimant, chain, now_ms }
    }
}

/// What the account adds to the totals, before a grant and after it.
type Shares = (Option<Share>, Option<Share>);

impl NewVoucher {
    /// A channel that left the chain grants nothing, not even again. An earlier grant is given again, whatever else
    /// became of the channel. Everything after that is about a new grant.
    pub(super) fn decide(
        &self,
        connection: &SyncConnection<'_>,
    ) -> Result<(VoucherResult, Shares), StoreError> {
        let Some(facts) = Facts::of(self, connection)? else {
            return Ok((self.of_past(connection)?, (None, None)));
        };
        let result = self.judge(&facts, connection)?;
        let after = match &result {
            VoucherResult::Granted(grant) => totals::share(grant.account.spent, Some(&facts.state)),
            _ => facts.counted,
        };
        Ok((result, (facts.counted, after)))
    }

    /// What to say of a channel that the contract does not have: one of before may. What was granted on its vouchers is
    /// given again, and nothing more is.
    fn of_past(&self, connection: &SyncConnection<'_>) -> Result<VoucherResult, StoreError> {
        let mut result = VoucherResult::UnknownChannel;
        for (contract, signer) in &self.past {
            let there = Self { contract: *contract, signer: *signer, past: Vec::new(), ..self.clone() };
            let Some(facts) = Facts::of(&there, connection)? else { continue };
            match there.judge(&facts, connection)? {
                VoucherResult::Granted(grant) if !grant.first => return Ok(VoucherResult::Granted(grant)),
                held @ VoucherResult::HeldElsewhere(_) => return Ok(held),
                _ => result = VoucherResult::PastContract(*contract),
            }
        }
        Ok(result)
    }

    fn judge(&self, facts: &Facts, connection: &SyncConnection<'_>) -> Result<VoucherResult, StoreError> {
        if let Some(refusal) = self.stranger(&facts.descriptor) {
            return Ok(refusal);
        }
        if let Some(lease) = facts.lease.filter(|lease| self.holder.is_shut_out_by(lease)) {
            return Ok(VoucherResult::HeldElsewhere(lease));
        }
        if let Some(grant) = self.raises {
            return self.raise(grant, facts, connection);
        }
        let account = facts.account;
        if let Some(known) = &facts.known {
            let ours = known.request == self.request.0 && known.claimant == self.claimant;
            if !ours {
                return Ok(VoucherResult::Used(account));
            }
            let grant = self.grant(facts, account);
            return Ok(VoucherResult::Granted(Box::new(VoucherGrant {
                first: false,
                claimed_at_ms: Some(known.claimed_at_ms),
                price: known.price,
                by_use: known.by_use,
                most: known.most,
                ..grant
            })));
        }
        if let Some(refusal) = self.unaccepted(facts, connection)? {
            return Ok(refusal);
        }
        let least = self.at_least.filter(|_| self.by_use).map(|least| least.min(self.price));
        let Some(price) = self.allows(&account, (Amount::ZERO, least.unwrap_or(self.price), self.price))
        else {
            return Ok(match least {
                Some(more) => VoucherResult::AllowsTooLittle { account: Box::new(account), more },
                None => VoucherResult::TooLow(account),
            });
        };
        // Neither can be more than the sum of both.
        let VoucherAccount { spent, reserved, .. } = account;
        let (ceiling, more) = (self.voucher.ceiling, |sum: Amount| Amount(sum.0.saturating_add(price.0)));
        let account = if self.by_use {
            VoucherAccount { ceiling, spent, reserved: more(reserved) }
        } else {
            VoucherAccount { ceiling, spent: more(spent), reserved }
        };
        let grant = self.grant(facts, account);
        Ok(VoucherResult::Granted(Box::new(VoucherGrant { price, most: least.map(|_| self.price), ..grant })))
    }

    /// A new grant over all of the price, with which the account is so.
    pub(super) fn grant(&self, facts: &Facts, account: VoucherAccount) -> VoucherGrant {
        VoucherGrant {
            payment: self.voucher.payment_id(self.chain, self.contract),
            contract: self.contract,
            first: true,
            claimed_at_ms: None,
            price: self.price,
            by_use: self.by_use,
            most: None,
            account,
            descriptor: facts.descriptor,
            opening: facts.opening,
            deposit: facts.state.deposit,
        }
    }

    /// Why no new voucher of the channel is taken. `None` if it is.
    pub(super) fn unaccepted(
        &self,
        facts: &Facts,
        connection: &SyncConnection<'_>,
    ) -> Result<Option<VoucherResult>, StoreError> {
        let descriptor = &facts.descriptor;
        if let Some(operator) = descriptor.operator.filter(|operator| !self.operators.contains(operator)) {
            return Ok(Some(VoucherResult::StrangeOperator(operator)));
        }
        if descriptor.exit_delay < self.least_exit_delay {
            return Ok(Some(VoucherResult::LeavesTooSoon(descriptor.exit_delay)));
        }
        self.unfunded(facts, connection)
    }

    /// Whether the channel is another's.
    fn stranger(&self, descriptor: &Descriptor) -> Option<VoucherResult> {
        match descriptor.signer {
            None => Some(VoucherResult::NoSigner),
            // Both are signed: where they differ, the signature says nothing.
            _ if descriptor.payee != self.payee => Some(VoucherResult::WrongPayee(descriptor.payee)),
            _ if descriptor.asset != self.asset => Some(VoucherResult::WrongAsset(descriptor.asset)),
            Some(signer) if signer != self.signer => Some(VoucherResult::WrongSigner(signer)),
            Some(_) => None,
        }
    }

    /// Writes the account, the claim and its price in one transaction. What is accepted and not claimed grows by the
    /// price.
    fn note(
        &self,
        grant: &VoucherGrant,
        (counted, share): Shares,
        transaction: &mut WriteTransaction<'_>,
    ) -> Result<(), StoreError> {
        let now_ms = integer("the time of a claim", self.now_ms)?;
        transaction.gather(|totals: &mut TotalsChanges| totals.account(self.chain, counted, share));
        let connection = transaction.connection().borrowing();
        connection.prepare_cached(ACCOUNT)?.execute(params![
            chain_id(self.chain),
            self.contract.as_slice(),
            self.voucher.channel.as_slice(),
            amount_bytes(grant.account.ceiling),
            self.voucher.signature.as_slice(),
            amount_bytes(grant.account.spent),
            now_ms,
            share.map(|(asset, _)| asset.address().0.0),
            share.map(|(_, amount)| amount_bytes(amount)),
            amount_bytes(grant.account.reserved),
        ])?;
        if self.raises.is_some() {
            return self.note_raise(grant, &connection);
        }
        connection.prepare_cached(CLAIM)?.execute(params![
            grant.payment.0.as_slice(),
            chain_id(self.chain),
            grant.opening.transaction.as_slice(),
            self.request.0.as_slice(),
            self.voucher.channel.as_slice(),
            self.claimant.as_str(),
            now_ms,
            bound(grant.opening.block_number),
            grant.opening.block_hash.as_slice(),
        ])?;
        connection.prepare_cached(GRANT)?.execute(params![
            grant.payment.0.as_slice(),
            chain_id(self.chain),
            self.contract.as_slice(),
            self.voucher.channel.as_slice(),
            amount_bytes(self.voucher.ceiling),
            amount_bytes(grant.price),
            self.by_use,
            grant.most.map(amount_bytes),
        ])?;
        Ok(())
    }
}
