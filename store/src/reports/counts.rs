//! How much there is, for status pages and metrics.

use std::collections::BTreeMap;

use salt402_protocol::ChainId;

use crate::engine::{Columns as _, query};
use crate::rows::StoreError;
use crate::store::Store;

/// How much there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Payments claimed so far, on all chains.
    pub claims: u64,
    /// Incidents that are open, on all chains.
    pub open_incidents: u64,
    /// Incidents that are open, of each pinned chain.
    pub open_incidents_of: BTreeMap<ChainId, u64>,
    /// Payments on each pinned chain.
    pub payments: BTreeMap<ChainId, u64>,
    /// Logs of followed contracts that did not decode, in total, on all chains.
    pub undecoded: u64,
    /// Transactions that could not be read, per pinned chain.
    pub unreadable: BTreeMap<ChainId, u64>,
}

impl Store {
    /// How much is stored. The cost is always the same, because every write updates the totals.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT chain_id, payments, claims, undecoded, unreadable,
                    (SELECT COUNT(*) FROM incidents i
                     WHERE i.chain_id = chains.chain_id AND i.resolved_at_ms IS NULL) AS open_incidents
             FROM chains",
        )
        .fetch_all(reader.connection()?)?;
        let mut counts = Counts::default();
        for row in &rows {
            counts.payments.insert(row.chain("chain_id")?, row.number("payments")?);
            counts.unreadable.insert(row.chain("chain_id")?, row.number("unreadable")?);
            counts.undecoded += row.number("undecoded")?;
            counts.claims += row.number("claims")?;
            // Every incident is of a pinned chain, so the sum is complete.
            let open = row.number("open_incidents")?;
            counts.open_incidents += open;
            counts.open_incidents_of.insert(row.chain("chain_id")?, open);
        }
        Ok(counts)
    }
}
