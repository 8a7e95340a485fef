//! Several nodes of one chain, of which one at a time is asked.
//!
//! A unit of work (a follower's step, one look at a receipt) is given one node, and keeps it: what is said of headers
//! and of logs never comes from two. What the answers tell of a node (see [`standing`](crate::standing)) decides whether
//! the next unit goes to it or to another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::meter::Meter;
use crate::pinned::Pinned;
use crate::standing::{NodeState, Standing};
use crate::{
    At, Completeness, Endpoint, Header, Log, LogQuery, Merging, Node, NodeError, NodeReport, Profile,
    Readable, Receipt, RpcNode, Span, Transaction, Work,
};

/// Whether a node is asked first, or only while those that are cannot be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asked first.
    #[default]
    Primary,
    /// Asked while no primary is ready.
    Fallback,
}

/// How several nodes are treated.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// How many nodes must say the same of a header, of logs and of a receipt: 1 believes one node.
    pub agree: usize,
    /// The longest that any answer is waited for.
    pub limit: Duration,
    /// How often the nodes that are not asked anyhow are looked at.
    pub survey: Duration,
    /// How long a head may stand still until another node is asked for it.
    pub stall: Duration,
    /// How many blocks a head may be behind that of another node.
    pub max_lag: u64,
}

impl PoolOptions {
    /// What fits a network: a look at every node each ten seconds, five block times until a head stands still (ten
    /// seconds at least), ten seconds of blocks (three at least) until it lags.
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

/// Several nodes of one chain as one [`Node`]. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Pool(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) members: Vec<Member>,
    pub(crate) options: PoolOptions,
    profile: Profile,
    /// Block 0, where it is known.
    pub(crate) genesis: Mutex<Option<B256>>,
    /// A block that counts as final, as most nodes show it.
    pub(crate) anchor: Mutex<Option<(u64, B256)>>,
    /// Whether the nodes were last seen to disagree without a majority.
    pub(crate) split: Mutex<bool>,
    lead: AtomicUsize,
}

/// One of the nodes.
pub(crate) struct Member {
    pub(crate) node: Arc<dyn Node>,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) meter: Meter,
    standing: Mutex<Standing>,
}

impl Pool {
    /// Nodes over JSON-RPC that need not be reachable yet.
    ///
    /// # Errors
    /// [`NodeError::Endpoint`] where an endpoint or the profile cannot be used, or more nodes must agree than there are.
    pub fn connect(
        endpoints: Vec<(Endpoint, Role)>,
        profile: &Profile,
        options: PoolOptions,
    ) -> Result<Self, NodeError> {
        let mut seen = BTreeMap::<String, u32>::new();
        let mut nodes = Vec::with_capacity(endpoints.len());
        for (mut endpoint, role) in endpoints {
            let label = endpoint.label();
            let same = seen.entry(label.clone()).or_default();
            *same += 1;
            // Two keys at one provider are two nodes, and what tells them apart may not be shown.
            let name = if *same == 1 { label } else { format!("{label}#{same}") };
            endpoint.name = Some(name.clone());
            let node: Arc<dyn Node> = Arc::new(RpcNode::connect(endpoint, profile.clone())?);
            nodes.push((name, role, node));
        }
        Self::new(nodes, options)
    }

    /// Nodes of any kind, by name, in the order in which they are preferred.
    ///
    /// # Errors
    /// As [`Pool::connect`].
    pub fn new(nodes: Vec<(String, Role, Arc<dyn Node>)>, options: PoolOptions) -> Result<Self, NodeError> {
        let Some((_, _, first)) = nodes.first() else {
            return Err(NodeError::Endpoint { what: "there is none: name at least one node".to_owned() });
        };
        let profile = first.profile().clone();
        let (agree, count) = (options.agree, nodes.len());
        if agree == 0 || agree > count {
            let what = format!("agree = {agree}, and there are {count} nodes: expected 1 to {count}");
            return Err(NodeError::Endpoint { what });
        }
        let member = |(name, role, node): (String, Role, Arc<dyn Node>)| Member {
            meter: Meter::new(&profile, name.clone()),
            node,
            name,
            role,
            standing: Mutex::default(),
        };
        Ok(Self(Arc::new(Inner {
            members: nodes.into_iter().map(member).collect(),
            genesis: Mutex::new(profile.genesis_hash),
            anchor: Mutex::default(),
            split: Mutex::default(),
            lead: AtomicUsize::new(0),
            options,
            profile,
        })))
    }

