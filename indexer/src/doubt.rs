//! A head that is lower than the index and on another fork.
//!
//! A replica that is behind on a fork that lost, or a node that came back with an old state, shows just what a chain
//! shows that became shorter. Taking stored blocks back for the first would undo grants that were right, and granting
//! for the second what the node no longer shows would give service for payments that are gone. So for a while neither is
//! done: nothing leaves the chain, and nothing new is granted on what is above the fork. As soon as the fork is as high
//! as the index it has won, and is followed as any reorganization. If it stays lower for as long as the profile says, it
//! is what the chain is now, and is followed too, as far as what is final allows.

use std::time::Duration;

use alloy_primitives::B256;
use salt402_chain::{Header, Node as _};
use salt402_store::Cursor;
use tokio::time::Instant;

use crate::{Follower, IndexError, ancestry};

/// A lower fork that the node shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubt {
    /// The height up to which it is the stored chain.
    above: u64,
    /// Its head, when it was last compared.
    head: B256,
    since: Instant,
    told: bool,
}

/// What a head that is lower than the index says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lower {
    /// Nothing: the node shows an older block of the stored chain, as a replica that lags does.
    Lags,
    /// Nothing yet: it is on another fork, and may be behind there.
    Waits,
    /// It was on another fork for long enough: that is the chain.
    Stays,
}

impl Follower {
    /// What a head means that is lower than the index; `None` where it is not. `doubted` is what the store has in doubt.
    ///
    /// Every header of the window is stored. A height without one is below it, and there the node either lags far
    /// behind, or is on a chain that was reset, or left the stored chain too deep to follow. The second shows by its first
    /// block, which is asked for once for each such head; which of the others it is shows when it is as high as the index.
    pub(crate) async fn lower(
        &mut self,
        cursor: Option<Cursor>,
        doubted: Option<u64>,
        head: &Header,
    ) -> Result<Option<Lower>, IndexError> {
        if doubted.is_none() {
            // Another step may have ended it.
            self.forget_doubt();
        }
        let Some(cursor) = cursor.filter(|cursor| head.number < cursor.number) else { return Ok(None) };
        let stored = self.store.canonical_block(self.options.chain, head.number).await?;
        if stored.is_none() && self.low != Some(head.hash) {
            self.identify().await?;
            self.low = Some(head.hash);
        }
        if stored.is_none_or(|block| block.hash == head.hash) {
            self.trust(doubted).await?;
            return Ok(Some(Lower::Lags));
        }
        if self.doubt.is_none_or(|doubt| doubt.head != head.hash) {
            // A chain that was reset is no fork, and is not waited for.
            self.identify().await?;
            self.compare_fork(cursor, doubted, head).await?;
        }
        Ok(Some(self.wait_for_fork(cursor, head)))
    }

    /// Ends a doubt: the node shows the stored chain.
    pub(crate) async fn trust(&mut self, doubted: Option<u64>) -> Result<(), IndexError> {
        if doubted.is_some() {
            self.store.note_lower_fork(self.options.chain, None).await?;
            self.forget_doubt();
        }
        Ok(())
    }

    fn forget_doubt(&mut self) {
        if self.doubt.take().is_some() {
            self.health.send_modify(|health| (health.doubt, health.doubted_blocks) = (None, 0));
        }
    }

    /// Finds where a lower fork leaves the stored chain, and notes that what is above is in doubt.
    async fn compare_fork(
        &mut self,
        cursor: Cursor,
        doubted: Option<u64>,
        head: &Header,
    ) -> Result<(), IndexError> {
        let (chain, window) = (self.options.chain, self.node.profile().reorg_window);
        let path =
            ancestry::path(&self.node, &self.store, chain, Some(cursor), self.first, window, *head).await;
        let above = match path {
            Ok(path) => path.keep_through.unwrap_or(head.number),
            Err(IndexError::TooDeep { floor, .. }) => floor.saturating_sub(1),
            Err(error) => return Err(error),
        };
        if doubted != Some(above) {
            self.store.note_lower_fork(chain, Some(above)).await?;
        }
        let (since, told) = self.doubt.map_or((Instant::now(), false), |doubt| (doubt.since, doubt.told));
        self.doubt = Some(Doubt { above, head: head.hash, since, told });
        Ok(())
    }

    fn wait_for_fork(&mut self, cursor: Cursor, head: &Header) -> Lower {
        let patience = Duration::from_millis(self.node.profile().shorter_fork_ms);
        let Some(doubt) = &mut self.doubt else { return Lower::Waits };
        let (chain, waited, above) = (self.options.chain, doubt.since.elapsed(), doubt.above);
        if waited >= patience {
            tracing::warn!(
                %chain, head = head.number, indexed = cursor.number, fork = above,
                "the node shows a shorter chain for {} s: it is followed", waited.as_secs()
            );
            return Lower::Stays;
        }
        if waited >= patience / 2 && !doubt.told {
            doubt.told = true;
            tracing::warn!(
                %chain, head = head.number, indexed = cursor.number, fork = above,
                "the node is on a fork that is lower than the index: nothing is granted on payments above {above}; the \
                 fork is followed when it is as high, or has been shown for {} s", patience.as_secs()
            );
        }
        let doubted_blocks = cursor.number.saturating_sub(above);
        let reason = format!(
            "the node shows block {} of a fork that is lower than the index, which stands at {}: nothing is granted on \
             payments above block {above} until the fork is as high, or was shown for {} s",
            head.number,
            cursor.number,
            patience.as_secs()
        );
        self.health.send_modify(|health| {
            health.doubted_blocks = doubted_blocks;
            health.doubt = Some(reason);
        });
        Lower::Waits
    }
}
