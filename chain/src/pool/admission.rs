//! Admission and ejection of a pool's nodes.

use alloy_primitives::B256;
use futures::future::join_all;

use crate::error::NodeError;
use crate::lock::lock;
use crate::node::At;
use crate::pool::health::Ejection;
use crate::pool::members::{Inner, Member};

impl Inner {
    /// Checks that a node is on the right chain, before any of its answers is used.
    ///
    /// A single node is not checked here: its caller knows more about the chain.
    pub(crate) async fn admit(&self, index: usize) -> Result<(), NodeError> {
        let member = &self.members[index];
        if self.members.len() == 1 || member.health().admitted {
            return Ok(());
        }
        let found = self.ask(index, member.node.chain_id()).await?;
        let expected = self.profile().chain_id;
        if found != expected.get() {
            return Err(self.eject_for(index, NodeError::WrongChain { expected, found }));
        }
        let block = self.ask(index, member.node.header(At::Number(0))).await?;
        let expected = *lock(&self.genesis);
        match (block.map(|block| block.hash), expected) {
            (Some(found), Some(expected)) if found != expected => {
                let node = member.name.clone();
                return Err(self.eject_for(index, NodeError::WrongGenesis { node, expected, found }));
            }
            (Some(_), Some(_)) => {}
            (Some(found), None) => self.first_contact(index, found).await?,
            (None, _) => self.admit_without_genesis(index).await?,
        }
        let mut health = member.health();
        health.admitted = true;
        if matches!(health.ejected, Some(Ejection::Chain(_))) {
            health.ejected = None;
            tracing::info!(chain = %self.profile().chain_id, node = member.name, "is on the chain again");
        }
        Ok(())
    }

    /// The first admission while no genesis hash is known. The first indexed block will fix it, so the nodes must not
    /// disagree.
    async fn first_contact(&self, index: usize, found: B256) -> Result<(), NodeError> {
        let others = (0..self.members.len()).filter(|other| *other != index);
        let asked = others.map(|other| async move {
            let block = self.ask(other, self.members[other].node.header(At::Number(0))).await;
            (other, block)
        });
        let mut same = 1;
        for (other, block) in join_all(asked).await {
            match block {
                Ok(Some(block)) if block.hash == found => same += 1,
                Ok(Some(block)) => {
                    let (one, two) = (&self.members[index].name, &self.members[other].name);
                    let what = format!(
                        "block 0 is {found} at {one}, but {} at {two}; correct the wrong address, or set \
                         genesis_hash",
                        block.hash
                    );
                    return Err(NodeError::Disagreed { what });
                }
                Ok(None) | Err(_) => {}
            }
        }
        if same < self.options.agree {
            let what = format!("{same} nodes have shown block 0, but {} must agree", self.options.agree);
            return Err(NodeError::Disagreed { what });
        }
        Ok(())
    }

    /// Admits a pruned node without block 0 by its chain id and a later block that other nodes have shown.
    async fn admit_without_genesis(&self, index: usize) -> Result<(), NodeError> {
        let member = &self.members[index];
        let anchor = *lock(&self.anchor);
        let Some((number, expected)) = anchor else {
            tracing::warn!(
                chain = %self.profile().chain_id, node = member.name,
                "has no block 0: only its chain id was checked"
            );
            return Ok(());
        };
        match self.ask(index, member.node.header(At::Number(number))).await? {
            Some(block) if block.hash == expected => Ok(()),
            Some(block) => {
                let why = format!("block {number} is {} there, but {expected} at the others", block.hash);
                self.eject(index, Ejection::Fork(why.clone()));
                Err(NodeError::Disagreed { what: why })
            }
            None => Err(NodeError::Behind),
        }
    }

    fn eject_for(&self, index: usize, error: NodeError) -> NodeError {
        self.eject(index, Ejection::Chain(error.clone()));
        error
    }

    /// Ejects a node. Logs it once, until the node is admitted again.
    pub(crate) fn eject(&self, index: usize, why: Ejection) {
        let member = &self.members[index];
        let mut health = member.health();
        health.admitted = false;
        if health.ejected.is_none() {
            let reason = why.reason();
            tracing::error!(chain = %self.profile().chain_id, node = member.name, reason, "the node is ejected and not asked any more");
        }
        health.ejected = Some(why);
        drop(health);
        member.meter.state(false, true);
    }

    /// Ejects a node whose chain cannot be the right one. `false`: no other node is left, so nothing changed.
    pub(crate) fn reject(&self, index: usize, why: &str) -> bool {
        let left = |(other, member): (usize, &Member)| other != index && member.health().ejected.is_none();
        if !self.members.iter().enumerate().any(left) {
            return false;
        }
        self.eject(index, Ejection::Fork(why.to_owned()));
        true
    }
}
