//! A batch into the database.

use std::collections::{HashMap, HashSet};

use salt402_protocol::{B256, PaymentId};
use sqlx::sqlite::Sqlite;
use sqlx::{QueryBuilder, SqliteConnection};

use crate::bulk::chunks;
use crate::columns::{Columns as _, amount_bytes, bound, chain_id};
use crate::error::Complaint;
use crate::halt::{self, HaltKind};
use crate::transaction::WriteTransaction;
use crate::work::{Write, send};
use crate::{Applied, Batch, Block, PlacedPayment, Store, StoreError, chain, clock, incident};

impl Store {
    /// Applies one step of a follower, all of it or nothing. Durable when this returns.
    ///
    /// A payment that was claimed and is on the chain no more opens an incident; one that comes back, in whatever
    /// block, resolves it. Rows that exist already are left or put back on the chain, so the same blocks may be
    /// applied again.
    pub async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        batch.check()?;
        send(self.jobs(), batch).await
    }
}

impl Write for Batch {
    type Output = Applied;

    const CHANGES_CHAIN: bool = true;

    fn rows(&self) -> usize {
        1 + self.blocks.len() + self.payments.len()
    }

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Applied, StoreError> {
        let connection = transaction.connection();
        let stored = chain::cursor(connection, self.chain).await?;
        if stored != self.expected {
            return Err(StoreError::CursorMoved { chain: self.chain, expected: self.expected, stored });
        }
        let ends_halt = halt::permit(connection, self.chain, self.keep_through).await?;
        let orphaned = match self.keep_through {
            Some(height) => self.undo(connection, height).await?,
            None => 0,
        };
        self.insert_blocks(connection).await?;
        self.check_against_stored(connection).await?;
        let restored = self.restore(connection).await?;
        let inserted = self.insert_payments(connection, &restored).await?;
        let restored = restored.len() as u64;
        let incidents = match self.keep_through {
            Some(height) => incident::open_lost(connection, self.chain, height).await?,
            None => 0,
        };
        if inserted + restored > 0 {
            incident::resolve_found(connection, self.chain).await?;
        }
        self.prune(connection).await?;
        if ends_halt {
            halt::close(connection, self.chain, HaltKind::Fork).await?;
        }
        let applied = Applied { inserted, orphaned, restored, incidents };
        self.move_cursor(connection, applied).await?;
        Ok(applied)
    }
}

impl Batch {
    /// Takes everything above a height off the chain; returns the number of payment rows.
    async fn undo(&self, connection: &mut SqliteConnection, height: u64) -> Result<u64, StoreError> {
        sqlx::query("UPDATE blocks SET canonical = FALSE WHERE chain_id = $1 AND number > $2 AND canonical")
            .bind(chain_id(self.chain))
            .bind(bound(height))
            .execute(&mut *connection)
            .await?;
        let done = sqlx::query(
            "UPDATE payments SET canonical = FALSE WHERE chain_id = $1 AND block_number > $2 AND canonical",
        )
        .bind(chain_id(self.chain))
        .bind(bound(height))
        .execute(connection)
        .await?;
        Ok(done.rows_affected())
    }

    async fn insert_blocks(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        for rows in chunks(&self.blocks) {
            let mut insert = insert_blocks(self, rows);
            insert.build().execute(&mut *connection).await.map_err(|error| match Complaint::of(&error) {
                Complaint::Unique => StoreError::BadBatch {
                    chain: self.chain,
                    reason: "one of its blocks is at a height where the chain has another block".into(),
                },
                _ => error.into(),
            })?;
        }
        Ok(())
    }

