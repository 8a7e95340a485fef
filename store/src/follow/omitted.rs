//! Payments that were missing in the node's logs and were found by their receipt.

use crate::engine::{Changes, Step, SyncConnection, send_step};
use crate::follow::batch::{Applied, Batch};
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::rows::StoreError;
use crate::store::Store;

impl Store {
    /// [`Store::apply`] for what was missing in the node's logs. Each payment is an incident, in the same transaction. What was
    /// given back, and events of channels, open none.
    pub async fn apply_omitted(&self, batch: Batch) -> Result<Applied, StoreError> {
        batch.check()?;
        send_step(self.jobs(), Omitted(batch)).await
    }
}

struct Omitted(Batch);

impl Step for Omitted {
    type Output = Applied;

    const KIND: &'static str = "omitted";

    fn write(&self, connection: &SyncConnection<'_>) -> Result<Applied, StoreError> {
        let applied = self.0.write(connection)?;
        // If somebody else has found them meanwhile, nothing was missing.
        if applied.inserted + applied.restored > 0 {
            let cut = self.0.payments.len().saturating_sub(incident::MOST);
            if cut > 0 {
                incident::note_cut(IncidentKind::OmittedLog, cut);
            }
            for placed in self.0.payments.iter().take(incident::MOST) {
                let mut detail = format!(
                    "the payment is in block {} ({}), and was in none of the logs that the node gave of it",
                    placed.block_number, placed.block_hash
                );
                if cut > 0 {
                    detail += &format!("; nor were {cut} more, of which there is no incident");
                }
                let new = NewIncident {
                    kind: IncidentKind::OmittedLog,
                    chain: self.0.chain,
                    payment: placed.payment.id,
                    transaction: placed.payment.transaction,
                    occurrences: 1,
                    detail: &detail,
                };
                incident::record(connection, &new)?;
            }
        }
        Ok(applied)
    }

    fn changes(&self, applied: &Applied, connection: &SyncConnection<'_>) -> Changes {
        self.0.changes(applied, connection)
    }
}
