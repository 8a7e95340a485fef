//! Where a follower stops, and how it goes on once the operator has decided.
//!
//! A reorganization deeper than what counts as final takes payments back that were taken for settled. Nothing in this
//! program may decide that: the follower halts, the halt is stored, and nothing is granted on the chain until an
//! operator accepts the very fork that was looked at, named by its first block.

use std::time::Duration;

use salt402_chain::{At, Header, Node, NodeError};
use salt402_protocol::ChainId;
use salt402_store::{AcceptedFork, Batch, Cursor, Extras, Halt, HaltKind, Store, StoreError};
use tokio::time::Instant;

use crate::reading::{Read, Wanted, read};
use crate::{Follower, FollowerOptions, IndexError, Phase, blocks};

/// How often a halted follower looks whether the operator has decided.
const LOOK: Duration = Duration::from_secs(1);
/// How often it says again that it is halted.
const REMINDER: Duration = Duration::from_secs(60);

/// How the node's chain stands to the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Where the index stands.
    pub cursor: Cursor,
    /// The node's newest block.
    pub head: Header,
    /// The highest height up to which both are known to be one chain; the cursor's where the node has its block.
    pub keep_through: u64,
    /// The node's block right above that, if it has one.
    pub next: Option<Header>,
}

impl Comparison {
    /// Stored blocks that are not on the node's chain.
    pub fn depth(&self) -> u64 {
        self.cursor.number.saturating_sub(self.keep_through)
    }

    /// What an operator accepts who accepts the node's chain; `None` where nothing of it replaces stored blocks yet.
    pub fn fork(&self) -> Option<AcceptedFork> {
        let next = self.next.filter(|_| self.depth() > 0)?;
        Some(AcceptedFork { keep_through: self.keep_through, block: next.hash })
    }
}

/// Compares the node's chain with the stored one, however deep they part: by the headers that are kept, and below them
/// by the blocks of payments. `None` where nothing is stored. Changes nothing.
///
/// # Errors
/// [`StoreError::OtherGenesis`] where the node is on another chain.
pub async fn compare(
    node: &dyn Node,
    store: &Store,
    chain: ChainId,
    start_block: u64,
) -> Result<Option<Comparison>, IndexError> {
    let given = node.chain_id().await?;
    if given != chain.get() {
        return Err(IndexError::WrongChain { expected: chain.get(), given });
    }
    let Some(state) = store.chain_state(chain).await? else { return Ok(None) };
    // A node that keeps no old blocks is held against those that are stored, below.
    let genesis = node.header(At::Number(0)).await?.map_or(state.genesis, |block| block.hash);
    if genesis != state.genesis {
        return Err(StoreError::OtherGenesis { chain, stored: state.genesis, given: genesis }.into());
    }
    let Some(cursor) = state.cursor else { return Ok(None) };
    let start = state.first_block.map_or(start_block, |first| first.min(start_block));
    let head = node.header(At::Latest).await?.ok_or(NodeError::Behind)?;
    let shows = async |block: Cursor| -> Result<bool, IndexError> {
        let shown = node.header(At::Number(block.number)).await?;
        Ok(shown.is_some_and(|shown| shown.hash == block.hash))
    };
    let (keep_through, base) = if shows(cursor).await? {
        (cursor.number, Some(cursor.hash))
    } else {
        // Two chains that are one at a height are one below it, so halving finds where they part.
        let (mut low, mut high, mut base) = (start.saturating_sub(1), cursor.number, None);
        let mut keep_through = low;
        while high.saturating_sub(low) > 1 {
            let middle = low + (high - low) / 2;
            match store.known_at_or_below(chain, middle).await?.filter(|known| known.number > low) {
                None => low = middle,
                Some(known) if shows(known).await? => {
                    (keep_through, base, low) = (known.number, Some(known.hash), middle);
                }
                Some(known) => high = known.number,
            }
        }
        (keep_through, base)
    };
    let next = node.header(At::Number(keep_through + 1)).await?;
    if let (Some(next), Some(base)) = (&next, base)
        && next.parent_hash != base
    {
        return Err(NodeError::Moved.into());
    }
    Ok(Some(Comparison { cursor, head, keep_through, next }))
}

impl Follower {
    /// Refuses to take blocks off the chain that count as final.
    pub(crate) fn within_finality(
        &self,
        cursor: Option<Cursor>,
        keep_through: Option<u64>,
    ) -> Result<(), IndexError> {
        let finality = self.node.profile().finality_depth;
        let depth = cursor.zip(keep_through).map_or(0, |(cursor, kept)| cursor.number.saturating_sub(kept));
        if depth > finality { Err(IndexError::PastFinal { depth, finality }) } else { Ok(()) }
    }

