//! Channels with their accounts: their state on the chain, and the vouchers that were accepted.

use salt402_protocol::api::ChannelView;
use salt402_protocol::{Address, Amount, B256, ChainId, ChannelState, U256, Voucher};

use crate::channels::{state, totals};
use crate::engine::{Columns, Connection, Row, chain_id, query};
use crate::rows::{StoreError, VoucherAccount, VoucherTotals};
use crate::store::Store;

/// A channel: its state on the chain, and the voucher that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelAccount {
    /// The contract.
    pub contract: Address,
    /// The channel's identifier in it.
    pub id: B256,
    /// Its state; `None` if no event of it is on the chain.
    pub state: Option<ChannelState>,
    /// The last accepted voucher. It has the highest ceiling.
    pub voucher: Option<Voucher>,
    /// What was accepted.
    pub account: VoucherAccount,
}

impl ChannelAccount {
    /// What was accepted and not claimed, in base units. It may no longer be claimable.
    pub fn unclaimed(&self) -> Amount {
        let claimed = self.state.as_ref().map_or(U256::ZERO, |state| state.claimed.0);
        Amount(self.account.spent.0.saturating_sub(claimed))
    }

    /// How much of that the contract would pay now, in base units. It is at most what is left of the deposit.
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
            operator: descriptor.and_then(|known| known.operator),
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

impl Store {
    /// One channel. `None` if no event of it is on the chain and no voucher of it was accepted.
    pub async fn channel_account(
        &self,
        chain: ChainId,
        contract: Address,
        id: B256,
    ) -> Result<Option<ChannelAccount>, StoreError> {
        let mut reader = self.reader().await?;
        account(reader.connection()?, chain, contract, id)
    }

    /// What was accepted by vouchers on a chain, by asset. It reads one row per asset, however many channels there are.
    pub async fn voucher_totals(&self, chain: ChainId) -> Result<Vec<VoucherTotals>, StoreError> {
        let mut reader = self.reader().await?;
        totals::of_chain(reader.connection()?, chain)
    }
}

pub(crate) fn account(
    connection: &mut Connection,
    chain: ChainId,
    contract: Address,
    id: B256,
) -> Result<Option<ChannelAccount>, StoreError> {
    let row = query(
        "SELECT ceiling, signature, spent, reserved FROM vouchers WHERE chain_id = $1 AND contract = $2 AND channel = $3",
    )
    .bind(chain_id(chain))
    .bind(contract.as_slice())
    .bind(id.as_slice())
    .fetch_optional(&mut *connection)?;
    let accepted = row.map(|row| accepted(id, &row)).transpose()?;
    let state = state::state(&connection.borrowing(), chain, contract, id)?;
    if accepted.is_none() && state.is_none() {
        return Ok(None);
    }
    let (voucher, account) = accepted.map_or((None, VoucherAccount::default()), |(v, a)| (Some(v), a));
    Ok(Some(ChannelAccount { contract, id, state, voucher, account }))
}

/// The last voucher and the account, from a row of `vouchers`.
pub(crate) fn accepted(channel: B256, row: &Row) -> Result<(Voucher, VoucherAccount), StoreError> {
    let account = VoucherAccount {
        ceiling: row.amount("ceiling")?,
        spent: row.amount("spent")?,
        reserved: row.amount("reserved")?,
    };
    let signature =
        row.bytes("signature")?.try_into().map_err(|_| StoreError::Corrupt { column: "signature" })?;
    Ok((Voucher { channel, ceiling: account.ceiling, signature }, account))
}
