//! What the rest of the system asks of a chain, and the shape of the answers.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, LogData, U256};
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{NodeError, NodeReport, Profile, Readable};

/// As much of a block's header as it takes to follow a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Height.
    pub number: u64,
    /// The block's hash as the node gives it; on some chains no function of the other fields.
    pub hash: B256,
    /// The block that this one builds on; on a DAG, the selected parent.
    pub parent_hash: B256,
    /// Unix time in seconds, as the block's producer wrote it. Not always greater than its parent's.
    pub timestamp: u64,
}

/// A block of a chain whose blocks form a graph, with those that it brought in beside its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merging {
    /// Its header. Its parent is the selected one.
    pub header: Header,
    /// The other blocks that it builds on. Empty where the node names none.
    pub merged: Vec<B256>,
}

/// One event of a mined transaction.
///
/// There is no log index, on purpose: some nodes count it within the answer, others give zero for all. Logs of the
/// same transaction come in the order in which they were emitted, and that order is the same in every answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Who emitted it.
    pub contract: Address,
    /// Topics and data.
    pub content: LogData,
    /// The transaction that it is part of.
    pub transaction: B256,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Unix time in seconds of its block, where the node gives it.
    pub block_timestamp: Option<u64>,
}

/// What became of a mined transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The transaction.
    pub transaction: B256,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Whether it was executed to its end. False: it was reverted, and only its fee was paid.
    pub success: bool,
    /// Who signed it.
    pub from: Address,
    /// What it called; `None` where it created a contract.
    pub to: Option<Address>,
    /// All its events, of every contract, in order. Empty when it did not succeed.
    pub logs: Vec<Log>,
}

/// Which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The head, as the node sees it now.
    Latest,
    /// The block at this height on the chain that the node now holds to be the right one.
    Number(u64),
    /// The block with this hash, whether or not it is still part of that chain.
    Hash(B256),
}

/// A mined transaction, as far as every node tells it truly: some give no signature, no type and no block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The transaction.
    pub hash: B256,
    /// What it called; `None` where it created a contract.
    pub to: Option<Address>,
    /// Its calldata.
    pub input: Bytes,
    /// The coins that it sent along, in base units.
    pub value: U256,
}

/// Events of some contracts with the same topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// The contracts that emit them, each once, ascending.
    pub contracts: Vec<Address>,
    /// For each place of the topics, the values that are asked for; none stands for any. At most four places; the
    /// first is the hash of the event's signature.
    pub topics: Vec<Vec<B256>>,
}

impl LogFilter {
    /// Whether an event is one of those.
    pub fn matches(&self, contract: Address, content: &LogData) -> bool {
        self.contracts.binary_search(&contract).is_ok()
            && self.topics.iter().enumerate().all(|(place, values)| {
                values.is_empty() || content.topics().get(place).is_some_and(|topic| values.contains(topic))
            })
    }
}

/// Which events: those that one of some filters lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// The filters, no two of which have the same topics.
    filters: Vec<LogFilter>,
}

impl LogQuery {
    /// The events of some signatures of one contract.
    pub fn new(contract: Address, signatures: Vec<B256>) -> Self {
        [(contract, vec![signatures])].into_iter().collect()
    }

    /// Whether an event is one of those.
    pub fn matches(&self, contract: Address, content: &LogData) -> bool {
        self.filters.iter().any(|filter| filter.matches(contract, content))
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Its filters, each with at most so many contracts.
    pub(crate) fn parts(&self, most: usize) -> Vec<LogFilter> {
        let parts = self.filters.iter().flat_map(|filter| {
            filter
                .contracts
                .chunks(most.max(1))
                .map(|part| LogFilter { contracts: part.to_vec(), topics: filter.topics.clone() })
        });
        parts.collect()
    }
}

/// What is asked of several contracts in the same words is one filter.
impl FromIterator<(Address, Vec<Vec<B256>>)> for LogQuery {
    fn from_iter<I: IntoIterator<Item = (Address, Vec<Vec<B256>>)>>(asked: I) -> Self {
        let mut filters: Vec<LogFilter> = Vec::new();
        for (contract, topics) in asked {
            match filters.iter_mut().find(|filter| filter.topics == topics) {
                Some(filter) => {
                    if let Err(place) = filter.contracts.binary_search(&contract) {
                        filter.contracts.insert(place, contract);
                    }
                }
                None => filters.push(LogFilter { contracts: vec![contract], topics }),
            }
        }
        Self { filters }
    }
}

/// Events of which blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Every block from one height to another, both included, on the chain that the node now holds to be the right
    /// one. The answer may straddle a reorganization: compare its hashes with headers that were asked for.
    ///
    /// At most [`Profile::logs_range`] blocks. `from` above `to` holds no block, and gets no log.
    Blocks {
        /// First height.
        from: u64,
        /// Last height.
        to: u64,
    },
    /// This very block, and no other at its height.
    Block(B256),
}

/// What a node is asked for: each kind has its share of what the node may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// New blocks. Whatever else is going on, there is room for them.
    Head,
    /// One transaction that somebody waits for.
    LookUp,
    /// The past, which takes what the others leave.
    BackFill,
}

