//! What a batch brings besides payments: events of channels, refunds, which transfer a payment is, ambiguities, and unreadable
//! transactions.

use std::collections::HashSet;

use salt402_protocol::{Ambiguity, B256, ChainId, ChannelEvent, PaymentId, Refund, Settlement};

use crate::channels::events;
use crate::engine::{SyncConnection, chain_id, params};
use crate::follow::unreadable::{self, UnreadableTransaction};
use crate::follow::{ambiguities, refunds};
use crate::rows::{Placed, StoreError};

/// What a batch brings besides payments. Empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Events of channels that are on the chain now.
    pub channels: Vec<Placed<ChannelEvent>>,
    /// Refunds that are on the chain now.
    pub refunds: Vec<Placed<Refund>>,
    /// For payments of this batch, which movement of money each of them is. If another payment on the chain is that
    /// movement already, the payment is not stored.
    pub settlements: Vec<Settlement>,
    /// Events that may be a payment but do not count.
    pub ambiguities: Vec<Placed<Ambiguity>>,
    /// Transactions that could not be read.
    pub unreadable: Vec<Placed<UnreadableTransaction>>,
}

impl Extras {
    /// The blocks that any of it is in.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u64, B256)> {
        let channels = self.channels.iter().map(|placed| (placed.block_number, placed.block_hash));
        let ambiguities = self.ambiguities.iter().map(|placed| (placed.block_number, placed.block_hash));
        let unreadable = self.unreadable.iter().map(|placed| (placed.block_number, placed.block_hash));
        let refunds = self.refunds.iter().map(|placed| (placed.block_number, placed.block_hash));
        channels.chain(refunds).chain(ambiguities).chain(unreadable)
    }

    /// Stores which payment each movement is. Returns the payments that must not be stored, because another payment on
    /// the chain is the same movement.
    pub(crate) fn settle(
        &self,
        connection: &SyncConnection<'_>,
        chain: ChainId,
    ) -> Result<HashSet<PaymentId>, StoreError> {
        let mut doubles = HashSet::new();
        // A payment that left the chain or was never stored no longer holds its movement.
        let mut insert = connection.prepare_cached(
            "INSERT INTO settlements (chain_id, movement, payment_id, transaction_hash) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (chain_id, movement) DO UPDATE SET payment_id = excluded.payment_id
             WHERE settlements.payment_id = excluded.payment_id
                OR NOT EXISTS (SELECT 1 FROM payments p
                               WHERE p.chain_id = settlements.chain_id
                                 AND p.transaction_hash = settlements.transaction_hash
                                 AND p.payment_id = settlements.payment_id AND p.canonical)",
        )?;
        for settlement in &self.settlements {
            let changed = insert.execute(params![
                chain_id(chain),
                settlement.movement.as_slice(),
                settlement.payment.0.as_slice(),
                settlement.transaction.as_slice()
            ])?;
            if changed == 0 {
                doubles.insert(settlement.payment);
            }
        }
        Ok(doubles)
    }

    /// Puts the rows on the chain, also those that had left it.
    pub(crate) fn insert(&self, connection: &SyncConnection<'_>, chain: ChainId) -> Result<(), StoreError> {
        events::insert(connection, chain, &self.channels)?;
        refunds::insert(connection, chain, &self.refunds)?;
        ambiguities::insert(connection, chain, &self.ambiguities)?;
        unreadable::insert(connection, chain, &self.unreadable)
    }
}