    /// Stores that the chain is halted, says so, and waits until the operator has decided.
    pub(crate) async fn halted(&mut self, error: &IndexError) {
        let chain = self.options.chain;
        self.health.send_modify(|health| health.phase = Phase::Halted(error.to_string()));
        let mut unstored = self.halt_of(error);
        let mut said: Option<Instant> = None;
        loop {
            if said.is_none_or(|at| at.elapsed() >= REMINDER) {
                said = Some(Instant::now());
                tracing::error!(%chain, %error, "halted: nothing is granted on this chain until the operator acts");
            }
            match unstored {
                Some((kind, depth)) => match self.store.halt(chain, kind, depth).await {
                    Ok(()) => unstored = None,
                    Err(error) => {
                        tracing::error!(%chain, %error, "the halt could not be stored; tried again");
                    }
                },
                None => match self.store.chain_state(chain).await {
                    Ok(Some(state)) if state.halt.is_none_or(|halt| halt.accepted.is_some()) => return,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%chain, %error, "the halt could not be read; tried again"),
                },
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The halt that an error is the beginning of; `None` where it is stored already.
    fn halt_of(&self, error: &IndexError) -> Option<(HaltKind, u64)> {
        match error {
            IndexError::TooDeep { window, .. } => Some((HaltKind::Fork, *window)),
            IndexError::PastFinal { depth, .. } | IndexError::OtherFork { depth } => {
                Some((HaltKind::Fork, *depth))
            }
            IndexError::WrongGenesis { .. }
            | IndexError::Node(NodeError::WrongGenesis { .. })
            | IndexError::Store(StoreError::OtherGenesis { .. }) => Some((HaltKind::Genesis, 0)),
            _ => None,
        }
    }

    /// Replaces what the operator agreed to give up by the node's chain, in one transaction.
    ///
    /// The fork must still be the one that was looked at, by its first block.
    pub(crate) async fn resume(&mut self, cursor: Option<Cursor>, halt: Halt) -> Result<(), IndexError> {
        let chain = self.options.chain;
        let stopped = IndexError::Halted { kind: halt.kind, depth: halt.depth };
        let (Some(fork), Some(cursor)) = (halt.accepted, cursor) else { return Err(stopped) };
        self.identify().await?;
        let head = self.node.header(At::Latest).await?.ok_or(NodeError::Behind)?.number;
        let from = fork.keep_through + 1;
        let to = head.min(cursor.number.max(from));
        if to < from {
            return Err(NodeError::Behind.into());
        }
        let read = self.read_all(from, to, (fork.keep_through > 0).then_some(fork.keep_through)).await?;
        // All of the headers lead to the last one, which stayed while they were read.
        if read.headers.get(&from).is_none_or(|first| first.hash != fork.block) {
            return Err(IndexError::OtherFork { depth: cursor.number.saturating_sub(fork.keep_through) });
        }
        let mut batch = Batch {
            chain,
            expected: Some(cursor),
            keep_through: Some(fork.keep_through),
            blocks: read.headers.values().map(blocks::block).collect(),
            payments: Vec::new(),
            extras: Extras::default(),
            undecoded: read.undecoded,
            cursor: Cursor { number: read.end.number, hash: read.end.hash },
            head: Some(head),
            prune_below: None,
        };
        read.found.into_batch(&mut batch);
        let found = batch.payments.len() as u64;
        tracing::warn!(%chain, kept_through = fork.keep_through, %found, "the operator accepted the node's chain");
        self.commit(batch).await?;
        self.count(found, to, head);
        Ok(())
    }

    /// A range with all of its headers, asked for in as many parts as the node wants.
    async fn read_all(&self, from: u64, to: u64, between: Option<u64>) -> Result<Read, IndexError> {
        let FollowerOptions { chain, sources } = &self.options;
        let mut span = self.node.profile().logs_range.max(1);
        loop {
            let wanted = Wanted { from, to, headers_from: from, between, span };
            match read(&self.node, *chain, sources, sources, wanted, &self.stubborn).await {
                Err(error) if error.asked_too_much() && span > 1 => {
                    span = (span.min(to - from + 1) / 2).max(1);
                }
                read => return read,
            }
        }
    }
}
