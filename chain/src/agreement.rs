//! Answers of one node held against those of others.
//!
//! Asked about are header, logs and receipt, because these make a payment. A node that lies about one of them is found
//! out by any honest one among those that must agree, and what it made up is not indexed, let alone granted on.

use std::collections::HashSet;
use std::sync::Arc;

use alloy_primitives::{Address, B256};

use crate::pinned::Pinned;
use crate::{At, Log, Node, NodeError, Readable, Receipt, Unreadable};

/// What the others said.
pub(crate) struct Witnesses<T> {
    /// Whether as many as must agree, the node itself included, say the same.
    pub(crate) enough: bool,
    /// Those who say something else, and what.
    pub(crate) others: Vec<(usize, T)>,
    /// Why one of them cannot give its answer, where that is too long for it: it is not that it knows of none.
    pub(crate) too_long: Option<NodeError>,
}

impl Pinned {
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
        for index in self.pool.order().into_iter().filter(|index| *index != self.lead) {
            if missing == 0 {
                break;
            }
            if self.pool.admit(index).await.is_err() {
                continue;
            }
            let node = self.pool.node(index, self.work).await;
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
        for index in self.pool.order().into_iter().filter(|index| *index != self.lead) {
            if self.pool.admit(index).await.is_err() {
                continue;
            }
            let node = self.pool.node(index, self.work).await;
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
        for index in self.pool.order().into_iter().filter(|index| *index != self.lead) {
            if self.pool.admit(index).await.is_err() {
                continue;
            }
            let node = self.pool.node(index, self.work).await;
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
    pub(crate) fn blame_if_outvoted<T: Agrees>(
        &self,
        witnesses: &Witnesses<T>,
        what: &str,
    ) -> Result<(), NodeError> {
        let needed = self.pool.options.agree;
        let Some((_, first)) = witnesses.others.first() else { return Ok(()) };
        if witnesses.others.len() < needed || !witnesses.others.iter().all(|(_, other)| other.agrees(first)) {
            return Ok(());
        }
        let name = &self.pool.members[self.lead].name;
        let error =
            NodeError::Lied { what: format!("{name} gives {what}, and {needed} nodes contradict it") };
        self.pool.members[self.lead].meter.disagreed();
        self.pool.blame(self.lead, &error);
        Err(error)
    }
}

/// What can be compared between nodes.
pub(crate) trait Agrees {
    fn agrees(&self, other: &Self) -> bool;
}

impl Agrees for crate::Header {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

impl Agrees for Readable {
    fn agrees(&self, other: &Self) -> bool {
        same_readable(self, other)
    }
}

/// Whether two answers hold the same events of all transactions that both could read.
pub(crate) fn same_readable(one: &Readable, other: &Readable) -> bool {
    if one.unreadable.is_empty() && other.unreadable.is_empty() {
        return same_logs(&one.logs, &other.logs);
    }
    let unread = || one.unreadable.iter().chain(&other.unreadable).cloned().collect();
    same_logs(&without(one.clone(), unread()).logs, &without(other.clone(), unread()).logs)
}

/// An answer without the events of some transactions, which it names as unreadable instead.
pub(crate) fn without(mut answer: Readable, mut unread: Vec<Unreadable>) -> Readable {
    unread.sort_by_key(|one| (one.block_number, one.place, one.transaction));
    unread.dedup_by_key(|one| one.transaction);
    let named: HashSet<B256> = unread.iter().map(|one| one.transaction).collect();
    answer.logs.retain(|log| !named.contains(&log.transaction));
    Readable { logs: answer.logs, unreadable: unread }
}

/// Whether two answers hold the same events, in whatever order: that of transactions is the node's where it gives no indexes, and
/// that of a transaction's events follows from how many questions they were asked for in.
pub(crate) fn same_logs(one: &[Log], other: &[Log]) -> bool {
    fn key(log: &Log) -> (u64, B256, B256, Address, &[B256], &[u8]) {
        let (topics, data) = (log.content.topics(), log.content.data.as_ref());
        (log.block_number, log.block_hash, log.transaction, log.contract, topics, data)
    }
    let sorted = |logs: &[Log]| {
        let mut logs: Vec<Log> = logs.iter().map(timeless).collect();
        logs.sort_by(|one, other| key(one).cmp(&key(other)));
        logs
    };
    one.len() == other.len() && sorted(one) == sorted(other)
}

/// Whether two receipts say the same.
pub(crate) fn same_receipt(one: &Receipt, other: &Receipt) -> bool {
    let timeless =
        |receipt: &Receipt| Receipt { logs: receipt.logs.iter().map(timeless).collect(), ..receipt.clone() };
    timeless(one) == timeless(other)
}

/// A log without the time of its block, which some nodes give and some do not.
fn timeless(log: &Log) -> Log {
    Log { block_timestamp: None, ..log.clone() }
}
