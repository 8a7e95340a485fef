//! What settles, as the facilitator asks it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use salt402_chain::AccountState;
use salt402_protocol::{ChainId, PaymentId, X402Reason};
use salt402_store::{
    GasBudget, GasCost, IndexChanges, SettlementAttempt, SettlementClaim, SettlementFilter,
    SettlementOutcome, SettlementRow, SettlementState, SlotState, Store, StoreError,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::metrics;
use crate::settle::lock::{self, LockError};
use crate::settle::options::{SettleChain, SettleOptions};
use crate::settle::signer::Signer;
use crate::settle::standing::Standing;
use crate::settle::task::Task;
use crate::settle::waiters::Waiters;
use crate::settle::{found, kept};
use crate::settler::{Approved, Known, SettleFault, Settled, Settler};

/// How long a caller waits where there is no room, in milliseconds.
const BUSY_MS: u64 = 2_000;
/// How often old attempts are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// Why settling cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// An account cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A chain has no account, or one twice.
    #[error("{chain}: name at least one account that settles, and each once")]
    Accounts {
        /// The chain.
        chain: ChainId,
    },
}

/// An account that settles, as it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignerReport {
    /// The chain.
    pub chain: ChainId,
    /// The account.
    pub account: Address,
    /// What the node said of it. `None`: nothing yet.
    pub state: Option<AccountState>,
}

/// One chain, as callers see it.
struct Lane {
    accounts: Vec<Address>,
    wake: Arc<Notify>,
    standing: Arc<Standing>,
    task: JoinHandle<()>,
}

/// Settles approved authorizations. Its tasks end when it is dropped, and a new one over the same database goes on where they
/// were.
pub struct Engine {
    store: Store,
    options: Arc<SettleOptions>,
    waiters: Arc<Waiters>,
    lanes: BTreeMap<ChainId, Lane>,
    pruning: JoinHandle<()>,
}

impl Engine {
    /// Begins to settle: takes the accounts' locks, and runs a task for each chain. Call it in a tokio runtime. Nodes need not be
    /// reachable yet.
    ///
    /// # Errors
    /// Another process settles with one of the accounts.
    pub fn start(
        store: &Store,
        changes: &IndexChanges,
        chains: Vec<SettleChain>,
        options: SettleOptions,
    ) -> Result<Self, SettleError> {
        let options = Arc::new(options);
        let waiters = Arc::new(Waiters::default());
        // All locks are taken before the first task runs.
        let mut ready = Vec::with_capacity(chains.len());
        for chain in chains {
            let mut signers: Vec<Signer> = Vec::with_capacity(chain.accounts.len());
            for account in &chain.accounts {
                if signers.iter().any(|known| known.address() == account.address()) {
                    return Err(SettleError::Accounts { chain: chain.chain });
                }
                let lock = lock::take(&options.locks, chain.chain, account.address())?;
                signers.push(Signer::new(Arc::clone(account), lock));
            }
            if signers.is_empty() {
                return Err(SettleError::Accounts { chain: chain.chain });
            }
            ready.push((chain, signers));
        }
        let named: Vec<ChainId> = ready.iter().map(|(chain, _)| chain.chain).collect();
        let mut lanes = BTreeMap::new();
        for (chain, signers) in ready {
            let (id, wake, standing) = (chain.chain, Arc::new(Notify::new()), Arc::new(Standing::default()));
            let accounts: Vec<Address> = signers.iter().map(Signer::address).collect();
            standing.set(true, accounts.iter().map(|account| (*account, None)).collect());
            let task = Task::new(
                chain,
                store.clone(),
                Arc::clone(&options),
                Arc::clone(&waiters),
                Arc::clone(&standing),
                Arc::clone(&wake),
                signers,
            );
            let task = tokio::spawn(task.run(changes.subscribe()));
            lanes.insert(id, Lane { accounts, wake, standing, task });
        }
        let pruning = tokio::spawn(prune(store.clone(), named, options.keep_attempts));
        Ok(Self { store: store.clone(), options, waiters, lanes, pruning })
    }

    /// The accounts that settle, as they were seen last.
    pub fn signers_report(&self) -> Vec<SignerReport> {
        let of = |(chain, lane): (&ChainId, &Lane)| {
            let chain = *chain;
            lane.standing.accounts().into_iter().map(move |(account, state)| SignerReport {
                chain,
                account,
                state,
            })
        };
        self.lanes.iter().flat_map(of).collect()
    }

    /// Ends the tasks, and waits until they have ended.
    pub async fn stop(mut self) {
        for lane in std::mem::take(&mut self.lanes).into_values() {
            lane.task.abort();
            let _ = lane.task.await;
        }
    }

