//! One node of a pool for a unit of work. If several must agree, the others confirm its answers.

use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::error::NodeError;
use crate::lock::lock;
use crate::node::{
    AccountState, At, Header, Log, LogQuery, Merging, Mined, Node, Readable, Receipt, Span, StateQuestion,
    Transaction, Work,
};
use crate::pool::compare::{same_readable, same_receipt, without};
use crate::pool::quorum::Lead;
use crate::profile::Profile;

/// How many blocks below the head to look for a block that enough nodes show.
const STEPS_DOWN: u64 = 3;

/// One node of a pool. If several must agree, its answers need the others' confirmation.
pub(crate) struct Pinned {
    pub(crate) lead: Lead,
    /// Whether the node answers alone, even if several must agree.
    pub(crate) standalone: bool,
}

impl Pinned {
    /// Whether enough other nodes show this block, at its height or by its hash.
    async fn has_quorum(&self, header: &Header, at: At) -> Result<bool, NodeError> {
        let quorum =
            self.lead.quorum(|node| async move { node.header(at).await }, |theirs| theirs == header).await;
        let enough = quorum.reached;
        if !enough && matches!(at, At::Hash(_)) {
            // A hash names one block. A node that shows another parent or time for the same hash is wrong.
            self.lead.blame_if_outvoted(&quorum, Header::eq, "a header")?;
        }
        Ok(enough)
    }

    /// The newest block that enough nodes show: the head, or a block just below it while other nodes lag.
    async fn agreed_head(&self, head: Header) -> Result<Option<Header>, NodeError> {
        if self.has_quorum(&head, At::Number(head.number)).await? {
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
            if self.has_quorum(&block, At::Number(number)).await? {
                return Ok(Some(block));
            }
        }
        Err(self.lead.disagreed(format!(
            "too few of them show the blocks below {} that {} shows",
            head.number,
            self.lead.name()
        )))
    }

