//! A head that is lower than the index and on another fork.
//!
//! Two cases look the same: the chain became shorter, or the node is behind on a fork that lost, as a replica or a node
//! with an old state may be. In the second case, taking stored blocks back would undo grants that were right. In the
//! first case, new grants would be service for payments that are gone. So for a while neither is done: nothing leaves
//! the chain, and nothing new is granted above the fork. If the fork becomes as high as the index, it has won and is
//! followed as a reorganization. If it stays lower for as long as the profile says, it counts as the chain and is
//! followed too, but never past what is final.

use std::time::Duration;

use alloy_primitives::B256;
use salt402_chain::Header;
use salt402_store::Cursor;
use tokio::time::Instant;

use crate::follow::ancestry;
use crate::follow::identity::identify;
use crate::state::{Followed, IndexError};

/// The lower fork, while the node shows one.
#[derive(Default)]
pub(crate) struct LowerFork {
    shown: Option<Shown>,
    /// The last head below all stored headers at which the node was found to be on the right chain.
    low: Option<B256>,
}

/// A lower fork that the node shows.
#[derive(Clone, Copy, Debug)]
struct Shown {
    /// The height up to which it is the stored chain.
    above: u64,
    /// Its head, when it was last compared.
    head: B256,
    since: Instant,
    told: bool,
}

/// What a head means that is lower than the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lower {
    /// Nothing: the node shows an older block of the stored chain, as a lagging replica does.
    Lags,
    /// Nothing yet: the node is on another fork, and may be behind there.
    Waits,
    /// The node was on another fork for long enough. That is the chain now.
    Stays,
}

impl LowerFork {
    /// What a head means that is lower than the index. `None` if the head is not lower. `stored_above` is the height
    /// above which the store has all headers.
    ///
    /// Every header of the window is stored. Below it, the node may be far behind, may be on a reset chain, or may have
    /// left the stored chain too deep to follow. A reset chain shows by its first block, which is asked for once per
    /// such head. Which of the other two it is shows when the head is as high as the index.
    pub(crate) async fn judge(
        &mut self,
        followed: &Followed,
        cursor: Option<Cursor>,
        stored_above: Option<u64>,
        head: &Header,
    ) -> Result<Option<Lower>, IndexError> {
        if stored_above.is_none() {
            // Another step may have ended the lower fork.
            self.forget(followed);
        }
        let Some(cursor) = cursor.filter(|cursor| head.number < cursor.number) else { return Ok(None) };
        let stored = followed.store.canonical_block(followed.options.chain, head.number).await?;
        if stored.is_none() && self.low != Some(head.hash) {
            identify(followed).await?;
            self.low = Some(head.hash);
        }
        if stored.is_none_or(|block| block.hash == head.hash) {
            self.end(followed, stored_above).await?;
            return Ok(Some(Lower::Lags));
        }
        if self.shown.is_none_or(|shown| shown.head != head.hash) {
            // A reset chain is no fork. It is not waited for.
            identify(followed).await?;
            self.compare(followed, cursor, stored_above, head).await?;
        }
        Ok(Some(self.wait(followed, cursor, head)))
    }

    /// Ends the lower fork: the node shows the stored chain.
    pub(crate) async fn end(
        &mut self,
        followed: &Followed,
        stored_above: Option<u64>,
    ) -> Result<(), IndexError> {
        if stored_above.is_some() {
            followed.store.note_lower_fork(followed.options.chain, None).await?;
            self.forget(followed);
        }
        Ok(())
    }

    fn forget(&mut self, followed: &Followed) {
        if self.shown.take().is_some() {
            followed.health.send_modify(|health| (health.lower_fork, health.blocks_above_fork) = (None, 0));
        }
    }

    /// Finds where a lower fork leaves the stored chain, and notes it. Meanwhile nothing is granted above it.
    async fn compare(
        &mut self,
        followed: &Followed,
        cursor: Cursor,
        stored_above: Option<u64>,
        head: &Header,
    ) -> Result<(), IndexError> {
        let Followed { node, store, options, first, .. } = followed;
        let (chain, window) = (options.chain, node.profile().reorg_window);
        let path = ancestry::path(&**node, store, chain, Some(cursor), *first, window, *head).await;
        let above = match path {
            Ok(path) => path.keep_through.unwrap_or(head.number),
            Err(IndexError::TooDeep { floor, .. }) => floor.saturating_sub(1),
            Err(error) => return Err(error),
        };
        if stored_above != Some(above) {
            store.note_lower_fork(chain, Some(above)).await?;
        }
        let (since, told) = self.shown.map_or((Instant::now(), false), |shown| (shown.since, shown.told));
        self.shown = Some(Shown { above, head: head.hash, since, told });
        Ok(())
    }

    fn wait(&mut self, followed: &Followed, cursor: Cursor, head: &Header) -> Lower {
        let most = Duration::from_millis(followed.node.profile().shorter_fork_ms);
        let Some(shown) = &mut self.shown else { return Lower::Waits };
        let (chain, waited, above) = (followed.options.chain, shown.since.elapsed(), shown.above);
        if waited >= most {
            tracing::warn!(
                %chain, head = head.number, indexed = cursor.number, fork = above,
                "the node shows a shorter chain for {} s: it is followed", waited.as_secs()
            );
            return Lower::Stays;
        }
        if waited >= most / 2 && !shown.told {
            shown.told = true;
            tracing::warn!(
                %chain, head = head.number, indexed = cursor.number, fork = above,
                "the node is on a fork that is lower than the index: nothing is granted on payments above {above}; the \
                 fork is followed when it is as high, or has been shown for {} s", most.as_secs()
            );
        }
        let blocks = cursor.number.saturating_sub(above);
        let reason = format!(
            "the node shows block {} of a fork that is lower than the index, which stands at {}: nothing is granted on \
             payments above block {above} until the fork is as high, or was shown for {} s",
            head.number,
            cursor.number,
            most.as_secs()
        );
        followed.health.send_modify(|health| {
            health.blocks_above_fork = blocks;
            health.lower_fork = Some(reason);
        });
        Lower::Waits
    }
}
