//! Channels, page by page. The cost of a page depends on its length, not on the number of channels.

use salt402_protocol::{Address, B256, ChainId};

use crate::channels::account::{ChannelAccount, account};
use crate::engine::{Columns as _, Connection, bound, chain_id, query};
use crate::rows::StoreError;
use crate::store::Store;

/// Some channels of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelPage {
    /// The channels.
    pub accounts: Vec<ChannelAccount>,
    /// The last channel of the page. The next page begins after it. `None` on the last page.
    pub next: Option<B256>,
}

/// Channels on the chain, open or closed, the newest first. The kind is written as a number, because only then SQLite
/// uses its index.
const OPENED_BELOW: &str = "
    SELECT id, channel FROM channel_events INDEXED BY channel_events_opened
    WHERE chain_id = $1 AND contract = $2 AND canonical AND kind = 1 AND id < $3 AND ($4 IS NULL OR payee = $4)
    ORDER BY id DESC LIMIT $5";

const OPENED_AS: &str = "
    SELECT id FROM channel_events
    WHERE chain_id = $1 AND contract = $2 AND channel = $3 AND canonical AND kind = 1";

/// Channels with accepted vouchers that are not on the chain.
const ACCEPTED_ABOVE: &str = "
    SELECT v.channel FROM vouchers v
    WHERE v.chain_id = $1 AND v.contract = $2 AND v.channel > $3
      AND NOT EXISTS (SELECT 1 FROM channel_events e
                      WHERE e.chain_id = v.chain_id AND e.contract = v.contract AND e.channel = v.channel AND e.canonical
                        AND e.kind = 1 AND ($4 IS NULL OR e.payee = $4))
    ORDER BY v.channel LIMIT $5";

impl Store {
    /// At most `limit` channels of a contract, after the given one or from the first. Those on the chain come first,
    /// the last opened first. Then come those with accepted vouchers that are not on the chain. With `payee`: those
    /// that pay this account, and all with accepted vouchers.
    pub async fn channel_page(
        &self,
        chain: ChainId,
        contract: Address,
        payee: Option<Address>,
        after: Option<B256>,
        limit: u32,
    ) -> Result<ChannelPage, StoreError> {
        let mut reader = self.reader().await?;
        let connection = reader.connection()?;
        let ids = Ids { chain, contract, payee };
        let below = match after {
            None => Some(i64::MAX),
            Some(after) => ids.opened_as(after, connection)?,
        };
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        let mut found = match below {
            Some(below) => ids.opened(below, limit, connection)?,
            None => Vec::new(),
        };
        if found.len() < limit {
            let above = after.filter(|_| below.is_none()).unwrap_or(B256::ZERO);
            found.extend(ids.accepted(above, limit - found.len(), connection)?);
        }
        let next = found.last().copied().filter(|_| found.len() == limit);
        let mut accounts = Vec::with_capacity(found.len());
        for id in found {
            // A reorganization between the two reads may take a channel away.
            accounts.extend(account(connection, chain, contract, id)?);
        }
        Ok(ChannelPage { accounts, next })
    }

    /// The open channels of a contract with something accepted and not claimed, the largest amount first.
    pub async fn unclaimed_channels(
        &self,
        chain: ChainId,
        contract: Address,
    ) -> Result<Vec<B256>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT channel FROM vouchers
             WHERE chain_id = $1 AND contract = $2 AND counted > zeroblob(32) ORDER BY counted DESC, channel",
        )
        .bind(chain_id(chain))
        .bind(contract.as_slice())
        .fetch_all(reader.connection()?)?;
        rows.iter().map(|row| row.hash("channel")).collect()
    }
}

/// Which channels are looked for.
struct Ids {
    chain: ChainId,
    contract: Address,
    payee: Option<Address>,
}

impl Ids {
    fn opened_as(&self, channel: B256, connection: &mut Connection) -> Result<Option<i64>, StoreError> {
        let row = query(OPENED_AS)
            .bind(chain_id(self.chain))
            .bind(self.contract.as_slice())
            .bind(channel.as_slice())
            .fetch_optional(connection)?;
        row.map(|row| row.number("id").map(bound)).transpose()
    }

    fn opened(&self, below: i64, limit: usize, connection: &mut Connection) -> Result<Vec<B256>, StoreError> {
        let rows = query(OPENED_BELOW)
            .bind(chain_id(self.chain))
            .bind(self.contract.as_slice())
            .bind(below)
            .bind(self.payee.map(|payee| payee.to_vec()))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(connection)?;
        rows.iter().map(|row| row.hash("channel")).collect()
    }

    fn accepted(
        &self,
        above: B256,
        limit: usize,
        connection: &mut Connection,
    ) -> Result<Vec<B256>, StoreError> {
        let rows = query(ACCEPTED_ABOVE)
            .bind(chain_id(self.chain))
            .bind(self.contract.as_slice())
            .bind(above.as_slice())
            .bind(self.payee.map(|payee| payee.to_vec()))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(connection)?;
        rows.iter().map(|row| row.hash("channel")).collect()
    }
}
