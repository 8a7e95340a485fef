//! Nodes in memory, each showing a chain of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, LogData, keccak256};
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use salt402_chain::{
    At, Header, Log, LogQuery, Node, NodeError, NodeState, Pool, PoolOptions, Profile, Receipt, Role, Span,
    Transaction, Work,
};

/// A chain as one node shows it: the branch that its blocks are of from a height on, and how it behaves.
#[derive(Clone)]
pub struct Shown {
    pub chain_id: u64,
    pub genesis: u8,
    pub head: u64,
    /// Blocks from here on are of another branch.
    pub fork: Option<u64>,
    /// Logs that it leaves out, and one that it makes up.
    pub omits: bool,
    pub invents: bool,
    pub knows_receipts: bool,
    pub error: Option<NodeError>,
    pub hangs: bool,
    pub pruned: bool,
    /// Says that it has no way to prove its logs.
    pub unproved: bool,
}

pub struct Fake {
    pub shown: Mutex<Shown>,
    profile: Profile,
    asked: AtomicUsize,
}

pub const TOPIC: B256 = B256::repeat_byte(0x70);
pub const CONTRACT: Address = Address::repeat_byte(0xc0);

pub fn profile() -> Profile {
    Profile { finality_depth: 8, ..Profile::named("local").unwrap() }
}

pub fn query() -> LogQuery {
    LogQuery::new(CONTRACT, vec![TOPIC])
}

impl Fake {
    pub fn new() -> Arc<Self> {
        let shown = Shown {
            chain_id: 40204,
            genesis: 0,
            head: 100,
            fork: None,
            omits: false,
            invents: false,
            knows_receipts: true,
            error: None,
            hangs: false,
            pruned: false,
            unproved: false,
        };
        Arc::new(Self { shown: Mutex::new(shown), profile: profile(), asked: AtomicUsize::new(0) })
    }

    pub fn set(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.shown.lock().unwrap());
    }

    pub fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    async fn answer<T>(&self, tell: impl FnOnce(&Shown) -> T) -> Result<T, NodeError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let shown = self.shown.lock().unwrap().clone();
        if shown.hangs {
            return std::future::pending().await;
        }
        shown.error.clone().map_or_else(|| Ok(tell(&shown)), Err)
    }
}

impl Shown {
    pub fn hash(&self, number: u64) -> B256 {
        let branch = u8::from(self.fork.is_some_and(|fork| number >= fork));
        let genesis = if number == 0 { self.genesis } else { 0 };
        keccak256([&number.to_be_bytes()[..], &[branch, genesis]].concat())
    }

    pub fn block(&self, number: u64) -> Option<Header> {
        let parent_hash = number.checked_sub(1).map_or(B256::ZERO, |parent| self.hash(parent));
        let there = number <= self.head && !(self.pruned && number < self.head.saturating_sub(50));
        there.then(|| Header { number, hash: self.hash(number), parent_hash, timestamp: number })
    }

    /// One log in each block that it shows.
    pub fn logs(&self, number: u64) -> Vec<Log> {
        let log = |transaction: B256| Log {
            contract: CONTRACT,
            content: LogData::new_unchecked(vec![TOPIC], Default::default()),
            transaction,
            block_number: number,
            block_hash: self.hash(number),
            block_timestamp: self.omits.then_some(1),
        };
        let real = (!self.omits).then(|| log(keccak256(self.hash(number))));
        real.into_iter().chain(self.invents.then(|| log(B256::repeat_byte(0xba)))).collect()
    }
}

#[async_trait]
impl Node for Fake {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        self.answer(|shown| shown.chain_id).await
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        self.answer(|shown| match at {
            At::Latest => shown.block(shown.head),
            At::Number(number) => shown.block(number),
            At::Hash(hash) => (0..=shown.head).find(|n| shown.hash(*n) == hash).and_then(|n| shown.block(n)),
        })
        .await
    }

    async fn logs(&self, _: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError> {
        self.answer(|shown| match span {
            Span::Blocks { from, to } => (from..=to).flat_map(|number| shown.logs(number)).collect(),
            Span::Block(hash) => {
                (0..=shown.head).filter(|n| shown.hash(*n) == hash).flat_map(|n| shown.logs(n)).collect()
            }
        })
        .await
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        self.answer(|shown| {
            shown.knows_receipts.then(|| Receipt {
                transaction,
                block_number: 50,
                block_hash: shown.hash(50),
                success: !shown.invents,
                from: Address::ZERO,
                to: None,
                logs: shown.logs(50),
            })
        })
        .await
    }

    async fn transaction(&self, _: B256) -> Result<Option<Transaction>, NodeError> {
        self.answer(|_| None).await
    }

    /// The calldata, with something else behind it where it makes things up.
    async fn view(&self, _: Address, data: Bytes) -> Result<Bytes, NodeError> {
        self.answer(|shown| [&data[..], &[u8::from(shown.invents)]].concat().into()).await
    }

    /// As with a call.
    async fn code(&self, contract: Address) -> Result<Bytes, NodeError> {
        self.view(contract, Bytes::new()).await
    }

    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        self.answer(|_| Some(stream::pending().boxed())).await
    }

    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn is_unproved(&self) -> bool {
        self.shown.lock().unwrap().unproved
    }
}

pub fn pool_of(nodes: &[&Arc<Fake>], agree: usize) -> Pool {
    let nodes = nodes.iter().enumerate().map(|(index, node)| {
        let node: Arc<dyn Node> = Arc::<Fake>::clone(node);
        (format!("node-{index}"), Role::Primary, node)
    });
    Pool::new(nodes.collect(), PoolOptions { agree, ..PoolOptions::of(&profile()) }).unwrap()
}

pub async fn pin(pool: &Pool) -> Result<Arc<dyn Node>, NodeError> {
    Ok(pool.pin(Work::Head).await?.unwrap())
}

pub fn state(pool: &Pool, index: usize) -> NodeState {
    pool.reports()[index].state
}

pub fn gone() -> NodeError {
    NodeError::Unreachable { node: "http://node".into(), reason: "gone".into() }
}

/// Lets the pool look after its nodes for so long.
pub async fn watch(pool: &Pool, time: Duration) {
    let _ = tokio::time::timeout(time, pool.watch()).await;
}

pub const SECOND: Duration = Duration::from_secs(1);
