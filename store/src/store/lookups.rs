//! Look-ups of payments: from memory where that is certainly what the database says, else on the caller's thread.

use std::ops::RangeInclusive;

use salt402_protocol::{B256, ChainId, PaymentId};

use crate::engine::sync_sql::SyncConnection;
use crate::payments::cache::{Look, MemoryUse};
use crate::payments::many_payments::Wanted;
use crate::payments::query;
use crate::payments::references::{Referred, Search};
use crate::rows::error::StoreError;
use crate::rows::payment::IndexedPayment;
use crate::store::Store;

impl Store {
    /// The payments of a transaction: those on the chain by position, then those of blocks that left it by height and
    /// position. Empty if the index knows none. Confirmations and claims are of the same moment as the rows.
    ///
    /// From memory where that is certainly what the database says, else from the database, on the caller's thread:
    /// it takes microseconds.
    pub async fn payments_in(
        &self,
        chain: ChainId,
        transaction: B256,
    ) -> Result<Vec<IndexedPayment>, StoreError> {
        // Nothing below waits for another task, so a caller that asks again and again would let no other one run.
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

    /// As [`Store::payments_in`], but of a transaction that holds more than [`FEW`](crate::FEW) payments only what is wanted
    /// of it, in whatever blocks it is. Where that is nothing, some others of the transaction, a few more than that: they say
    /// what it is.
    ///
    /// What it costs does not grow with the transaction, but for the first who asks about one.
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

    /// A payment that its payer signed for, by its name: where it is on the chain, then in the blocks that left it, the
    /// lowest first. Empty if the index knows it not, or if it is named by its log alone, as one of `SaltPay` is. Two
    /// rows on the chain are of a token that took one nonce twice.
    ///
    /// From the database, on the caller's thread: it takes microseconds.
    pub async fn signed_payments(
        &self,
        chain: ChainId,
        payment: PaymentId,
    ) -> Result<Vec<IndexedPayment>, StoreError> {
        tokio::task::coop::consume_budget().await;
        let named = |connection: &SyncConnection<'_>| query::read_signed(connection, chain, payment);
        Ok(self.direct().read(named).await?.payments)
    }

    /// The payments with a reference, of those that were mined in a stretch of time, in seconds since 1970 UTC, or a little
    /// before and after it, in the order in which they came. Of 64 and more for one reference none is told.
    ///
    /// The first who asks for a time waits until its payments were read, some microseconds for each of them, on a thread of its
    /// own.
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
        // One reads at a time, and whoever waited mostly finds what it wanted.
        let _turn = self.references().turn.lock().await;
        let (store, runtime) = (self.clone(), tokio::runtime::Handle::current());
        let read = move || {
            let look = |connection: &SyncConnection<'_>| store.references().look(connection, &search, true);
            runtime.block_on(store.direct().read(look))
        };
        let found = tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)??;
        // Somebody else held what is kept for as long as it takes to look at it.
        found.ok_or(StoreError::Busy)
    }

    /// What the memory of recent payments holds and what it was good for.
    pub fn memory_use(&self) -> MemoryUse {
        self.recent().usage()
    }
}
