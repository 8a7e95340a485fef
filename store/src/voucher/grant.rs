//! The grant on a voucher: whose channel it must be, what its account allows, and the rows that say it was made.

use salt402_protocol::Descriptor;
use sqlx::SqliteConnection;

use super::{NewVoucher, VoucherAccount, VoucherGrant, VoucherResult};
use crate::columns::{Columns as _, amount_bytes, bound, chain_id, integer};
use crate::transaction::WriteTransaction;
use crate::work::Write;
use crate::{StoreError, channel};

impl Write for NewVoucher {
    type Output = VoucherResult;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<VoucherResult, StoreError> {
        let mut result = self.decide(transaction.connection()).await?;
        if let VoucherResult::Granted(grant) = &mut result
            && grant.claimed_at_ms.is_none()
        {
            self.note(grant, transaction.connection()).await?;
            grant.claimed_at_ms = Some(self.now_ms);
            transaction.count_claim(self.chain);
        }
        Ok(result)
    }
}

impl NewVoucher {
    /// A channel that left the chain grants nothing, not even again. What was granted before is given again whatever
    /// else became of the channel; everything after that is about a new grant.
    pub(super) async fn decide(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<VoucherResult, StoreError> {
        let id = self.voucher.channel;
        let state = channel::state(connection, self.chain, self.contract, id).await?;
        let Some((state, descriptor)) = state.and_then(|state| state.descriptor.map(|known| (state, known)))
        else {
            return Ok(VoucherResult::UnknownChannel);
        };
        let Some(opening) = self.opening(connection).await? else { return Ok(VoucherResult::UnknownChannel) };
        if let Some(refusal) = self.stranger(&descriptor) {
            return Ok(refusal);
        }
        let account = self.account(connection).await?;
        let payment = self.voucher.payment_id(self.chain, self.contract);
        let grant = |first, claimed_at_ms, price, account| {
            let deposit = state.deposit;
            let grant =
                VoucherGrant { payment, first, claimed_at_ms, price, account, descriptor, opening, deposit };
            VoucherResult::Granted(Box::new(grant))
        };
        let known = sqlx::query(
            "SELECT k.request_digest, k.claimant, k.claimed_at_ms, g.price
             FROM claims k JOIN voucher_grants g ON g.payment_id = k.payment_id WHERE k.payment_id = $1",
        )
        .bind(payment.0.as_slice())
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(row) = known {
            let ours =
                row.hash("request_digest")? == self.request.0 && row.text("claimant")? == self.claimant;
            if !ours {
                return Ok(VoucherResult::Used(account));
            }
            return Ok(grant(false, Some(row.number("claimed_at_ms")?), row.amount("price")?, account));
        }
        if descriptor.exit_delay < self.least_exit_delay {
            return Ok(VoucherResult::LeavesTooSoon(descriptor.exit_delay));
        }
        if let Some(refusal) = self.uncovered(&state, &opening, connection).await? {
            return Ok(refusal);
        }
        let ceiling = self.voucher.ceiling;
        Ok(match account.spent.checked_add(self.price) {
            Some(spent) if ceiling > account.ceiling && ceiling >= spent => {
                grant(true, None, self.price, VoucherAccount { ceiling, spent })
            }
            _ => VoucherResult::TooLow(account),
        })
    }

    /// Whether the channel is another's.
    fn stranger(&self, descriptor: &Descriptor) -> Option<VoucherResult> {
        match descriptor.signer {
            None => Some(VoucherResult::NoSigner),
            Some(signer) if signer != self.signer => Some(VoucherResult::WrongSigner(signer)),
            _ if descriptor.payee != self.payee => Some(VoucherResult::WrongPayee(descriptor.payee)),
            _ if descriptor.asset != self.asset => Some(VoucherResult::WrongAsset(descriptor.asset)),
            Some(_) => None,
        }
    }

    async fn account(&self, connection: &mut SqliteConnection) -> Result<VoucherAccount, StoreError> {
        let row = sqlx::query(
            "SELECT ceiling, spent FROM vouchers WHERE chain_id = $1 AND contract = $2 AND channel = $3",
        )
        .bind(chain_id(self.chain))
        .bind(self.contract.as_slice())
        .bind(self.voucher.channel.as_slice())
        .fetch_optional(connection)
        .await?;
        row.map_or(Ok(VoucherAccount::default()), |row| {
            Ok(VoucherAccount { ceiling: row.amount("ceiling")?, spent: row.amount("spent")? })
        })
    }

    /// The account, the claim and its price: all of it or nothing.
    async fn note(&self, grant: &VoucherGrant, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let now_ms = integer("the time of a claim", self.now_ms)?;
        let (chain, channel) = (chain_id(self.chain), self.voucher.channel);
        sqlx::query(
            "INSERT INTO vouchers (chain_id, contract, channel, ceiling, signature, spent, updated_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (chain_id, contract, channel)
             DO UPDATE SET ceiling = excluded.ceiling, signature = excluded.signature, spent = excluded.spent,
                           updated_at_ms = excluded.updated_at_ms",
        )
        .bind(chain)
        .bind(self.contract.as_slice())
        .bind(channel.as_slice())
        .bind(amount_bytes(grant.account.ceiling).to_vec())
        .bind(self.voucher.signature.to_vec())
        .bind(amount_bytes(grant.account.spent).to_vec())
        .bind(now_ms)
        .execute(&mut *connection)
        .await?;
        // The channel stands where a payment's reference does.
        sqlx::query(
            "INSERT INTO claims (payment_id, chain_id, transaction_hash, request_digest, reference, claimant,
                                 claimed_at_ms, block_number, block_hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(grant.payment.0.as_slice())
        .bind(chain)
        .bind(grant.opening.transaction.as_slice())
        .bind(self.request.0.as_slice())
        .bind(channel.as_slice())
        .bind(self.claimant.clone())
        .bind(now_ms)
        .bind(bound(grant.opening.block_number))
        .bind(grant.opening.block_hash.as_slice())
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "INSERT INTO voucher_grants (payment_id, chain_id, contract, channel, ceiling, price)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(grant.payment.0.as_slice())
        .bind(chain)
        .bind(self.contract.as_slice())
        .bind(channel.as_slice())
        .bind(amount_bytes(self.voucher.ceiling).to_vec())
        .bind(amount_bytes(self.price).to_vec())
        .execute(connection)
        .await?;
        Ok(())
    }
}
