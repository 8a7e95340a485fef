//! The states of channels, as the fold of their events on the chain.

use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, ChannelEvent, ChannelEventId, ChannelState, U256,
};

use crate::channels::events::{CLAIMED, CREATED, CREDIT_WITHDRAWN, CREDITED, OPENED, TOPPED_UP, change};
use crate::engine::{Columns as _, SyncConnection, SyncRow, chain_id, params, query};
use crate::rows::{Placed, StoreError};
use crate::store::Store;

/// A channel and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// The contract that holds the deposit.
    pub contract: Address,
    /// The channel's identifier in it.
    pub id: B256,
    /// Where it stands.
    pub state: ChannelState,
}

/// Whose channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelsOf {
    /// Those that pay this account.
    Payee(Address),
    /// Those that this account pays from.
    Payer(Address),
}

/// The events that a channel's state follows from. Of the totals only the greatest matters, and it is at the end of the
/// index. So a channel with a million claims is read as fast as one with none. The kinds with totals are next to each
/// other, so that the others are two ranges.
pub(super) const EVENTS_OF: &str = "
    SELECT * FROM (
        SELECT * FROM channel_events
        WHERE chain_id = ?1 AND contract = ?2 AND channel = ?3 AND canonical AND kind = ?4
        ORDER BY total DESC LIMIT 1)
    UNION ALL SELECT * FROM (
        SELECT * FROM channel_events
        WHERE chain_id = ?1 AND contract = ?2 AND channel = ?3 AND canonical AND kind = ?5
        ORDER BY total DESC LIMIT 1)
    UNION ALL
        SELECT * FROM channel_events
        WHERE chain_id = ?1 AND contract = ?2 AND channel = ?3 AND canonical AND kind < ?5
    UNION ALL
        SELECT * FROM channel_events
        WHERE chain_id = ?1 AND contract = ?2 AND channel = ?3 AND canonical AND kind > ?4";

impl Store {
    /// A channel's state at the index's newest block. `None` if no event of it is on the chain.
    pub async fn channel(
        &self,
        chain: ChainId,
        contract: Address,
        id: B256,
    ) -> Result<Option<ChannelState>, StoreError> {
        self.direct().read(|connection| state(connection, chain, contract, id)).await
    }

    /// An account's channels on a chain, the last opened first, at most `limit`.
    pub async fn channels_of(
        &self,
        chain: ChainId,
        account: ChannelsOf,
        limit: u32,
    ) -> Result<Vec<ChannelRow>, StoreError> {
        let (sql, account) = match account {
            ChannelsOf::Payee(payee) => (
                "SELECT contract, channel, MAX(id) AS newest
                 FROM channel_events INDEXED BY channel_events_by_payee
                 WHERE chain_id = $1 AND payee = $2 AND canonical AND payee IS NOT NULL AND kind IN ($3, $4)
                 GROUP BY contract, channel ORDER BY newest DESC LIMIT $5",
                payee,
            ),
            ChannelsOf::Payer(payer) => (
                "SELECT contract, channel, MAX(id) AS newest
                 FROM channel_events INDEXED BY channel_events_by_payer
                 WHERE chain_id = $1 AND payer = $2 AND canonical AND payer IS NOT NULL AND kind IN ($3, $4)
                 GROUP BY contract, channel ORDER BY newest DESC LIMIT $5",
                payer,
            ),
        };
        let mut reader = self.reader().await?;
        let connection = reader.connection()?;
        let rows = query(sql)
            .bind(chain_id(chain))
            .bind(account.as_slice())
            .bind(OPENED)
            .bind(CREATED)
            .bind(i64::from(limit))
            .fetch_all(&mut *connection)?;
        let mut channels = Vec::with_capacity(rows.len());
        for row in &rows {
            let (contract, id) = (row.address("contract")?, row.hash("channel")?);
            // A reorganization between the two reads may take a channel away.
            if let Some(state) = state(&connection.borrowing(), chain, contract, id)? {
                channels.push(ChannelRow { contract, id, state });
            }
        }
        Ok(channels)
    }