    /// Whether stored headers contradict the batch: a first block that does not join the block that is kept, or a
    /// payment in a block that is not the chain's.
    async fn check_against_stored(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let joins =
            self.keep_through.zip(self.blocks.first()).filter(|(kept, first)| kept + 1 == first.number);
        let own = self.block_hashes();
        let elsewhere = || self.payments.iter().filter(|placed| !own.contains_key(&placed.block_number));
        let mut heights: Vec<u64> = elsewhere().map(|placed| placed.block_number).collect();
        heights.extend(joins.map(|(kept, _)| kept));
        let (Some(lowest), Some(highest)) = (heights.iter().min(), heights.iter().max()) else {
            return Ok(());
        };
        let stored = self.stored_hashes(connection, *lowest, *highest).await?;
        let bad = |reason: String| Err(StoreError::BadBatch { chain: self.chain, reason });
        if let Some((kept, first)) = joins
            && stored.get(&kept).is_some_and(|hash| *hash != first.parent_hash)
        {
            return bad(format!("block {} is no child of the block {kept} that is kept", first.number));
        }
        match elsewhere().find(|p| stored.get(&p.block_number).is_some_and(|hash| *hash != p.block_hash)) {
            Some(stray) => {
                bad(format!("payment {} is in a block that is not on the chain", stray.payment.id))
            }
            None => Ok(()),
        }
    }

    async fn stored_hashes(
        &self,
        connection: &mut SqliteConnection,
        lowest: u64,
        highest: u64,
    ) -> Result<HashMap<u64, B256>, StoreError> {
        let rows = sqlx::query(
            "SELECT number, hash FROM blocks WHERE chain_id = $1 AND number BETWEEN $2 AND $3 AND canonical",
        )
        .bind(chain_id(self.chain))
        .bind(bound(lowest))
        .bind(bound(highest))
        .fetch_all(connection)
        .await?;
        rows.iter().map(|row| Ok((row.number("number")?, row.hash("hash")?))).collect()
    }

    /// Puts the rows back on the chain that are of the batch's blocks but had left it. Returns which.
    async fn restore(&self, connection: &mut SqliteConnection) -> Result<HashSet<Inclusion>, StoreError> {
        let Some(lowest) = self.payments.iter().map(|placed| placed.block_number).min() else {
            return Ok(HashSet::new());
        };
        let orphans = sqlx::query(
            "SELECT payment_id, block_hash FROM payments WHERE chain_id = $1 AND block_number >= $2 AND NOT canonical",
        )
        .bind(chain_id(self.chain))
        .bind(bound(lowest))
        .fetch_all(&mut *connection)
        .await?;
        let orphans: HashSet<Inclusion> = orphans
            .iter()
            .map(|row| Ok((row.payment_id("payment_id")?, row.hash("block_hash")?)))
            .collect::<Result<_, StoreError>>()?;
        let mut restored = HashSet::new();
        for placed in self.payments.iter().filter(|placed| orphans.contains(&inclusion(placed))) {
            let done = sqlx::query(
                "UPDATE payments SET canonical = TRUE
                 WHERE chain_id = $1 AND transaction_hash = $2 AND payment_id = $3 AND block_hash = $4
                   AND NOT canonical
                   AND NOT EXISTS (SELECT 1 FROM payments rival
                                   WHERE rival.chain_id = $1 AND rival.transaction_hash = $2
                                     AND rival.payment_id = $3 AND rival.canonical)",
            )
            .bind(chain_id(self.chain))
            .bind(placed.payment.transaction.as_slice())
            .bind(placed.payment.id.0.as_slice())
            .bind(placed.block_hash.as_slice())
            .execute(&mut *connection)
            .await?;
            if done.rows_affected() == 1 {
                restored.insert(inclusion(placed));
            }
        }
        Ok(restored)
    }

    /// Inserts the payments that are not on the chain yet; returns how many that were.
    async fn insert_payments(
        &self,
        connection: &mut SqliteConnection,
        restored: &HashSet<Inclusion>,
    ) -> Result<u64, StoreError> {
        let mut inserted = 0;
        let now_ms = clock::now_ms();
        let mut fresh: Vec<&PlacedPayment> =
            self.payments.iter().filter(|placed| !restored.contains(&inclusion(placed))).collect();
        // In the order of the index, neighbours meet on the same pages.
        fresh.sort_unstable_by_key(|placed| (placed.payment.transaction, placed.payment.id));
        for rows in chunks(&fresh) {
            let done = insert_payments(self, rows, now_ms).build().execute(&mut *connection).await?;
            if done.rows_affected() < rows.len() as u64 {
                self.refuse_rivals(connection, rows).await?;
            }
            inserted += done.rows_affected();
        }
        Ok(inserted)
    }