    async fn row(&self, id: PaymentId) -> Result<Option<SettlementRow>, SettleFault> {
        for chain in self.lanes.keys() {
            if let Some(row) = self.store.settlement(*chain, id).await.map_err(fault)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// How a settlement stands, for its callers.
    async fn told(&self, row: SettlementRow) -> Result<Settled, SettleFault> {
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
    async fn wait(&self, mut row: SettlementRow) -> Result<SettlementRow, SettleFault> {
        let (chain, payment) = (row.claimed.chain, row.claimed.payment);
        let until = Instant::now() + self.options.wait;
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

    async fn known_of(&self, row: SettlementRow) -> Result<Option<Known>, SettleFault> {
        let row = self.settled_since(row).await?;
        // It may be claimed again, so nothing is known of it.
        if row.state == SettlementState::Failed && row.again {
            return Ok(None);
        }
        let authorization = kept::Kept::of(&row).map(|kept| kept.authorization);
        let charge = row.claimed.charge.0;
        let settled = self.told(row).await?;
        Ok(Some(Known { authorization, charge, settled }))
    }

    /// Refuses what there is no room for, before anything is claimed.
    async fn room(&self, chain: ChainId, lane: &Lane) -> Result<(), SettleFault> {
        let busy = |why, what: &str| {
            metrics::settling::refused(chain, why);
            Err(SettleFault::Busy { retry_after_ms: BUSY_MS, what: what.to_owned() })
        };
        if !lane.standing.can_send() {
            return busy("no_account", "no account can send on this chain now");
        }
        let limit = u32::try_from(self.options.queue).unwrap_or(u32::MAX);
        let waiting = self.store.queued_settlements_at_least(chain, limit).await.map_err(fault)?;
        if waiting {
            return busy("queue", "too many settlements wait on this chain");
        }
        Ok(())
    }

    async fn refused(&self, approved: &Approved, outcome: &str, detail: String) {
        let authorization = &approved.authorization;
        let attempt = SettlementAttempt {
            chain: authorization.chain,
            payment: authorization.id(),
            caller: approved.caller.clone(),
            outcome: outcome.to_owned(),
            reason: None,
            detail: Some(detail),
            transaction: None,
            at_ms: 0,
        };
        if let Err(error) = self.store.note_settlement_attempt(attempt).await {
            tracing::warn!(%error, "an attempt to settle could not be written down");
        }
    }

    /// Settlements, the newest first, at most `limit`: what `salt402 settlements list` shows.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn list(
        &self,
        filter: &SettlementFilter,
        limit: u32,
    ) -> Result<Vec<SettlementRow>, StoreError> {
        self.store.settlements_where(filter, limit).await
    }
}

#[async_trait]
impl Settler for Engine {
    async fn known(&self, id: PaymentId) -> Result<Option<Known>, SettleFault> {
        match self.row(id).await? {
            Some(row) => self.known_of(row).await,
            None => Ok(None),
        }
    }

    async fn outcome(&self, id: PaymentId) -> Result<Option<Known>, SettleFault> {
        match self.row(id).await? {
            Some(row) => {
                let row = self.wait(row).await?;
                self.known_of(row).await
            }
            None => Ok(None),
        }
    }

    async fn settle(&self, approved: Approved) -> Result<Settled, SettleFault> {
        let authorization = &approved.authorization;
        let chain = authorization.chain;
        let lane = self.lanes.get(&chain).ok_or_else(|| SettleFault::Refused {
            reason: X402Reason::InvalidNetwork,
            detail: format!("nothing is settled on {chain} here"),
        })?;
        if approved.charge > authorization.amount {
            return Err(SettleFault::Refused {
                reason: X402Reason::UptoSettlementExceedsAmount,
                detail: format!(
                    "the charge {} is above the {} that were signed",
                    approved.charge, authorization.amount
                ),
            });
        }
        if !approved.charge.is_zero() {
            self.room(chain, lane).await?;
        }
        let cursor = self.store.chain_state(chain).await.map_err(fault)?.and_then(|state| state.cursor);
        let since = cursor.map_or(0, |cursor| cursor.number);
        let cap = self.options.gas_caps.of(&authorization.method);
        let new =
            kept::new(&approved, cap, since).map_err(|error| SettleFault::Storage(error.to_string()))?;
        let row = match self.store.claim_settlement(new, self.options.budgets).await.map_err(fault)? {
            SettlementClaim::New(row) => {
                lane.wake.notify_one();
                row
            }
            SettlementClaim::Known(row) => {
                if let Some(detail) = kept::difference(&row, &approved) {
                    self.refused(&approved, "refused", detail.clone()).await;
                    return Err(SettleFault::Refused {
                        reason: kept::used_reason(&authorization.method),
                        detail,
                    });
                }
                row
            }
            SettlementClaim::OverBudget { budget, retry_after_ms } => {
                metrics::settling::refused(chain, budget.name());
                let what = format!("the day's gas {} is used up", whose(budget));
                self.refused(&approved, "over_budget", what.clone()).await;
                return Err(SettleFault::Busy { retry_after_ms, what });
            }
        };
        let row = self.wait(row).await?;
        self.told(row).await
    }

    async fn tell(&self, chain: ChainId, id: PaymentId, key: Option<B256>) -> Result<bool, SettleFault> {
        self.store.tell_settlement(chain, id, key).await.map_err(fault)
    }

    async fn promised(&self, chain: ChainId, token: Address, payer: Address) -> Result<U256, SettleFault> {
        Ok(self.store.promised(chain, token, payer).await.map_err(fault)?.0)
    }

    fn signers(&self, chain: ChainId) -> Vec<Address> {
        self.lanes.get(&chain).map(|lane| lane.accounts.clone()).unwrap_or_default()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.pruning.abort();
        for lane in self.lanes.values() {
            lane.task.abort();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("chains", &self.lanes.keys()).finish_non_exhaustive()
    }
}

async fn prune(store: Store, chains: Vec<ChainId>, keep: Duration) {
    loop {
        let before =
            salt402_http::clock::now_ms().saturating_sub(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
        for chain in &chains {
            loop {
                match store.prune_settlement_attempts(*chain, before).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "old attempts to settle could not be deleted");
                        break;
                    }
                }
            }
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

fn whose(budget: GasBudget) -> &'static str {
    match budget {
        GasBudget::All => "of this chain",
        GasBudget::Payer => "of this payer",
        GasBudget::Token => "of this token",
        GasBudget::Caller => "of this caller",
    }
}

fn reason(name: Option<&str>) -> X402Reason {
    let named = X402Reason::ALL.iter().copied().find(|reason| Some(reason.as_str()) == name);
    named.unwrap_or(X402Reason::UnexpectedSettleError)
}

fn fault(error: StoreError) -> SettleFault {
    SettleFault::Storage(error.to_string())
}
