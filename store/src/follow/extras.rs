//! What a batch brings besides payments: events of channels, which movement of money a payment is, and what can be read
//! in two ways.

use std::collections::HashSet;

use salt402_protocol::{Ambiguity, B256, ChainId, ChannelEvent, PaymentId, Settlement};

use crate::channels::events;
use crate::engine::columns::chain_id;
use crate::engine::sync_sql::{SyncConnection, params};
use crate::follow::ambiguities;
use crate::follow::unreadable::{self, UnreadableTransaction};
use crate::rows::block::Placed;
use crate::rows::error::StoreError;

/// What a batch brings besides payments; empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Events of channels that are on the chain now.
    pub channels: Vec<Placed<ChannelEvent>>,
    /// Which movements of money payments of this batch are. A payment whose movement another payment of the chain
    /// counts already is left out.
    pub settlements: Vec<Settlement>,
    /// What may be a payment and is none.
    pub ambiguities: Vec<Placed<Ambiguity>>,
    /// Transactions that could not be read.
    pub unreadable: Vec<Placed<UnreadableTransaction>>,
}

impl Extras {
    /// The blocks in which any of it is.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u64, B256)> {
        let channels = self.channels.iter().map(|placed| (placed.block_number, placed.block_hash));
        let ambiguities = self.ambiguities.iter().map(|placed| (placed.block_number, placed.block_hash));
        let unreadable = self.unreadable.iter().map(|placed| (placed.block_number, placed.block_hash));
        channels.chain(ambiguities).chain(unreadable)
    }

    /// Notes which payment counts each movement. Returns the payments that must not be stored, because the movement is
    /// another payment of the chain already.
    pub(crate) fn settle(
        &self,
        connection: &SyncConnection<'_>,
        chain: ChainId,
    ) -> Result<HashSet<PaymentId>, StoreError> {
        let mut doubles = HashSet::new();
        // A payment that left the chain, or was never stored, gives its movement up.
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

    /// Puts events and ambiguities on the chain, those that had left it too.
    pub(crate) fn insert(&self, connection: &SyncConnection<'_>, chain: ChainId) -> Result<(), StoreError> {
        events::insert(connection, chain, &self.channels)?;
        ambiguities::insert(connection, chain, &self.ambiguities)?;
        unreadable::insert(connection, chain, &self.unreadable)
    }
}
