//! After the index moved: what was mined, what left the chain, what is final.

use alloy_primitives::B256;
use salt402_chain::Mined;
use salt402_store::{Cursor, MinedSlot, OpenSlot};

use crate::settle::task::{Task, Trouble};

/// How many receipts are asked for in one question.
const TOGETHER: usize = 50;

impl Task {
    /// Brings all that was sent up to what the indexed blocks show.
    pub(super) async fn reconcile(&mut self, cursor: Cursor) -> Result<(), Trouble> {
        self.watch_mined(cursor).await?;
        let open = self.store.open_slots(self.chain.chain).await?;
        let concluded = self.read_receipts(&open, cursor).await;
        let left = self.store.open_slots(self.chain.chain).await?;
        self.count_open(&left);
        self.resend(&left, cursor).await?;
        concluded
    }

    /// Opens slots again whose block left the chain, and closes those that are deep enough for good.
    async fn watch_mined(&mut self, cursor: Cursor) -> Result<(), Trouble> {
        let chain = self.chain.chain;
        let (depth, merges) =
            (self.chain.node.profile().finality_depth, self.chain.node.profile().merges_blocks);
        let mut deep = Vec::new();
        for mined in self.store.mined_slots(chain).await? {
            let is_deep = mined.block_number.saturating_add(depth) <= cursor.number;
            let stands = mined.canonical || (merges && self.is_merged(&mined).await?);
            if !stands {
                // Nothing is undone for a block that only the index does not keep any more.
                if is_deep && !merges && self.header_is_unknown(mined.block_hash).await? {
                    deep.push((mined.slot, mined.hash));
                    continue;
                }
                tracing::warn!(transaction = %mined.hash, block = %mined.block_hash, "a settlement left the chain");
                self.store.reopen_slot(chain, mined.slot).await?;
                self.counted.insert(mined.hash);
                self.sent.remove(&mined.slot);
                continue;
            }
            if is_deep {
                deep.push((mined.slot, mined.hash));
            }
        }
        if !deep.is_empty() {
            self.store.note_slots_final(chain, deep).await?;
        }
        Ok(())
    }

    /// Whether a transaction is still in the block that was noted, on a chain whose index does not keep every block.
    async fn is_merged(&self, mined: &MinedSlot) -> Result<bool, Trouble> {
        if let Some((_, canonical)) = self.store.block_by_hash(self.chain.chain, mined.block_hash).await?
            && canonical
        {
            return Ok(true);
        }
        let found = self.chain.node.mined(&[mined.hash]).await?.into_iter().next().flatten();
        Ok(found.is_some_and(|found| found.receipt.block_hash == mined.block_hash))
    }

    async fn header_is_unknown(&self, hash: B256) -> Result<bool, Trouble> {
        Ok(self.store.block_by_hash(self.chain.chain, hash).await?.is_none())
    }

    /// Reads the receipts of what may have been mined. One slot that cannot be judged now hides no other.
    async fn read_receipts(&mut self, open: &[OpenSlot], cursor: Cursor) -> Result<(), Trouble> {
        let hashes: Vec<B256> = open
            .iter()
            .flat_map(|slot| slot.transactions.iter().map(|transaction| transaction.hash))
            .collect();
        let mut found: Vec<Mined> = Vec::new();
        for part in hashes.chunks(TOGETHER) {
            found.extend(self.chain.node.mined(part).await?.into_iter().flatten());
        }
        let mut first = Ok(());
        self.awaited.clear();
        for slot in open {
            for mined in &found {
                let receipt = &mined.receipt;
                if !slot.transactions.iter().any(|transaction| transaction.hash == receipt.transaction) {
                    continue;
                }
                self.awaited.insert(slot.slot);
                if !self.accepts(receipt.block_number, receipt.block_hash, cursor).await? {
                    continue;
                }
                let done = self.conclude_slot(slot, mined, cursor).await;
                if first.is_ok() {
                    first = done;
                }
                break;
            }
        }
        first
    }

    /// Whether a receipt's block counts: the index has it on the chain. Where blocks are merged, also one beside the chain, and
    /// everywhere one so deep that its header is not kept.
    pub(super) async fn accepts(&self, number: u64, hash: B256, cursor: Cursor) -> Result<bool, Trouble> {
        if let Some((_, canonical)) = self.store.block_by_hash(self.chain.chain, hash).await? {
            return Ok(canonical);
        }
        let profile = self.chain.node.profile();
        if profile.merges_blocks && number <= cursor.number {
            return Ok(true);
        }
        if number.saturating_add(profile.finality_depth) > cursor.number {
            return Ok(false);
        }
        // It is not at its height, if a header of that height is kept.
        Ok(self.store.canonical_block(self.chain.chain, number).await?.is_none())
    }
}
