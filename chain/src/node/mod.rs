//! What the rest of the system asks of a chain: one trait, and questions and answers as values.
//!
//! Nothing here speaks JSON-RPC, and nothing knows whether one node answers or several.

pub(crate) mod block;
pub(crate) mod call;
pub(crate) mod query;
pub(crate) mod report;

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::error::NodeError;
use crate::node::block::{Header, Log, Merging, Readable, Receipt, Transaction};
use crate::node::query::{At, LogQuery, Span, Work};
use crate::node::report::NodeReport;
use crate::profile::Profile;

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
