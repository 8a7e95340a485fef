//! Orphaned transactions: their block left the chain, and a later block may have merged it since.
//!
//! On a chain whose blocks form a graph, a block that lost to a heavier one is mostly merged by a later block. Then
//! what it holds counts again, and no question about heights finds it. A payer who was served has no reason to show the
//! proof again, and nobody shows a proof for a channel. So what matters of such a block is looked for unasked, until it
//! is found or the block is as old as a final one.

use std::collections::HashSet;
use std::time::Duration;

use alloy_primitives::B256;

use crate::lookup::receipt::ReceiptLookup;
use crate::state::IndexError;

/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(1);
/// How many transactions one round looks up. Some of the looks are left for other work of the index.
const AT_ONCE: usize = 16;

/// Looks for orphaned transactions, beside a follower.
pub(crate) struct Orphans {
    lookup: ReceiptLookup,
    /// How far below the cursor. `None` on a chain that merges no blocks.
    reach: Option<u64>,
    /// The transactions that had their turn in this round.
    looked: HashSet<B256>,
}

impl Orphans {
    pub(crate) fn new(lookup: ReceiptLookup) -> Self {
        let profile = lookup.indexed().node.profile();
        let reach = profile.merges_blocks.then_some(profile.finality_depth);
        Self { lookup, reach, looked: HashSet::new() }
    }

    /// Looks after each change of the index. Never ends.
    pub(crate) async fn run(mut self) {
        let Some(reach) = self.reach else { return std::future::pending().await };
        let mut progress = self.lookup.indexed().store.progress();
        loop {
            progress.mark_unchanged();
            if let Err(error) = self.round(reach).await {
                tracing::debug!(chain = %self.lookup.indexed().chain(), %error, "what left the chain could not be looked for");
            }
            tokio::time::sleep(PAUSE).await;
            if progress.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn round(&mut self, reach: u64) -> Result<(), IndexError> {
        let indexed = self.lookup.indexed();
        let Some(cursor) = indexed.cursor().await? else { return Ok(()) };
        let above = cursor.number.saturating_sub(reach);
        let most = AT_ONCE.saturating_add(self.looked.len());
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let orphaned = indexed.store.orphaned_transactions(indexed.chain(), above, most).await?;
        for transaction in turn(&mut self.looked, orphaned) {
            // If one fails, the others are still looked for.
            if let Err(error) = self.lookup.look(transaction).await {
                tracing::debug!(chain = %indexed.chain(), %transaction, %error, "what left the chain could not be looked up");
            }
        }
        Ok(())
    }
}

/// The transactions of this round: first the newest that were not looked up yet, so that those that stay orphaned do
/// not hide older ones.
fn turn(looked: &mut HashSet<B256>, orphaned: Vec<B256>) -> Vec<B256> {
    let (again, mut next): (Vec<B256>, Vec<B256>) =
        orphaned.into_iter().partition(|orphan| looked.contains(orphan));
    looked.clear();
    if next.len() >= AT_ONCE {
        looked.extend(&again);
    }
    next.extend(again);
    next.truncate(AT_ONCE);
    looked.extend(&next);
    next
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;

    #[test]
    fn however_many_stay_orphaned_each_has_its_turn_and_a_new_one_at_once() {
        let mut all: Vec<B256> = (0..100).map(|number| B256::from(U256::from(number))).collect();
        let mut looked = HashSet::new();
        let round = |all: &[B256], looked: &mut HashSet<B256>| {
            // The store returns the newest, and no more than it is asked for.
            let most = AT_ONCE + looked.len();
            turn(looked, all.iter().rev().take(most).copied().collect())
        };
        let mut seen = HashSet::new();
        for _ in 0..all.len().div_ceil(AT_ONCE) {
            let turn = round(&all, &mut looked);
            assert_eq!(turn.len(), AT_ONCE);
            seen.extend(turn);
        }
        assert_eq!(seen.len(), all.len());
        // Again, from the newest.
        let newest = B256::repeat_byte(0xff);
        all.push(newest);
        assert_eq!(round(&all, &mut looked).first(), Some(&newest));
        // What was found is dropped, and each round looks few up.
        all.truncate(5);
        for _ in 0..3 {
            assert_eq!(round(&all, &mut looked).len(), 5);
        }
        assert_eq!(looked.len(), 5);
    }
}
