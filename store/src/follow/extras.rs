//! What a batch brings besides payments: events of channels, refunds, which movement of money a payment is, and what can be read
//! in two ways.

use std::collections::HashSet;

use salt402_protocol::{Ambiguity, B256, ChainId, ChannelEvent, PaymentId, Refund, Settlement};

use crate::channels::events;
use crate::engine::columns::{bound, chain_id};
use crate::engine::sync_sql::{SyncConnection, params};
use crate::follow::unreadable::{self, UnreadableTransaction};
use crate::follow::{ambiguities, refunds};
use crate::rows::block::Placed;
use crate::rows::error::StoreError;

/// What a batch brings besides payments; empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Events of channels that are on the chain now.
    pub channels: Vec<Placed<ChannelEvent>>,
    /// What payees gave back that is on the chain now.
    pub refunds: Vec<Placed<Refund>>,
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
        let refunds = self.refunds.iter().map(|placed| (placed.block_number, placed.block_hash));
        channels.chain(refunds).chain(ambiguities).chain(unreadable)
    }

    /// Takes what is above a height off the chain.
    pub(crate) fn undo(
        connection: &SyncConnection<'_>,
        chain: ChainId,
        height: u64,
    ) -> Result<(), StoreError> {
        for update in [
            "UPDATE channel_events SET canonical = FALSE WHERE chain_id = ?1 AND block_number > ?2 AND canonical",
            "UPDATE ambiguities SET canonical = FALSE WHERE chain_id = ?1 AND block_number > ?2 AND canonical",
        ] {
            connection.prepare_cached(update)?.execute(params![chain_id(chain), bound(height)])?;
        }
        refunds::undo(connection, chain, height)?;
        unreadable::undo(connection, chain, height)
    }

    /// Puts events back on the chain whose blocks are back on it, whether or not they are told again: they were seen in
    /// them. `lowest` is the lowest of the blocks.
    pub(crate) fn restore(
        connection: &SyncConnection<'_>,
        chain: ChainId,
        lowest: Option<u64>,
        blocks: &HashSet<B256>,
    ) -> Result<(), StoreError> {
        let Some(lowest) = lowest else { return Ok(()) };
        unreadable::restore(connection, chain, lowest, blocks)?;
        refunds::restore(connection, chain, lowest, blocks)?;
        let mut select = connection.prepare_cached(
            "SELECT DISTINCT block_hash FROM channel_events
             WHERE chain_id = ?1 AND block_number >= ?2 AND NOT canonical",
        )?;
        let mut rows = select.query(params![chain_id(chain), bound(lowest)])?;
        let mut back = Vec::new();
        while let Some(row) = rows.next()? {
            back.extend(Some(row.hash_at(0, "block_hash")?).filter(|hash| blocks.contains(hash)));
        }
        let mut update = connection.prepare_cached(
            "UPDATE channel_events SET canonical = TRUE
             WHERE chain_id = ?1 AND block_number >= ?2 AND block_hash = ?3 AND NOT canonical
               AND NOT EXISTS (SELECT 1 FROM channel_events rival
                               WHERE rival.chain_id = channel_events.chain_id
                                 AND rival.event_id = channel_events.event_id AND rival.canonical)",
        )?;
        for hash in back {
            update.execute(params![chain_id(chain), bound(lowest), hash.as_slice()])?;
        }
        Ok(())
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
        refunds::insert(connection, chain, &self.refunds)?;
        ambiguities::insert(connection, chain, &self.ambiguities)?;
        unreadable::insert(connection, chain, &self.unreadable)
    }
}
