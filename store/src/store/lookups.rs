//! Look-ups of payments: from memory if it certainly says what the database says, else from the database on the
//! caller's thread.

use std::ops::RangeInclusive;

use salt402_protocol::{B256, ChainId, PaymentId};

use crate::engine::SyncConnection;
use crate::payments::cache::{Look, MemoryUse};
use crate::payments::many_payments::Wanted;
use crate::payments::query;
use crate::payments::references::{Referred, Search};
use crate::rows::{IndexedPayment, StoreError};
use crate::store::Store;

impl Store {
    /// The payments of a transaction. First those on the chain by position, then those of blocks that left it by height
    /// and position. Empty if the index knows none. Rows, confirmations and claims are of one moment.
    ///
    /// Reads memory if it certainly says what the database says, else the database, on the caller's thread. That takes
    /// microseconds.
    pub async fn payments_in(
        &self,
        chain: ChainId,
        transaction: B256,
    ) -> Result<Vec<IndexedPayment>, StoreError> {
        // Nothing below waits for another task. Without this, a caller that asks again and again would let no other
        // task run.
        tokio::task::coop::consume_budget().await;
        let key = (chain, transaction);
        let ticket = match self.recent().look(&key) {
            Look::Known(payments) => return Ok(payments),
            Look::Unknown(ticket) => ticket,
        };
        let found = self.direct().read(|connection| query::read(connection, &key)).await?;
        if let Some(ticket) = ticket {
            self.recent().keep(ticket, key, &found);
        }
        Ok(found.payments)
    }

    /// As [`Store::payments_in`]. But of a transaction with more than [`FEW`](crate::FEW) payments it returns only the
    /// wanted ones, in whatever blocks. If there are none, it returns some others, a few more than [`FEW`](crate::FEW),
    /// which show that the transaction holds many.
    ///
    /// The first question about a transaction costs more. After that the cost does not grow with the transaction.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn payments_wanted(
        &self,
        chain: ChainId,
        transaction: B256,
        wanted: Wanted,
    ) -> Result<Vec<IndexedPayment>, StoreError> {
        tokio::task::coop::consume_budget().await;
        let key = (chain, transaction);
        let ticket = match self.recent().look(&key) {
            Look::Known(payments) => return Ok(payments),
            Look::Unknown(ticket) => ticket,
        };
        let find = |connection: &SyncConnection<'_>| self.many_payments().find(connection, &key, wanted);
        let (found, is_few) = self.direct().read(find).await?;
        match ticket {
            Some(ticket) if is_few => self.recent().keep(ticket, key, &found),
            _ => {}
        }
        Ok(found.payments)
    }

    /// A payment that its payer signed for, by its name. First where it is on the chain, then in blocks that left it,
    /// the lowest first. Empty if the index does not know it, or if only its log gives it a name, as with `SaltPay`.
    /// Two rows on the chain mean that a token took one nonce twice.
    ///
    /// Reads the database on the caller's thread. That takes microseconds.
    pub async fn signed_payments(
        &self,
        chain: ChainId,
        payment: PaymentId,
    ) -> Result<Vec<IndexedPayment>, StoreError> {
        tokio::task::coop::consume_budget().await;
        let named = |connection: &SyncConnection<'_>| query::read_signed(connection, chain, payment);
        Ok(self.direct().read(named).await?.payments)
    }

    /// The payments with a reference that were mined in a stretch of time, in seconds since 1970 UTC, or a little
    /// before or after it. They are in the order in which they came. If one reference has 64 payments or more, none is
    /// returned.
    ///
    /// The first who asks about a time waits until its payments were read, on another thread. That takes some
    /// microseconds per payment.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn payments_for(
        &self,
        chain: ChainId,
        reference: B256,
        mined: RangeInclusive<u64>,
    ) -> Result<Referred, StoreError> {
        tokio::task::coop::consume_budget().await;
        let search = Search::new(chain, reference, &mined);
        let at_once = |connection: &SyncConnection<'_>| self.references().look(connection, &search, false);
        if let Some(found) = self.direct().read(at_once).await? {
            return Ok(found);
        }
        // One caller reads at a time. Whoever waited mostly finds that its part was read meanwhile.
        let _turn = self.references().turn.lock().await;
        let (store, runtime) = (self.clone(), tokio::runtime::Handle::current());
        let read = move || {
            let look = |connection: &SyncConnection<'_>| store.references().look(connection, &search, true);
            runtime.block_on(store.direct().read(look))
        };
        let found = tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)??;
        // Another caller held the memory for all of the time.
        found.ok_or(StoreError::Busy)
    }

    /// How much the memory of recent payments holds, and how often it answered.
    pub fn memory_use(&self) -> MemoryUse {
        self.recent().usage()
    }
}
