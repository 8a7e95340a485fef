//! One node of several for a unit of work; where several must agree, with the others as its witnesses.

use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::error::NodeError;
use crate::lock::lock;
use crate::node::Node;
use crate::node::block::{Header, Log, Merging, Readable, Receipt, Transaction};
use crate::node::query::{At, LogQuery, Span, Work};
use crate::pool::compare::{same_readable, same_receipt, without};
use crate::pool::witnesses::Lead;
use crate::profile::Profile;

/// How far below the head it is looked for a block that enough nodes show.
const STEPS_DOWN: u64 = 3;

/// A node that was picked out of several. Every answer is that node's, and where more must agree, theirs too.
pub(crate) struct Pinned {
    pub(crate) lead: Lead,
    /// Whether it answers for itself, however many must agree.
    pub(crate) lone: bool,
}

impl Pinned {
    /// Whether enough others show this very block, at its height or by its hash.
    async fn is_shown(&self, header: &Header, at: At) -> Result<bool, NodeError> {
        let witnesses =
            self.lead.witnesses(|node| async move { node.header(at).await }, |theirs| theirs == header).await;
        let enough = witnesses.enough;
        if !enough && matches!(at, At::Hash(_)) {
            // A hash names one block: who shows another parent or time under it is wrong for good.
            self.lead.blame_if_outvoted(&witnesses, Header::eq, "a header")?;
        }
        Ok(enough)
    }

    /// The newest block that enough nodes show: the head, or one just below it while the others are a little behind.
    async fn agreed_head(&self, head: Header) -> Result<Option<Header>, NodeError> {
        if self.is_shown(&head, At::Number(head.number)).await? {
            return Ok(Some(head));
        }
        let mut heights = self.lead.heads_of_others().await;
        heights.push(head.number);
        heights.sort_unstable_by(|a, b| b.cmp(a));
        let common = heights.get(self.lead.pool.options.agree - 1).copied();
        let Some(common) =
            common.filter(|common| head.number - common.min(&head.number) <= self.lead.pool.options.max_lag)
        else {
            return Err(self.lead.disagreed(format!("too few of them have block {}", head.number)));
        };
        let top = common.min(head.number.saturating_sub(1));
        for number in (top.saturating_sub(STEPS_DOWN)..=top).rev() {
            let block = self.lead.header(At::Number(number)).await?.ok_or(NodeError::Behind)?;
            if self.is_shown(&block, At::Number(number)).await? {
                return Ok(Some(block));
            }
        }
        Err(self.lead.disagreed(format!(
            "too few of them show the blocks below {} that {} shows",
            head.number,
            self.lead.name()
        )))
    }

    fn alone(&self) -> bool {
        self.lone || self.lead.pool.options.agree < 2
    }
}

