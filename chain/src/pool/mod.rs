//! Several nodes of one chain, of which one is asked at a time.
//!
//! A unit of work (a follower's step, one receipt look-up) uses one node, so headers and logs never come from two
//! nodes. The nodes' health (`health.rs`) decides which node gets the next unit. This module does not know how a
//! request reaches a node.

mod admission;
mod compare;
mod health;
pub(crate) mod members;
mod pinned;
mod quorum;
mod survey;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::error::NodeError;
use crate::lock::lock;
use crate::node::{
    AccountState, At, Header, Log, LogQuery, Merging, Mined, Node, NodeReport, Readable, Receipt, Role, Span,
    StateQuestion, Transaction, Work,
};
use crate::pool::members::{Inner, PoolOptions};
use crate::pool::pinned::Pinned;
use crate::pool::quorum::Lead;
use crate::profile::Profile;
use crate::rpc::endpoint::Endpoint;
use crate::rpc::node::RpcNode;

/// Several nodes of one chain as one [`Node`]. Clones share their state.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

impl Pool {
    /// A pool of JSON-RPC nodes. They need not be reachable yet.
    ///
    /// # Errors [`NodeError::Endpoint`] if an endpoint or the profile is invalid, or if more nodes must agree than
    /// there are.
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
            // Two API keys at one provider are two nodes with the same host. A number distinguishes them, because the
            // keys must not be shown.
            let name = if *same == 1 { label } else { format!("{label}#{same}") };
            endpoint.name = Some(name.clone());
            let node: Arc<dyn Node> = Arc::new(RpcNode::connect(endpoint, profile.clone())?);
            nodes.push((name, role, node));
        }
        Self::new(nodes, options)
    }

    /// A pool of any nodes with their names, in order of preference.
    ///
    /// # Errors As [`Pool::connect`].
    pub fn new(nodes: Vec<(String, Role, Arc<dyn Node>)>, options: PoolOptions) -> Result<Self, NodeError> {
        let Some((_, _, first)) = nodes.first() else {
            return Err(NodeError::Endpoint { what: "there is none: name at least one node".to_owned() });
        };
        let profile = first.profile().clone();
        let (agree, count) = (options.agree, nodes.len());
        if agree == 0 || agree > count {
            let what = format!("agree = {agree}, but there are {count} nodes: it must be 1 to {count}");
            return Err(NodeError::Endpoint { what });
        }
        Ok(Self(Arc::new(Inner::new(nodes, options, profile))))
    }

    /// Surveys the nodes: reads the heads of idle nodes, re-admits ejected ones, and compares all chains at finality
    /// depth. Never returns.
    pub async fn watch(&self) {
        if self.0.members.len() < 2 {
            return std::future::pending().await;
        }
        loop {
            self.0.survey().await;
            tokio::time::sleep(self.0.options.survey).await;
        }
    }

    /// A node for a single request.
    async fn any(&self) -> Result<Arc<dyn Node>, NodeError> {
        Ok(Arc::new(self.pinned(Work::LookUp).await?))
    }

    /// The best available node, for a unit of work.
    async fn pinned(&self, work: Work) -> Result<Pinned, NodeError> {
        let inner = &self.0;
        let order = inner.order();
        // If all nodes are ejected, all are tried: one may be right again, and otherwise the error names the reason.
        let order = if order.is_empty() { (0..inner.members.len()).collect() } else { order };
        let mut first_error: Option<NodeError> = None;
        for index in order {
            match inner.admit(index).await {
                Ok(()) => {
                    inner.lead_by(index);
                    return Ok(Pinned {
                        lead: Lead { pool: Arc::clone(inner), index, work },
                        standalone: false,
                    });
                }
                // A node on another chain must not hide the error of a node that may be right.
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

    fn most_together(&self) -> Option<usize> {
        self.0.members.iter().filter_map(|member| member.node.most_together()).min()
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

    async fn code(&self, contract: Address) -> Result<Bytes, NodeError> {
        self.any().await?.code(contract).await
    }

    async fn state(&self, questions: &[StateQuestion]) -> Result<Vec<Result<Bytes, NodeError>>, NodeError> {
        self.any().await?.state(questions).await
    }

    async fn mined(&self, transactions: &[B256]) -> Result<Vec<Option<Mined>>, NodeError> {
        self.any().await?.mined(transactions).await
    }

    async fn account(&self, account: Address) -> Result<AccountState, NodeError> {
        self.any().await?.account(account).await
    }

    async fn submit(&self, hash: B256, raw: &Bytes) -> Result<(), NodeError> {
        let nodes = self.each(Work::LookUp).await;
        if nodes.is_empty() {
            return self.any().await?.submit(hash, raw).await;
        }
        let sent = nodes.iter().map(|(_, node)| node.submit(hash, raw));
        let sent = futures::future::join_all(sent).await;
        if sent.iter().any(Result::is_ok) {
            return Ok(());
        }
        sent.into_iter().next().unwrap_or(Err(NodeError::Behind))
    }

    /// Any node with a subscription will do, because an item only triggers a poll.
    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        let mut error = None;
        for index in self.0.order() {
            match self.0.within(index, self.0.members[index].node.heads()).await {
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
        Ok(Some(Arc::new(self.pinned(work).await?)))
    }

    async fn each(&self, work: Work) -> Vec<(String, Arc<dyn Node>)> {
        let admitted = self.0.order().into_iter().map(|index| async move {
            self.0.admit(index).await.ok()?;
            let lead = Lead { pool: Arc::clone(&self.0), index, work };
            let node = Pinned { lead, standalone: true };
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
