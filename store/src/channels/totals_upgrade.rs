//! Adds up the totals of vouchers in a database from before they were stored.

use salt402_protocol::{Address, Amount, B256, ChainId, U256};

use crate::channels::events::{CLAIMED, CLOSED, OPENED};
use crate::channels::risk_rows;
use crate::channels::totals::TotalsChanges;
use crate::engine::{Columns as _, Connection, Row, Upgrade, amount_bytes, begin, chain_id, query};
use crate::rows::{Share, StoreError};

/// Marks a database whose totals were added up once.
const ADDED_UP: &str = "voucher_totals";

/// Adds the totals up if that was not done yet.
pub(crate) struct AddTotals;

impl Upgrade for AddTotals {
    fn run(&self, connection: &mut Connection) -> Result<(), StoreError> {
        add_up(connection)
    }
}

/// Adds everything up, once per database, in one transaction. A new database has nothing to add up.
fn add_up(connection: &mut Connection) -> Result<(), StoreError> {
    let known = query("SELECT 1 FROM meta WHERE name = $1").bind(ADDED_UP);
    if known.fetch_optional(&mut *connection)?.is_some() {
        return Ok(());
    }
    let mut transaction = begin(connection)?;
    query("DELETE FROM voucher_totals").execute(transaction.connection())?;
    let mut changes = TotalsChanges::default();
    for (chain, contract, channel, share) in open_shares(transaction.connection())? {
        query(
            "UPDATE vouchers SET counted_asset = $4, counted = $5
             WHERE chain_id = $1 AND contract = $2 AND channel = $3",
        )
        .bind(chain_id(chain))
        .bind(contract.as_slice())
        .bind(channel.as_slice())
        .bind(share.0.address().to_vec())
        .bind(amount_bytes(share.1).to_vec())
        .execute(transaction.connection())?;
        changes.account(chain, None, Some(share));
    }
    for (chain, risk) in risk_rows::open(transaction.connection())? {
        changes.risk(chain, None, risk.share());
    }
    changes.write_rows(&transaction.connection().borrowing())?;
    query("INSERT OR REPLACE INTO meta (name, value) VALUES ($1, '1')")
        .bind(ADDED_UP)
        .execute(transaction.connection())?;
    transaction.commit()
}

/// The accounts of open channels with what was claimed. With `total` in the index, the greatest is found at once.
const OPEN_ACCOUNTS: &str = "
    SELECT v.chain_id, v.contract, v.channel, v.spent, o.asset,
           (SELECT c.total FROM channel_events c
            WHERE c.chain_id = v.chain_id AND c.contract = v.contract AND c.channel = v.channel AND c.canonical
              AND c.kind = $2 ORDER BY c.total DESC LIMIT 1) AS claimed
    FROM vouchers v CROSS JOIN channel_events o
    WHERE o.chain_id = v.chain_id AND o.contract = v.contract AND o.channel = v.channel
      AND o.canonical AND o.kind = $1
      AND NOT EXISTS (SELECT 1 FROM channel_events e
                      WHERE e.chain_id = v.chain_id AND e.contract = v.contract AND e.channel = v.channel
                        AND e.canonical AND e.kind = $3)";

/// What each account of an open channel adds to the totals of its chain. It reads all accounts.
fn open_shares(connection: &mut Connection) -> Result<Vec<(ChainId, Address, B256, Share)>, StoreError> {
    let rows = query(OPEN_ACCOUNTS).bind(OPENED).bind(CLAIMED).bind(CLOSED).fetch_all(&mut *connection)?;
    let share = |row: &Row| {
        let claimed = row.maybe_hash("claimed")?.map_or(U256::ZERO, |total| U256::from_be_bytes(total.0));
        let unclaimed = Amount(row.amount("spent")?.0.saturating_sub(claimed));
        let share = (row.asset("asset")?, unclaimed);
        Ok((row.chain("chain_id")?, row.address("contract")?, row.hash("channel")?, share))
    };
    rows.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{open, sql};

    #[tokio::test]
    async fn accounts_are_added_up_by_index() {
        let (_directory, mut connection) = open::empty().await;
        let plan = sql::plan(&mut connection, OPEN_ACCOUNTS);
        let by_index =
            plan.iter().filter(|line| line.contains("INDEX channel_events_of (chain_id=?")).count();
        assert_eq!(by_index, 3, "{plan:?}");
        assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{plan:?}");
    }
}
