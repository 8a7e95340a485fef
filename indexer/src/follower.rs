//! One chain, from its start block to its head and along with it.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use salt402_chain::{At, Header, Node, NodeError, Span};
use salt402_protocol::ChainId;
use salt402_store::{Batch, Cursor, PlacedPayment, Store};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backfill::{self, Range};
use crate::{Health, IndexError, Phase, ancestry, blocks};

/// Blocks whose logs are asked for at once, at the head.
const BLOCKS_IN_FLIGHT: usize = 8;
/// The first and the longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// How often the store is told that an unchanged head is still the head.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// What a follower follows.
#[derive(Clone, Debug)]
pub struct FollowerOptions {
    /// The chain.
    pub chain: ChainId,
    /// The payment contract.
    pub contract: Address,
    /// The first block that may hold a payment.
    pub start_block: u64,
}

/// Follows one chain into the store. See the crate's page for how.
pub struct Follower {
    node: Arc<dyn Node>,
    store: Store,
    options: FollowerOptions,
    health: watch::Sender<Health>,
    /// When a back-fill last reported itself.
    reported: Option<Instant>,
    /// Blocks that the next range may span: shrinks when the node cannot answer for so many, grows back slowly.
    span: u64,
    /// The head that the store knows, and since when.
    noted: Option<(u64, Instant)>,
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
        let span = node.profile().logs_range.max(1);
        (Self { node, store, options, health, reported: None, span, noted: None }, watcher)
    }

    /// Follows until `stop`. Failures of the node or the store are retried with growing pauses; what only the operator
    /// can mend (another chain, a reset chain, a reorganization deeper than what is kept) halts the follower, which
    /// goes on saying so, while what is indexed can still be read.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut pause = PAUSES.0;
        let mut connected = false;
        let mut ticks: Option<BoxStream<'static, ()>> = None;
        while !stop.is_cancelled() {
            let step =
                if connected { self.step().await } else { self.connect().await.map(|()| Step::Advanced) };
            match step {
                Ok(step) => {
                    if !connected {
                        connected = true;
                        tracing::info!(chain = %self.options.chain, contract = %self.options.contract, "following");
                    }
                    pause = PAUSES.0;
                    if step == Step::AtHead {
                        if ticks.is_none() {
                            ticks = self.subscribe().await;
                        }
                        self.wait(&mut ticks, &stop).await;
                    }
                }
                Err(error) if !error.is_fatal() => {
                    self.complain(&error);
                    // After a failure the node may be another one behind the same address.
                    connected =
                        connected && !matches!(error, IndexError::Node(NodeError::Unreachable { .. }));
                    sleep(error.retry_after().unwrap_or(pause), &stop).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                Err(error) => {
                    tracing::error!(chain = %self.options.chain, %error, "halted: the operator must act");
                    self.health.send_modify(|health| health.phase = Phase::Halted(error.to_string()));
                    stop.cancelled().await;
                }
            }
        }
    }

    /// Makes sure that the node is on the chain that is configured and, since the first contact, stored.
    async fn connect(&self) -> Result<(), IndexError> {
        let given = self.node.chain_id().await?;
        let expected = self.options.chain.get();
        if given != expected {
            return Err(IndexError::WrongChain { expected, given });
        }
        let genesis = self.node.header(At::Number(0)).await?.ok_or(NodeError::Behind)?.hash;
        if let Some(pinned) = self.node.profile().genesis_hash.filter(|pinned| *pinned != genesis) {
            return Err(IndexError::WrongGenesis { expected: pinned, given: genesis });
        }
        Ok(self.store.pin_chain(self.options.chain, genesis).await?)
    }

    async fn subscribe(&self) -> Option<BoxStream<'static, ()>> {
        match self.node.heads().await {
            Ok(ticks) => ticks,
            Err(error) => {
                tracing::debug!(chain = %self.options.chain, %error, "no head subscription: polling alone");
                None
            }
        }
    }

    /// Until a head is announced, the poll interval is over, or the end. A subscription that ends is dropped.
    async fn wait(&self, ticks: &mut Option<BoxStream<'static, ()>>, stop: &CancellationToken) {
        let poll = tokio::time::sleep(Duration::from_millis(self.node.profile().poll_ms));
        let ended = async {
            match ticks.as_mut() {
                Some(stream) => stream.next().await.is_none(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = poll => {}
            ended = ended => if ended { *ticks = None },
            () = stop.cancelled() => {}
        }
    }

    async fn step(&mut self) -> Result<Step, IndexError> {
        let chain = self.options.chain;
        let cursor = self.store.chain_state(chain).await?.and_then(|state| state.cursor);
        let head = self.node.header(At::Latest).await?.ok_or(NodeError::Behind)?;
        let next = cursor.map_or(self.options.start_block, |cursor| cursor.number + 1);
        let settled = head.number.saturating_sub(self.node.profile().finality_depth);

        if next <= settled {
            self.back_fill(cursor, next, settled, head.number).await?;
            return Ok(Step::Advanced);
        }
        if head.number < self.options.start_block || self.lags(cursor, &head).await? {
            self.at_head(cursor, head.number).await?;
            return Ok(Step::AtHead);
        }
        let window = self.node.profile().reorg_window;
        let path =
            ancestry::path(&*self.node, &self.store, chain, cursor, self.options.start_block, window, head)
                .await?;
        let Some(tip) = path.fresh.last() else {
            self.at_head(cursor, head.number).await?;
            return Ok(Step::AtHead);
        };
        let tip = Cursor { number: tip.number, hash: tip.hash };
        self.extend(cursor, path, tip).await?;
        self.noted = Some((tip.number, Instant::now()));
        self.at_head(Some(tip), head.number).await?;
        Ok(Step::AtHead)
    }

    /// Whether the node merely shows an older block of the stored chain, as a replica that lags does.
    async fn lags(&self, cursor: Option<Cursor>, head: &Header) -> Result<bool, IndexError> {
        match cursor {
            Some(cursor) if head.number < cursor.number => {
                let stored = self.store.canonical_block(self.options.chain, head.number).await?;
                Ok(stored.is_some_and(|block| block.hash == head.hash))
            }
            _ => Ok(false),
        }
    }

    /// One range of settled blocks. What is stored must still be on the node's chain first.
    async fn back_fill(
        &mut self,
        cursor: Option<Cursor>,
        from: u64,
        settled: u64,
        head: u64,
    ) -> Result<(), IndexError> {
        let chain = self.options.chain;
        if let Some(cursor) = cursor {
            let now = self.node.header(At::Number(cursor.number)).await?.ok_or(NodeError::Behind)?;
            if now.hash != cursor.hash {
                return self.rewind(cursor, head).await;
            }
        }
        let to = settled.min(from.saturating_add(self.span - 1));
        let range = Range { chain, contract: self.options.contract, cursor, from, to, head };
        let filled = backfill::fill(&*self.node, &self.store, range).await;
        let most = self.node.profile().logs_range.max(1);
        self.span = match &filled {
            Err(error) if error.asked_too_much() => (self.span / 2).max(1),
            Err(_) => self.span,
            Ok(_) => (self.span + most.div_ceil(16)).min(most),
        };
        let found = filled?;
        self.count(found, to, head);
        self.health.send_modify(|health| {
            health.phase = Phase::BackFilling;
            health.indexed = Some(to);
            health.head = Some(head);
        });
        if self.reported.is_none_or(|at| at.elapsed() >= Duration::from_secs(2)) {
            self.reported = Some(Instant::now());
            tracing::info!(%chain, block = to, head, payments = found, "back-filling");
        }
        Ok(())
    }

    /// The node's chain left the stored one while we were away: goes back to the newest block that both have.
    async fn rewind(&self, cursor: Cursor, head: u64) -> Result<(), IndexError> {
        let chain = self.options.chain;
        let window = self.node.profile().reorg_window;
        let floor = cursor.number.saturating_sub(window);
        let mut height = cursor.number;
        while height > floor {
            height -= 1;
            let Some(stored) = self.store.canonical_block(chain, height).await? else { continue };
            let now = self.node.header(At::Number(height)).await?.ok_or(NodeError::Behind)?;
            if now.hash == stored.hash {
                tracing::warn!(%chain, from = cursor.number, to = height, "reorganized while away: going back");
                let to = Cursor { number: height, hash: stored.hash };
                return self.commit(Some(cursor), Some(height), Vec::new(), Vec::new(), to, head).await;
            }
        }
        Err(IndexError::TooDeep { floor, window })
    }

    /// Adds the blocks of a path in one transaction, with what they replace.
    async fn extend(
        &self,
        cursor: Option<Cursor>,
        path: ancestry::Path,
        tip: Cursor,
    ) -> Result<(), IndexError> {
        let query = blocks::payments_of(self.options.contract);
        let payments: Vec<Vec<PlacedPayment>> = stream::iter(path.fresh.clone())
            .map(|header| {
                let (node, options, query) = (&*self.node, &self.options, &query);
                async move {
                    let logs = node.logs(query, Span::Block(header.hash)).await?;
                    let time = |_: &salt402_chain::Log| Some(header.timestamp);
                    Ok::<_, IndexError>(blocks::place(options.chain, options.contract, &logs, time))
                }
            })
            .buffered(BLOCKS_IN_FLIGHT)
            .try_collect()
            .await?;
        let payments: Vec<_> = payments.into_iter().flatten().collect();
        if let (Some(kept), Some(cursor)) = (path.keep_through, cursor) {
            let depth = cursor.number - kept;
            tracing::warn!(chain = %self.options.chain, depth, kept_through = kept, "reorganization");
            metrics::counter!("salt402_indexer_reorganizations_total", "chain" => self.options.chain.to_string())
                .increment(1);
        }
        let found = payments.len() as u64;
        let blocks = path.fresh.iter().map(blocks::block).collect();
        self.commit(cursor, path.keep_through, blocks, payments, tip, tip.number).await?;
        self.count(found, tip.number, tip.number);
        Ok(())
    }

    async fn commit(
        &self,
        expected: Option<Cursor>,
        keep_through: Option<u64>,
        blocks: Vec<salt402_store::Block>,
        payments: Vec<PlacedPayment>,
        cursor: Cursor,
        head: u64,
    ) -> Result<(), IndexError> {
        // Twice the window, so that a reorganization of the full window still finds its ancestor.
        let prune_below = cursor.number.checked_sub(self.node.profile().reorg_window.saturating_mul(2));
        let chain = self.options.chain;
        let batch = Batch { chain, expected, keep_through, blocks, payments, cursor, head, prune_below };
        let applied = self.store.apply(batch).await?;
        if applied.incidents > 0 {
            tracing::error!(%chain, incidents = applied.incidents, "payments that had been granted on left the chain");
        }
        Ok(())
    }

    /// Says that the index stands at the node's head, and leaves a sign of life for processes that only read.
    async fn at_head(&mut self, cursor: Option<Cursor>, head: u64) -> Result<(), IndexError> {
        let fresh = self.noted.is_some_and(|(noted, at)| noted == head && at.elapsed() < SIGN_OF_LIFE);
        if !fresh {
            self.store.note_head(self.options.chain, head).await?;
            self.noted = Some((head, Instant::now()));
        }
        self.health.send_modify(|health| {
            health.phase = Phase::Following;
            health.indexed = cursor.map(|cursor| cursor.number);
            health.head = Some(head);
            health.current_at = Some(Instant::now());
        });
        Ok(())
    }

    fn count(&self, found: u64, indexed: u64, head: u64) {
        let chain = self.options.chain.to_string();
        metrics::counter!("salt402_indexer_payments_total", "chain" => chain.clone()).increment(found);
        metrics::gauge!("salt402_indexer_block", "chain" => chain.clone()).set(indexed as f64);
        metrics::gauge!("salt402_indexer_head_block", "chain" => chain).set(head as f64);
    }

    fn complain(&self, error: &IndexError) {
        tracing::warn!(chain = %self.options.chain, %error, "a step failed and is tried again");
        metrics::counter!("salt402_indexer_failures_total", "chain" => self.options.chain.to_string())
            .increment(1);
        self.health.send_modify(|health| health.phase = Phase::Failing(error.to_string()));
    }
}

async fn sleep(pause: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.cancelled() => {}
    }
}
