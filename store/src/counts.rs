//! How much there is, for status pages and metrics.

use std::collections::BTreeMap;

use salt402_protocol::ChainId;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

/// How much there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Payments claimed so far, on all chains.
    pub claims: u64,
    /// Incidents that are open.
    pub open_incidents: u64,
    /// Payments on each pinned chain.
    pub payments: BTreeMap<ChainId, u64>,
    /// Logs of followed contracts that did not decode, so far, on all chains.
    pub undecoded: u64,
}

impl Store {
    /// How much there is. Costs the same however much that is: totals are kept with every write.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let mut reader = self.reader().await?;
        let rows = sqlx::query(
            "SELECT chain_id, payments, claims, undecoded,
                    (SELECT COUNT(*) FROM incidents WHERE resolved_at_ms IS NULL) AS open_incidents
             FROM chains",
        )
        .fetch_all(reader.connection()?)
        .await?;
        let mut counts = Counts::default();
        for row in &rows {
            counts.payments.insert(row.chain("chain_id")?, row.number("payments")?);
            counts.undecoded += row.number("undecoded")?;
            counts.claims += row.number("claims")?;
            counts.open_incidents = row.number("open_incidents")?;
        }
        Ok(counts)
    }
}
