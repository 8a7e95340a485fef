//! The trait of a chain node, and its requests and answers.
//!
//! This module knows no JSON-RPC, and not whether one node answers or several.

pub(crate) mod account;
pub(crate) mod block;
pub(crate) mod call;
pub(crate) mod query;
pub(crate) mod report;
pub(crate) mod state;

pub(crate) use account::{AccountState, Fees, Mined};
pub(crate) use block::{Header, Log, Merging, Readable, Receipt, Transaction, Unreadable};
pub(crate) use call::{Call, Prepared};
pub(crate) use query::{At, LogFilter, LogQuery, Span, Work};
pub(crate) use report::{NodeReport, NodeState, Role};
pub(crate) use state::StateQuestion;

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::error::NodeError;
use crate::profile::Profile;

/// A node of one chain, or several that replace each other ([`Pool`](crate::Pool)).
///
/// Every answer fits its request, or is an error: see [`NodeError`].
#[async_trait]
pub trait Node: Send + Sync + 'static {
    /// The EIP-155 id of the node's chain.
    async fn chain_id(&self) -> Result<u64, NodeError>;

    /// A block's header. `None`: the node does not have the block.
    async fn header(&self, at: At) -> Result<Option<Header>, NodeError>;

    /// A block and the blocks that it merged. `None`: the node does not have the block. Used only if
    /// [`Profile::merges_blocks`]; by default a block merges none.
    async fn merging(&self, at: At) -> Result<Option<Merging>, NodeError> {
        let header = self.header(at).await?;
        Ok(header.map(|header| Merging { header, merged: Vec::new() }))
    }

    /// The matching logs, in chain order.
    ///
    /// # Errors [`NodeError::Behind`] if the node lacks the span's last block, because its logs would be missing.
    /// [`NodeError::Moved`] if a single block left the chain meanwhile. [`NodeError::RangeTooLarge`] if the span must
    /// be smaller. [`NodeError::BlockTooLarge`] if a transaction of a single block cannot be read.
    async fn logs(&self, query: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError>;

    /// Like [`Node::logs`], but returns unreadable transactions of a block instead of an error. So one transaction with
    /// a receipt that is too long hides no other.
    async fn readable_logs(&self, query: &LogQuery, span: Span) -> Result<Readable, NodeError> {
        self.logs(query, span).await.map(Readable::from)
    }

    /// The longest answer that is read, in bytes, of the node that reads most. `None`: no limit.
    fn longest_answer(&self) -> Option<u64> {
        None
    }

    /// How many questions go together in one request now, of the node that takes fewest. More are asked one request after another.
    /// `None`: no limit.
    fn most_together(&self) -> Option<usize> {
        None
    }

    /// The receipt of a transaction. `None`: the node knows no block with it (yet).
    ///
    /// A node with a failing database may also return `None`, and the receipt's block may have been replaced since. So
    /// the caller must look up the block.
    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError>;

    /// A transaction. `None`: the node does not know it.
    async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, NodeError>;

    /// The result of a read-only contract call at the head.
    ///
    /// # Errors [`NodeError::Unsupported`] by default. [`NodeError::is_revert`] recognizes a reverted call. An address
    /// without code returns empty bytes, not an error.
    async fn view(&self, contract: Address, data: Bytes) -> Result<Bytes, NodeError> {
        let _ = (contract, data);
        Err(NodeError::Unsupported {
            method: "eth_call".to_owned(),
            message: "it is not asked here".to_owned(),
        })
    }

    /// The code at an address, at the head; empty where there is no contract.
    ///
    /// # Errors [`NodeError::Unsupported`] by default.
    async fn code(&self, contract: Address) -> Result<Bytes, NodeError> {
        let _ = contract;
        Err(NodeError::Unsupported {
            method: "eth_getCode".to_owned(),
            message: "it is not asked here".to_owned(),
        })
    }

    /// The answers to several questions about the state at the head, in their order and of one node. An answer can fail
    /// alone: a reverted call is no fault of the others.
    ///
    /// # Errors [`NodeError::Unsupported`] by default. Any other if the node answers nothing.
    async fn state(&self, questions: &[StateQuestion]) -> Result<Vec<Result<Bytes, NodeError>>, NodeError> {
        let _ = questions;
        Err(NodeError::Unsupported {
            method: "eth_call".to_owned(),
            message: "it is not asked here".to_owned(),
        })
    }

    /// Mined transactions with what they cost, in the order asked. `None`: as [`Node::receipt`].
    async fn mined(&self, transactions: &[B256]) -> Result<Vec<Option<Mined>>, NodeError> {
        let mut mined = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            let receipt = self.receipt(*transaction).await?;
            mined.push(receipt.map(|receipt| Mined { receipt, gas_used: None, gas_price: None }));
        }
        Ok(mined)
    }

    /// An account that sends transactions, and the price of gas, at the head.
    ///
    /// # Errors [`NodeError::Unsupported`] by default.
    async fn account(&self, account: Address) -> Result<AccountState, NodeError> {
        let _ = account;
        Err(NodeError::Unsupported {
            method: "eth_getTransactionCount".to_owned(),
            message: "it is not asked here".to_owned(),
        })
    }

    /// Sends a signed transaction (EIP-2718). Sending it again is harmless: a node that has it already counts as success. A
    /// pool sends it to every node.
    ///
    /// # Errors [`NodeError::Unsupported`] by default. After most errors the transaction may have been sent all the same: only
    /// its receipt, or that of another transaction with its nonce, says what became of it.
    async fn submit(&self, hash: B256, raw: &Bytes) -> Result<(), NodeError> {
        let _ = (hash, raw);
        Err(NodeError::Unsupported {
            method: "eth_sendRawTransaction".to_owned(),
            message: "it is not asked here".to_owned(),
        })
    }

    /// A stream with an item for each new head, or for several at once. `None`: the profile or the endpoint has no
    /// subscription.
    ///
    /// An item only means that the caller should poll. The stream ends when the connection breaks or falls silent. The
    /// caller always polls as well, and may subscribe again.
    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError>;

    /// The network profile of the node.
    fn profile(&self) -> &Profile;

    /// One node for a unit of work, so that headers and logs come from the same node. `None`: this already is a single
    /// node, without kinds of work.
    ///
    /// # Errors The reason why no node can be asked.
    async fn pin(&self, work: Work) -> Result<Option<Arc<dyn Node>>, NodeError> {
        let _ = work;
        Ok(None)
    }

    /// Each node that can be asked now, with its name. Each answers for itself, even if several must agree. Empty if
    /// this is a single node.
    async fn each(&self, work: Work) -> Vec<(String, Arc<dyn Node>)> {
        let _ = work;
        Vec::new()
    }

    /// Rejects this node, because its chain cannot be the followed one. It is not asked until it shows the chain of the
    /// other nodes. `false`: all other nodes are rejected, so nothing changed.
    fn reject(&self, why: &str) -> bool {
        let _ = why;
        false
    }

    /// Sets the expected hash of block 0. A node with another one is on another chain.
    fn expect_genesis(&self, genesis: B256) {
        let _ = genesis;
    }

    /// The node's name: host and port, without parts of the address that may be a key. Empty for an unnamed node or a
    /// pool.
    fn label(&self) -> &str {
        ""
    }

    /// Whether the node's logs are accepted without the proof that the profile requires, because the node reports that
    /// it cannot prove them.
    fn is_unproved(&self) -> bool {
        false
    }

    /// The state of each node of a pool. Empty for others.
    fn reports(&self) -> Vec<NodeReport> {
        Vec::new()
    }

    /// Compares the node's chain id with the profile's.
    ///
    /// # Errors [`NodeError::WrongChain`] if they differ.
    async fn check_chain(&self) -> Result<(), NodeError> {
        let found = self.chain_id().await?;
        let expected = self.profile().chain_id;
        if found == expected.get() { Ok(()) } else { Err(NodeError::WrongChain { expected, found }) }
    }
}
