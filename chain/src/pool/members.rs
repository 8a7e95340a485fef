//! The nodes of a pool, the order in which they are asked, and the record of their answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use alloy_primitives::B256;
use tokio::time::{Instant, timeout};

use crate::error::NodeError;
use crate::lock::lock;
use crate::node::{Node, NodeReport, NodeState, Role, Work};
use crate::pool::health::Health;
use crate::profile::{Completeness, Profile};
use crate::rpc::meter::Meter;

/// The settings of a pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// How many nodes must agree on a header, on logs and on a receipt. 1: a single node is believed.
    pub agree: usize,
    /// The timeout of a single answer.
    pub limit: Duration,
    /// How often idle nodes are checked.
    pub survey: Duration,
    /// How long a head may stand still before another node is asked.
    pub stall: Duration,
    /// How many blocks a node may be behind the others.
    pub max_lag: u64,
}

impl PoolOptions {
    /// The settings for a network: a survey every ten seconds; a stall limit of five block times, at least ten seconds;
    /// and a lag limit of ten seconds of blocks, at least three blocks.
    pub fn of(profile: &Profile) -> Self {
        let seconds = |milliseconds: u64| Duration::from_millis(milliseconds).max(Duration::from_secs(10));
        Self {
            agree: 1,
            limit: Duration::from_secs(120),
            survey: Duration::from_secs(10),
            stall: seconds(profile.block_time_ms.saturating_mul(5)),
            max_lag: (10_000 / profile.block_time_ms.max(1)).max(3),
        }
    }
}

/// The state that all clones of a pool share.
pub(crate) struct Inner {
    pub(crate) members: Vec<Member>,
    pub(crate) options: PoolOptions,
    profile: Profile,
    /// The hash of block 0, if known.
    pub(crate) genesis: Mutex<Option<B256>>,
    /// A final block, as the majority of nodes shows it.
    pub(crate) anchor: Mutex<Option<(u64, B256)>>,
    /// Whether the last survey found a disagreement without a majority.
    pub(crate) split: Mutex<bool>,
    lead: AtomicUsize,
}

pub(crate) struct Member {
    pub(crate) node: Arc<dyn Node>,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) meter: Meter,
    health: Mutex<Health>,
}

impl Inner {
    pub(crate) fn new(
        nodes: Vec<(String, Role, Arc<dyn Node>)>,
        options: PoolOptions,
        profile: Profile,
    ) -> Self {
        let member = |(name, role, node): (String, Role, Arc<dyn Node>)| Member {
            meter: Meter::new(&profile, name.clone()),
            node,
            name,
            role,
            health: Mutex::default(),
        };
        Self {
            members: nodes.into_iter().map(member).collect(),
            genesis: Mutex::new(profile.genesis_hash),
            anchor: Mutex::default(),
            split: Mutex::default(),
            lead: AtomicUsize::new(0),
            options,
            profile,
        }
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The nodes that are not ejected, best first. Small differences do not displace the current node.
    pub(crate) fn order(&self) -> Vec<usize> {
        let (now, lead) = (Instant::now(), self.lead.load(Ordering::Relaxed));
        let mut keyed: Vec<_> = self
            .members
            .iter()
            .enumerate()
            .map(|(index, member)| {
                let health = member.health();
                let state = health.state(now, self.options.stall);
                let slow = if index == lead { 0 } else { health.slowness() };
                // Among equal nodes, one that proves its logs comes first.
                let unproved = member.node.is_unproved();
                (state >= NodeState::Suspect, member.role, state, unproved, index != lead, slow, index)
            })
            .filter(|(_, _, state, ..)| *state != NodeState::Ejected)
            .collect();
        keyed.sort_unstable();
        keyed.into_iter().map(|(.., index)| index).collect()
    }

    pub(crate) fn lead_by(&self, index: usize) {
        let before = self.lead.swap(index, Ordering::Relaxed);
        if before != index {
            let unproved = self.members[before].node.is_unproved();
            let reason = self.members[before].health().reason(Instant::now(), self.options.stall);
            let reason = reason.or_else(|| unproved.then(|| "its logs cannot be proved".to_owned()));
            tracing::info!(
                chain = %self.profile.chain_id,
                node = self.members[index].name,
                before = self.members[before].name,
                reason = reason.as_deref().unwrap_or("it has recovered"),
                "another node is asked"
            );
        }
    }

    /// Asks one node, within the timeout, and records the outcome.
    pub(crate) async fn ask<T>(
        &self,
        index: usize,
        answer: impl Future<Output = Result<T, NodeError>>,
    ) -> Result<T, NodeError> {
        let (member, started) = (&self.members[index], Instant::now());
        let answer = self.within(index, answer).await;
        match &answer {
            Ok(_) => member.health().succeeded(started.elapsed(), Instant::now()),
            Err(error) => self.blame(index, error),
        }
        answer
    }

    /// Asks one node, within the timeout.
    pub(crate) async fn within<T>(
        &self,
        index: usize,
        answer: impl Future<Output = Result<T, NodeError>>,
    ) -> Result<T, NodeError> {
        let (node, limit) = (&self.members[index].name, self.options.limit);
        let late = || NodeError::Timeout { node: node.clone(), after: limit };
        timeout(limit, answer).await.unwrap_or_else(|_| Err(late()))
    }

    /// Records an error of a node.
    pub(crate) fn blame(&self, index: usize, error: &NodeError) {
        let member = &self.members[index];
        member.health().failed(error, Instant::now());
        if matches!(error, NodeError::Disagreed { .. }) {
            member.meter.disagreed();
        }
        self.measure(index);
    }

    pub(crate) fn measure(&self, index: usize) {
        let member = &self.members[index];
        let state = member.health().state(Instant::now(), self.options.stall);
        if self.profile.completeness == Completeness::Receipts {
            member.meter.unproved(member.node.is_unproved());
        }
        member.meter.state(state < NodeState::Resting, state == NodeState::Ejected);
    }

    /// The node for a kind of work, or the node itself if it knows no kinds.
    pub(crate) async fn node(&self, index: usize, work: Work) -> Arc<dyn Node> {
        let node = &self.members[index].node;
        self.within(index, node.pin(work)).await.ok().flatten().unwrap_or_else(|| Arc::clone(node))
    }

    pub(crate) fn reports(&self) -> Vec<NodeReport> {
        let (now, lead, stall) = (Instant::now(), self.lead.load(Ordering::Relaxed), self.options.stall);
        let report = |(index, member): (usize, &Member)| {
            let health = member.health();
            NodeReport {
                host: member.name.clone(),
                role: member.role,
                state: health.state(now, stall),
                serving: index == lead,
                head: health.head(),
                reason: health.reason(now, stall),
                logs_unproved: member.node.is_unproved(),
            }
        };
        self.members.iter().enumerate().map(report).collect()
    }
}

impl Member {
    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        lock(&self.health)
    }
}
