//! Channels that the payee is about to close, of which no vouchers are taken.

use salt402_protocol::{Address, B256, ChainId};

use crate::engine::clock;
use crate::engine::columns::chain_id;
use crate::engine::queue::{Write, send};
use crate::engine::sql::query;
use crate::engine::transaction::WriteTransaction;
use crate::rows::error::StoreError;
use crate::store::Store;

/// A channel that is about to be closed, or is not any more.
struct Closing {
    chain: ChainId,
    contract: Address,
    channel: B256,
    begins: bool,
}

impl Store {
    /// Takes no voucher of a channel from now on, because the payee is about to close it. Durable when this returns, so what
    /// was accepted of the channel is final then, in whatever process it was, once nothing of it is reserved.
    pub async fn begin_closing(
        &self,
        chain: ChainId,
        contract: Address,
        channel: B256,
    ) -> Result<(), StoreError> {
        send(self.jobs(), Closing { chain, contract, channel, begins: true }).await
    }

    /// Takes vouchers of a channel again, because it is not closed after all.
    pub async fn give_up_closing(
        &self,
        chain: ChainId,
        contract: Address,
        channel: B256,
    ) -> Result<(), StoreError> {
        send(self.jobs(), Closing { chain, contract, channel, begins: false }).await
    }
}

impl Write for Closing {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        let insert = "INSERT INTO channel_closings (chain_id, contract, channel, since_ms)
             VALUES ($1, $2, $3, $4) ON CONFLICT (chain_id, contract, channel) DO NOTHING";
        let delete = "DELETE FROM channel_closings WHERE chain_id = $1 AND contract = $2 AND channel = $3";
        let statement = query(if self.begins { insert } else { delete })
            .bind(chain_id(self.chain))
            .bind(self.contract.as_slice())
            .bind(self.channel.as_slice());
        let statement = if self.begins { statement.bind(clock::now_ms()) } else { statement };
        statement.execute(transaction.connection())?;
        Ok(())
    }
}
