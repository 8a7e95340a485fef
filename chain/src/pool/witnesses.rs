//! One node that is asked, and the others as its witnesses: answers of one node held against those of others.
//!
//! Asked about are header, logs and receipt, because these make a payment. A node that lies about one of them is found
//! out by any honest one among those that must agree, and what it made up is not indexed, let alone granted on.

use std::sync::Arc;

use alloy_primitives::B256;
use tokio::time::Instant;

use crate::error::NodeError;
use crate::node::Node;
use crate::node::block::{Header, Receipt};
use crate::node::query::{At, Work};
use crate::pool::compare::same_receipt;
use crate::pool::members::{Inner, Member};

/// What the others said.
pub(crate) struct Witnesses<T> {
    /// Whether as many as must agree, the node itself included, say the same.
    pub(crate) enough: bool,
    /// Those who say something else, and what.
    pub(crate) others: Vec<(usize, T)>,
    /// Why one of them cannot give its answer, where that is too long for it: it is not that it knows of none.
    pub(crate) too_long: Option<NodeError>,
}

/// The node that is asked, among the others of its pool.
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

    /// One answer of this node; what it tells of the node is noted.
    pub(crate) async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, NodeError>>,
    ) -> Result<T, NodeError> {
        self.pool.ask(self.index, answer).await
    }

    pub(crate) async fn node(&self) -> Arc<dyn Node> {
        self.pool.node(self.index, self.work).await
    }

    /// The other nodes, the best first.
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

    /// Says that too few agree. The node in the lead is left alone for a moment, so that another may be right.
    pub(crate) fn disagreed(&self, what: String) -> NodeError {
        let needed = self.pool.options.agree;
        let error = NodeError::Disagreed { what: format!("{what} ({needed} must agree)") };
        self.pool.blame(self.index, &error);
        error
    }

    /// Asks one after another until enough of them say the same. A node that cannot be asked says nothing.
    pub(crate) async fn witnesses<T, F>(
        &self,
        ask: impl Fn(Arc<dyn Node>) -> F,
        same: impl Fn(&T) -> bool,
    ) -> Witnesses<T>
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
        Witnesses { enough: missing == 0, others, too_long }
    }

    /// A receipt that this node cannot give, of those that can: it names its block, which is held against this node's. As many
    /// as must agree have to say the same.
    ///
    /// # Errors
    /// Why this node cannot give it, where too few others do.
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

    /// The heights of the others' heads.
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

    /// Those who contradict as many as must agree are wrong.
    pub(crate) fn blame_dissenters<T>(&self, witnesses: &Witnesses<T>, what: &str) {
        for (index, _) in &witnesses.others {
            self.pool.members[*index].meter.disagreed();
            let what = format!("it gives {what} than others do");
            self.pool.blame(*index, &NodeError::Lied { what });
        }
    }

    /// Where as many as must agree say all the same, and it is not what this node says, this node is wrong.
    ///
    /// # Errors
    /// [`NodeError::Lied`] then.
    pub(crate) fn blame_if_outvoted<T>(
        &self,
        witnesses: &Witnesses<T>,
        same: impl Fn(&T, &T) -> bool,
        what: &str,
    ) -> Result<(), NodeError> {
        let needed = self.pool.options.agree;
        let Some((_, first)) = witnesses.others.first() else { return Ok(()) };
        if witnesses.others.len() < needed || !witnesses.others.iter().all(|(_, other)| same(other, first)) {
            return Ok(());
        }
        let name = &self.member().name;
        let error =
            NodeError::Lied { what: format!("{name} gives {what}, and {needed} nodes contradict it") };
        self.member().meter.disagreed();
        self.pool.blame(self.index, &error);
        Err(error)
    }
}
