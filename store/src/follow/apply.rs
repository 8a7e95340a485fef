//! A batch into the database.

use std::cell::LazyCell;
use std::collections::HashSet;

use salt402_protocol::{B256, ChannelChange, PaymentId};

use crate::chains::canonical::{check_blocks, check_events, stored_hashes};
use crate::chains::{chain, coverage, halt};
use crate::engine::{Changes, Forget, Step, SyncConnection, bound, chain_id, clock, params, send_step};
use crate::follow::batch::{Applied, Batch};
use crate::follow::insert::insert_payments;
use crate::follow::placed_rows::{self, Inclusion};
use crate::follow::undecoded::insert_undecoded;
use crate::follow::{merged, unreadable};
use crate::grants::exposure;
use crate::incidents::{channel_risk, orphaned_grant, refund_lost, strange_operator};
use crate::payments::query;
use crate::rows::{Block, HaltKind, PlacedPayment, StoreError};
use crate::store::Store;

/// If a step has at most this many payments, they are kept in memory as soon as they are stored.
const PUSHED: usize = 1024;

impl Store {
    /// Applies one step of a follower, all of it or nothing. Durable when this returns.
    ///
    /// A claimed payment that leaves the chain opens an incident. One that comes back, in whatever block, resolves it.
    /// The same holds for a channel whose accepted vouchers may not be paid. The same blocks may be applied again:
    /// known rows stay or are put back on the chain. A block that comes back brings its rows with it, whether or not
    /// the batch names them, since its hash says that it is the same block. A step also ends a lower fork, because the
    /// node then shows the chain that the index is at.
    pub async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        batch.check()?;
        send_step(self.jobs(), batch).await
    }
}

impl Step for Batch {
    type Output = Applied;

    const KIND: &'static str = "follow";

    fn write(&self, connection: &SyncConnection<'_>) -> Result<Applied, StoreError> {
        let stored = chain::cursor(connection, self.chain)?;
        if stored != self.expected {
            return Err(StoreError::CursorMoved { chain: self.chain, expected: self.expected, stored });
        }
        let ends_halt = halt::permit(connection, self.chain, self.keep_through)?;
        let undone = match self.keep_through {
            Some(height) => self.undo(connection, height)?,
            None => 0,
        };
        let reinstated = match self.keep_through {
            Some(height) => merged::reinstate(connection, self.chain, height)?,
            None => Vec::new(),
        };
        self.insert_blocks(connection)?;
        self.check_against_stored(connection)?;
        let released = merged::release(connection, self.chain, &self.payments, &self.extras, None)?;
        let restored = self.restore(connection, &released.from)?;
        self.extras.insert(connection, self.chain)?;
        let doubles = self.extras.settle(connection, self.chain)?;
        let fresh = self
            .payments
            .iter()
            .filter(|placed| !restored.contains(&inclusion(placed)) && !doubles.contains(&placed.payment.id))
            .collect();
        let inserted = insert_payments(connection, self.chain, fresh)?;
        insert_undecoded(connection, self.chain, &self.undecoded)?;
        let came: HashSet<PaymentId> = (self.payments.iter().map(|placed| placed.payment.id))
            .chain(restored.iter().map(|(payment, _)| PaymentId(*payment)))
            .chain(reinstated.iter().copied())
            .collect();
        let restored = restored.len() as u64 + reinstated.len() as u64;
        let orphaned = undone + released.payments;
        let orphaned_above = self.keep_through.into_iter().chain(released.above).min();
        let incidents = match orphaned_above {
            Some(height) => orphaned_grant::open_orphaned(connection, self.chain, height)?,
            None => 0,
        };
        if inserted + restored > 0 {
            orphaned_grant::resolve_returned(connection, self.chain, &came)?;
        }
        if orphaned_above.is_some() || inserted + restored > 0 {
            exposure::follow(connection, self.chain, &came, orphaned_above)?;
        }
        let first = self.blocks.first().and_then(|block| block.number.checked_sub(1));
        let above = self.keep_through.into_iter().chain(first).min();
        channel_risk::follow(connection, self.chain, &self.extras.channels, above)?;
        self.follow_refunds(connection)?;
        strange_operator::follow(connection, self.chain, &self.extras.channels)?;
        unreadable::follow(connection, self.chain)?;
        self.prune(connection)?;
        if ends_halt {
            halt::close_in_step(connection, self.chain, HaltKind::Fork)?;
        }
        let applied = Applied { inserted, orphaned, restored, incidents };
        self.move_cursor(connection, applied)?;
        Ok(applied)
    }

    fn changes(&self, applied: &Applied, connection: &SyncConnection<'_>) -> Changes {
        // A reorganization is rare, and what it changes is in blocks that the batch does not name.
        // So is a refund, and it changes what is found of payments in any block.
        let refunds = !self.extras.refunds.is_empty();
        let forget = if applied.orphaned > 0 || self.keep_through.is_some() || applied.restored > 0 || refunds
        {
            Forget::Everything
        } else {
            Forget::These(query::keys(&self.payments))
        };
        let cursor = self.head.map(|_| (self.chain, self.cursor.number));
        // A back-fill has many, and nobody waits for them.
        let fresh = if self.payments.len() <= PUSHED { self.payments.as_slice() } else { &[] };
        match query::read_all(connection, fresh) {
            Ok(fresh) => Changes { forget, cursor, fresh, ..Changes::default() },
            Err(_) => Changes::everything(),
        }
    }
}

