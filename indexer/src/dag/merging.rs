//! Finds the block of the selected chain that merged a block beside it.
//!
//! A receipt alone does not show this. Some nodes keep the receipts of a block that lost to a heavier one, and it looks
//! like a merged block. A payment in a lost block does not count. A merged block has a block of the selected chain that
//! builds on it, directly or through other blocks that it merged. Without such a block, the payment is not counted.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use salt402_chain::{At, Header, Merging, Node, NodeError, Receipt};
use salt402_store::Cursor;

use crate::state::IndexError;

/// How many searches can be continued later. If there are more, all begin again.
const REMEMBERED: usize = 128;

/// How far a search goes, and what it may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How many heights above the receipt's.
    heights: u64,
    /// How many questions to the node, each about a block.
    questions: u64,
}

impl Effort {
    /// For what is worth money: as far as blocks are not final.
    pub(crate) fn whole(node: &dyn Node) -> Self {
        Self { heights: node.profile().finality_depth.min(128), questions: 256 }
    }

    /// For what only makes an answer more exact, and what anybody can ask for without cost.
    pub(crate) const SLIGHT: Self = Self { heights: 4, questions: 12 };
}

/// How far searches came, so that nobody can make the same search run again and again.
#[derive(Default)]
pub(crate) struct Searches {
    // A std mutex, because nothing is awaited while it is held.
    known: Mutex<HashMap<B256, Progress>>,
}

/// How far the search for a block's merging got.
#[derive(Default)]
struct Progress {
    /// The last height whose block did not merge it, and that block.
    last: Option<Cursor>,
    /// Blocks that were read and do not build on the block in question directly.
    seen: HashSet<B256>,
}

impl Searches {
    /// The block of the selected chain that merged the block of a receipt. `None` if no such block was found among
    /// those that may have merged it: up to `top`, and no further above the block than the effort allows.
    ///
    /// The answer is of the chain that the node showed meanwhile. The caller compares that. A search that was broken
    /// off goes on from the last finished height.
    pub(crate) async fn merging(
        &self,
        node: &dyn Node,
        receipt: &Receipt,
        top: u64,
        effort: Effort,
    ) -> Result<Option<Header>, IndexError> {
        let mut progress = self.lock().remove(&receipt.block_hash).unwrap_or_default();
        if let Some(last) = progress.last
            && node.header(At::Number(last.number)).await?.is_none_or(|header| header.hash != last.hash)
        {
            progress = Progress::default();
        }
        let highest = top.min(receipt.block_number.saturating_add(effort.heights));
        let first = progress.last.map_or(receipt.block_number, |last| last.number + 1);
        let (left, seen) = (effort.questions, progress.seen.clone());
        let kept = Kept { searches: self, of: receipt, progress, whole: true };
        let mut search = Search { node, receipt, left, seen, kept };
        for height in first..=highest {
            let Asked::Block(block) = search.ask(At::Number(height)).await? else { return Ok(None) };
            match search.reaches(&block).await? {
                Reached::Yes => return Ok(Some(block.header)),
                Reached::No => search.passed(&block.header),
                Reached::Unknown => return Ok(None),
            }
        }
        Ok(None)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<B256, Progress>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Progress that is kept, however the search ends.
struct Kept<'s> {
    searches: &'s Searches,
    of: &'s Receipt,
    progress: Progress,
    /// Whether everything was read so far. What could not be read is read again the next time.
    whole: bool,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        let mut known = self.searches.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(self.of.block_hash, std::mem::take(&mut self.progress));
    }
}

struct Search<'s> {
    node: &'s dyn Node,
    receipt: &'s Receipt,
    left: u64,
    /// Blocks that were read by this search and by the earlier ones that it continues.
    seen: HashSet<B256>,
    kept: Kept<'s>,
}

/// What the node said of a block. It may not have been asked.
enum Asked {
    Block(Merging),
    Missing,
    TooMany,
}

enum Reached {
    Yes,
    No,
    /// The effort is spent.
    Unknown,
}

impl Search<'_> {
    async fn ask(&mut self, at: At) -> Result<Asked, NodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(Asked::TooMany) };
        self.left = left;
        match (self.node.merging(at).await?, at) {
            (Some(block), _) => Ok(Asked::Block(block)),
            // Every height up to the cursor has a block.
            (None, At::Number(_) | At::Latest) => Err(NodeError::Behind),
            (None, At::Hash(_)) => Ok(Asked::Missing),
        }
    }

    /// Whether a block of the selected chain merged the block in question: itself or a block that it merged, and so on,
    /// builds on it. The past of lower blocks of the selected chain was searched before.
    async fn reaches(&mut self, selected: &Merging) -> Result<Reached, NodeError> {
        let mut open = selected.merged.clone();
        while let Some(hash) = open.pop() {
            if hash == self.receipt.block_hash {
                return Ok(Reached::Yes);
            }
            if !self.seen.insert(hash) {
                continue;
            }
            let Merging { header, merged } = match self.ask(At::Hash(hash)).await? {
                Asked::Block(block) => block,
                Asked::Missing => {
                    self.kept.whole = false;
                    continue;
                }
                Asked::TooMany => return Ok(Reached::Unknown),
            };
            // Blocks below the one in question do not build on it.
            if header.number > self.receipt.block_number {
                open.extend(merged);
                open.push(header.parent_hash);
            }
        }
        Ok(Reached::No)
    }

    /// A block of the selected chain was searched completely.
    fn passed(&mut self, block: &Header) {
        self.seen.insert(block.hash);
        if self.kept.whole {
            self.kept.progress.seen.clone_from(&self.seen);
            self.kept.progress.last = Some(Cursor { number: block.number, hash: block.hash });
        }
    }
}
