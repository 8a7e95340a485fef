//! Channels with their accounts: what the chain says of one, and what was accepted of it.

use salt402_protocol::api::ChannelView;
use salt402_protocol::{Address, Amount, Asset, B256, ChainId, ChannelState, U256, Voucher};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::channel_rows::{CLAIMED, CLOSED, OPENED};
use crate::columns::{Columns, chain_id};
use crate::totals::{self, Share};
use crate::{Store, StoreError, VoucherAccount, channel};

/// A channel: what the chain says of it, and what was accepted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelAccount {
    /// The contract.
    pub contract: Address,
    /// The channel's identifier in it.
    pub id: B256,
    /// Where it stands; `None` if nothing of it is on the chain.
    pub state: Option<ChannelState>,
    /// The last voucher that was accepted, which has the highest ceiling.
    pub voucher: Option<Voucher>,
    /// What was accepted.
    pub account: VoucherAccount,
}

impl ChannelAccount {
    /// What was accepted and not claimed, in base units, whether it still can be or not.
    pub fn unclaimed(&self) -> Amount {
        let claimed = self.state.as_ref().map_or(U256::ZERO, |state| state.claimed.0);
        Amount(self.account.spent.0.saturating_sub(claimed))
    }

    /// What of that the contract pays now, in base units: what is left of the deposit at the most.
    pub fn claimable(&self) -> Amount {
        let available = self.state.as_ref().map_or(Amount::ZERO, ChannelState::available);
        self.unclaimed().min(available)
    }

    /// The channel as it is told to people and programs.
    pub fn view(&self, chain: ChainId) -> ChannelView {
        let state = self.state.as_ref();
        let descriptor = state.and_then(|state| state.descriptor);
        ChannelView {
            chain,
            contract: self.contract,
            id: self.id,
            on_chain: descriptor.is_some(),
            payer: descriptor.map(|known| known.payer),
            payee: descriptor.map(|known| known.payee),
            asset: descriptor.map(|known| known.asset),
            signer: descriptor.and_then(|known| known.signer),
            exit_delay: descriptor.map(|known| known.exit_delay),
            deposit: state.map_or(Amount::ZERO, |state| state.deposit),
            claimed: state.map_or(Amount::ZERO, |state| state.claimed),
            exit_at: state.and_then(|state| state.exit_at),
            closed: state.is_some_and(|state| state.closed),
            highest: self.account.ceiling,
            spent: self.account.spent,
            unclaimed: self.unclaimed(),
            claimable: self.claimable(),
        }
    }
}

/// What was accepted by vouchers on a chain, in one asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherTotals {
    /// The asset.
    pub asset: Asset,
    /// What was accepted and not claimed, of channels that are open, in base units.
    pub unclaimed: Amount,
    /// What of all that was accepted may not be paid any more, in base units.
    pub at_risk: Amount,
    /// How many channels that is of.
    pub channels_at_risk: u64,
}

impl Store {
    /// One channel; `None` if nothing of it is on the chain and no voucher of it was accepted.
    pub async fn channel_account(
        &self,
        chain: ChainId,
        contract: Address,
        id: B256,
    ) -> Result<Option<ChannelAccount>, StoreError> {
        let mut reader = self.reader().await?;
        account(reader.connection()?, chain, contract, id).await
    }

    /// What was accepted by vouchers on a chain, by asset. Reads a row for each asset, however many channels there are.
    pub async fn voucher_totals(&self, chain: ChainId) -> Result<Vec<VoucherTotals>, StoreError> {
        let mut reader = self.reader().await?;
        totals::of_chain(reader.connection()?, chain).await
    }
}

pub(crate) async fn account(
    connection: &mut SqliteConnection,
    chain: ChainId,
    contract: Address,
    id: B256,
) -> Result<Option<ChannelAccount>, StoreError> {
    let row = sqlx::query(
        "SELECT ceiling, signature, spent FROM vouchers WHERE chain_id = $1 AND contract = $2 AND channel = $3",
    )
    .bind(chain_id(chain))
    .bind(contract.as_slice())
    .bind(id.as_slice())
    .fetch_optional(&mut *connection)
    .await?;
    let accepted = row.map(|row| accepted(id, &row)).transpose()?;
    let state = channel::state(connection, chain, contract, id).await?;
    if accepted.is_none() && state.is_none() {
        return Ok(None);
    }
    let (voucher, account) = accepted.map_or((None, VoucherAccount::default()), |(v, a)| (Some(v), a));
    Ok(Some(ChannelAccount { contract, id, state, voucher, account }))
}

/// The last voucher and the account, from a row of `vouchers`.
pub(crate) fn accepted(channel: B256, row: &SqliteRow) -> Result<(Voucher, VoucherAccount), StoreError> {
    let account = VoucherAccount { ceiling: row.amount("ceiling")?, spent: row.amount("spent")? };
    let signature =
        row.bytes("signature")?.try_into().map_err(|_| StoreError::Corrupt { column: "signature" })?;
    Ok((Voucher { channel, ceiling: account.ceiling, signature }, account))
}

/// The accounts of open channels with what was claimed. By `total` the greatest is found at once.
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

/// What each account of an open channel adds to the totals of its chain. Reads all accounts.
pub(crate) async fn open_shares(
    connection: &mut SqliteConnection,
) -> Result<Vec<(ChainId, Address, B256, Share)>, StoreError> {
    let rows = sqlx::query(AssertSqlSafe(OPEN_ACCOUNTS))
        .bind(OPENED)
        .bind(CLAIMED)
        .bind(CLOSED)
        .fetch_all(&mut *connection)
        .await?;
    let share = |row: &SqliteRow| {
        let claimed = row.maybe_hash("claimed")?.map_or(U256::ZERO, |total| U256::from_be_bytes(total.0));
        let unclaimed = Amount(row.amount("spent")?.0.saturating_sub(claimed));
        let share = (row.asset("asset")?, unclaimed);
        Ok((row.chain("chain_id")?, row.address("contract")?, row.hash("channel")?, share))
    };
    rows.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;
    use crate::{Options, open};

    #[tokio::test]
    async fn accounts_are_added_up_by_index() {
        let directory = tempfile::tempdir().unwrap();
        let mut opened = open::open(&Options::new(directory.path().join("plan.db"))).await.unwrap();
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {OPEN_ACCOUNTS}"));
        let plan = sqlx::query(explain).fetch_all(&mut opened.writer).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        let by_index =
            plan.iter().filter(|line| line.contains("INDEX channel_events_of (chain_id=?")).count();
        assert_eq!(by_index, 3, "{plan:?}");
        assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{plan:?}");
    }
}
