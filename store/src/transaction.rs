//! A transaction that writes.

use std::collections::BTreeMap;

use salt402_protocol::ChainId;
use sqlx::sqlite::{Sqlite, SqliteConnection};
use sqlx::{Connection as _, Transaction};

use crate::columns::chain_id;
use crate::{StoreError, totals};

/// The transaction of one group.
pub(crate) struct WriteTransaction<'c> {
    inner: Transaction<'c, Sqlite>,
    /// Claims made in this transaction: added to the chains' totals once, at its end, and not once a claim.
    claims: BTreeMap<ChainId, i64>,
    /// What changed of the totals of vouchers: likewise.
    totals: totals::Changes,
    /// Whether what was waited for may be there once this is committed.
    wakes: bool,
}

impl<'c> WriteTransaction<'c> {
    /// Begins and takes the write lock at once. A transaction that only takes it at its first write fails without
    /// waiting when another process wrote since it began to read.
    pub(crate) async fn begin(connection: &'c mut SqliteConnection) -> Result<Self, StoreError> {
        let inner = connection.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Self { inner, claims: BTreeMap::new(), totals: totals::Changes::default(), wakes: false })
    }

    /// What statements are run on.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }

    /// Notes a new claim for the chain's total.
    pub(crate) fn count_claim(&mut self, chain: ChainId) {
        *self.claims.entry(chain).or_default() += 1;
    }

    /// What changes of the totals of vouchers.
    pub(crate) fn totals(&mut self) -> &mut totals::Changes {
        &mut self.totals
    }

    /// Says that whoever waits for the index is to look at it again, once this is committed.
    pub(crate) fn wake(&mut self) {
        self.wakes = true;
    }

    /// Whether [`WriteTransaction::wake`] was called.
    pub(crate) fn wakes(&self) -> bool {
        self.wakes
    }

    /// Commits. After a failure the state of the connection is not known: it must be closed, which undoes everything.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        self.add_claims().await?;
        self.totals.write(&mut self.inner).await?;
        Ok(self.inner.commit().await?)
    }

    /// Undoes everything.
    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.inner.rollback().await?)
    }

    async fn add_claims(&mut self) -> Result<(), StoreError> {
        for (chain, count) in std::mem::take(&mut self.claims) {
            sqlx::query("UPDATE chains SET claims = claims + $2 WHERE chain_id = $1")
                .bind(chain_id(chain))
                .bind(count)
                .execute(&mut *self.inner)
                .await?;
        }
        Ok(())
    }
}
