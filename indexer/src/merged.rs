//! Blocks beside the selected chain: which block of it brought one in.
//!
//! A receipt alone says nothing of it. A block that lost to a heavier one keeps its receipts at some nodes, and looks
//! like one that was merged; a payment in the first is none. What tells them apart is a block of the selected chain that
//! builds on the block in question, itself or through others that it merged with it. Without one the payment is not
//! counted.

use std::collections::HashSet;

use alloy_primitives::B256;
use salt402_chain::{At, Header, Merging, Node, NodeError, Receipt};

use crate::IndexError;

/// Questions that are spent on one receipt: those about the selected chain above it, and those about what was merged.
const QUESTIONS: u64 = 256;

/// The block of the selected chain that merged the block of a receipt; `None` where none is known to have done so, in
/// the blocks in which it can be: up to `top`, and no further above it than a block is final.
///
/// The answer is of the chain that the node showed meanwhile: the caller compares.
pub(crate) async fn merging(
    node: &dyn Node,
    receipt: &Receipt,
    top: u64,
) -> Result<Option<Header>, IndexError> {
    let reach = node.profile().finality_depth.min(QUESTIONS / 2);
    let mut search = Search { node, receipt, seen: HashSet::new(), left: QUESTIONS };
    for height in receipt.block_number..=top.min(receipt.block_number.saturating_add(reach)) {
        let Some(block) = search.ask(At::Number(height)).await? else { return Err(NodeError::Behind.into()) };
        search.seen.insert(block.header.hash);
        if search.reaches(&block).await? {
            return Ok(Some(block.header));
        }
    }
    Ok(None)
}

struct Search<'s> {
    node: &'s dyn Node,
    receipt: &'s Receipt,
    /// Blocks that were looked at, and do not build on the one in question but through others.
    seen: HashSet<B256>,
    left: u64,
}

impl Search<'_> {
    async fn ask(&mut self, at: At) -> Result<Option<Merging>, NodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        self.node.merging(at).await
    }

    /// Whether a block of the selected chain merged the block in question: it or, in turn, a block that it merged builds
    /// on it. What the selected chain below has in its past was seen before.
    async fn reaches(&mut self, selected: &Merging) -> Result<bool, NodeError> {
        let mut open = selected.merged.clone();
        while let Some(hash) = open.pop() {
            if hash == self.receipt.block_hash {
                return Ok(true);
            }
            if !self.seen.insert(hash) {
                continue;
            }
            let Some(Merging { header, merged }) = self.ask(At::Hash(hash)).await? else { continue };
            // Below the block in question nothing builds on it.
            if header.number > self.receipt.block_number {
                open.extend(merged);
                open.push(header.parent_hash);
            }
        }
        Ok(false)
    }
}
