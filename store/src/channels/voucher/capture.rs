//! What is charged of a grant on a voucher whose price is a ceiling. The rest is free for the channel's next request.

use salt402_protocol::{Amount, PaymentId};

use crate::channels::totals::{self, TotalsChanges};
use crate::channels::{account, state};
use crate::engine::{Columns as _, WriteTransaction, amount_bytes, chain_id, query};
use crate::rows::{Captured, ChannelRisk, StoreError};

/// Captures what was used, once. `None` if there is no such grant of this claimant.
pub(crate) fn capture(
    transaction: &mut WriteTransaction<'_>,
    payment: PaymentId,
    claimant: &str,
    amount: Amount,
) -> Result<Option<Captured>, StoreError> {
    let grant = query(
        "SELECT g.chain_id, g.contract, g.channel, g.price, g.captured IS NOT NULL AS is_captured,
                COALESCE(g.captured, g.price) AS captured
         FROM voucher_grants g JOIN claims k ON k.payment_id = g.payment_id
         WHERE g.payment_id = $1 AND k.claimant = $2 AND g.by_use",
    )
    .bind(payment.0.as_slice())
    .bind(claimant)
    .fetch_optional(transaction.connection())?;
    let Some(grant) = grant else { return Ok(None) };
    if grant.flag("is_captured")? {
        return Ok(Some(Captured::Done { amount: grant.amount("captured")?, settled: false }));
    }
    let price = grant.amount("price")?;
    if amount > price {
        return Ok(Some(Captured::AboveCeiling(price)));
    }
    let (chain, contract, channel) =
        (grant.chain("chain_id")?, grant.address("contract")?, grant.hash("channel")?);
    let row = query(
        "SELECT ceiling, signature, spent, reserved, counted_asset, counted FROM vouchers
         WHERE chain_id = $1 AND contract = $2 AND channel = $3",
    )
    .bind(chain_id(chain))
    .bind(contract.as_slice())
    .bind(channel.as_slice())
    .fetch_one(transaction.connection())?;
    let (_, account) = account::accepted(channel, &row)?;
    let counted = totals::counted(&row)?;
    // Both were made of this price, and their sum is within the ceiling.
    let spent = Amount(account.spent.0.saturating_add(amount.0));
    let reserved = Amount(account.reserved.0.saturating_sub(price.0));
    let state = state::state(&transaction.connection().borrowing(), chain, contract, channel)?;
    let share = totals::share(spent, state.as_ref());
    transaction.gather(|totals: &mut TotalsChanges| totals.account(chain, counted, share));
    query(
        "UPDATE vouchers SET spent = $4, reserved = $5, counted_asset = $6, counted = $7
         WHERE chain_id = $1 AND contract = $2 AND channel = $3",
    )
    .bind(chain_id(chain))
    .bind(contract.as_slice())
    .bind(channel.as_slice())
    .bind(amount_bytes(spent).to_vec())
    .bind(amount_bytes(reserved).to_vec())
    .bind(share.map(|(asset, _)| asset.address().to_vec()))
    .bind(share.map(|(_, amount)| amount_bytes(amount).to_vec()))
    .execute(transaction.connection())?;
    // Since it was granted, its payer may have begun to leave, or the channel may have left the chain. The next step of the index
    // looks at the channel, and opens or keeps up the incident.
    if ChannelRisk::of((contract, channel), spent, state.as_ref()).is_some() {
        query(
            "INSERT INTO channels_unchecked (chain_id, contract, channel) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(chain_id(chain))
        .bind(contract.as_slice())
        .bind(channel.as_slice())
        .execute(transaction.connection())?;
    }
    query("UPDATE voucher_grants SET captured = $2 WHERE payment_id = $1")
        .bind(payment.0.as_slice())
        .bind(amount_bytes(amount).to_vec())
        .execute(transaction.connection())?;
    Ok(Some(Captured::Done { amount, settled: false }))
}