    /// What an account can withdraw from a channels contract in an asset, because sending it had failed: what was
    /// credited, less what was withdrawn.
    pub async fn channel_credit(
        &self,
        chain: ChainId,
        contract: Address,
        account: Address,
        asset: Asset,
    ) -> Result<Amount, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT kind, amount FROM channel_events
             WHERE chain_id = $1 AND payee = $2 AND canonical AND payee IS NOT NULL
               AND contract = $3 AND asset = $4 AND kind IN ($5, $6)",
        )
        .bind(chain_id(chain))
        .bind(account.as_slice())
        .bind(contract.as_slice())
        .bind(asset.address().to_vec())
        .bind(CREDITED)
        .bind(CREDIT_WITHDRAWN)
        .fetch_all(reader.connection()?)?;
        let (mut credited, mut withdrawn) = (U256::ZERO, U256::ZERO);
        for row in &rows {
            let sum = if i64::try_from(row.number("kind")?) == Ok(CREDITED) {
                &mut credited
            } else {
                &mut withdrawn
            };
            *sum = sum.saturating_add(row.amount("amount")?.0);
        }
        Ok(Amount(credited.saturating_sub(withdrawn)))
    }

    /// The channel events of a transaction that are on the chain, in no order.
    pub async fn channel_events_in(
        &self,
        chain: ChainId,
        contract: Address,
        channel: B256,
        transaction: B256,
    ) -> Result<Vec<Placed<ChannelEvent>>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT * FROM channel_events
             WHERE chain_id = $1 AND contract = $2 AND channel = $3 AND canonical AND transaction_hash = $4",
        )
        .bind(chain_id(chain))
        .bind(contract.as_slice())
        .bind(channel.as_slice())
        .bind(transaction.as_slice())
        .fetch_all(reader.connection()?)?;
        rows.iter()
            .map(|row| {
                let what = ChannelEvent {
                    id: ChannelEventId(row.hash("event_id")?),
                    chain,
                    contract,
                    transaction,
                    channel,
                    change: change(row)?,
                };
                Ok(Placed {
                    what,
                    block_number: row.number("block_number")?,
                    block_hash: row.hash("block_hash")?,
                    block_timestamp: row.maybe_number("block_timestamp")?.unwrap_or(0),
                })
            })
            .collect()
    }
}

/// A channel's state. `None` if no event of it is on the chain.
pub(crate) fn state(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    contract: Address,
    id: B256,
) -> Result<Option<ChannelState>, StoreError> {
    let mut changes = Vec::new();
    each_event(connection, chain, contract, id, |row| {
        changes.push((row.number("block_number")?, change(row)?));
        Ok(())
    })?;
    Ok(ChannelState::fold(changes))
}

/// Reads the events on the chain that a channel's state follows from: the greatest claim, the greatest top-up, and all
/// others.
pub(crate) fn each_event(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    contract: Address,
    id: B256,
    mut read: impl FnMut(&SyncRow<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(EVENTS_OF)?;
    let mut rows =
        select.query(params![chain_id(chain), contract.as_slice(), id.as_slice(), CLAIMED, TOPPED_UP])?;
    while let Some(row) = rows.next()? {
        read(&row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{open, sql};

    #[tokio::test]
    async fn a_channel_is_found_by_its_index_and_nothing_is_sorted() {
        let (_directory, mut connection) = open::empty().await;
        let plan = sql::plan(&mut connection, EVENTS_OF);
        let by_index = plan.iter().filter(|line| line.contains("USING INDEX channel_events_of")).count();
        assert_eq!(by_index, 4, "{plan:?}");
        assert!(
            !plan.iter().any(|line| line.contains("TEMP B-TREE") || line.starts_with("SCAN channel")),
            "{plan:?}"
        );
    }
}