    fn skips_quorum(&self) -> bool {
        self.standalone || self.lead.pool.options.agree < 2
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
            Some(header) if !self.skips_quorum() => header,
            other => return Ok(other),
        };
        if at == At::Latest {
            return self.agreed_head(header).await;
        }
        if self.has_quorum(&header, at).await? {
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
            Some(merging) if !self.skips_quorum() => merging,
            other => return Ok(other),
        };
        let ask = |node: Arc<dyn Node>| async move { node.merging(at).await };
        let quorum = self.lead.quorum(ask, |theirs| *theirs == merging).await;
        if quorum.reached {
            return Ok(Some(merging));
        }
        if quorum.others.is_empty() {
            return Ok(None);
        }
        Err(self.lead.disagreed(format!("the blocks that block {} merged", merging.header.number)))
    }

    async fn logs(&self, query: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError> {
        self.readable_logs(query, span).await?.whole()
    }

    async fn readable_logs(&self, query: &LogQuery, span: Span) -> Result<Readable, NodeError> {
        let node = self.lead.node().await;
        let own = self.lead.ask(node.readable_logs(query, span)).await?;
        if self.skips_quorum() {
            return Ok(own);
        }
        let ask = |node: Arc<dyn Node>| {
            let query = query.clone();
            async move { node.readable_logs(&query, span).await.map(Some) }
        };
        // A transaction that one node cannot read has too few confirmations.
        let unread = Mutex::new(own.unreadable.clone());
        let same = |theirs: &Readable| {
            let same = same_readable(theirs, &own);
            if same {
                lock(&unread).extend(theirs.unreadable.iter().cloned());
            }
            same
        };
        let quorum = self.lead.quorum(ask, same).await;
        if quorum.reached {
            if matches!(span, Span::Block(_)) {
                self.lead.blame_dissenters(&quorum, "other logs of a block");
            }
            let unread = unread.into_inner().unwrap_or_else(PoisonError::into_inner);
            return Ok(without(own, unread));
        }
        if matches!(span, Span::Block(_)) {
            self.lead.blame_if_outvoted(&quorum, same_readable, "other logs of a block")?;
        }
        Err(self.lead.disagreed(format!(
            "{} finds {} logs in {span:?}, the others find different ones",
            self.lead.name(),
            own.logs.len()
        )))
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        let node = self.lead.node().await;
        let receipt = match self.lead.ask(node.receipt(transaction)).await {
            Err(error) if error.is_too_long() && !self.standalone => {
                return self.lead.receipt_of_others(transaction, error).await;
            }
            answer => match answer? {
                Some(receipt) if !self.skips_quorum() => receipt,
                other => return Ok(other),
            },
        };
        let ask = |node: Arc<dyn Node>| async move { node.receipt(transaction).await };
        let quorum = self.lead.quorum(ask, |theirs| same_receipt(theirs, &receipt)).await;
        if quorum.reached {
            return Ok(Some(receipt));
        }
        if quorum.others.is_empty() {
            // No node contradicts. The others do not know the receipt yet, or cannot give it.
            return quorum.too_long.map_or(Ok(None), Err);
        }
        Err(self.lead.disagreed(format!("the receipt of {transaction}")))
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, NodeError> {
        let node = self.lead.node().await;
        let transaction = match self.lead.ask(node.transaction(hash)).await? {
            Some(transaction) if !self.skips_quorum() => transaction,
            other => return Ok(other),
        };
        let ask = |node: Arc<dyn Node>| async move { node.transaction(hash).await };
        let quorum = self.lead.quorum(ask, |theirs| *theirs == transaction).await;
        if quorum.reached {
            return Ok(Some(transaction));
        }
        if quorum.others.is_empty() {
            return quorum.too_long.map_or(Ok(None), Err);
        }
        Err(self.lead.disagreed(format!("the content of the transaction {hash}")))
    }

    /// Nodes at different heads may rightly differ, so no node is blamed.
    async fn view(&self, contract: Address, data: Bytes) -> Result<Bytes, NodeError> {
        let node = self.lead.node().await;
        let answer = self.lead.ask(node.view(contract, data.clone())).await?;
        if self.skips_quorum() {
            return Ok(answer);
        }
        let ask = |node: Arc<dyn Node>| {
            let data = data.clone();
            async move { node.view(contract, data).await.map(Some) }
        };
        if self.lead.quorum(ask, |theirs| *theirs == answer).await.reached {
            return Ok(answer);
        }
        let needed = self.lead.pool.options.agree;
        Err(NodeError::Disagreed {
            what: format!("the result of a call to {contract} ({needed} must agree)"),
        })
    }

    /// Of one node: what is asked so is asked again when it matters, by the transaction itself.
    async fn state(&self, questions: &[StateQuestion]) -> Result<Vec<Result<Bytes, NodeError>>, NodeError> {
        let node = self.lead.node().await;
        self.lead.ask(node.state(questions)).await
    }

    /// What a transaction cost is this node's word. What it did needs the others' confirmation.
    async fn mined(&self, transactions: &[B256]) -> Result<Vec<Option<Mined>>, NodeError> {
        let node = self.lead.node().await;
        let mut mined = self.lead.ask(node.mined(transactions)).await?;
        if self.skips_quorum() {
            return Ok(mined);
        }
        for found in &mut mined {
            let Some(own) = found else { continue };
            match self.receipt(own.receipt.transaction).await? {
                Some(receipt) => own.receipt = receipt,
                None => *found = None,
            }
        }
        Ok(mined)
    }

    /// Of one node, since nodes at different heights may rightly differ.
    async fn account(&self, account: Address) -> Result<AccountState, NodeError> {
        let node = self.lead.node().await;
        self.lead.ask(node.account(account)).await
    }

    async fn submit(&self, hash: B256, raw: &Bytes) -> Result<(), NodeError> {
        let node = self.lead.node().await;
        self.lead.ask(node.submit(hash, raw)).await
    }

    /// As with [`Node::view`], no node is blamed.
    async fn code(&self, contract: Address) -> Result<Bytes, NodeError> {
        let node = self.lead.node().await;
        let code = self.lead.ask(node.code(contract)).await?;
        if self.skips_quorum() {
            return Ok(code);
        }
        let ask = |node: Arc<dyn Node>| async move { node.code(contract).await.map(Some) };
        if self.lead.quorum(ask, |theirs| *theirs == code).await.reached {
            return Ok(code);
        }
        let needed = self.lead.pool.options.agree;
        Err(NodeError::Disagreed { what: format!("the code at {contract} ({needed} must agree)") })
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
        Ok(Some(Arc::new(Self { lead: Lead { work, ..self.lead.clone() }, standalone: self.standalone })))
    }

    fn longest_answer(&self) -> Option<u64> {
        self.lead.pool.members.iter().filter_map(|member| member.node.longest_answer()).max()
    }

    fn most_together(&self) -> Option<usize> {
        self.lead.pool.members.iter().filter_map(|member| member.node.most_together()).min()
    }

    fn reject(&self, why: &str) -> bool {
        self.lead.pool.reject(self.lead.index, why)
    }
}
