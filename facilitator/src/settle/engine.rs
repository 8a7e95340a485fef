//! What settles, as the facilitator asks it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use salt402_chain::AccountState;
use salt402_http::{Bucket, Rate, Recent};
use salt402_protocol::{ChainId, PaymentId, X402Reason};
use salt402_store::{
    CalledValid, GasBudget, IndexChanges, KeptFor, SettlementAttempt, SettlementClaim, SettlementFilter,
    SettlementRow, SettlementState, Store, StoreError, Told, ValidCall,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::authorization::{Authorization, Method};
use crate::metrics;
use crate::said::OF_ANOTHER;
use crate::settle::kept;
use crate::settle::lane::{Lane, Parts};
use crate::settle::lock::{self, LockError};
use crate::settle::options::{SettleChain, SettleOptions};
use crate::settle::prune::prune;
use crate::settle::results::{Purpose, Results, fault};
use crate::settle::waiters::Waiters;
use crate::settler::{Approved, Known, Recorded, SettleFault, Settled, Settler};

/// How long a caller waits where there is no room, in milliseconds.
const BUSY_MS: u64 = 2_000;

/// How many refusals of one caller are written down.
const WRITTEN: Rate = Rate { per_minute: 30, burst: 30 };

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

/// Settles approved authorizations. Its tasks end when it is dropped, and a new one over the same database goes on where they
/// were.
pub struct Engine {
    store: Store,
    options: Arc<SettleOptions>,
    results: Results,
    lanes: BTreeMap<ChainId, Lane>,
    pruning: JoinHandle<()>,
    /// Which callers' refusals are written down. A std mutex, because nothing is awaited while it is held.
    refused: Mutex<Recent<Option<String>, Bucket>>,
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
            let mut locks = Vec::with_capacity(chain.accounts.len());
            let mut known: Vec<Address> = Vec::with_capacity(chain.accounts.len());
            for account in &chain.accounts {
                if known.contains(&account.address()) {
                    return Err(SettleError::Accounts { chain: chain.chain });
                }
                known.push(account.address());
                locks.push(Arc::new(lock::take(&options.locks, chain.chain, account.address())?));
            }
            if locks.is_empty() {
                return Err(SettleError::Accounts { chain: chain.chain });
            }
            let (store, options, waiters) = (store.clone(), Arc::clone(&options), Arc::clone(&waiters));
            ready.push(Parts { chain, store, options, waiters, locks });
        }
        let lanes: BTreeMap<ChainId, Lane> = ready
            .into_iter()
            .map(|parts| (parts.chain.chain, Lane::start(parts, changes.subscribe())))
            .collect();
        let named = lanes.keys().copied().collect();
        let pruning = tokio::spawn(prune(store.clone(), named, options.keep_attempts));
        let results = Results { store: store.clone(), waiters, wait: options.wait };
        Ok(Self { store: store.clone(), options, results, lanes, pruning, refused: Mutex::default() })
    }

    /// The accounts that settle, as they were seen last.
    pub fn signers_report(&self) -> Vec<SignerReport> {
        let of = |(chain, lane): (&ChainId, &Lane)| {
            let chain = *chain;
            lane.standing.accounts().into_iter().map(move |standing| SignerReport {
                chain,
                account: standing.address,
                state: standing.state,
            })
        };
        self.lanes.iter().flat_map(of).collect()
    }

    /// Ends the tasks, and waits until they have ended.
    pub async fn stop(mut self) {
        for lane in std::mem::take(&mut self.lanes).into_values() {
            lane.stop().await;
        }
    }

    /// Whether an authorization is claimed: then it has a result, or will have one, and needs no room.
    async fn is_claimed(&self, authorization: &Authorization) -> Result<bool, SettleFault> {
        let row = self.store.settlement(authorization.chain, authorization.id()).await.map_err(fault)?;
        Ok(row.is_some_and(|row| !(row.state == SettlementState::Failed && row.again)))
    }

    /// Refuses what there is no room for, before anything is claimed.
    async fn room(&self, lane: &Lane, authorization: &Authorization) -> Result<(), SettleFault> {
        let chain = authorization.chain;
        let busy = |why, what: &str| {
            metrics::settling::refused(chain, why);
            Err(SettleFault::Busy { retry_after_ms: BUSY_MS, what: what.to_owned() })
        };
        if let Some(complaint) = lane.standing.complaint() {
            return busy("broken", complaint);
        }
        // Under `upto` the payer names the only account that may send it.
        let named = match authorization.method {
            Method::Permit2Upto { facilitator, .. } => Some(facilitator),
            _ => None,
        };
        if !lane.standing.can_send(named) {
            let what = match named {
                Some(_) => "the account that this permit names cannot send on this chain now",
                None => "no account can send on this chain now",
            };
            return busy("no_account", what);
        }
        let limit = u32::try_from(self.options.queue).unwrap_or(u32::MAX);
        let waiting = self.store.queued_settlements_at_least(chain, limit).await.map_err(fault)?;
        if waiting {
            return busy("queue", "too many settlements wait on this chain");
        }
        Ok(())
    }

    /// Writes down that a settlement was refused: some of each caller's, so that whoever is refused cannot fill the disk. All are
    /// counted.
    async fn refused(&self, approved: &Approved, outcome: &'static str, detail: String) {
        let authorization = &approved.authorization;
        let is_written = {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.of_key(approved.caller.clone()).take(WRITTEN, Instant::now()).is_ok()
        };
        if !is_written {
            metrics::settling::unwritten(authorization.chain, outcome);
            return;
        }
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
    async fn known(&self, chain: ChainId, id: PaymentId) -> Result<Option<Known>, SettleFault> {
        match self.store.settlement(chain, id).await.map_err(fault)? {
            Some(row) => self.results.known_of(row, Purpose::Verify).await,
            None => Ok(None),
        }
    }

    async fn outcome(&self, chain: ChainId, id: PaymentId) -> Result<Option<Known>, SettleFault> {
        match self.store.settlement(chain, id).await.map_err(fault)? {
            Some(row) => {
                let row = self.results.wait(row).await?;
                self.results.known_of(row, Purpose::Settle).await
            }
            None => Ok(None),
        }
    }

    async fn kept_for(
        &self,
        chain: ChainId,
        id: PaymentId,
        key: Option<&str>,
    ) -> Result<KeptFor, SettleFault> {
        self.store.kept_for(chain, id, key).await.map_err(fault)
    }

    async fn call_valid(&self, calls: Vec<ValidCall>) -> Result<Vec<bool>, SettleFault> {
        self.store.call_valid(calls).await.map_err(fault)
    }

    async fn called_valid(&self, chain: ChainId, id: PaymentId) -> Result<Option<CalledValid>, SettleFault> {
        self.store.called_valid(chain, id).await.map_err(fault)
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
        // Whoever shows a copy of what is claimed is told what came of it, also where there is no room for more.
        if !approved.charge.is_zero()
            && let Err(no_room) = self.room(lane, authorization).await
            && !self.is_claimed(authorization).await?
        {
            return Err(no_room);
        }
        let cursor = self.store.chain_state(chain).await.map_err(fault)?.and_then(|state| state.cursor);
        let since = cursor.map_or(0, |cursor| cursor.number);
        let cap = self.options.gas_caps.of(&authorization.method);
        let new =
            kept::new(&approved, cap, since).map_err(|error| SettleFault::Storage(error.to_string()))?;
        let key = approved.key.clone();
        let row = match self.store.claim_settlement(new, self.options.budgets, key).await.map_err(fault)? {
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
            SettlementClaim::OfAnother => {
                let reason = kept::used_reason(&authorization.method);
                self.refused(&approved, "refused", OF_ANOTHER.to_owned()).await;
                return Err(SettleFault::Refused { reason, detail: OF_ANOTHER.to_owned() });
            }
            SettlementClaim::OverBudget { budget, retry_after_ms } => {
                metrics::settling::refused(chain, budget.name());
                let what = format!("the day's gas {} is used up", whose(budget));
                self.refused(&approved, "over_budget", what.clone()).await;
                return Err(SettleFault::Busy { retry_after_ms, what });
            }
        };
        let row = self.results.wait(row).await?;
        self.results.told(row).await
    }

    async fn tell(&self, chain: ChainId, id: PaymentId, key: Option<B256>) -> Result<Told, SettleFault> {
        self.store.tell_settlement(chain, id, key).await.map_err(fault)
    }

    async fn recorded(&self, authorization: &Authorization, id: PaymentId) -> Result<Recorded, SettleFault> {
        let Authorization { chain, token, payer, .. } = *authorization;
        // Before what is promised: a block that comes in between makes it too low, and not too high.
        let height = self.lanes.get(&chain).and_then(|lane| lane.standing.height());
        let found = self.store.recorded(chain, id, token, payer).await.map_err(fault)?;
        let known = if found.is_claimed { self.known(chain, id).await? } else { None };
        Ok(Recorded { known, is_on_chain: found.is_on_chain, promised: found.promised.0, height })
    }

    async fn wait_for(&self, chain: ChainId, height: u64) {
        if let Some(lane) = self.lanes.get(&chain) {
            lane.standing.wait_for(height).await;
        }
    }

    fn complaint(&self, chain: ChainId) -> Option<String> {
        self.lanes.get(&chain).and_then(|lane| lane.standing.complaint()).map(str::to_owned)
    }

    fn signers(&self, chain: ChainId) -> Vec<Address> {
        self.lanes.get(&chain).map(|lane| lane.accounts.clone()).unwrap_or_default()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.pruning.abort();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("chains", &self.lanes.keys()).finish_non_exhaustive()
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
