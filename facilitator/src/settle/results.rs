//! How claimed settlements stand, for those who ask: as the database has it, and as the index shows it since.

use std::sync::Arc;
use std::time::Duration;

use salt402_protocol::X402Reason;
use salt402_store::{
    GasCost, SettlementOutcome, SettlementRow, SettlementState, SlotState, Store, StoreError,
};
use tokio::time::Instant;

use crate::settle::waiters::Waiters;
use crate::settle::{found, kept};
use crate::settler::{Known, SettleFault, Settled};

/// What a claimed payment is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Work may be done for it.
    Verify,
    /// The work was done, or the money is taken first.
    Settle,
}

/// Says how settlements stand.
pub(super) struct Results {
    pub(super) store: Store,
    pub(super) waiters: Arc<Waiters>,
    /// How long a caller waits for an outcome.
    pub(super) wait: Duration,
}

impl Results {
    /// How a settlement stands, for its callers.
    pub(super) async fn told(&self, row: SettlementRow) -> Result<Settled, SettleFault> {
        Ok(match row.state {
            // It is about to be sent again.
            SettlementState::Settled if !self.stands(&row).await? => Settled::Pending { transaction: None },
            SettlementState::Settled => {
                Settled::Done { transaction: row.transaction, amount: row.claimed.charge.0 }
            }
            SettlementState::Failed => Settled::Failed {
                reason: reason(row.reason.as_deref()),
                detail: row.detail.unwrap_or_default(),
                transaction: row.transaction,
            },
            SettlementState::Queued | SettlementState::Sent => {
                let transactions = self.store.settlement_transactions(row.number).await.map_err(fault)?;
                let last = transactions.iter().rev().find(|transaction| transaction.carries);
                Settled::Pending { transaction: last.map(|transaction| transaction.hash) }
            }
        })
    }

    /// Whether what settled is not in a block that has left the chain. Its task notices that too, a moment later.
    async fn stands(&self, row: &SettlementRow) -> Result<bool, SettleFault> {
        let transactions = self.store.settlement_transactions(row.number).await.map_err(fault)?;
        let mined = transactions.iter().find(|transaction| {
            transaction.state == SlotState::Mined && Some(transaction.hash) == row.transaction
        });
        let Some((_, block)) = mined.and_then(|mined| mined.block) else { return Ok(true) };
        let known = self.store.block_by_hash(row.claimed.chain, block).await.map_err(fault)?;
        Ok(known.is_none_or(|(_, canonical)| canonical))
    }

    /// Waits until a settlement has an outcome, as long as is configured, and returns how it stands then.
    pub(super) async fn wait(&self, mut row: SettlementRow) -> Result<SettlementRow, SettleFault> {
        let (chain, payment) = (row.claimed.chain, row.claimed.payment);
        let until = Instant::now() + self.wait;
        let mut changes = self.waiters.subscribe(payment);
        let waited = loop {
            // Subscribed before it is read, so that no change falls in between.
            match self.store.settlement(chain, payment).await {
                Ok(Some(now)) => row = now,
                Ok(None) => {}
                Err(error) => break Err(fault(error)),
            }
            match row.state {
                SettlementState::Failed => break Ok(row),
                SettlementState::Settled => match self.stands(&row).await {
                    Ok(true) => break Ok(row),
                    Ok(false) => {}
                    Err(error) => break Err(error),
                },
                SettlementState::Queued | SettlementState::Sent => {}
            }
            if tokio::time::timeout_at(until, changes.changed()).await.is_err() {
                break Ok(row);
            }
        };
        drop(changes);
        self.waiters.leave(payment);
        waited
    }

    /// A settlement that failed, and that the index shows settled by somebody else since. Whoever signed it paid.
    async fn settled_since(&self, row: SettlementRow) -> Result<SettlementRow, SettleFault> {
        if row.state != SettlementState::Failed {
            return Ok(row);
        }
        let (chain, payment) = (row.claimed.chain, row.claimed.payment);
        let Some(elsewhere) = found::indexed(&self.store, &row, None).await.map_err(fault)? else {
            return Ok(row);
        };
        let settled = SettlementOutcome::Settled { elsewhere: Some(elsewhere), cost: GasCost::default() };
        self.store.conclude_settlement(chain, row.number, settled).await.map_err(fault)?;
        Ok(self.store.settlement(chain, payment).await.map_err(fault)?.unwrap_or(row))
    }

    /// What is known of a claimed payment, for whoever has it verified or settled. One that may be claimed again is not known. But
    /// whoever has a charge verified that reverted would do the work for it once more.
    pub(super) async fn known_of(
        &self,
        row: SettlementRow,
        purpose: Purpose,
    ) -> Result<Option<Known>, SettleFault> {
        let row = self.settled_since(row).await?;
        let was_sent = row.slots > 0 && purpose == Purpose::Verify;
        if row.state == SettlementState::Failed && row.again && !was_sent {
            return Ok(None);
        }
        let authorization = kept::Kept::of(&row).map(kept::Kept::without_signatures);
        let charge = row.claimed.charge.0;
        let settled = self.told(row).await?;
        Ok(Some(Known { authorization, charge, settled }))
    }
}

fn reason(name: Option<&str>) -> X402Reason {
    let named = X402Reason::ALL.iter().copied().find(|reason| Some(reason.as_str()) == name);
    named.unwrap_or(X402Reason::UnexpectedSettleError)
}

/// The database failed.
pub(super) fn fault(error: StoreError) -> SettleFault {
    SettleFault::Storage(error.to_string())
}
