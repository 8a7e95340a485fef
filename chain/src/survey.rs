//! A look at all nodes from time to time: who lags, who is back, and who is on another fork.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use futures::future::join_all;
use tokio::time::Instant;

use crate::pool::{Inner, lock};
use crate::standing::{Ejection, NodeState};
use crate::{At, Work};

/// Surveys in a row in which a node shows another final block than most until it is put out. A node may be caught in a
/// reorganization once; three times at this depth it is on another chain.
const DISSENTS: u32 = 3;

impl Inner {
    pub(crate) async fn survey(&self) {
        join_all((0..self.members.len()).map(|index| self.probe(index))).await;
        self.compare_heads();
        self.compare_settled().await;
        for (index, member) in self.members.iter().enumerate() {
            self.measure(index);
            if let Some(head) = member.standing().head() {
                member.meter.head(head);
            }
        }
    }

    /// Whether a node that was put out is right again, and what the head is of one that nobody asked.
    async fn probe(&self, index: usize) {
        let (state, fork, due) = {
            let (standing, now) = (self.members[index].standing(), Instant::now());
            let fork = matches!(standing.ejected, Some(Ejection::Fork(_)));
            (standing.state(now, self.options.stall), fork, standing.is_unseen(now, self.options.survey))
        };
        if state == NodeState::Resting || fork || self.admit(index).await.is_err() || !due {
            return;
        }
        let node = self.node(index, Work::LookUp).await;
        if let Ok(head) = self.ask(index, node.header(At::Latest)).await {
            self.members[index].standing().saw(At::Latest, head.as_ref(), Instant::now());
        }
    }

    fn compare_heads(&self) {
        let heads: Vec<Option<u64>> = self
            .members
            .iter()
            .map(|member| {
                let standing = member.standing();
                standing.head().filter(|_| standing.ejected.is_none())
            })
            .collect();
        for (index, member) in self.members.iter().enumerate() {
            let others = heads.iter().enumerate().filter(|(other, _)| *other != index);
            let best = others.filter_map(|(_, head)| *head).max();
            member.standing().compare(best, self.options.max_lag);
        }
    }

    /// Compares what the nodes show at the depth that counts as final. There no two may differ.
    async fn compare_settled(&self) {
        let heads = self.members.iter().filter_map(|member| {
            let standing = member.standing();
            standing.head().filter(|_| standing.ejected.is_none())
        });
        let Some(height) = heads.max().and_then(|head| head.checked_sub(self.profile().finality_depth))
        else {
            return;
        };
        let asked = (0..self.members.len()).filter(|index| {
            let standing = self.members[*index].standing();
            let resting = standing.state(Instant::now(), self.options.stall) == NodeState::Resting;
            !resting && !matches!(standing.ejected, Some(Ejection::Chain(_)))
        });
        let asked = asked.map(|index| async move {
            let node = self.node(index, Work::LookUp).await;
            let block = self.ask(index, node.header(At::Number(height))).await;
            block.ok().flatten().map(|block| (index, block.hash))
        });
        let shown: Vec<(usize, B256)> = join_all(asked).await.into_iter().flatten().collect();
        self.judge(height, &shown);
    }

    fn judge(&self, height: u64, shown: &[(usize, B256)]) {
        let counted = |index: usize| self.members[index].standing().ejected.is_none();
        let mut votes = BTreeMap::<B256, usize>::new();
        let mut voters = 0;
        for (index, hash) in shown.iter().filter(|(index, _)| counted(*index)) {
            *votes.entry(*hash).or_default() += 1;
            voters += 1;
            tracing::trace!(node = self.members[*index].name, height, %hash, "shows");
        }
        let Some((right, most)) = votes.iter().max_by_key(|(_, votes)| **votes) else { return };
        if most * 2 <= voters && voters > 1 {
            return self.split(height, true);
        }
        self.split(height, false);
        *lock(&self.anchor) = Some((height, *right));
        for (index, hash) in shown {
            let member = &self.members[*index];
            let mut standing = member.standing();
            if hash == right {
                standing.dissents = 0;
                if matches!(standing.ejected, Some(Ejection::Fork(_))) {
                    standing.ejected = None;
                    tracing::info!(chain = %self.profile().chain_id, node = member.name, "shows the others' chain again");
                }
            } else if standing.ejected.is_none() {
                member.meter.disagreed();
                standing.dissents += 1;
                if standing.dissents >= DISSENTS {
                    drop(standing);
                    let why = format!("block {height} is {hash} there and {right} at most others");
                    self.eject(*index, Ejection::Fork(why));
                }
            }
        }
    }

    /// Raises the alarm, once, when no majority can tell which nodes are on the right chain.
    fn split(&self, height: u64, is: bool) {
        let mut was = lock(&self.split);
        if is && !*was {
            tracing::error!(
                chain = %self.profile().chain_id, height,
                "the nodes show different blocks at a height that counts as final, and no majority tells which are \
                 right: check the nodes"
            );
        }
        *was = is;
    }
}
