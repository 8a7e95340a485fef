//! Payments and channels that one node shows and another node contradicts.

use salt402_protocol::{Address, Amount, B256, ChainId, Payment, PaymentId, Voucher};

use crate::engine::{Changes, Step, SyncConnection, chain_id, clock, params, send_step};
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::rows::{PlacedPayment, StoreError};
use crate::store::Store;

impl Store {
    /// Records that nodes contradict each other about a payment, and what they show. There is one incident per payment,
    /// with a count. Durable when this returns.
    pub async fn note_disagreement(&self, placed: &PlacedPayment, shown: &str) -> Result<(), StoreError> {
        let detail = format!(
            "the index has the payment in block {} ({}), and {shown}; nothing is granted on it while they differ",
            placed.block_number, placed.block_hash
        );
        let Payment { chain, id: payment, transaction, .. } = placed.payment;
        send_step(self.jobs(), Disagreement { chain, payment, transaction, detail }).await
    }

    /// The same about the state of a channel, whose opening transaction is given. There is one incident per channel,
    /// with a count. It is named as a voucher of the channel over 0 would be, on which nothing is ever granted.
    pub async fn note_channel_disagreement(
        &self,
        chain: ChainId,
        (contract, channel): (Address, B256),
        transaction: B256,
        shown: &str,
    ) -> Result<(), StoreError> {
        let detail = format!("{shown}; no voucher of the channel is granted on while they differ");
        let payment =
            Voucher { channel, ceiling: Amount::ZERO, signature: [0; 65] }.payment_id(chain, contract);
        send_step(self.jobs(), Disagreement { chain, payment, transaction, detail }).await
    }
}

/// The kind is written as text, because only then SQLite uses its index.
const UPDATE: &str = "UPDATE incidents SET occurrences = occurrences + 1, changed_at_ms = ?3, detail = ?4
                      WHERE chain_id = ?1 AND payment_id = ?2 AND kind = 'nodes_disagree' RETURNING id";

struct Disagreement {
    chain: ChainId,
    payment: PaymentId,
    transaction: B256,
    detail: String,
}

impl Step for Disagreement {
    type Output = ();

    const KIND: &'static str = "nodes_disagree";

    // It grants nothing, and no request waits for it.
    const WAKES: bool = false;

    fn write(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
        // There is only one writer, so nobody inserts between the two statements.
        let known: Option<i64> = connection.prepare_cached(UPDATE)?.query_optional(
            params![chain_id(self.chain), self.payment.0.as_slice(), clock::now_ms(), self.detail],
            |row| row.get(0),
        )?;
        if known.is_some() {
            return Ok(());
        }
        let new = NewIncident {
            kind: IncidentKind::NodesDisagree,
            chain: self.chain,
            payment: self.payment,
            transaction: self.transaction,
            occurrences: 1,
            detail: &self.detail,
        };
        incident::record(connection, &new)?;
        Ok(())
    }

    fn changes(&self, _noted: &(), _connection: &SyncConnection<'_>) -> Changes {
        Changes::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{open, sql};

    #[tokio::test]
    async fn a_known_disagreement_is_found_by_an_index() {
        let (_directory, mut connection) = open::empty().await;
        let plan = sql::plan(&mut connection, UPDATE);
        assert_eq!(
            plan,
            ["SEARCH incidents USING COVERING INDEX incidents_nodes_disagree (chain_id=? AND payment_id=?)"]
        );
        assert!(UPDATE.contains(&format!("kind = '{}'", IncidentKind::NodesDisagree.name())));
    }
}
