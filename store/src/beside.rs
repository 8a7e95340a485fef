//! What a batch brings beside payments: events of channels, which movement of money a payment is, and what can be read
//! in two ways.

use std::collections::HashSet;

use rusqlite::{Connection, params};
use salt402_protocol::{Ambiguity, B256, ChainId, ChannelEvent, PaymentId, Settlement};

use crate::columns::{Columns as _, Places as _, bound, chain_id};
use crate::{Batch, StoreError, UnreadableTransaction, channel_rows, unreadable};

/// Something and the block it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// What it is.
    pub what: T,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// The time of its block, in seconds since 1970 UTC; 0 where it was read and is not known.
    pub block_timestamp: u64,
}

/// What a batch brings beside payments; empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
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

impl Beside {
    pub(crate) fn places(&self) -> impl Iterator<Item = (u64, B256)> {
        let channels = self.channels.iter().map(|placed| (placed.block_number, placed.block_hash));
        let ambiguities = self.ambiguities.iter().map(|placed| (placed.block_number, placed.block_hash));
        let unreadable = self.unreadable.iter().map(|placed| (placed.block_number, placed.block_hash));
        channels.chain(ambiguities).chain(unreadable)
    }

    /// Checks what can be known without the database.
    pub(crate) fn check(&self, batch: &Batch) -> Result<(), StoreError> {
        let bad = |reason: String| Err(StoreError::BadBatch { chain: batch.chain, reason });
        let blocks = batch.block_hashes();
        for (number, hash) in self.places() {
            if number > batch.cursor.number {
                return bad(format!("an event is in block {number}, above its end"));
            }
            if blocks.get(&number).is_some_and(|own| *own != hash) {
                return bad(format!("an event is in another block {number} than its own"));
            }
        }
        match self.channels.iter().find(|placed| placed.what.chain != batch.chain) {
            Some(stray) => bad(format!("channel event {} is of chain {}", stray.what.id, stray.what.chain)),
            None => Ok(()),
        }
    }

    /// Takes what is above a height off the chain.
    pub(crate) fn undo(connection: &Connection, chain: ChainId, height: u64) -> Result<(), StoreError> {
        for update in [
            "UPDATE channel_events SET canonical = FALSE WHERE chain_id = ?1 AND block_number > ?2 AND canonical",
            "UPDATE ambiguities SET canonical = FALSE WHERE chain_id = ?1 AND block_number > ?2 AND canonical",
        ] {
            connection.prepare_cached(update)?.execute(params![chain_id(chain), bound(height)])?;
        }
        unreadable::undo(connection, chain, height)
    }

    /// Puts events back on the chain whose blocks are back on it, whether or not they are told again: they were seen in
    /// them. `lowest` is the lowest of the blocks.
    pub(crate) fn restore(
        connection: &Connection,
        chain: ChainId,
        lowest: Option<u64>,
        blocks: &HashSet<B256>,
    ) -> Result<(), StoreError> {
        let Some(lowest) = lowest else { return Ok(()) };
        unreadable::restore(connection, chain, lowest, blocks)?;
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
        connection: &Connection,
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
    pub(crate) fn insert(&self, connection: &Connection, chain: ChainId) -> Result<(), StoreError> {
        channel_rows::insert(connection, chain, &self.channels)?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO ambiguities (chain_id, ambiguity_id, transaction_hash, contract, reason, block_hash,
                                      block_number, canonical)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, TRUE)
             ON CONFLICT (chain_id, ambiguity_id, block_hash) DO UPDATE SET canonical = TRUE",
        )?;
        for Placed { what, block_number, block_hash, .. } in &self.ambiguities {
            insert.execute(params![
                chain_id(chain),
                what.id.as_slice(),
                what.transaction.as_slice(),
                what.contract.as_slice(),
                what.reason,
                block_hash.as_slice(),
                bound(*block_number)
            ])?;
        }
        unreadable::insert(connection, chain, &self.unreadable)
    }
}

/// An ambiguity as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmbiguityRow {
    /// Its number, ascending.
    pub id: u64,
    /// The transaction.
    pub transaction: B256,
    /// The contract whose event cannot be matched.
    pub contract: salt402_protocol::Address,
    /// Why, in words.
    pub reason: String,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
}

impl crate::Store {
    /// What is on a chain and may be a payment that is read in two ways, the newest first, at most `limit`, of those
    /// whose number is below `before`.
    pub async fn ambiguities(
        &self,
        chain: ChainId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AmbiguityRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = sqlx::query(
            "SELECT id, transaction_hash, contract, reason, block_number, block_hash FROM ambiguities
             WHERE chain_id = $1 AND canonical AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(chain_id(chain))
        .bind(before.map_or(i64::MAX, bound))
        .bind(i64::from(limit))
        .fetch_all(reader.connection()?)
        .await?;
        let row = |row: &sqlx::sqlite::SqliteRow| {
            Ok(AmbiguityRow {
                id: row.number("id")?,
                transaction: row.hash("transaction_hash")?,
                contract: row.address("contract")?,
                reason: row.text("reason")?,
                block_number: row.number("block_number")?,
                block_hash: row.hash("block_hash")?,
            })
        };
        rows.iter().map(row).collect()
    }
}