    /// An error if one of some payments is on the chain in another block than the batch says.
    async fn refuse_rivals(
        &self,
        connection: &mut SqliteConnection,
        rows: &[&PlacedPayment],
    ) -> Result<(), StoreError> {
        for placed in rows {
            let rival = sqlx::query(
                "SELECT block_hash FROM payments
                 WHERE chain_id = $1 AND transaction_hash = $2 AND payment_id = $3 AND canonical AND block_hash <> $4",
            )
            .bind(chain_id(self.chain))
            .bind(placed.payment.transaction.as_slice())
            .bind(placed.payment.id.0.as_slice())
            .bind(placed.block_hash.as_slice())
            .fetch_optional(&mut *connection)
            .await?;
            if let Some(row) = rival {
                return Err(self.twice(placed, row.hash("block_hash")?));
            }
        }
        Ok(())
    }

    async fn prune(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let Some(height) = self.prune_below else { return Ok(()) };
        sqlx::query("DELETE FROM blocks WHERE chain_id = $1 AND number < $2 AND canonical")
            .bind(chain_id(self.chain))
            .bind(bound(height))
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn move_cursor(
        &self,
        connection: &mut SqliteConnection,
        applied: Applied,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE chains SET cursor_number = $2, cursor_hash = $3, head_number = $4, noted_at_ms = $5,
                               payments = payments + $6 - $7
             WHERE chain_id = $1",
        )
        .bind(chain_id(self.chain))
        .bind(bound(self.cursor.number))
        .bind(self.cursor.hash.as_slice())
        .bind(bound(self.head))
        .bind(clock::now_ms())
        .bind(bound(applied.inserted + applied.restored))
        .bind(bound(applied.orphaned))
        .execute(connection)
        .await?;
        Ok(())
    }
}

fn insert_blocks(batch: &Batch, rows: &[Block]) -> QueryBuilder<Sqlite> {
    let mut insert =
        QueryBuilder::new("INSERT INTO blocks (chain_id, hash, number, parent_hash, timestamp, canonical) ");
    insert.push_values(rows, |mut row, block| {
        row.push_bind(chain_id(batch.chain))
            .push_bind(block.hash.to_vec())
            .push_bind(bound(block.number))
            .push_bind(block.parent_hash.to_vec())
            .push_bind(bound(block.timestamp))
            .push("TRUE");
    });
    insert.push(" ON CONFLICT (chain_id, hash) DO UPDATE SET canonical = TRUE");
    insert
}

/// A payment that is on the chain already is passed over.
fn insert_payments(batch: &Batch, rows: &[&PlacedPayment], now_ms: i64) -> QueryBuilder<Sqlite> {
    let mut insert = QueryBuilder::new(
        "INSERT INTO payments (chain_id, transaction_hash, payment_id, block_hash, block_number, block_timestamp,
                               position, contract, reference, payer, payee, asset, amount, canonical, seen_at_ms) ",
    );
    insert.push_values(rows, |mut row, placed| {
        let payment = &placed.payment;
        row.push_bind(chain_id(batch.chain))
            .push_bind(payment.transaction.to_vec())
            .push_bind(payment.id.0.to_vec())
            .push_bind(placed.block_hash.to_vec())
            .push_bind(bound(placed.block_number))
            .push_bind(bound(placed.block_timestamp))
            .push_bind(i64::from(placed.position))
            .push_bind(payment.contract.to_vec())
            .push_bind(payment.reference.to_vec())
            .push_bind(payment.payer.to_vec())
            .push_bind(payment.payee.to_vec())
            .push_bind(payment.asset.address().to_vec())
            .push_bind(amount_bytes(payment.amount))
            .push("TRUE")
            .push_bind(now_ms);
    });
    insert.push(" ON CONFLICT (chain_id, transaction_hash, payment_id) WHERE canonical DO NOTHING");
    insert
}

/// What tells a row of the payments: the payment and the block it is in.
type Inclusion = (PaymentId, B256);

fn inclusion(placed: &PlacedPayment) -> Inclusion {
    (placed.payment.id, placed.block_hash)
}
