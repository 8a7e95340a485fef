//! The task of one chain: it looks when it is woken, and sleeps otherwise.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use salt402_chain::{AccountState, Fees, NodeError, StateQuestion};
use salt402_protocol::foreign::MULTICALL3;
use salt402_store::{Cursor, OpenSlot, Slot, SlotState, SlotTransaction, Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::metrics::settling as metrics;
use crate::settle::options::{SettleChain, SettleOptions};
use crate::settle::signer::{Signer, filler};
use crate::settle::standing::{AccountStanding, Standing};
use crate::settle::waiters::Waiters;

/// The first pause after something failed. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How long the task sleeps where nothing is on its way.
const IDLE: Duration = Duration::from_secs(60);
/// A transaction that the node refused is sent again after this, and not only after the time of a stall.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);
/// The most nonces that are filled at once.
const MOST_FILLED: u64 = 64;
/// An account that cannot pay for this much gas sends nothing.
const LEAST_GAS: u64 = 100_000;
/// After how long it is asked again whether Multicall3 is there.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// Why the task cannot go on now. It tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node is ahead of the index: the next block will tell.
    #[error("the index is behind what was found")]
    Later,
}

/// When a slot's transactions were sent last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    /// The transaction.
    pub(super) hash: B256,
    /// When this process sent it first, and where the index stood then.
    pub(super) first: (Instant, u64),
    /// Whether the node refused it.
    pub(super) refused: bool,
}

impl Sent {
    fn due_at(&self, stall: Duration) -> Instant {
        self.at + if self.refused { AFTER_REFUSAL.min(stall) } else { stall }
    }

    /// Whether it was there for blocks to take, and none did.
    pub(super) fn is_passed_over(&self, stall: Duration, height: u64) -> bool {
        let (at, then) = self.first;
        // Without new blocks, no fee is high enough.
        at.elapsed() >= stall && height >= then.saturating_add(2)
    }

    pub(super) fn is_due(&self, stall: Duration) -> bool {
        Instant::now() >= self.due_at(stall)
    }
}

/// What settles on one chain.
pub(super) struct Task {
    pub(super) chain: SettleChain,
    pub(super) store: Store,
    pub(super) options: Arc<SettleOptions>,
    pub(super) waiters: Arc<Waiters>,
    pub(super) standing: Arc<Standing>,
    pub(super) wake: Arc<Notify>,
    pub(super) signers: Vec<Signer>,
    /// Where the index stood when all was brought up to it last.
    cursor: Option<Cursor>,
    /// Where it stands.
    pub(super) height: u64,
    /// When slots were sent. A slot that is not in it was sent before this process began, or not at all.
    pub(super) sent: HashMap<Slot, Sent>,
    /// Slots of which a transaction was mined, in a block that the index does not have, or with an outcome that is not known yet.
    pub(super) awaited: HashSet<Slot>,
    /// At which height it was first seen that another's transaction has a slot's nonce.
    pub(super) overtaken: HashMap<Slot, u64>,
    /// Transactions whose block left the chain, and that were counted in the metrics.
    pub(super) counted: HashSet<B256>,
    /// How many slots of an account are open.
    pub(super) open: HashMap<Address, usize>,
    /// Settlements that could not be judged, and when they are tried again.
    pub(super) put_off: HashMap<u64, (Instant, u32)>,
    /// Settlements whose nonce is used by a transaction that no log shows, and the height and the time at which that was seen first.
    pub(super) unfound: HashMap<u64, (u64, Instant)>,
    /// Which settlement a transaction stands for that does not say whose its transfer is.
    pub(super) unclear: HashMap<B256, u64>,
    /// Since when what waits waits for others.
    pub(super) waiting_since: Option<Instant>,
    /// Whether Multicall3 is on the chain, and when that was asked.
    pub(super) multicall: Option<(bool, Instant)>,
}

