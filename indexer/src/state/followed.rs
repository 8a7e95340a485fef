//! A followed chain: its nodes, its store, and what counts on it.

use std::sync::Arc;

use salt402_chain::{Node, NodeError, Work};
use salt402_store::Store;
use tokio::sync::watch;

use crate::state::failing::FailingTransactions;
use crate::state::health::Health;
use crate::state::options::FollowerOptions;

/// What every part of a follower works with. Clones are of the same chain, and each may have another node.
#[derive(Clone)]
pub(crate) struct Followed {
    /// The node, or all nodes that stand in for each other. Each answer comes within a limited time.
    pub(crate) nodes: Arc<dyn Node>,
    /// The node of the step that is under way.
    pub(crate) node: Arc<dyn Node>,
    pub(crate) store: Store,
    pub(crate) options: FollowerOptions,
    /// The first block of the index. No header below it is stored to compare with.
    pub(crate) first: u64,
    /// Transactions that cannot be read, for as long as the failure may pass.
    pub(crate) failing: Arc<FailingTransactions>,
    pub(crate) health: watch::Sender<Health>,
}

/// One node for a unit of work, if there are several.
pub(crate) async fn pinned(node: &Arc<dyn Node>, work: Work) -> Result<Arc<dyn Node>, NodeError> {
    Ok(node.pin(work).await?.unwrap_or_else(|| Arc::clone(node)))
}
