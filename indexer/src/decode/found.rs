//! What was found in blocks, each thing with its block.

use std::collections::HashSet;

use alloy_primitives::B256;
use salt402_protocol::Source;
use salt402_store::{Batch, Extras, PlacedPayment};

/// What was found in blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) payments: Vec<PlacedPayment>,
    pub(crate) extras: Extras,
    /// How many logs of followed contracts do not decode.
    pub(crate) skipped: usize,
}

impl Found {
    pub(crate) fn extend(&mut self, other: Self) {
        self.payments.extend(other.payments);
        self.skipped += other.skipped;
        self.extras.channels.extend(other.extras.channels);
        self.extras.refunds.extend(other.extras.refunds);
        self.extras.settlements.extend(other.extras.settlements);
        self.extras.ambiguities.extend(other.extras.ambiguities);
        self.extras.unreadable.extend(other.extras.unreadable);
    }

    /// How many rows it is.
    pub(crate) fn rows(&self) -> usize {
        self.payments.len() + self.extras.channels.len() + self.extras.refunds.len()
    }

    /// Puts it into a batch.
    pub(crate) fn into_batch(self, batch: &mut Batch) {
        let mut all = Self {
            payments: std::mem::take(&mut batch.payments),
            extras: std::mem::take(&mut batch.extras),
            skipped: 0,
        };
        all.extend(self);
        (batch.payments, batch.extras) = (all.payments, all.extras);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.payments.is_empty()
            && self.extras.channels.is_empty()
            && self.extras.refunds.is_empty()
            && self.extras.ambiguities.is_empty()
    }

    /// Keeps only what is of a source. A whole transaction also tells of other sources, which are read at other times.
    pub(crate) fn retain_of(&mut self, source: &Source) {
        let own = source.paid_through();
        self.payments.retain(|placed| own.contains(&placed.payment.contract));
        let kept: HashSet<_> = self.payments.iter().map(|placed| placed.payment.id).collect();
        self.extras.settlements.retain(|settlement| kept.contains(&settlement.payment));
        self.extras.channels.retain(|placed| placed.what.contract == source.contract);
        self.extras.refunds.retain(|placed| placed.what.contract == source.contract);
        self.extras.ambiguities.retain(|placed| placed.what.contract == source.contract);
    }

    /// Sets the time of the block for all of it.
    pub(crate) fn date(&mut self, timestamp: u64) {
        self.payments.iter_mut().for_each(|placed| placed.block_timestamp = timestamp);
        self.extras.channels.iter_mut().for_each(|placed| placed.block_timestamp = timestamp);
        self.extras.refunds.iter_mut().for_each(|placed| placed.block_timestamp = timestamp);
        self.extras.ambiguities.iter_mut().for_each(|placed| placed.block_timestamp = timestamp);
    }

    /// Places all of it in a block.
    pub(crate) fn move_to(&mut self, block_number: u64, block_hash: B256) {
        for placed in &mut self.payments {
            (placed.block_number, placed.block_hash) = (block_number, block_hash);
        }
        for placed in &mut self.extras.channels {
            (placed.block_number, placed.block_hash) = (block_number, block_hash);
        }
        for placed in &mut self.extras.refunds {
            (placed.block_number, placed.block_hash) = (block_number, block_hash);
        }
        for placed in &mut self.extras.ambiguities {
            (placed.block_number, placed.block_hash) = (block_number, block_hash);
        }
    }
}