impl Batch {
    /// Takes everything above a height off the chain; returns the number of payment rows.
    fn undo(&self, connection: &SyncConnection<'_>, height: u64) -> Result<u64, StoreError> {
        exposure::note_undone(connection, self.chain, height, self.cursor.number)?;
        connection
            .prepare_cached(
                "UPDATE blocks SET canonical = FALSE WHERE chain_id = ?1 AND number > ?2 AND canonical",
            )?
            .execute(params![chain_id(self.chain), bound(height)])?;
        let payments = placed_rows::undo(connection, self.chain, height)?;
        // The new blocks are read for every followed contract, and for no other.
        coverage::cut(connection, self.chain, height)?;
        Ok(payments)
    }

    fn insert_blocks(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO blocks (chain_id, hash, number, parent_hash, timestamp, canonical)
             VALUES (?1, ?2, ?3, ?4, ?5, TRUE) ON CONFLICT (chain_id, hash) DO UPDATE SET canonical = TRUE",
        )?;
        for Block { number, hash, parent_hash, timestamp } in &self.blocks {
            let row = params![
                chain_id(self.chain),
                hash.as_slice(),
                bound(*number),
                parent_hash.as_slice(),
                bound(*timestamp)
            ];
            if insert.execute_unique(row)?.is_none() {
                let reason = "one of its blocks is at a height where the chain has another block".into();
                return Err(StoreError::BadBatch { chain: self.chain, reason });
            }
        }
        Ok(())
    }

    /// Whether stored headers contradict the batch: its first block is no child of the block that is kept, or a payment
    /// is in a block that is not on the chain.
    fn check_against_stored(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
        if let Some((kept, first)) = self.keep_through.zip(self.blocks.first())
            && kept + 1 == first.number
            && stored_hashes(connection, self.chain, kept, kept)?
                .get(&kept)
                .is_some_and(|hash| *hash != first.parent_hash)
        {
            let reason = format!("block {} is no child of the block {kept} that is kept", first.number);
            return Err(StoreError::BadBatch { chain: self.chain, reason });
        }
        let own = self.block_hashes();
        let elsewhere = self.payments.iter().filter(|placed| !own.contains_key(&placed.block_number));
        check_blocks(connection, self.chain, elsewhere)?;
        let elsewhere = self.extras.blocks().filter(|(number, _)| !own.contains_key(number)).collect();
        check_events(connection, self.chain, elsewhere)
    }

    /// Puts rows back on the chain that had left it: the rows of the batch's blocks, since they were seen there, and
    /// payments that the batch names. Rows stay off that `moved` to another block than the one they were placed in.
    /// Returns the payments.
    fn restore(
        &self,
        connection: &SyncConnection<'_>,
        moved: &HashSet<(B256, B256)>,
    ) -> Result<HashSet<Inclusion>, StoreError> {
        let heights = self.payments.iter().map(|placed| placed.block_number);
        let Some(lowest) = heights.chain(self.blocks.first().map(|block| block.number)).min() else {
            return Ok(HashSet::new());
        };
        // Mostly nothing has left the chain. Then this is not computed.
        let known: LazyCell<(HashSet<B256>, HashSet<Inclusion>), _> = LazyCell::new(|| {
            let blocks = self.blocks.iter().map(|block| block.hash).chain([self.cursor.hash]);
            (blocks.collect(), self.payments.iter().map(inclusion).collect())
        });
        let restored = placed_rows::restore(connection, self.chain, lowest, |row, transaction| {
            !moved.contains(&(transaction, row.1)) && (known.0.contains(&row.1) || known.1.contains(&row))
        })?;
        Ok(restored.into_iter().collect())
    }

    /// Notices refunds of this server that left the chain, and those that are back.
    fn follow_refunds(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
        let channels = refund_lost::placements(&self.extras.channels, |event| {
            matches!(event.change, ChannelChange::GivenBack { .. }).then_some(event.transaction)
        });
        let refunds = refund_lost::placements(&self.extras.refunds, |refund| Some(refund.transaction));
        // A look-up reads no new blocks.
        let from = self.keep_through.or(self.expected.map(|cursor| cursor.number)).unwrap_or(0);
        let above = self.head.map(|_| from);
        refund_lost::follow(connection, self.chain, refunds.chain(channels), above, self.cursor.number)
    }

    fn prune(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
        let Some(height) = self.prune_below else { return Ok(()) };
        merged::prune(connection, self.chain, height)?;
        connection
            .prepare_cached("DELETE FROM blocks WHERE chain_id = ?1 AND number < ?2 AND canonical")?
            .execute(params![chain_id(self.chain), bound(height)])?;
        Ok(())
    }

    fn move_cursor(&self, connection: &SyncConnection<'_>, applied: Applied) -> Result<(), StoreError> {
        connection
            .prepare_cached(
                "UPDATE chains SET cursor_number = ?2, cursor_hash = ?3, head_number = ?4, noted_at_ms = ?5,
                                   lower_fork_at = NULL
                 WHERE chain_id = ?1 AND ?4 IS NOT NULL",
            )?
            .execute(params![
                chain_id(self.chain),
                bound(self.cursor.number),
                self.cursor.hash.as_slice(),
                self.head.map(bound),
                clock::now_ms()
            ])?;
        connection
            .prepare_cached("UPDATE chains SET payments = payments + ?2 - ?3 WHERE chain_id = ?1")?
            .execute(params![
                chain_id(self.chain),
                bound(applied.inserted + applied.restored),
                bound(applied.orphaned)
            ])?;
        Ok(())
    }
}

fn inclusion(placed: &PlacedPayment) -> Inclusion {
    (placed.payment.id.0, placed.block_hash)
}
