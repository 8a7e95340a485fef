//! The sums of what was accepted by vouchers. Every change updates them, so reading them costs the same for any number
//! of channels.
//!
//! The accounts and the open risks are the truth. Each account stores what it added to the totals. A change of an
//! account, a channel or a risk subtracts that and adds the new share, in its own transaction. So a reorganization
//! takes totals back like everything else, and a crash in the middle changes nothing.
//!
//! Amounts are added and subtracted modulo 2^256. In any order, the result is right if the sum fits.

use std::collections::BTreeMap;

use salt402_protocol::{Address, Amount, Asset, ChainId, ChannelState, U256};

use crate::engine::{
    Columns, Connection, Gathered, Row, SyncConnection, amount_bytes, bound, chain_id, params, query,
};
use crate::rows::{Share, StoreError, VoucherTotals};

/// What an account adds, where `spent` is what was accepted: the part that is not claimed, if the channel is on the
/// chain and open.
pub(crate) fn share(spent: Amount, state: Option<&ChannelState>) -> Option<Share> {
    let state = state.filter(|state| !state.closed)?;
    let unclaimed = spent.0.saturating_sub(state.claimed.0);
    state.descriptor.map(|descriptor| (descriptor.asset, Amount(unclaimed)))
}

/// What an account added to the totals, from a row of `vouchers`.
pub(crate) fn counted(row: &impl Columns) -> Result<Option<Share>, StoreError> {
    match row.maybe_address("counted_asset")? {
        Some(asset) => Ok(Some((Asset::from_address(asset), row.amount("counted")?))),
        None => Ok(None),
    }
}

/// What a transaction changes, by chain and asset. It is written once, at the end.
#[derive(Default)]
pub(crate) struct TotalsChanges(BTreeMap<(ChainId, Address), Change>);

#[derive(Clone, Copy, Default)]
struct Change {
    unclaimed: U256,
    channels: i64,
    at_risk: U256,
    channels_at_risk: i64,
}

impl TotalsChanges {
    /// An account that added `before` adds `after`.
    pub(crate) fn account(&mut self, chain: ChainId, before: Option<Share>, after: Option<Share>) {
        self.each(chain, before, after, |change, amount, number| {
            change.unclaimed = change.unclaimed.wrapping_add(amount);
            change.channels += number;
        });
    }

    /// A channel at risk that added `before` adds `after`.
    pub(crate) fn risk(&mut self, chain: ChainId, before: Option<Share>, after: Option<Share>) {
        self.each(chain, before, after, |change, amount, number| {
            change.at_risk = change.at_risk.wrapping_add(amount);
            change.channels_at_risk += number;
        });
    }

    fn each(
        &mut self,
        chain: ChainId,
        before: Option<Share>,
        after: Option<Share>,
        add: impl Fn(&mut Change, U256, i64),
    ) {
        if before == after {
            return;
        }
        let signed = [(before, -1), (after, 1)];
        for ((asset, amount), number) in signed.into_iter().filter_map(|(share, sign)| Some((share?, sign))) {
            let amount = if number < 0 { amount.0.wrapping_neg() } else { amount.0 };
            add(self.0.entry((chain, asset.address())).or_default(), amount, number);
        }
    }

    /// Writes them.
    pub(crate) fn write_rows(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
        for ((chain, asset), change) in &self.0 {
            let known = connection
                .prepare_cached(TOTAL)?
                .query_optional(params![chain_id(*chain), asset.as_slice()], |row| Change::of(&row))?;
            let total = known.unwrap_or_default().with(change);
            connection.prepare_cached(WRITE)?.execute(params![
                chain_id(*chain),
                asset.as_slice(),
                amount_bytes(Amount(total.unclaimed)),
                total.channels,
                amount_bytes(Amount(total.at_risk)),
                total.channels_at_risk
            ])?;
        }
        Ok(())
    }
}

impl Gathered for TotalsChanges {
    fn write(&self, connection: &mut Connection) -> Result<(), StoreError> {
        self.write_rows(&connection.borrowing())
    }
}

const TOTAL: &str = "SELECT unclaimed, channels, at_risk, channels_at_risk FROM voucher_totals
                     WHERE chain_id = $1 AND asset = $2";

const WRITE: &str =
    "INSERT INTO voucher_totals (chain_id, asset, unclaimed, channels, at_risk, channels_at_risk)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (chain_id, asset)
     DO UPDATE SET unclaimed = excluded.unclaimed, channels = excluded.channels, at_risk = excluded.at_risk,
                   channels_at_risk = excluded.channels_at_risk";

impl Change {
    fn of(row: &impl Columns) -> Result<Self, StoreError> {
        let count = |column| row.number(column).map(bound);
        Ok(Self {
            unclaimed: row.amount("unclaimed")?.0,
            channels: count("channels")?,
            at_risk: row.amount("at_risk")?.0,
            channels_at_risk: count("channels_at_risk")?,
        })
    }

    /// Counts stop at 0. Totals are only reports and decide nothing, so a wrong one must not stop anything.
    fn with(self, other: &Self) -> Self {
        Self {
            unclaimed: self.unclaimed.wrapping_add(other.unclaimed),
            channels: (self.channels + other.channels).max(0),
            at_risk: self.at_risk.wrapping_add(other.at_risk),
            channels_at_risk: (self.channels_at_risk + other.channels_at_risk).max(0),
        }
    }
}

/// The totals of a chain, for assets with an open account or a risk.
pub(crate) fn of_chain(
    connection: &mut Connection,
    chain: ChainId,
) -> Result<Vec<VoucherTotals>, StoreError> {
    let rows = query(
        "SELECT asset, unclaimed, at_risk, channels_at_risk FROM voucher_totals
         WHERE chain_id = $1 AND (channels > 0 OR channels_at_risk > 0) ORDER BY asset",
    )
    .bind(chain_id(chain))
    .fetch_all(connection)?;
    let total = |row: &Row| {
        Ok(VoucherTotals {
            asset: row.asset("asset")?,
            unclaimed: row.amount("unclaimed")?,
            at_risk: row.amount("at_risk")?,
            channels_at_risk: row.number("channels_at_risk")?,
        })
    };
    rows.iter().map(total).collect()
}
