//! A node that is not waited for without end.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use futures::stream::BoxStream;
use salt402_chain::{
    At, Header, Log, LogQuery, Merging, Node, NodeError, NodeReport, Profile, Readable, Receipt, Span,
    Transaction, Work,
};
use tokio::time::timeout;

/// Longer than any node is given to answer, so that a node's own limit, which knows more, comes first.
const LIMIT: Duration = Duration::from_secs(120);

/// A node whose every answer comes within [`LIMIT`] or is [`NodeError::Timeout`].
///
/// A follower has one step under way, and a question that hangs would end it without a word: a connection that is
/// half open, a body that stalls, an implementation of [`Node`] that has no limit of its own.
#[derive(Clone)]
pub(crate) struct Patient(pub(crate) Arc<dyn Node>);

impl Patient {
    /// One node for a unit of work, where there are several.
    pub(crate) async fn pinned(&self, work: Work) -> Result<Self, NodeError> {
        let pinned = within(self.0.pin(work)).await?;
        Ok(pinned.map_or_else(|| self.clone(), Self))
    }
}

async fn within<T>(answer: impl Future<Output = Result<T, NodeError>>) -> Result<T, NodeError> {
    let late = || NodeError::Timeout { node: "the node".to_owned(), after: LIMIT };
    timeout(LIMIT, answer).await.unwrap_or_else(|_| Err(late()))
}

#[async_trait]
impl Node for Patient {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        within(self.0.chain_id()).await
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        within(self.0.header(at)).await
    }

    async fn merging(&self, at: At) -> Result<Option<Merging>, NodeError> {
        within(self.0.merging(at)).await
    }

    async fn logs(&self, query: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError> {
        within(self.0.logs(query, span)).await
    }

    async fn readable_logs(&self, query: &LogQuery, span: Span) -> Result<Readable, NodeError> {
        within(self.0.readable_logs(query, span)).await
    }

    fn longest_answer(&self) -> Option<u64> {
        self.0.longest_answer()
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        within(self.0.receipt(transaction)).await
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, NodeError> {
        within(self.0.transaction(hash)).await
    }

    async fn view(&self, contract: Address, data: Bytes) -> Result<Bytes, NodeError> {
        within(self.0.view(contract, data)).await
    }

    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        within(self.0.heads()).await
    }

    fn profile(&self) -> &Profile {
        self.0.profile()
    }

    async fn pin(&self, work: Work) -> Result<Option<Arc<dyn Node>>, NodeError> {
        within(self.0.pin(work)).await
    }

    fn label(&self) -> &str {
        self.0.label()
    }

    fn is_unproved(&self) -> bool {
        self.0.is_unproved()
    }

    fn reject(&self, why: &str) -> bool {
        self.0.reject(why)
    }

    fn expect_genesis(&self, genesis: B256) {
        self.0.expect_genesis(genesis);
    }

    fn reports(&self) -> Vec<NodeReport> {
        self.0.reports()
    }
}
