//! Payments that one node shows and another contradicts.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::columns::chain_id;
use crate::incident::{self, IncidentKind, NewIncident};
use crate::recent::Changes;
use crate::steps::{Step, send_step};
use crate::{PlacedPayment, Store, StoreError, clock};

impl Store {
    /// Records that nodes contradict each other about a payment, and what they show, in words: one incident for a payment,
    /// with a count. Durable when this returns.
    pub async fn note_disagreement(&self, placed: &PlacedPayment, shown: &str) -> Result<(), StoreError> {
        let detail = format!(
            "the index has the payment in block {} ({}), and {shown}; nothing is granted on it while they differ",
            placed.block_number, placed.block_hash
        );
        send_step(self.jobs(), Disputed { placed: placed.clone(), detail }).await
    }
}

struct Disputed {
    placed: PlacedPayment,
    detail: String,
}

impl Step for Disputed {
    type Output = ();

    fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        let payment = &self.placed.payment;
        let kind = IncidentKind::NodesDisagree;
        // There is one writer at a time, so nobody inserts between the look and the insertion.
        let known: Option<i64> = connection
            .prepare_cached(
                "UPDATE incidents SET occurrences = occurrences + 1, changed_at_ms = ?4, detail = ?5
                 WHERE chain_id = ?1 AND payment_id = ?2 AND kind = ?3 RETURNING id",
            )?
            .query_row(
                params![
                    chain_id(payment.chain),
                    payment.id.0.as_slice(),
                    kind.name(),
                    clock::now_ms(),
                    self.detail
                ],
                |row| row.get(0),
            )
            .optional()?;
        if known.is_some() {
            return Ok(());
        }
        let new = NewIncident {
            kind,
            chain: payment.chain,
            payment: payment.id,
            transaction: payment.transaction,
            occurrences: 1,
            detail: &self.detail,
        };
        incident::record(connection, &new)?;
        Ok(())
    }

    fn changes(&self, _noted: &(), _connection: &Connection) -> Changes {
        Changes::default()
    }
}
