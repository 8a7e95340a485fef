//! One step of a follower, and what must be true of it before the database is read.

use std::collections::HashMap;

use salt402_protocol::{B256, ChainId};

use crate::engine::integer;
use crate::follow::extras::Extras;
use crate::follow::undecoded::UndecodedLog;
use crate::rows::{Block, Cursor, PlacedPayment, StoreError};

/// One step of a follower: what to undo, what to add, and where the index stands then. One transaction applies it, so a
/// reader sees the chain before it or after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The chain.
    pub chain: ChainId,
    /// Where the index stood when this was computed. If it stands elsewhere, nothing is done.
    pub expected: Option<Cursor>,
    /// With `Some(height)`, everything above that height first leaves the chain. With `None`, nothing leaves.
    pub keep_through: Option<u64>,
    /// Blocks that are on the chain now, ascending. Blocks may be left out if nothing needs their headers.
    pub blocks: Vec<Block>,
    /// Payments that are on the chain now, in blocks up to the cursor.
    pub payments: Vec<PlacedPayment>,
    /// Everything else that is on the chain now, in blocks up to the cursor.
    pub extras: Extras,
    /// Logs of followed contracts that cannot be read as payments. People look at them.
    pub undecoded: Vec<UndecodedLog>,
    /// Where the index stands afterwards.
    pub cursor: Cursor,
    /// The node's newest block, from the follower. `None` from a look-up of something in blocks that the index has
    /// already: then the node's newest block, the time of the note and a lower fork stay as they are.
    pub head: Option<u64>,
    /// Headers below this height may be forgotten.
    pub prune_below: Option<u64>,
}

/// What applying a [`Batch`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows that were new.
    pub inserted: u64,
    /// Rows that left the chain, also those that came back in the same batch.
    pub orphaned: u64,
    /// Rows of blocks that had left the chain and are on it again.
    pub restored: u64,
    /// New incidents: claimed payments that left the chain.
    pub incidents: u64,
}

impl Batch {
    /// Checks what can be known without the database.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let bad = |reason: String| Err(StoreError::BadBatch { chain: self.chain, reason });
        let Cursor { number: top, hash: top_hash } = self.cursor;
        integer("a block's height", top)?;
        integer("the node's head", self.head.unwrap_or(0))?;
        match (self.keep_through, self.expected) {
            _ if self.head.is_none()
                && (self.keep_through.is_some() || self.expected != Some(self.cursor)) =>
            {
                return bad("it moves the index and says nothing of the node's newest block".into());
            }
            (Some(kept), _) if kept > top => {
                return bad(format!("it keeps blocks up to {kept} and ends at {top}"));
            }
            (None, Some(Cursor { number, hash })) if top < number || (top == number && top_hash != hash) => {
                return bad(format!(
                    "it ends at block {top} ({top_hash}) without undoing block {number} ({hash})"
                ));
            }
            _ => {}
        }
        for pair in self.blocks.windows(2) {
            let [parent, child] = pair else { continue };
            if child.number <= parent.number {
                return bad(format!("block {} follows block {}", child.number, parent.number));
            }
            if child.number == parent.number + 1 && child.parent_hash != parent.hash {
                return bad(format!("block {} is no child of block {}", child.number, parent.number));
            }
        }
        if let (None, Some(from), Some(first)) = (self.keep_through, self.expected, self.blocks.first())
            && from.number.checked_add(1) == Some(first.number)
            && first.parent_hash != from.hash
        {
            return bad(format!("block {} is no child of the index's block {}", first.number, from.hash));
        }
        for block in &self.blocks {
            integer("a block's time", block.timestamp)?;
            if block.number > top || (block.number == top && block.hash != top_hash) {
                return bad(format!("block {} ({}) is not at or below its end", block.number, block.hash));
            }
        }
        self.check_extras()?;
        self.check_payments()
    }

    fn check_payments(&self) -> Result<(), StoreError> {
        let bad = |reason: String| Err(StoreError::BadBatch { chain: self.chain, reason });
        let blocks = self.block_hashes();
        check_payments(self.chain, &self.payments)?;
        for placed in &self.payments {
            let PlacedPayment { payment, block_number, block_hash, .. } = placed;
            if *block_number > self.cursor.number {
                return bad(format!("payment {} is in block {block_number}, above its end", payment.id));
            }
            if blocks.get(block_number).is_some_and(|hash| hash != block_hash) {
                return bad(format!(
                    "payment {} is in another block {block_number} than its own",
                    payment.id
                ));
            }
        }
        Ok(())
    }

    fn check_extras(&self) -> Result<(), StoreError> {
        let bad = |reason: String| Err(StoreError::BadBatch { chain: self.chain, reason });
        let blocks = self.block_hashes();
        for (number, hash) in self.extras.blocks() {
            if number > self.cursor.number {
                return bad(format!("an event is in block {number}, above its end"));
            }
            if blocks.get(&number).is_some_and(|own| *own != hash) {
                return bad(format!("an event is in another block {number} than its own"));
            }
        }
        if let Some(placed) = self.extras.refunds.iter().find(|placed| placed.what.chain != self.chain) {
            return bad(format!("refund {} is of chain {}", placed.what.id, placed.what.chain));
        }
        match self.extras.channels.iter().find(|placed| placed.what.chain != self.chain) {
            Some(placed) => {
                bad(format!("channel event {} is of chain {}", placed.what.id, placed.what.chain))
            }
            None => Ok(()),
        }
    }

    /// The hashes of this batch's blocks by height, with the cursor's.
    pub(crate) fn block_hashes(&self) -> HashMap<u64, B256> {
        let own = self.blocks.iter().map(|block| (block.number, block.hash));
        own.chain([(self.cursor.number, self.cursor.hash)]).collect()
    }
}

/// Checks payments that are to be on a chain together.
pub(crate) fn check_payments(chain: ChainId, payments: &[PlacedPayment]) -> Result<(), StoreError> {
    let mut seen = HashMap::with_capacity(payments.len());
    for PlacedPayment { payment, block_hash, block_timestamp, .. } in payments {
        integer("a block's time", *block_timestamp)?;
        if payment.chain != chain {
            let reason = format!("payment {} is of chain {}", payment.id, payment.chain);
            return Err(StoreError::BadBatch { chain, reason });
        }
        // A transaction is in one block. If two transactions hold the same payment, the granting code decides: a token
        // that takes a nonce twice must not stop the index.
        let key = (payment.transaction, payment.id);
        if let Some(other) = seen.insert(key, *block_hash).filter(|other| other != block_hash) {
            return Err(StoreError::PaymentTwice { chain, payment: payment.id, block: *block_hash, other });
        }
    }
    Ok(())
}
