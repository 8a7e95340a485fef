//! Confirmation of one node's answers by other nodes.
//!
//! Headers, logs and receipts are compared, because they make a payment. If several nodes must agree, any honest one
//! among them exposes a lying node, and its invented data is neither indexed nor granted.

use std::sync::Arc;

use alloy_primitives::B256;
use tokio::time::Instant;

use crate::error::NodeError;
use crate::node::{At, Header, Node, Receipt, Work};
use crate::pool::compare::same_receipt;
use crate::pool::members::{Inner, Member};

/// The answers of the other nodes.
pub(crate) struct Quorum<T> {
    /// Whether enough nodes agree, including the node itself.
    pub(crate) reached: bool,
    /// The nodes that disagree, and their answers.
    pub(crate) others: Vec<(usize, T)>,
    /// The error of a node whose answer is too long. It does not mean that the node knows nothing.
    pub(crate) too_long: Option<NodeError>,
}

/// The node in use, among the nodes of its pool.
#[derive(Clone)]
pub(crate) struct Lead {
    pub(crate) pool: Arc<Inner>,
    pub(crate) index: usize,
    pub(crate) work: Work,
}

impl Lead {
    fn member(&self) -> &Member {
        &self.pool.members[self.index]
    }

    /// Asks this node and records the outcome.
    pub(crate) async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, NodeError>>,
    ) -> Result<T, NodeError> {
        self.pool.ask(self.index, answer).await
    }

    pub(crate) async fn node(&self) -> Arc<dyn Node> {
        self.pool.node(self.index, self.work).await
    }

    /// The other nodes, best first.
    fn others(&self) -> impl Iterator<Item = usize> {
        let own = self.index;
        self.pool.order().into_iter().filter(move |index| *index != own)
    }

    /// Another node, if it can be asked.
    async fn admitted(&self, index: usize) -> Option<Arc<dyn Node>> {
        self.pool.admit(index).await.ok()?;
        Some(self.pool.node(index, self.work).await)
    }

    pub(crate) async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        let node = self.node().await;
        let header = self.ask(node.header(at)).await?;
        self.member().health().saw(at, header.as_ref(), Instant::now());
        Ok(header)
    }

    pub(crate) fn name(&self) -> &str {
        &self.member().name
    }

    /// The error that too few nodes agree. This node gets a pause, because another one may be right.
    pub(crate) fn disagreed(&self, what: String) -> NodeError {
        let needed = self.pool.options.agree;
        let error = NodeError::Disagreed { what: format!("{what} ({needed} must agree)") };
        self.pool.blame(self.index, &error);
        error
    }

    /// Asks the other nodes in turn until enough agree. A node that cannot be asked does not count.
    pub(crate) async fn quorum<T, F>(
        &self,
        ask: impl Fn(Arc<dyn Node>) -> F,
        same: impl Fn(&T) -> bool,
    ) -> Quorum<T>
    where
        F: Future<Output = Result<Option<T>, NodeError>> + Send,
    {
        let mut missing = self.pool.options.agree - 1;
        let (mut others, mut too_long) = (Vec::new(), None);
        for index in self.others() {
            if missing == 0 {
                break;
            }
            let Some(node) = self.admitted(index).await else { continue };
            match self.pool.ask(index, ask(node)).await {
                Ok(Some(answer)) if same(&answer) => missing -= 1,
                Ok(Some(answer)) => others.push((index, answer)),
                Err(error) if error.is_too_long() => too_long = Some(error),
                Ok(None) | Err(_) => {}
            }
        }
        Quorum { reached: missing == 0, others, too_long }
    }

    /// A receipt that this node cannot give, from the nodes that can. The receipt's block is checked against this node,
    /// and enough nodes must agree.
    ///
    /// # Errors This node's own error, if too few others agree.
    pub(crate) async fn receipt_of_others(
        &self,
        transaction: B256,
        error: NodeError,
    ) -> Result<Option<Receipt>, NodeError> {
        let mut given: Vec<Receipt> = Vec::new();
        for index in self.others() {
            let Some(node) = self.admitted(index).await else { continue };
            let Ok(Some(receipt)) = self.pool.ask(index, node.receipt(transaction)).await else { continue };
            given.push(receipt);
            for one in &given {
                let same = given.iter().filter(|other| same_receipt(one, other)).count();
                if same >= self.pool.options.agree {
                    return Ok(Some(one.clone()));
                }
            }
        }
        Err(error)
    }

    /// The heights of the other nodes' heads.
    pub(crate) async fn heads_of_others(&self) -> Vec<u64> {
        let mut heights = Vec::new();
        for index in self.others() {
            let Some(node) = self.admitted(index).await else { continue };
            if let Ok(Some(head)) = self.pool.ask(index, node.header(At::Latest)).await {
                heights.push(head.number);
            }
        }
        heights
    }

    /// Blames the nodes that contradict a sufficient agreement.
    pub(crate) fn blame_dissenters<T>(&self, quorum: &Quorum<T>, what: &str) {
        for (index, _) in &quorum.others {
            self.pool.members[*index].meter.disagreed();
            let what = format!("it gives {what} than the other nodes");
            self.pool.blame(*index, &NodeError::Lied { what });
        }
    }

    /// If enough other nodes agree with each other against this node, this node is wrong.
    ///
    /// # Errors [`NodeError::Lied`] in that case.
    pub(crate) fn blame_if_outvoted<T>(
        &self,
        quorum: &Quorum<T>,
        same: impl Fn(&T, &T) -> bool,
        what: &str,
    ) -> Result<(), NodeError> {
        let needed = self.pool.options.agree;
        let Some((_, first)) = quorum.others.first() else { return Ok(()) };
        if quorum.others.len() < needed || !quorum.others.iter().all(|(_, other)| same(other, first)) {
            return Ok(());
        }
        let name = &self.member().name;
        let error =
            NodeError::Lied { what: format!("{name} gives {what}, but {needed} nodes contradict it") };
        self.member().meter.disagreed();
        self.pool.blame(self.index, &error);
        Err(error)
    }
}
