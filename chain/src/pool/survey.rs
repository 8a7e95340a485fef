//! The periodic survey of all nodes: heads, re-admission, and forks.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use futures::future::join_all;
use tokio::time::Instant;

use crate::lock::lock;
use crate::node::{At, NodeState, Work};
use crate::pool::health::Ejection;
use crate::pool::members::Inner;

/// After this many consecutive surveys with another final block than the majority, a node is ejected. A single
/// difference may be a reorganization in progress; three at this depth mean another chain.
const DISSENTS: u32 = 3;

impl Inner {
    pub(crate) async fn survey(&self) {
        join_all((0..self.members.len()).map(|index| self.probe(index))).await;
        self.compare_heads();
        self.compare_settled().await;
        for (index, member) in self.members.iter().enumerate() {
            self.measure(index);
            if let Some(head) = member.health().head() {
                member.meter.head(head);
            }
        }
    }

    /// Re-admits an ejected node if it is right again, and reads the head of an idle one.
    async fn probe(&self, index: usize) {
        let (state, fork, due) = {
            let (health, now) = (self.members[index].health(), Instant::now());
            let fork = matches!(health.ejected, Some(Ejection::Fork(_)));
            (health.state(now, self.options.stall), fork, health.is_unseen(now, self.options.survey))
        };
        if state == NodeState::Resting || fork || self.admit(index).await.is_err() || !due {
            return;
        }
        let node = self.node(index, Work::LookUp).await;
        if let Ok(head) = self.ask(index, node.header(At::Latest)).await {
            self.members[index].health().saw(At::Latest, head.as_ref(), Instant::now());
        }
    }

    fn compare_heads(&self) {
        let heads: Vec<Option<u64>> = self
            .members
            .iter()
            .map(|member| {
                let health = member.health();
                health.head().filter(|_| health.ejected.is_none())
            })
            .collect();
        for (index, member) in self.members.iter().enumerate() {
            let others = heads.iter().enumerate().filter(|(other, _)| *other != index);
            let best = others.filter_map(|(_, head)| *head).max();
            member.health().compare(best, self.options.max_lag);
        }
    }

    /// Compares the nodes' blocks at finality depth, where no two may differ.
    async fn compare_settled(&self) {
        let heads = self.members.iter().filter_map(|member| {
            let health = member.health();
            health.head().filter(|_| health.ejected.is_none())
        });
        let Some(height) = heads.max().and_then(|head| head.checked_sub(self.profile().finality_depth))
        else {
            return;
        };
        let asked = (0..self.members.len()).filter(|index| {
            let health = self.members[*index].health();
            let resting = health.state(Instant::now(), self.options.stall) == NodeState::Resting;
            !resting && !matches!(health.ejected, Some(Ejection::Chain(_)))
        });
        let asked = asked.map(|index| async move {
            let node = self.node(index, Work::LookUp).await;
            let block = self.ask(index, node.header(At::Number(height))).await;
            block.ok().flatten().map(|block| (index, block.hash))
        });
        let shown: Vec<(usize, B256)> = join_all(asked).await.into_iter().flatten().collect();
        self.count_votes(height, &shown);
    }

    fn count_votes(&self, height: u64, shown: &[(usize, B256)]) {
        let counted = |index: usize| self.members[index].health().ejected.is_none();
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
            let mut health = member.health();
            if hash == right {
                health.dissents = 0;
                if matches!(health.ejected, Some(Ejection::Fork(_))) {
                    health.ejected = None;
                    tracing::info!(chain = %self.profile().chain_id, node = member.name, "shows the others' chain again");
                }
            } else if health.ejected.is_none() {
                member.meter.disagreed();
                health.dissents += 1;
                if health.dissents >= DISSENTS {
                    drop(health);
                    let why = format!("block {height} is {hash} there, but {right} at most others");
                    self.eject(*index, Ejection::Fork(why));
                }
            }
        }
    }

    /// Logs an error, once, if no majority shows which nodes are right.
    fn split(&self, height: u64, is: bool) {
        let mut was = lock(&self.split);
        if is && !*was {
            tracing::error!(
                chain = %self.profile().chain_id, height,
                "the nodes show different final blocks, and no majority shows which are right: check the nodes"
            );
        }
        *was = is;
    }
}
