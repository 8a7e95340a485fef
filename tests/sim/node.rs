//! The node that the follower sees: raw answers held against their questions, as the node over JSON-RPC holds them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use salt402_chain::{
    At, Header, Log, LogQuery, Merging, Node, NodeError, Profile, Receipt, Span, Transaction,
};
use salt402_store::PlacedPayment;

use crate::gate::{Ask, Gate, IndexedLog, Said};
use crate::world::{Block, World};

/// Chain, node and what is known of them, shared by the driver and the node that the follower holds.
pub(crate) struct Shared {
    world: Mutex<World>,
    pub(crate) gate: Gate,
    /// Blocks of which a good answer left payments out. Nobody can notice that from the answer alone.
    omitted: Mutex<BTreeSet<B256>>,
    /// Transactions whose receipts were too long when they were asked for.
    unreadable: Mutex<BTreeSet<B256>>,
}

impl Shared {
    pub(crate) fn new(world: World) -> Arc<Self> {
        Arc::new(Self {
            world: Mutex::new(world),
            gate: Gate::default(),
            omitted: Mutex::new(BTreeSet::new()),
            unreadable: Mutex::new(BTreeSet::new()),
        })
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn omitted(&self) -> MutexGuard<'_, BTreeSet<B256>> {
        self.omitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn unreadable(&self) -> MutexGuard<'_, BTreeSet<B256>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the index may lack a payment that is on the chain.
    pub(crate) fn may_lack(&self, placed: &PlacedPayment) -> bool {
        self.omitted().contains(&placed.block_hash) || self.unreadable().contains(&placed.payment.transaction)
    }

    /// Notes the blocks whose logs are fewer in an answer than they are.
    fn compare(&self, query: &LogQuery, tip: B256, from: u64, logs: &[Log]) {
        let world = self.world();
        for block in world.chain(tip).take_while(|block| block.header.number >= from) {
            let given = logs.iter().filter(|log| log.block_hash == block.header.hash).count();
            let all = indexed_logs(block);
            let asked =
                all.iter().filter(|indexed| query.matches(indexed.log.contract, &indexed.log.content));
            if given < asked.count() {
                self.omitted().insert(block.header.hash);
            }
        }
    }
}

/// The logs of a block by their place in it. Which of them an answer holds, the question says.
pub(crate) fn indexed_logs(block: &Block) -> Vec<IndexedLog> {
    block
        .inclusions
        .iter()
        .flat_map(|inclusion| inclusion.events.iter().map(move |event| (inclusion.transaction, event)))
        .enumerate()
        .map(|(index, (transaction, event))| IndexedLog {
            index: index as u64,
            log: Log {
                contract: event.contract,
                content: event.content.clone(),
                transaction,
                block_number: block.header.number,
                block_hash: block.header.hash,
                block_timestamp: None,
            },
        })
        .collect()
}

/// The node in the follower's hands.
pub(crate) struct SimNode {
    pub(crate) shared: Arc<Shared>,
    pub(crate) profile: Profile,
    /// Which of several it is.
    pub(crate) index: usize,
    /// Whether the logs of a block are held against the root of its receipts, as the node over JSON-RPC can hold them.
    pub(crate) complete: bool,
    /// Whether omissions are noted as what the index may lack. Not where several nodes must agree.
    pub(crate) excused: bool,
}

impl SimNode {
    pub(crate) fn alone(shared: Arc<Shared>, profile: Profile) -> Self {
        Self { shared, profile, index: 0, complete: false, excused: true }
    }

    fn is_short(&self, query: &LogQuery, hash: B256, logs: &[Log]) -> bool {
        let due = |block: &std::sync::Arc<Block>| {
            indexed_logs(block).iter().filter(|due| query.matches(due.log.contract, &due.log.content)).count()
        };
        self.shared.world().get(hash).is_some_and(|block| logs.len() < due(block))
    }

    async fn raw_header(&self, at: At) -> Result<Option<Header>, NodeError> {
        let Said::Header(header) = self.shared.gate.ask(self.index, Ask::Header(at)).await? else {
            return Err(odd());
        };
        match header {
            Some(header) if !is_right(&header, at) => Err(lied("a header of another block")),
            header => Ok(header),
        }
    }

    async fn logs_of_block(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        let Said::Logs(header, logs) = self.shared.gate.ask(self.index, Ask::BlockLogs(hash)).await? else {
            return Err(odd());
        };
        let header = header.ok_or(NodeError::Behind)?;
        if header.hash != hash {
            return Err(lied("a header of another block"));
        }
        check(query, logs, |log| log.block_hash == hash && log.block_number == header.number)
    }