    /// Looks after the nodes that are not asked anyhow: their heads, whether one that was put out is right again, and
    /// whether all show the same chain at the depth that counts as final. Never returns.
    pub async fn watch(&self) {
        if self.0.members.len() < 2 {
            return std::future::pending().await;
        }
        loop {
            self.0.survey().await;
            tokio::time::sleep(self.0.options.survey).await;
        }
    }

    /// One node for one question.
    async fn any(&self) -> Result<Arc<dyn Node>, NodeError> {
        Ok(Arc::new(self.0.pin(Work::LookUp).await?))
    }
}

impl Inner {
    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The best node that can be asked, for a unit of work.
    async fn pin(self: &Arc<Self>, work: Work) -> Result<Pinned, NodeError> {
        let order = self.order();
        // With all of them put out, they may be right again, and if not, this says what is wrong.
        let order = if order.is_empty() { (0..self.members.len()).collect() } else { order };
        let mut first_error: Option<NodeError> = None;
        for index in order {
            match self.admit(index).await {
                Ok(()) => {
                    self.lead_by(index);
                    return Ok(Pinned { pool: Arc::clone(self), lead: index, work, lone: false });
                }
                // That one is on another chain says nothing of one that merely failed, and may be right.
                Err(error) => {
                    let keep = first_error
                        .as_ref()
                        .is_some_and(|first| !first.is_elsewhere() || error.is_elsewhere());
                    first_error = if keep { first_error } else { Some(error) };
                }
            }
        }
        Err(first_error.unwrap_or(NodeError::Behind))
    }

    /// Those that are not put out, the best first. Small differences are no reason to leave the one that is asked now.
    pub(crate) fn order(&self) -> Vec<usize> {
        let (now, lead) = (Instant::now(), self.lead.load(Ordering::Relaxed));
        let mut keyed: Vec<_> = self
            .members
            .iter()
            .enumerate()
            .map(|(index, member)| {
                let standing = member.standing();
                let state = standing.state(now, self.options.stall);
                let slow = if index == lead { 0 } else { standing.slowness() };
                // Of nodes that are as good, one that proves its logs comes before one that cannot.
                let unproved = member.node.is_unproved();
                (state >= NodeState::Suspect, member.role, state, unproved, index != lead, slow, index)
            })
            .filter(|(_, _, state, ..)| *state != NodeState::Ejected)
            .collect();
        keyed.sort_unstable();
        keyed.into_iter().map(|(.., index)| index).collect()
    }

    fn lead_by(&self, index: usize) {
        let before = self.lead.swap(index, Ordering::Relaxed);
        if before != index {
            let unproved = self.members[before].node.is_unproved();
            let reason = self.members[before].standing().reason(Instant::now(), self.options.stall);
            let reason = reason.or_else(|| unproved.then(|| "its logs cannot be proved".to_owned()));
            tracing::info!(
                chain = %self.profile.chain_id,
                node = self.members[index].name,
                before = self.members[before].name,
                reason = reason.as_deref().unwrap_or("it is as good again"),
                "another node is asked"
            );
        }
    }

    /// One answer of one node, within the limit; what it tells of the node is noted.
    pub(crate) async fn ask<T>(
        &self,
        index: usize,
        answer: impl Future<Output = Result<T, NodeError>>,
    ) -> Result<T, NodeError> {
        let (member, started, limit) = (&self.members[index], Instant::now(), self.options.limit);
        let late = || NodeError::Timeout { node: member.name.clone(), after: limit };
        let answer = timeout(limit, answer).await.unwrap_or_else(|_| Err(late()));
        match &answer {
            Ok(_) => member.standing().succeeded(started.elapsed(), Instant::now()),
            Err(error) => self.blame(index, error),
        }
        answer
    }