#[async_trait]
impl Node for Pinned {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        let node = self.lead.node().await;
        self.lead.ask(node.chain_id()).await
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        let header = match self.lead.header(at).await? {
            Some(header) if !self.alone() => header,
            other => return Ok(other),
        };
        if at == At::Latest {
            return self.agreed_head(header).await;
        }
        if self.is_shown(&header, at).await? {
            return Ok(Some(header));
        }
        Err(self.lead.disagreed(format!(
            "block {} is {} at {}",
            header.number,
            header.hash,
            self.lead.name()
        )))
    }

    async fn merging(&self, at: At) -> Result<Option<Merging>, NodeError> {
        let node = self.lead.node().await;
        let merging = match self.lead.ask(node.merging(at)).await? {
            Some(merging) if !self.alone() => merging,
            other => return Ok(other),
        };
        let ask = |node: Arc<dyn Node>| async move { node.merging(at).await };
        let witnesses = self.lead.witnesses(ask, |theirs| *theirs == merging).await;
        if witnesses.enough {
            return Ok(Some(merging));
        }
        if witnesses.others.is_empty() {
            return Ok(None);
        }
        Err(self.lead.disagreed(format!("what block {} merged", merging.header.number)))
    }

    async fn logs(&self, query: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError> {
        self.readable_logs(query, span).await?.whole()
    }

    async fn readable_logs(&self, query: &LogQuery, span: Span) -> Result<Readable, NodeError> {
        let node = self.lead.node().await;
        let own = self.lead.ask(node.readable_logs(query, span)).await?;
        if self.alone() {
            return Ok(own);
        }
        let ask = |node: Arc<dyn Node>| {
            let query = query.clone();
            async move { node.readable_logs(&query, span).await.map(Some) }
        };
        // What one of them cannot read is confirmed by too few.
        let unread = Mutex::new(own.unreadable.clone());
        let same = |theirs: &Readable| {
            let same = same_readable(theirs, &own);
            if same {
                lock(&unread).extend(theirs.unreadable.iter().cloned());
            }
            same
        };
        let witnesses = self.lead.witnesses(ask, same).await;
        if witnesses.enough {
            if matches!(span, Span::Block(_)) {
                self.lead.blame_dissenters(&witnesses, "other logs of a block");
            }
            let unread = unread.into_inner().unwrap_or_else(PoisonError::into_inner);
            return Ok(without(own, unread));
        }
        if matches!(span, Span::Block(_)) {
            self.lead.blame_if_outvoted(&witnesses, same_readable, "other logs of a block")?;
        }
        Err(self.lead.disagreed(format!(
            "{} finds {} logs in {span:?}, and others do not",
            self.lead.name(),
            own.logs.len()
        )))
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        let node = self.lead.node().await;
        let receipt = match self.lead.ask(node.receipt(transaction)).await {
            Err(error) if error.is_too_long() && !self.lone => {
                return self.lead.receipt_of_others(transaction, error).await;
            }
            answer => match answer? {
                Some(receipt) if !self.alone() => receipt,
                other => return Ok(other),
            },
        };
        let ask = |node: Arc<dyn Node>| async move { node.receipt(transaction).await };
        let witnesses = self.lead.witnesses(ask, |theirs| same_receipt(theirs, &receipt)).await;
        if witnesses.enough {
            return Ok(Some(receipt));
        }
        if witnesses.others.is_empty() {
            // Nobody contradicts: the others do not know it yet, and so it is not known; or cannot give it.
            return witnesses.too_long.map_or(Ok(None), Err);
        }
        Err(self.lead.disagreed(format!("what became of {transaction}")))
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, NodeError> {
        let node = self.lead.node().await;
        let transaction = match self.lead.ask(node.transaction(hash)).await? {
            Some(transaction) if !self.alone() => transaction,
            other => return Ok(other),
        };
        let ask = |node: Arc<dyn Node>| async move { node.transaction(hash).await };
        let witnesses = self.lead.witnesses(ask, |theirs| *theirs == transaction).await;
        if witnesses.enough {
            return Ok(Some(transaction));
        }
        if witnesses.others.is_empty() {
            return witnesses.too_long.map_or(Ok(None), Err);
        }
        Err(self.lead.disagreed(format!("what the transaction {hash} calls")))
    }

    /// Nodes that stand at different heads may rightly differ, so none is left alone for it.
    async fn view(&self, contract: Address, data: Bytes) -> Result<Bytes, NodeError> {
        let node = self.lead.node().await;
        let answer = self.lead.ask(node.view(contract, data.clone())).await?;
        if self.alone() {
            return Ok(answer);
        }
        let ask = |node: Arc<dyn Node>| {
            let data = data.clone();
            async move { node.view(contract, data).await.map(Some) }
        };
        if self.lead.witnesses(ask, |theirs| *theirs == answer).await.enough {
            return Ok(answer);
        }
        let needed = self.lead.pool.options.agree;
        Err(NodeError::Disagreed { what: format!("what {contract} returns ({needed} must agree)") })
    }

    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        let node = self.lead.node().await;
        self.lead.pool.within(self.lead.index, node.heads()).await
    }

    fn profile(&self) -> &Profile {
        self.lead.pool.profile()
    }

    fn label(&self) -> &str {
        self.lead.name()
    }

    /// The same node for another kind of work.
    async fn pin(&self, work: Work) -> Result<Option<Arc<dyn Node>>, NodeError> {
        Ok(Some(Arc::new(Self { lead: Lead { work, ..self.lead.clone() }, lone: self.lone })))
    }

    fn longest_answer(&self) -> Option<u64> {
        self.lead.pool.members.iter().filter_map(|member| member.node.longest_answer()).max()
    }

    fn reject(&self, why: &str) -> bool {
        self.lead.pool.reject(self.lead.index, why)
    }
}
