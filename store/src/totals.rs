//! What was accepted by vouchers, added up: kept with every change, so that telling it costs nothing, however many channels
//! there are.
//!
//! The accounts and the open risks are what counts. Each account says what of it is in the totals, and whatever changes an
//! account, a channel or a risk takes that out and puts in what holds then, in its own transaction. So a reorganization
//! takes totals back as it does everything else, and whoever stops in the middle changed nothing.
//!
//! Amounts are added and taken away modulo 2^256: in whatever order, the result is right if the sum fits.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use salt402_protocol::{Address, Amount, Asset, ChainId, ChannelState, U256};
use sqlx::{Connection as _, SqliteConnection};

use crate::columns::{Columns, amount_bytes, bound, chain_id};
use crate::{StoreError, VoucherTotals, account, risk};

/// Marks a database whose totals were added up once.
const ADDED_UP: &str = "voucher_totals";

/// What something adds to the totals: an amount in an asset.
pub(crate) type Share = (Asset, Amount);

/// What an account adds, `spent` being what was accepted: what is not claimed, of a channel that is on the chain and open.
pub(crate) fn share(spent: Amount, state: Option<&ChannelState>) -> Option<Share> {
    let state = state.filter(|state| !state.closed)?;
    let unclaimed = spent.0.saturating_sub(state.claimed.0);
    state.descriptor.map(|descriptor| (descriptor.asset, Amount(unclaimed)))
}

/// What of an account is in the totals, from a row of `vouchers`.
pub(crate) fn counted(row: &impl Columns) -> Result<Option<Share>, StoreError> {
    match row.maybe_address("counted_asset")? {
        Some(asset) => Ok(Some((Asset::from_address(asset), row.amount("counted")?))),
        None => Ok(None),
    }
}

/// What a transaction changes, by chain and asset: written once, at its end.
#[derive(Default)]
pub(crate) struct Changes(BTreeMap<(ChainId, Address), Change>);

#[derive(Clone, Copy, Default)]
struct Change {
    unclaimed: U256,
    channels: i64,
    at_risk: U256,
    channels_at_risk: i64,
}

impl Changes {
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

    /// Writes them on the connection that steps are written on.
    pub(crate) fn write_in_step(&self, connection: &Connection) -> Result<(), StoreError> {
        for ((chain, asset), change) in &self.0 {
            let place = params![chain_id(*chain), asset.as_slice()];
            let known = connection
                .prepare_cached(TOTAL)?
                .query_row(place, |row| Ok(Change::of(row)))
                .optional()?
                .transpose()?;
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

    /// Writes them on the connection of everything else.
    pub(crate) async fn write(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        for ((chain, asset), change) in &self.0 {
            let known = sqlx::query(TOTAL)
                .bind(chain_id(*chain))
                .bind(asset.as_slice())
                .fetch_optional(&mut *connection)
                .await?;
            let known = known.map(|row| Change::of(&row)).transpose()?;
            let total = known.unwrap_or_default().with(change);
            sqlx::query(WRITE)
                .bind(chain_id(*chain))
                .bind(asset.as_slice())
                .bind(amount_bytes(Amount(total.unclaimed)).to_vec())
                .bind(total.channels)
                .bind(amount_bytes(Amount(total.at_risk)).to_vec())
                .bind(total.channels_at_risk)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
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

    /// Counts stay at 0 where they would fall below it: totals are told and decide nothing, so they stop nothing either.
    fn with(self, other: &Self) -> Self {
        Self {
            unclaimed: self.unclaimed.wrapping_add(other.unclaimed),
            channels: (self.channels + other.channels).max(0),
            at_risk: self.at_risk.wrapping_add(other.at_risk),
            channels_at_risk: (self.channels_at_risk + other.channels_at_risk).max(0),
        }
    }
}

/// The totals of a chain, of assets in which there is an open account or a risk.
pub(crate) async fn of_chain(
    connection: &mut SqliteConnection,
    chain: ChainId,
) -> Result<Vec<VoucherTotals>, StoreError> {
    let rows = sqlx::query(
        "SELECT asset, unclaimed, at_risk, channels_at_risk FROM voucher_totals
         WHERE chain_id = $1 AND (channels > 0 OR channels_at_risk > 0) ORDER BY asset",
    )
    .bind(chain_id(chain))
    .fetch_all(connection)
    .await?;
    let total = |row: &sqlx::sqlite::SqliteRow| {
        Ok(VoucherTotals {
            asset: row.asset("asset")?,
            unclaimed: row.amount("unclaimed")?,
            at_risk: row.amount("at_risk")?,
            channels_at_risk: row.number("channels_at_risk")?,
        })
    };
    rows.iter().map(total).collect()
}

/// Adds everything up, once for a database: one that is new has nothing, and one of before the totals were kept is told by
/// what it has. In one transaction, so that it is done whole or again.
pub(crate) async fn add_up(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let known = sqlx::query("SELECT 1 FROM meta WHERE name = $1").bind(ADDED_UP);
    if known.fetch_optional(&mut *connection).await?.is_some() {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("DELETE FROM voucher_totals").execute(&mut *transaction).await?;
    let mut changes = Changes::default();
    for (chain, contract, channel, share) in account::open_shares(&mut transaction).await? {
        sqlx::query(
            "UPDATE vouchers SET counted_asset = $4, counted = $5
             WHERE chain_id = $1 AND contract = $2 AND channel = $3",
        )
        .bind(chain_id(chain))
        .bind(contract.as_slice())
        .bind(channel.as_slice())
        .bind(share.0.address().to_vec())
        .bind(amount_bytes(share.1).to_vec())
        .execute(&mut *transaction)
        .await?;
        changes.account(chain, None, Some(share));
    }
    for (chain, risk) in risk::open(&mut transaction).await? {
        changes.risk(chain, None, risk.share());
    }
    changes.write(&mut transaction).await?;
    sqlx::query("INSERT OR REPLACE INTO meta (name, value) VALUES ($1, '1')")
        .bind(ADDED_UP)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}
