//! Payments and channels that one node shows and another contradicts.

use rusqlite::{Connection, OptionalExtension as _, params};
use salt402_protocol::{Address, Amount, B256, ChainId, Payment, PaymentId, Voucher};

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
        let Payment { chain, id: payment, transaction, .. } = placed.payment;
        send_step(self.jobs(), Disputed { chain, payment, transaction, detail }).await
    }

    /// The same about how a channel of vouchers stands, opened in a transaction: one incident for a channel, with a count. It
    /// is named as the channel's voucher over nothing would be, which nobody is granted anything on.
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
        send_step(self.jobs(), Disputed { chain, payment, transaction, detail }).await
    }
}

/// The kind is written out: only so is it served by its index.
const UPDATE: &str = "UPDATE incidents SET occurrences = occurrences + 1, changed_at_ms = ?3, detail = ?4
                      WHERE chain_id = ?1 AND payment_id = ?2 AND kind = 'nodes_disagree' RETURNING id";

struct Disputed {
    chain: ChainId,
    payment: PaymentId,
    transaction: B256,
    detail: String,
}

impl Step for Disputed {
    type Output = ();

    const KIND: &'static str = "disputed";

    // It grants nothing, and brings nothing that a request waits for.
    const WAKES: bool = false;

    fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        // There is one writer at a time, so nobody inserts between the look and the insertion.
        let known: Option<i64> = connection
            .prepare_cached(UPDATE)?
            .query_row(
                params![chain_id(self.chain), self.payment.0.as_slice(), clock::now_ms(), self.detail],
                |row| row.get(0),
            )
            .optional()?;
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

    fn changes(&self, _noted: &(), _connection: &Connection) -> Changes {
        Changes::default()
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;
    use crate::{Options, open};

    #[tokio::test]
    async fn a_known_disagreement_is_found_by_an_index() {
        let directory = tempfile::tempdir().unwrap();
        let mut opened = open::open(&Options::new(directory.path().join("plan.db"))).await.unwrap();
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {UPDATE}"));
        let plan = sqlx::query(explain).fetch_all(&mut opened.writer).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        assert_eq!(
            plan,
            ["SEARCH incidents USING COVERING INDEX incidents_nodes_disagree (chain_id=? AND payment_id=?)"]
        );
        assert!(UPDATE.contains(&format!("kind = '{}'", IncidentKind::NodesDisagree.name())));
    }
}
