//! Follows one chain: from its start block to its head, and then each new head.

use std::sync::Arc;
use std::time::Duration;

use salt402_chain::{At, Node, NodeError, Pool, Work};
use salt402_store::{Cursor, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backfill::added_source::{AddedSources, key};
use crate::backfill::node_widths::NodeWidths;
use crate::backfill::run::{Ended, Run, back_fill};
use crate::follow::identity::identify;
use crate::follow::lower_fork::{Lower, LowerFork};
use crate::follow::ticks::Ticks;
use crate::follow::{ancestry, halt, new_blocks, replace};
use crate::lookup::orphans::Orphans;
use crate::lookup::receipt::ReceiptLookup;
use crate::lookup::unreadable::UnreadableTransactions;
use crate::state::{Followed, FollowerOptions, Health, IndexError, Report, pinned};

/// How many new blocks one step takes at the head. A failed step begins again. With many blocks in one step, a node
/// that fails now and then would never let it end.
const STRIDE: u64 = 32;
/// The first and the longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Follows one chain into the store. The crate's page says how.
pub struct Follower {
    followed: Followed,
    report: Report,
    lookup: ReceiptLookup,
    /// How many blocks one question about a range spans, per node.
    widths: NodeWidths,
    lower_fork: LowerFork,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Something was indexed, and there may be more.
    Advanced,
    /// The index stands at the node's head.
    AtHead,
}

impl Follower {
    /// A follower, and its state, which it updates. The pool limits how long each answer is waited for, so that a
    /// hanging question does not stop the follower without a word.
    pub fn new(pool: Pool, store: Store, options: FollowerOptions) -> (Self, watch::Receiver<Health>) {
        let (health, watcher) = watch::channel(Health::starting());
        let nodes: Arc<dyn Node> = Arc::new(pool);
        let lookup = ReceiptLookup::new(Arc::clone(&nodes), store.clone(), options.clone());
        let widths = NodeWidths::new(nodes.profile().logs_range);
        let first = options.start_block();
        let node = Arc::clone(&nodes);
        let followed = Followed { nodes, node, store, options, first, failing: Arc::default(), health };
        let report = Report::new(&followed);
        (Self { followed, report, lookup, widths, lower_fork: LowerFork::default() }, watcher)
    }

    /// Looks receipts up on this chain. The follower uses the same one, with the same limits.
    pub fn lookup(&self) -> ReceiptLookup {
        self.lookup.clone()
    }

    /// Follows until `stop`. Failures of the node or the store are retried with growing pauses. What only the operator
    /// can repair halts the follower: another chain, a reset chain, or a reorganization deeper than what is final. A
    /// halted follower reports that until the operator has decided. What is indexed can still be read.
    ///
    /// It stops at any point, also while it waits for a node, because a step is one transaction.
    pub async fn run(mut self, stop: CancellationToken) {
        let connected = CancellationToken::new();
        let added = AddedSources::new(self.followed.clone(), self.widths.of_others(), connected.clone());
        let orphans = Orphans::new(self.lookup.clone());
        let unreadable = UnreadableTransactions::new(self.lookup.clone());
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow(connected) => {}
            () = added.run() => {}
            () = orphans.run() => {}
            () = unreadable.run() => {}
        }
    }

    async fn follow(&mut self, begun: CancellationToken) {
        let mut pause = PAUSES.0;
        let mut connected = false;
        let mut ticks = Ticks::default();
        loop {
            let step = match pinned(&self.followed.nodes, Work::Head).await {
                Ok(node) => {
                    self.followed.node = node;
                    if connected { self.step().await } else { self.connect().await.map(|()| Step::Advanced) }
                }
                Err(error) => Err(error.into()),
            };
            match step {
                Ok(step) => {
                    if !connected {
                        connected = true;
                        begun.cancel();
                        let FollowerOptions { chain, sources } = &self.followed.options;
                        tracing::info!(%chain, contracts = sources.len(), "following");
                    }
                    pause = PAUSES.0;
                    if step == Step::AtHead {
                        ticks.next(&*self.followed.nodes).await;
                    }
                }
                // If one of several nodes shows this, that is no reason to halt while another can be asked.
                Err(error)
                    if !error.is_fatal()
                        || (!error.is_stored() && self.followed.node.reject(&error.to_string())) =>
                {
                    self.report.failed(&error);
                    // After a failure there may be another node behind the same address.
                    connected =
                        connected && !matches!(error, IndexError::Node(NodeError::Unreachable { .. }));
                    // A node may name a pause of 0 although it is overloaded.
                    let pause_now = error.retry_after().map_or(pause, |after| after.max(PAUSES.0));
                    tokio::time::sleep(pause_now).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                Err(error) => {
                    self.report.halted(&error);
                    halt::halted(&self.followed, &error).await;
                    connected = false;
                }
            }
        }
    }

    /// The first contact: checks that this is the right chain, and stores what is followed on it from now on.
    async fn connect(&mut self) -> Result<(), IndexError> {
        identify(&self.followed).await?;
        let FollowerOptions { chain, sources } = &self.followed.options;
        let sources = sources.iter().map(|source| (key(source), source.start_block)).collect();
        self.followed.first = self.followed.store.follow_sources(*chain, sources).await?;
        Ok(())
    }

    async fn step(&mut self) -> Result<Step, IndexError> {
        let chain = self.followed.options.chain;
        let profile = self.followed.node.profile();
        let (finality_depth, window) = (profile.finality_depth, profile.reorg_window);
        let state = self.followed.store.chain_state(chain).await?;
        let cursor = state.and_then(|state| state.cursor);
        let fork_above = state.and_then(|state| state.lower_fork_at);
        if let Some(halt) = state.and_then(|state| state.halt) {
            replace::accepted(&self.followed, &self.report, cursor, halt).await?;
            return Ok(Step::Advanced);
        }
        let head = self.followed.node.header(At::Latest).await?.ok_or(NodeError::Behind)?;
        let start = self.followed.first;
        let next = cursor.map_or(start, |cursor| cursor.number + 1);
        let settled = head.number.saturating_sub(finality_depth);

        if next <= settled {
            self.back_fill(Run { cursor, from: next, settled, head: head.number }).await?;
            return Ok(Step::Advanced);
        }
        match self.lower_fork.judge(&self.followed, cursor, fork_above, &head).await? {
            Some(Lower::Lags | Lower::Waits) => {
                self.report.behind(cursor, head.number);
                return Ok(Step::AtHead);
            }
            Some(Lower::Stays) | None => {}
        }
        if head.number < start {
            self.report.at_head(cursor, &head).await?;
            return Ok(Step::AtHead);
        }
        let last = head.number.min(next.saturating_add(STRIDE - 1));
        let node = &*self.followed.node;
        let top = if last < head.number {
            node.header(At::Number(last)).await?.ok_or(NodeError::Behind)?
        } else {
            head
        };
        let path = ancestry::path(node, &self.followed.store, chain, cursor, start, window, top).await;
        if matches!(&path, Ok(ancestry::Path { keep_through: Some(_), .. }) | Err(IndexError::TooDeep { .. }))
        {
            // A fork is one thing, a reset chain another: nothing of a reset chain may replace stored blocks.
            identify(&self.followed).await?;
        }
        let path = path?;
        halt::within_finality(&self.followed, cursor, path.keep_through)?;
        if let Some(tip) = path.fresh.last() {
            let tip = Cursor { number: tip.number, hash: tip.hash };
            let batch = new_blocks::read(&self.followed, cursor, path, tip, head.number).await?;
            let found = batch.payments.len() as u64;
            self.report.commit(batch).await?;
            self.report.count(found, tip.number, head.number);
            self.report.noted(head.number);
            if tip.hash != head.hash {
                self.report.catching_up(tip.number, head.number);
                return Ok(Step::Advanced);
            }
            self.report.at_head(Some(tip), &head).await?;
        } else {
            self.lower_fork.end(&self.followed, fork_above).await?;
            self.report.at_head(cursor, &head).await?;
        }
        Ok(Step::AtHead)
    }

    /// Reads the settled blocks of a run, from where the node's chain and the stored one are still the same.
    async fn back_fill(&mut self, run: Run) -> Result<(), IndexError> {
        self.followed.node = pinned(&self.followed.node, Work::BackFill).await?;
        match back_fill(&self.followed, &mut self.report, &mut self.widths, run).await? {
            Ended::Stored => Ok(()),
            Ended::Forked => replace::forked(&self.followed, &mut self.report, &mut self.widths, run).await,
        }
    }
}

/// A follower is spawned as a task. A fault of that kind is reported here.
const _: fn(Follower, CancellationToken) = |follower, stop| {
    fn is_send<T: Send>(_: T) {}
    is_send(follower.run(stop));
};
