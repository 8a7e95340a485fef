//! Finds the payment that is to be given back, and others that a refund of it would end.

use anyhow::{anyhow, bail};
use salt402_protocol::{Amount, Proof, U256};
use salt402_store::{IndexedPayment, Referred, Refunded, Store};

use crate::args::RefundArgs;
use crate::config::ResolvedChain;

/// How long before and after a payment others with its reference are looked for, in seconds.
const AROUND: u64 = 7 * 24 * 3600;

/// The payment that is named.
pub(super) struct Found {
    pub(super) payment: IndexedPayment,
    /// How many others of its payer have its reference. `None`: there are too many payments of its time to look.
    pub(super) others: Option<usize>,
    /// What all of them paid, in base units.
    pub(super) paid: Amount,
}

pub(super) async fn find(args: &RefundArgs, chain: &ResolvedChain, store: &Store) -> anyhow::Result<Found> {
    let id = chain.profile.chain_id;
    let proof: Proof = args.payment.parse().map_err(|error| anyhow!("{}: {error}", args.payment))?;
    let Proof::Transaction { hash, ordinal } = proof else {
        bail!("{}: name a payment by its transaction's hash, or by its reference", args.payment);
    };
    let mut rows = store.payments_in(id, hash).await?;
    if rows.is_empty() && ordinal.is_none() {
        rows = match store.payments_for(id, hash, 0..=u64::MAX).await? {
            Referred::Payments(rows) => rows,
            Referred::TooMany => {
                bail!("{hash}: too many payments to look for a reference: name the transaction's hash")
            }
        };
    }
    rows.retain(|row| row.canonical && ordinal.is_none_or(|ordinal| row.placed.position == ordinal));
    let mut rows = rows.into_iter();
    let Some(found) = rows.next() else {
        bail!(
            "{hash}: the index has no payment on the chain with this transaction or reference; of a channel, close it \
             instead (docs/channels.md)"
        );
    };
    let of = Refunded::of(&found.placed.payment);
    if let Some(other) = rows.find(|row| Refunded::of(&row.placed.payment) != of) {
        let first = found.placed.position;
        bail!(
            "{hash}: there are several payments: name one by its place, such as {}:{first} or {}:{}",
            found.placed.payment.transaction,
            other.placed.payment.transaction,
            other.placed.position
        );
    }
    // A refund names reference and payer, so all of them are given back together.
    let mined = found.placed.block_timestamp;
    let around = mined.saturating_sub(AROUND)..=mined.saturating_add(AROUND);
    let same = match store.payments_for(id, of.reference, around).await? {
        Referred::Payments(mut rows) => {
            rows.retain(|row| row.canonical && Refunded::of(&row.placed.payment) == of);
            Some(rows)
        }
        Referred::TooMany => None,
    };
    let paid =
        same.iter().flatten().fold(U256::ZERO, |sum, row| sum.saturating_add(row.placed.payment.amount.0));
    let paid = Amount(paid.max(found.placed.payment.amount.0));
    let others = same.map(|same| same.len().saturating_sub(1));
    Ok(Found { payment: found, others, paid })
}