    /// Holds an error against a node.
    pub(crate) fn blame(&self, index: usize, error: &NodeError) {
        let member = &self.members[index];
        member.standing().failed(error, Instant::now());
        if matches!(error, NodeError::Disagreed { .. }) {
            member.meter.disagreed();
        }
        self.measure(index);
    }

    pub(crate) fn measure(&self, index: usize) {
        let member = &self.members[index];
        let state = member.standing().state(Instant::now(), self.options.stall);
        if self.profile.completeness == Completeness::Receipts {
            member.meter.unproved(member.node.is_unproved());
        }
        member.meter.state(state < NodeState::Resting, state == NodeState::Ejected);
    }

    /// A node for a kind of work; itself, where it knows no kinds.
    pub(crate) async fn node(&self, index: usize, work: Work) -> Arc<dyn Node> {
        let node = &self.members[index].node;
        node.pin(work).await.ok().flatten().unwrap_or_else(|| Arc::clone(node))
    }

    fn reports(&self) -> Vec<NodeReport> {
        let (now, lead, stall) = (Instant::now(), self.lead.load(Ordering::Relaxed), self.options.stall);
        let report = |(index, member): (usize, &Member)| {
            let standing = member.standing();
            NodeReport {
                host: member.name.clone(),
                role: member.role,
                state: standing.state(now, stall),
                serving: index == lead,
                head: standing.head(),
                reason: standing.reason(now, stall),
                logs_unproved: member.node.is_unproved(),
            }
        };
        self.members.iter().enumerate().map(report).collect()
    }
}

impl Member {
    pub(crate) fn standing(&self) -> MutexGuard<'_, Standing> {
        lock(&self.standing)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Node for Pool {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        self.any().await?.chain_id().await
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        self.any().await?.header(at).await
    }

    async fn logs(&self, query: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError> {
        self.any().await?.logs(query, span).await
    }

    async fn readable_logs(&self, query: &LogQuery, span: Span) -> Result<Readable, NodeError> {
        self.any().await?.readable_logs(query, span).await
    }

    fn longest_answer(&self) -> Option<u64> {
        self.0.members.iter().filter_map(|member| member.node.longest_answer()).max()
    }

    async fn merging(&self, at: At) -> Result<Option<Merging>, NodeError> {
        self.any().await?.merging(at).await
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        self.any().await?.receipt(transaction).await
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, NodeError> {
        self.any().await?.transaction(hash).await
    }

    async fn view(&self, contract: Address, data: Bytes) -> Result<Bytes, NodeError> {
        self.any().await?.view(contract, data).await
    }

    /// From any node that tells of heads: a tick is a reason to look, and no matter who gives it.
    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        let mut error = None;
        for index in self.0.order() {
            match self.0.members[index].node.heads().await {
                Ok(Some(heads)) => return Ok(Some(heads)),
                Ok(None) => {}
                Err(failed) => error = error.or(Some(failed)),
            }
        }
        error.map_or(Ok(None), Err)
    }

    fn profile(&self) -> &Profile {
        self.0.profile()
    }

    async fn pin(&self, work: Work) -> Result<Option<Arc<dyn Node>>, NodeError> {
        Ok(Some(Arc::new(self.0.pin(work).await?)))
    }

    async fn each(&self, work: Work) -> Vec<(String, Arc<dyn Node>)> {
        let admitted = self.0.order().into_iter().map(|index| async move {
            self.0.admit(index).await.ok()?;
            let node = Pinned { pool: Arc::clone(&self.0), lead: index, work, lone: true };
            Some((self.0.members[index].name.clone(), Arc::new(node) as Arc<dyn Node>))
        });
        futures::future::join_all(admitted).await.into_iter().flatten().collect()
    }

    fn expect_genesis(&self, genesis: B256) {
        *lock(&self.0.genesis) = Some(genesis);
    }

    fn reports(&self) -> Vec<NodeReport> {
        self.0.reports()
    }
}
