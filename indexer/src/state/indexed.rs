//! An indexed chain: its nodes, its store, and what counts on it.

use std::sync::Arc;

use salt402_chain::{Node, NodeError, Work};
use salt402_protocol::ChainId;
use salt402_store::{Cursor, Store};

use crate::state::error::IndexError;
use crate::state::followed::pinned;
use crate::state::options::FollowerOptions;

/// What every question about one transaction or one channel works with.
pub(crate) struct Indexed {
    pub(crate) node: Arc<dyn Node>,
    pub(crate) store: Store,
    pub(crate) options: FollowerOptions,
}

impl Indexed {
    pub(crate) fn chain(&self) -> ChainId {
        self.options.chain
    }

    /// Where the index stands. `None` if nothing is indexed yet.
    pub(crate) async fn cursor(&self) -> Result<Option<Cursor>, IndexError> {
        Ok(self.store.chain_state(self.chain()).await?.and_then(|state| state.cursor))
    }

    /// One node for one look, so that its receipts and headers are of one chain.
    pub(crate) async fn pinned(&self) -> Result<Arc<dyn Node>, NodeError> {
        pinned(&self.node, Work::LookUp).await
    }
}
