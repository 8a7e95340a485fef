//! One chain, from its start block to its head and along with it.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use futures::{StreamExt, TryStreamExt, stream};
use salt402_chain::{At, Node, NodeError, Readable, Span, Work};
use salt402_protocol::{ChainId, Source};
use salt402_store::{Batch, Cursor, Store, UndecodedLog};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::astray::Astray;
use crate::blocks::{Found, Questions};
use crate::doubt::{Doubt, Lower};
use crate::past::{self, Past};
use crate::patience::Patient;
use crate::sizings::Sizings;
use crate::stubborn::Stubborn;
use crate::ticks::Ticks;
use crate::unreadable::Unreadable;
use crate::{Health, IndexError, ancestry, blocks, undecoded};

/// Blocks whose logs are asked for at once, at the head.
const BLOCKS_IN_FLIGHT: usize = 8;
/// New blocks in one step, at the head. A step that fails is done again from its beginning: with all the blocks that
/// are not final yet in one, a node that fails now and then would never let it end.
const STRIDE: u64 = 32;
/// The first and the longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What a follower follows.
#[derive(Clone, Debug)]
pub struct FollowerOptions {
    /// The chain.
    pub chain: ChainId,
    /// The contracts whose events count; each once.
    pub sources: Vec<Source>,
}

impl FollowerOptions {
    /// The first block that may hold anything to find.
    pub fn start_block(&self) -> u64 {
        self.sources.iter().map(|source| source.start_block).min().unwrap_or(0)
    }
}

/// Follows one chain into the store. See the crate's page for how.
pub struct Follower {
    /// The node, or all that stand in for each other.
    pub(crate) nodes: Patient,
    /// The one node of the step that is under way.
    pub(crate) node: Patient,
    pub(crate) store: Store,
    pub(crate) options: FollowerOptions,
    pub(crate) health: watch::Sender<Health>,
    /// When a back-fill last reported itself.
    pub(crate) reported: Option<Instant>,
    /// How many blocks a question about a range spans, by node.
    pub(crate) sizings: Sizings,
    /// The first block of the index: nothing below it can be compared with a header.
    pub(crate) first: u64,
    /// The head that the store knows, and since when.
    pub(crate) noted: Option<(u64, Instant)>,
    /// The lower fork that the node shows, while it does.
    pub(crate) doubt: Option<Doubt>,
    /// The last head below all stored headers at which the node was found to be on the right chain.
    pub(crate) low: Option<B256>,
    /// Transactions that cannot be read, as long as it may pass.
    pub(crate) stubborn: Arc<Stubborn>,
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
    /// A follower, and the state it pushes.
    pub fn new(
        node: Arc<dyn Node>,
        store: Store,
        options: FollowerOptions,
    ) -> (Self, watch::Receiver<Health>) {
        let (health, watcher) = watch::channel(Health::starting());
        let sizings = Sizings::new(options.chain, store.clone(), node.profile().logs_range);
        let first = options.start_block();
        let nodes = Patient(node);
        let follower = Self {
            node: nodes.clone(),
            nodes,
            store,
            options,
            health,
            reported: None,
            sizings,
            first,
            noted: None,
            doubt: None,
            low: None,
            stubborn: Arc::default(),
        };
        (follower, watcher)
    }