    async fn logs_of_height(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        let header = self.raw_header(At::Hash(hash)).await?.ok_or(NodeError::Behind)?;
        let ask = Ask::Logs { from: header.number, to: header.number };
        let Said::Logs(_, logs) = self.shared.gate.ask(self.index, ask).await? else { return Err(odd()) };
        let now = self.raw_header(At::Number(header.number)).await?.ok_or(NodeError::Behind)?;
        if now.hash != hash {
            return Err(NodeError::Moved);
        }
        check(query, logs, |log| log.block_hash == hash && log.block_number == header.number)
    }

    async fn logs_of_range(&self, query: &LogQuery, from: u64, to: u64) -> Result<Vec<Log>, NodeError> {
        if from > to {
            return Ok(Vec::new());
        }
        let (blocks, limit) = ((to - from).saturating_add(1), self.profile.logs_range);
        if blocks > limit {
            return Err(NodeError::RangeTooLarge { blocks, limit: Some(limit) });
        }
        let Said::Logs(header, logs) = self.shared.gate.ask(self.index, Ask::Logs { from, to }).await? else {
            return Err(odd());
        };
        let last = header.ok_or(NodeError::Behind)?;
        if last.number != to {
            return Err(lied("a header of another block"));
        }
        let logs = check(query, logs, |log| (from..=to).contains(&log.block_number))?;
        if logs.last().is_some_and(|log| log.block_number == to && log.block_hash != last.hash) {
            return Err(NodeError::Moved);
        }
        if self.excused {
            self.shared.compare(query, last.hash, from, &logs);
        }
        Ok(logs)
    }
}

/// The logs in the order of the chain, if they can be true. The gate knows no contracts: the node answers for both, and
/// each question gets its own.
fn check(
    query: &LogQuery,
    mut answer: Vec<IndexedLog>,
    inside: impl Fn(&Log) -> bool,
) -> Result<Vec<Log>, NodeError> {
    answer.retain(|IndexedLog { log, .. }| query.matches(log.contract, &log.content));
    if !answer.iter().all(|IndexedLog { log, .. }| inside(log)) {
        return Err(lied("a log that was not asked for"));
    }
    answer.sort_by_key(|IndexedLog { index, log }| (log.block_number, *index));
    for pair in answer.windows(2) {
        if pair[0].log.block_number == pair[1].log.block_number {
            if pair[0].log.block_hash != pair[1].log.block_hash {
                return Err(NodeError::Moved);
            }
            if pair[0].index == pair[1].index {
                return Err(lied("two logs with one index"));
            }
        }
    }
    Ok(answer.into_iter().map(|indexed| indexed.log).collect())
}

#[async_trait]
impl Node for SimNode {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        match self.shared.gate.ask(self.index, Ask::ChainId).await? {
            Said::ChainId(id) => Ok(id),
            _ => Err(odd()),
        }
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        self.raw_header(at).await
    }

    async fn merging(&self, at: At) -> Result<Option<Merging>, NodeError> {
        let Said::Merging(merging) = self.shared.gate.ask(self.index, Ask::Merging(at)).await? else {
            return Err(odd());
        };
        match &merging {
            Some(block) if !is_right(&block.header, at) => Err(lied("a header of another block")),
            _ => Ok(merging),
        }
    }

    async fn logs(&self, query: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError> {
        let (hash, logs) = match span {
            Span::Blocks { from, to } => return self.logs_of_range(query, from, to).await,
            Span::Block(hash) if self.profile.logs_by_hash => (hash, self.logs_of_block(query, hash).await?),
            Span::Block(hash) => (hash, self.logs_of_height(query, hash).await?),
        };
        if self.complete && self.is_short(query, hash, &logs) {
            return Err(lied("receipts with another root"));
        }
        let number = self.shared.world().get(hash).map(|block| block.header.number);
        if let Some(number) = number.filter(|_| self.excused) {
            self.shared.compare(query, hash, number, &logs);
        }
        Ok(logs)
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        match self.shared.gate.ask(self.index, Ask::Receipt(transaction)).await? {
            Said::Receipt(receipt) => Ok(receipt),
            _ => Err(odd()),
        }
    }

    /// Nothing that is simulated needs its calldata read.
    async fn transaction(&self, _hash: B256) -> Result<Option<Transaction>, NodeError> {
        Ok(None)
    }

    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        if !self.profile.new_heads {
            return Ok(None);
        }
        match self.shared.gate.ask(self.index, Ask::Heads).await? {
            Said::Heads(ticks) => Ok(ticks.map(StreamExt::boxed)),
            _ => Err(odd()),
        }
    }

    fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Nodes of another profile are another's.
    fn label(&self) -> &str {
        &self.profile.name
    }
}

fn is_right(header: &Header, at: At) -> bool {
    match at {
        At::Latest => true,
        At::Number(number) => number == header.number,
        At::Hash(hash) => hash == header.hash,
    }
}

pub(crate) fn lied(what: &str) -> NodeError {
    NodeError::Lied { what: what.into() }
}

fn odd() -> NodeError {
    NodeError::Malformed { what: "an answer of another kind".into() }
}