impl Task {
    pub(super) fn new(
        chain: SettleChain,
        store: Store,
        options: Arc<SettleOptions>,
        waiters: Arc<Waiters>,
        standing: Arc<Standing>,
        wake: Arc<Notify>,
        signers: Vec<Signer>,
    ) -> Self {
        Self {
            chain,
            store,
            options,
            waiters,
            standing,
            wake,
            signers,
            cursor: None,
            height: 0,
            sent: HashMap::new(),
            awaited: HashSet::new(),
            overtaken: HashMap::new(),
            counted: HashSet::new(),
            open: HashMap::new(),
            put_off: HashMap::new(),
            unfound: HashMap::new(),
            unclear: HashMap::new(),
            waiting_since: None,
            multicall: None,
        }
    }

    /// Runs until the store closes. Dropping it at any await loses nothing.
    pub(super) async fn run(mut self, mut changes: watch::Receiver<u64>) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.look().await {
                Ok(sleep) => {
                    pause = FIRST_PAUSE;
                    tokio::select! {
                        () = self.wake.notified() => {}
                        changed = changes.changed() => if changed.is_err() { return },
                        () = tokio::time::sleep(sleep) => {}
                    }
                }
                // The next block tells.
                Err(Trouble::Later) => {
                    tokio::select! {
                        changed = changes.changed() => if changed.is_err() { return },
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(Trouble::Store(StoreError::Closed)) => return,
                Err(trouble) => {
                    tracing::warn!(%trouble, chain = %self.chain.chain, "settling pauses");
                    metrics::paused(self.chain.chain);
                    tokio::time::sleep(FIRST_PAUSE).await;
                    // A block that comes shows that the node answers again.
                    tokio::select! {
                        changed = changes.changed() => if changed.is_err() { return },
                        () = tokio::time::sleep(pause.saturating_sub(FIRST_PAUSE)) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Does all that can be done now. Returns how long nothing will be to do, if nobody wakes the task.
    pub(super) async fn look(&mut self) -> Result<Duration, Trouble> {
        let Some(cursor) = self.store.chain_state(self.chain.chain).await?.and_then(|state| state.cursor)
        else {
            return Ok(IDLE);
        };
        self.height = cursor.number;
        let mut reconciled = Ok(());
        let moved = self.cursor != Some(cursor);
        if moved || self.signers.iter().any(|signer| signer.next.is_none()) || self.is_stalled() {
            if moved {
                // Balances and the price of gas are asked anew when they are needed.
                self.signers.iter_mut().for_each(|signer| signer.state = None);
            }
            // What cannot be judged now keeps nothing else waiting, and is looked at again.
            self.cursor = None;
            reconciled = self.reconcile(cursor).await;
            self.prepare_signers(cursor).await?;
            if reconciled.is_ok() {
                self.cursor = Some(cursor);
                self.standing.reached(cursor.number);
            }
        }
        let delay = self.dispatch(cursor).await;
        self.tell_standing();
        reconciled?;
        Ok(self.next_look(delay?))
    }

    fn is_stalled(&self) -> bool {
        self.sent.values().any(|sent| sent.is_due(self.options.stall))
    }

    fn next_look(&self, delay: Option<Duration>) -> Duration {
        let now = Instant::now();
        let stalls = self.sent.values().map(|sent| sent.due_at(self.options.stall));
        let put_off = self.put_off.values().map(|(at, _)| *at);
        let next = stalls.chain(put_off).map(|at| at.saturating_duration_since(now)).min();
        next.unwrap_or(IDLE).min(delay.unwrap_or(IDLE)).min(IDLE).max(Duration::from_millis(1))
    }

    /// Finds the next nonce of accounts that do not have one: by the chain and by what is on disk. Nonces in between that no
    /// transaction has are used up, since nothing behind them would be mined.
    async fn prepare_signers(&mut self, cursor: Cursor) -> Result<(), Trouble> {
        for place in 0..self.signers.len() {
            let Some(signer) = self.signers.get(place) else { break };
            if signer.next.is_some() {
                continue;
            }
            let address = signer.address();
            let state = self.chain.node.account(address).await?;
            self.note_account(place, state);
            let last = self.store.last_slot_nonce(self.chain.chain, address).await?;
            let next = last.map_or(0, |last| last.saturating_add(1)).max(state.mined);
            let Some(signer) = self.signers.get_mut(place) else { break };
            if signer.waits_for_strangers(next, cursor.number) {
                tracing::warn!(
                    account = %address, pending = state.pending, next,
                    "the node holds transactions of this account that are not ours: it sends nothing until they are mined"
                );
                continue;
            }
            for nonce in (state.mined..next).take(usize::try_from(MOST_FILLED).unwrap_or(usize::MAX)) {
                self.fill(place, nonce).await?;
            }
            if let Some(signer) = self.signers.get_mut(place) {
                signer.next = Some(next);
            }
        }
        Ok(())
    }

    /// Uses a nonce up, if no transaction has it.
    async fn fill(&mut self, place: usize, nonce: u64) -> Result<(), Trouble> {
        let Some(signer) = self.signers.get(place) else { return Ok(()) };
        let Some(state) = signer.state else { return Ok(()) };
        let profile = self.chain.node.profile().clone();
        let fees = Fees::of(state.base_fee, state.tip, &profile)?;
        let prepared = signer.account.prepare_at(&profile, &filler(signer.address()), nonce, fees)?;
        let transaction = SlotTransaction {
            slot: Slot { signer: signer.address(), nonce },
            hash: prepared.hash,
            raw: prepared.raw.to_vec(),
            carries: false,
            gas_limit: prepared.gas_limit,
            max_fee_per_gas: prepared.max_fee_per_gas,
            tip: fees.tip,
            state: SlotState::Open,
            block: None,
        };
        if self.store.assign_settlements(self.chain.chain, transaction.clone(), Vec::new()).await? {
            tracing::warn!(account = %transaction.slot.signer, nonce, "a nonce that no transaction had is used up");
            metrics::resent(self.chain.chain, "filled");
            self.submit(&transaction).await;
        }
        Ok(())
    }

    pub(super) fn note_account(&mut self, place: usize, state: AccountState) {
        if let Some(signer) = self.signers.get_mut(place) {
            let decimals = self.chain.node.profile().native_decimals;
            metrics::balance(self.chain.chain, signer.address(), state.balance, decimals);
            signer.state = Some(state);
        }
    }

    pub(super) fn count_open(&mut self, open: &[OpenSlot]) {
        self.open.clear();
        for slot in open {
            *self.open.entry(slot.slot.signer).or_default() += 1;
        }
        self.sent.retain(|slot, _| open.iter().any(|open| open.slot == *slot));
        metrics::open(self.chain.chain, open.len());
    }

    /// The time of the newest indexed block, in seconds since 1970.
    pub(super) async fn time(&self, cursor: Cursor) -> Result<u64, Trouble> {
        let block = self.store.canonical_block(self.chain.chain, cursor.number).await?;
        // A cursor that moved meanwhile is looked at again with the next block.
        block.map(|block| block.timestamp).ok_or(Trouble::Later)
    }

    /// Whether Multicall3 is on the chain.
    pub(super) async fn has_multicall(&mut self) -> Result<bool, Trouble> {
        if let Some((known, at)) = self.multicall
            && (known || at.elapsed() < ASK_AGAIN)
        {
            return Ok(known);
        }
        let code = self.chain.node.state(&[StateQuestion::Code(MULTICALL3)]).await?.into_iter().next();
        let known = match code {
            Some(code) => !code?.is_empty(),
            None => false,
        };
        self.multicall = Some((known, Instant::now()));
        Ok(known)
    }

    /// Tells callers which accounts can send.
    fn tell_standing(&self) {
        let profile = self.chain.node.profile();
        let is_rich = |state: AccountState| {
            let fee = Fees::of(state.base_fee, state.tip, profile).map(|fees| fees.max_fee_per_gas);
            state.balance >= U256::from(LEAST_GAS) * U256::from(fee.unwrap_or(profile.max_fee_per_gas))
        };
        let of = |signer: &Signer| AccountStanding {
            address: signer.address(),
            state: signer.state,
            can_send: signer.next.is_some() && signer.overtaken.is_none() && signer.state.is_none_or(is_rich),
        };
        self.standing.set(self.signers.iter().map(of).collect());
    }
}