    /// Follows until `stop`. Failures of the node or the store are retried with growing pauses; what only the operator
    /// can mend (another chain, a reset chain, a reorganization deeper than what is final) halts the follower, which
    /// goes on saying so until the operator has decided, while what is indexed can still be read.
    ///
    /// It stops wherever it stands, also while a node lets it wait: a step is one transaction or nothing.
    pub async fn run(mut self, stop: CancellationToken) {
        let connected = CancellationToken::new();
        let past = Past::new(&self, connected.clone());
        let astray = Astray::new(&self);
        let unreadable = Unreadable::new(&self);
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow(connected) => {}
            () = past.run() => {}
            () = astray.run() => {}
            () = unreadable.run() => {}
        }
    }

    async fn follow(&mut self, begun: CancellationToken) {
        let mut pause = PAUSES.0;
        let mut connected = false;
        let mut ticks = Ticks::default();
        loop {
            let step = match self.nodes.pinned(Work::Head).await {
                Ok(node) => {
                    self.node = node;
                    if connected { self.step().await } else { self.connect().await.map(|()| Step::Advanced) }
                }
                Err(error) => Err(error.into()),
            };
            match step {
                Ok(step) => {
                    if !connected {
                        connected = true;
                        begun.cancel();
                        tracing::info!(chain = %self.options.chain, contracts = self.options.sources.len(), "following");
                    }
                    pause = PAUSES.0;
                    if step == Step::AtHead {
                        ticks.next(&self.nodes).await;
                    }
                }
                // What one of several nodes shows is no reason to halt while there is another to ask.
                Err(error)
                    if !error.is_fatal() || (!error.is_stored() && self.node.reject(&error.to_string())) =>
                {
                    self.complain(&error);
                    // After a failure the node may be another one behind the same address.
                    connected =
                        connected && !matches!(error, IndexError::Node(NodeError::Unreachable { .. }));
                    // A node may name a pause of nothing at all, and means that it is overloaded.
                    let pause_now = error.retry_after().map_or(pause, |after| after.max(PAUSES.0));
                    tokio::time::sleep(pause_now).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                Err(error) => {
                    self.halted(&error).await;
                    connected = false;
                }
            }
        }
    }

    /// First contact: whether this is the chain, and what is followed on it from now on.
    async fn connect(&mut self) -> Result<(), IndexError> {
        self.identify().await?;
        let sources =
            self.options.sources.iter().map(|source| (past::key(source), source.start_block)).collect();
        self.first = self.store.follow_sources(self.options.chain, sources).await?;
        self.sizings.load().await?;
        Ok(())
    }

    async fn step(&mut self) -> Result<Step, IndexError> {
        let chain = self.options.chain;
        let profile = self.node.profile();
        let (finality_depth, window) = (profile.finality_depth, profile.reorg_window);
        let state = self.store.chain_state(chain).await?;
        let cursor = state.and_then(|state| state.cursor);
        let doubted = state.and_then(|state| state.lower_fork_at);
        if let Some(halt) = state.and_then(|state| state.halt) {
            self.resume(cursor, halt).await?;
            return Ok(Step::Advanced);
        }
        let head = self.node.header(At::Latest).await?.ok_or(NodeError::Behind)?;
        let start = self.first;
        let next = cursor.map_or(start, |cursor| cursor.number + 1);
        let settled = head.number.saturating_sub(finality_depth);

        if next <= settled {
            self.node = self.node.pinned(Work::BackFill).await?;
            self.back_fill(cursor, next, settled, head.number).await?;
            return Ok(Step::Advanced);
        }
        match self.lower(cursor, doubted, &head).await? {
            Some(Lower::Lags | Lower::Waits) => {
                self.behind(cursor, head.number);
                return Ok(Step::AtHead);
            }
            Some(Lower::Stays) | None => {}
        }
        if head.number < start {
            self.at_head(cursor, &head).await?;
            return Ok(Step::AtHead);
        }
        let last = head.number.min(next.saturating_add(STRIDE - 1));
        let top = if last < head.number {
            self.node.header(At::Number(last)).await?.ok_or(NodeError::Behind)?
        } else {
            head
        };
        let path = ancestry::path(&self.node, &self.store, chain, cursor, start, window, top).await;
        if matches!(&path, Ok(ancestry::Path { keep_through: Some(_), .. }) | Err(IndexError::TooDeep { .. }))
        {
            // Blocks that leave a chain are one thing, a chain that was reset is another: nothing of it may take the
            // place of what is stored.
            self.identify().await?;
        }
        let path = path?;
        self.within_finality(cursor, path.keep_through)?;
        if let Some(tip) = path.fresh.last() {
            let tip = Cursor { number: tip.number, hash: tip.hash };
            self.extend(cursor, path, tip, head.number).await?;
            self.noted = Some((head.number, Instant::now()));
            if tip.hash != head.hash {
                self.catching_up(tip.number, head.number);
                return Ok(Step::Advanced);
            }
            self.at_head(Some(tip), &head).await?;
        } else {
            self.trust(doubted).await?;
            self.at_head(cursor, &head).await?;
        }
        Ok(Step::AtHead)
    }

    /// Adds the blocks of a path in one transaction, with what they replace.
    async fn extend(
        &self,
        cursor: Option<Cursor>,
        path: ancestry::Path,
        tip: Cursor,
        head: u64,
    ) -> Result<(), IndexError> {
        let questions = Questions::of(&self.options.sources);
        let each: Vec<(Found, Vec<UndecodedLog>)> = stream::iter(path.fresh.clone())
            .map(|header| {
                let (node, questions, stubborn) = (&self.node, &questions, &*self.stubborn);
                let FollowerOptions { chain, sources } = &self.options;
                async move {
                    let query = questions.up_to(header.number);
                    let read = match query.is_empty() {
                        true => Readable::default(),
                        false => node.readable_logs(&query, Span::Block(header.hash)).await?,
                    };
                    let time = |_| Some(header.timestamp);
                    let told = blocks::read(*chain, sources, &read, time);
                    let found = told.complete(node, *chain, sources, stubborn).await?;
                    let undecoded = undecoded::among(*chain, sources, &read.logs, found.skipped);
                    Ok::<_, IndexError>((found, undecoded))
                }
            })
            .buffered(BLOCKS_IN_FLIGHT)
            .try_collect()
            .await?;
        let (mut all, mut undecoded) = (Found::default(), Vec::new());
        for (found, poison) in each {
            all.extend(found);
            undecoded.extend(poison);
        }
        let found = all.payments.len() as u64;
        let chain = self.options.chain;
        // Twice the window, so that a reorganization of the full window still finds its ancestor.
        let prune_below = tip.number.checked_sub(self.node.profile().reorg_window.saturating_mul(2));
        self.commit(Batch {
            chain,
            expected: cursor,
            keep_through: path.keep_through,
            blocks: path.fresh.iter().map(blocks::block).collect(),
            payments: all.payments,
            extras: all.extras,
            undecoded,
            cursor: tip,
            head: Some(head),
            prune_below,
        })
        .await?;
        self.count(found, tip.number, head);
        Ok(())
    }

    /// Stores a step and tells what it took off the chain.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<(), IndexError> {
        let (chain, expected, keep_through) = (batch.chain, batch.expected, batch.keep_through);
        let applied = self.store.apply(batch).await?;
        if let (Some(kept), Some(cursor)) = (keep_through, expected) {
            let depth = cursor.number.saturating_sub(kept);
            tracing::warn!(%chain, depth, kept_through = kept, "reorganization");
            metrics::counter!("salt402_indexer_reorganizations_total", "chain" => chain.to_string())
                .increment(1);
            self.health.send_modify(|health| health.reorganizations += 1);
            metrics::histogram!("salt402_indexer_reorganization_depth", "chain" => chain.to_string())
                .record(depth as f64);
        }
        if applied.incidents > 0 {
            tracing::error!(%chain, incidents = applied.incidents, "payments that had been granted on left the chain");
        }
        Ok(())
    }
}

/// A follower is spawned as a task: found out here, and not where it is.
const _: fn(Follower, CancellationToken) = |follower, stop| {
    fn is_send<T: Send>(_: T) {}
    is_send(follower.run(stop));
};
