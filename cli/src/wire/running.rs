//! What a process is running.

use salt402_chain::Pool;
use salt402_indexer::Health;
use salt402_protocol::ChainId;
use salt402_store::{RoleLock, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Tasks, and what must be closed after them.
#[derive(Default)]
pub(super) struct Running {
    pub(super) tasks: JoinSet<anyhow::Result<()>>,
    pub(super) stores: Vec<Store>,
    /// The nodes of the chains that are followed here.
    pub(super) nodes: Vec<(ChainId, Pool)>,
    /// The followers, for gauges and progress bars.
    pub(super) followers: Vec<(ChainId, watch::Receiver<Health>)>,
    /// Held for as long as the process lives.
    pub(super) locks: Vec<RoleLock>,
}