/// A node of one chain, or several that stand in for each other ([`Pool`](crate::Pool)).
///
/// The answers are true to the question or an error: see [`NodeError`].
#[async_trait]
pub trait Node: Send + Sync + 'static {
    /// The EIP-155 id of the chain that the node is on.
    async fn chain_id(&self) -> Result<u64, NodeError>;

    /// A block's header; `None` where the node does not have the block.
    async fn header(&self, at: At) -> Result<Option<Header>, NodeError>;

    /// A block with those that it merged; `None` where the node does not have the block. Asked only where
    /// [`Profile::merges_blocks`]; elsewhere, and by default, a block merges none.
    async fn merging(&self, at: At) -> Result<Option<Merging>, NodeError> {
        let header = self.header(at).await?;
        Ok(header.map(|header| Merging { header, merged: Vec::new() }))
    }

    /// The events that match, in the order of the chain.
    ///
    /// # Errors
    /// [`NodeError::Behind`] where the node does not have the (last) block of the span: an answer without it would be
    /// an empty one. [`NodeError::Moved`] where a single block was asked for and left the chain meanwhile.
    /// [`NodeError::RangeTooLarge`] where the span must be made smaller.
    /// [`NodeError::BlockTooLarge`] where a transaction of a single block could not be read.
    async fn logs(&self, query: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError>;

    /// As [`Node::logs`], of the transactions that can be read, and which of a block's cannot: one whose receipt is too long
    /// costs no other.
    async fn readable_logs(&self, query: &LogQuery, span: Span) -> Result<Readable, NodeError> {
        self.logs(query, span).await.map(Readable::from)
    }

    /// The longest answer that is read, in bytes, of the node that reads most; `None` where there is no such bound.
    fn longest_answer(&self) -> Option<u64> {
        None
    }

    /// What became of a transaction; `None` where the node knows of no block that holds it (yet).
    ///
    /// A node that cannot read its own database may answer the same, and a receipt may belong to a block that was
    /// since replaced: look its block up.
    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError>;

    /// A transaction; `None` where the node does not know it.
    async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, NodeError>;

    /// What a function of a contract returns that only reads, at the head.
    ///
    /// # Errors
    /// [`NodeError::Unsupported`] by default. [`NodeError::is_revert`] tells a call that reverted. What an address without
    /// code returns is empty, and no error.
    async fn view(&self, contract: Address, data: Bytes) -> Result<Bytes, NodeError> {
        let _ = (contract, data);
        Err(NodeError::Unsupported {
            method: "eth_call".to_owned(),
            message: "it is not asked here".to_owned(),
        })
    }

    /// A tick for each new head, or for several at once. `None` where the profile or the endpoint has no subscription.
    ///
    /// A tick is a reason to look, and says nothing of what is there. The stream ends when the connection does, or
    /// when it no longer answers; the caller polls then, as it does anyhow, and may ask again.
    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError>;

    /// The network that the node is said to be on.
    fn profile(&self) -> &Profile;

    /// One node for a unit of work, so that what is said of headers and of logs is not put together from two nodes.
    /// `None` where this is one node already, and knows no kinds of work.
    ///
    /// # Errors
    /// Why none of several nodes can be asked.
    async fn pin(&self, work: Work) -> Result<Option<Arc<dyn Node>>, NodeError> {
        let _ = work;
        Ok(None)
    }

    /// The nodes that stand behind this one and can be asked now, each by its name and answering for itself alone, whatever
    /// the others say. None where this is one node.
    async fn each(&self, work: Work) -> Vec<(String, Arc<dyn Node>)> {
        let _ = work;
        Vec::new()
    }

    /// Says that this node's chain cannot be the one that is followed. It is asked no more until it shows the chain of
    /// the others. `false` where there are no others that are not rejected too.
    fn reject(&self, why: &str) -> bool {
        let _ = why;
        false
    }

    /// Says what block 0 is from now on: a node that shows another is on another chain.
    fn expect_genesis(&self, genesis: B256) {
        let _ = genesis;
    }

    /// What the node is called where it is told from others: its host and port, and nothing of its address that may be a key.
    /// Empty where it has no name, and where several nodes stand behind it and none was picked.
    fn label(&self) -> &str {
        ""
    }

    /// Whether the node's logs are taken without the proof that the profile asks for, because it says that it has no way
    /// to prove them.
    fn is_unproved(&self) -> bool {
        false
    }

    /// How the nodes are that stand behind this one; none where it keeps no account of them.
    fn reports(&self) -> Vec<NodeReport> {
        Vec::new()
    }

    /// Asks the node for its chain and compares it with the profile's.
    ///
    /// # Errors
    /// [`NodeError::WrongChain`] where they differ.
    async fn check_chain(&self) -> Result<(), NodeError> {
        let found = self.chain_id().await?;
        let expected = self.profile().chain_id;
        if found == expected.get() { Ok(()) } else { Err(NodeError::WrongChain { expected, found }) }
    }
}
