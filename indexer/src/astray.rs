//! What left the chain with its block, and may have been merged since.
//!
//! On a chain whose blocks form a graph, a block that lost to a heavier one is mostly merged by a later one. What it holds
//! counts from there on, and no question about heights reaches it. Whoever paid and was served has no reason to show its
//! proof again, and nobody shows one for a channel: so what matters of it is looked for without being asked, until it is
//! found or the block is as old as a final one.

use std::sync::Arc;
use std::time::Duration;

use salt402_chain::Node as _;
use salt402_protocol::ChainId;
use salt402_store::{OrphanedTransaction, Store};

use crate::{Follower, IndexError, ReceiptLookup};

/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(1);
/// Transactions of a page.
const AT_ONCE: u32 = 32;

/// Looks for what went astray, beside a follower.
pub(crate) struct Astray {
    lookup: ReceiptLookup,
    store: Store,
    chain: ChainId,
    /// How far below the cursor; `None` where no blocks are merged.
    reach: Option<u64>,
    /// Up to where the older ones were looked for; `None` to begin with the newest of them.
    older: Option<OrphanedTransaction>,
}

impl Astray {
    pub(crate) fn new(follower: &Follower) -> Self {
        let (nodes, store) = (follower.nodes.clone(), follower.store.clone());
        let profile = nodes.profile();
        let reach = profile.merges_blocks.then_some(profile.finality_depth);
        let lookup = ReceiptLookup::new(Arc::new(nodes), store.clone(), follower.options.clone());
        Self { lookup, store, chain: follower.options.chain, reach, older: None }
    }

    /// Looks after each change of the index; never ends.
    pub(crate) async fn run(mut self) {
        let Some(reach) = self.reach else { return std::future::pending().await };
        let mut progress = self.store.progress();
        loop {
            progress.mark_unchanged();
            if let Err(error) = self.round(reach).await {
                tracing::debug!(chain = %self.chain, %error, "what left the chain could not be looked for");
            }
            tokio::time::sleep(PAUSE).await;
            if progress.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn round(&mut self, reach: u64) -> Result<(), IndexError> {
        let state = self.store.chain_state(self.chain).await?;
        let Some(cursor) = state.and_then(|state| state.cursor) else { return Ok(()) };
        let above = cursor.number.saturating_sub(reach);
        // Those that left last in each round, and of the older ones a page in turn: some stay unresolved for long, and must
        // not hide the others.
        let newest = self.store.orphaned_transactions(self.chain, above, None, AT_ONCE).await?;
        let is_all = newest.len() < AT_ONCE as usize;
        let older = match newest.last().copied().filter(|_| !is_all) {
            Some(last) => {
                let after = self.older.unwrap_or(last);
                self.store.orphaned_transactions(self.chain, above, Some(after), AT_ONCE).await?
            }
            None => Vec::new(),
        };
        self.older = older.last().copied().filter(|_| older.len() == AT_ONCE as usize);
        for OrphanedTransaction { transaction, .. } in newest.into_iter().chain(older) {
            // One that fails is no reason to leave out the others.
            if let Err(error) = self.lookup.look(transaction).await {
                tracing::debug!(chain = %self.chain, %transaction, %error, "what left the chain could not be looked up");
            }
        }
        Ok(())
    }
}
