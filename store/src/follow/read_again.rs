//! Another try at transactions that could not be read: what was learned of them, or what they hold.

use salt402_protocol::{B256, ChainId};

use crate::engine::{Changes, Step, SyncConnection, bound, chain_id, clock, params, send_step};
use crate::follow::batch::{Applied, Batch};
use crate::follow::unreadable::{count, follow};
use crate::rows::StoreError;
use crate::store::Store;

impl Store {
    /// Notes that another try failed. `learned` is how long the answer is at the least and the longest answer that was
    /// accepted, in bytes; `None` if nothing was learned. Durable when this returns.
    pub async fn note_unreadable(
        &self,
        chain: ChainId,
        transaction: B256,
        learned: Option<(u64, Option<u64>)>,
    ) -> Result<(), StoreError> {
        send_step(self.jobs(), Tried { chain, transaction, learned }).await
    }

    /// [`Store::apply`] for a transaction that could not be read before and now was. In the same transaction it stops
    /// being unreadable. It may hold nothing.
    pub async fn apply_read(&self, batch: Batch, transaction: B256) -> Result<Applied, StoreError> {
        batch.check()?;
        send_step(self.jobs(), WasRead { batch, transaction }).await
    }
}

struct Tried {
    chain: ChainId,
    transaction: B256,
    learned: Option<(u64, Option<u64>)>,
}

impl Step for Tried {
    type Output = ();

    const KIND: &'static str = "unreadable";

    // It grants nothing, and no request waits for it.
    const WAKES: bool = false;

    fn write(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
        let (bytes, most) = self.learned.unzip();
        connection
            .prepare_cached(
                "UPDATE unreadable_transactions
                 SET tried_at_ms = ?3, bytes = MAX(bytes, COALESCE(?4, 0)), bound = IIF(?4 IS NULL, bound, ?5)
                 WHERE chain_id = ?1 AND transaction_hash = ?2",
            )?
            .execute(params![
                chain_id(self.chain),
                self.transaction.as_slice(),
                clock::now_ms(),
                bytes.map(bound),
                most.flatten().map(bound)
            ])?;
        Ok(())
    }

    fn changes(&self, _output: &(), _connection: &SyncConnection<'_>) -> Changes {
        Changes::default()
    }
}

struct WasRead {
    batch: Batch,
    transaction: B256,
}

impl Step for WasRead {
    type Output = Applied;

    const KIND: &'static str = "unreadable";

    fn write(&self, connection: &SyncConnection<'_>) -> Result<Applied, StoreError> {
        let applied = self.batch.write(connection)?;
        let chain = self.batch.chain;
        let read_now = params![chain_id(chain), self.transaction.as_slice()];
        let read = connection
            .prepare_cached(
                "DELETE FROM unreadable_transactions WHERE chain_id = ?1 AND transaction_hash = ?2 AND canonical",
            )?
            .execute(read_now)?;
        count(connection, chain, 0, read)?;
        follow(connection, chain)?;
        Ok(applied)
    }

    fn changes(&self, applied: &Applied, connection: &SyncConnection<'_>) -> Changes {
        self.batch.changes(applied, connection)
    }
}
