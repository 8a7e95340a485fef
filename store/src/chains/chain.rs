//! Chains: which one it is, where the index stands, and the headers it remembers.

use std::collections::BTreeMap;

use salt402_protocol::{B256, ChainId};

use crate::chains::halt::{self, Halt};
use crate::engine::{
    Columns as _, Connection, Gathered, Row, SyncConnection, Write, WriteTransaction, bound, chain_id, clock,
    integer, query, send,
};
use crate::rows::{Block, Cursor, HaltKind, StoreError};
use crate::store::Store;

/// What the store knows of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainState {
    /// The hash of block 0. It tells two chains with the same id apart.
    pub genesis: B256,
    /// Where the index stands. `None` before the first batch.
    pub cursor: Option<Cursor>,
    /// The first block of the index; `None` before anything was followed. No header below it is stored to compare with.
    /// The past of an added contract may reach below it.
    pub first_block: Option<u64>,
    /// The node's newest block when the indexer last said so.
    pub head: Option<u64>,
    /// When the indexer last wrote anything about this chain, in milliseconds since 1970 UTC. Another process tells by
    /// it whether an indexer is running.
    pub noted_at_ms: Option<u64>,
    /// The height at which the node's chain leaves the index, if the node's chain is lower
    /// ([`Store::note_lower_fork`]). Blocks above it may leave the chain. `None` if there is no such fork.
    pub lower_fork_at: Option<u64>,
    /// Why the chain is not followed until the operator acts. `None` if it is followed.
    pub halt: Option<Halt>,
}

impl Store {
    /// What is known of a chain. `None` before it was pinned.
    pub async fn chain_state(&self, chain: ChainId) -> Result<Option<ChainState>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT c.genesis_hash, c.cursor_number, c.cursor_hash, c.first_block, c.head_number, c.noted_at_ms,
                    c.lower_fork_at, h.kind AS halt_kind, h.depth AS halt_depth, h.halted_at_ms, h.keep_through, h.accepted_hash
             FROM chains c LEFT JOIN open_halts h ON h.chain_id = c.chain_id
             WHERE c.chain_id = $1",
        )
        .bind(chain_id(chain))
        .fetch_optional(reader.connection()?)?;
        row.map(|row| {
            Ok(ChainState {
                genesis: row.hash("genesis_hash")?,
                cursor: cursor_of(&row)?,
                first_block: row.maybe_number("first_block")?,
                head: row.maybe_number("head_number")?,
                noted_at_ms: row.maybe_number("noted_at_ms")?,
                lower_fork_at: row.maybe_number("lower_fork_at")?,
                halt: halt::of(&row)?,
            })
        })
        .transpose()
    }

    /// Notes a lower fork: the node's chain leaves the index at this height and ends below the index. `None` says that
    /// there is no such fork. During a lower fork, payments above that height count as unconfirmed, so that nothing new
    /// is granted on them. None of them leaves the chain yet. The next step that is applied ends the lower fork.
    pub async fn note_lower_fork(&self, chain: ChainId, at: Option<u64>) -> Result<(), StoreError> {
        send(self.jobs(), LowerFork { chain, at }).await
    }

    /// Stores the hash of a chain's genesis block the first time, and compares it every other time
    /// ([`StoreError::OtherGenesis`]). Do this before anything else is stored of the chain.
    pub async fn pin_chain(&self, chain: ChainId, genesis: B256) -> Result<(), StoreError> {
        send(self.jobs(), PinGenesis { chain, genesis }).await
    }

    /// The block of the chain at a height, if its header is kept.
    pub async fn canonical_block(&self, chain: ChainId, number: u64) -> Result<Option<Block>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT number, hash, parent_hash, timestamp FROM blocks
             WHERE chain_id = $1 AND number = $2 AND canonical",
        )
        .bind(chain_id(chain))
        .bind(bound(number))
        .fetch_optional(reader.connection()?)?;
        row.map(|row| block_of(&row)).transpose()
    }

    /// A block by its hash, if its header is kept, and whether it is on the chain.
    pub async fn block_by_hash(
        &self,
        chain: ChainId,
        hash: B256,
    ) -> Result<Option<(Block, bool)>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT number, hash, parent_hash, timestamp, canonical FROM blocks WHERE chain_id = $1 AND hash = $2",
        )
        .bind(chain_id(chain))
        .bind(hash.as_slice())
        .fetch_optional(reader.connection()?)?;
        row.map(|row| Ok((block_of(&row)?, row.flag("canonical")?))).transpose()
    }

    /// Notes the node's newest block, and that the indexer is alive. It always makes a commit that other processes
    /// notice, also if the block is the same.
    pub async fn note_head(&self, chain: ChainId, head: u64) -> Result<(), StoreError> {
        let at_ms = u64::try_from(clock::now_ms()).unwrap_or(0);
        self.note_head_at(chain, head, at_ms).await
    }

    /// [`Store::note_head`] with a given time, in milliseconds since 1970 UTC.
    pub async fn note_head_at(&self, chain: ChainId, head: u64, at_ms: u64) -> Result<(), StoreError> {
        send(self.jobs(), NoteHead { chain, head, at_ms }).await
    }
}

struct PinGenesis {
    chain: ChainId,
    genesis: B256,
}

impl Write for PinGenesis {
    type Output = ();

    /// A new chain has no payments, and a known one does not change.
    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        let Self { chain, genesis } = *self;
        query(
            "INSERT INTO chains (chain_id, genesis_hash) VALUES ($1, $2) ON CONFLICT (chain_id) DO NOTHING",
        )
        .bind(chain_id(chain))
        .bind(genesis.as_slice())
        .execute(transaction.connection())?;
        let row = query("SELECT genesis_hash FROM chains WHERE chain_id = $1")
            .bind(chain_id(chain))
            .fetch_one(transaction.connection())?;
        let stored = row.hash("genesis_hash")?;
        if stored == genesis {
            // The right chain is back.
            halt::close(transaction.connection(), chain, HaltKind::Genesis)?;
            Ok(())
        } else {
            Err(StoreError::OtherGenesis { chain, stored, given: genesis })
        }
    }
}

struct LowerFork {
    chain: ChainId,
    at: Option<u64>,
}

impl Write for LowerFork {
    type Output = ();

    /// Payments above the fork have no confirmations meanwhile.
    const CHANGES_PAYMENTS: bool = true;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        let done = query("UPDATE chains SET lower_fork_at = $2 WHERE chain_id = $1")
            .bind(chain_id(self.chain))
            .bind(self.at.map(bound))
            .execute(transaction.connection())?;
        // Payments above the fork count again.
        if self.at.is_none() {
            transaction.wake();
        }
        if done.rows_affected() == 0 { Err(StoreError::UnknownChain { chain: self.chain }) } else { Ok(()) }
    }
}

/// After so long without a note, in milliseconds, an index may have counted as out of date. It is several times the
/// pause between two notes, and much less than any age that is accepted.
const SILENCE_MS: u64 = 10_000;

struct NoteHead {
    chain: ChainId,
    head: u64,
    at_ms: u64,
}

impl Write for NoteHead {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        let known = query("SELECT noted_at_ms, head_number FROM chains WHERE chain_id = $1")
            .bind(chain_id(self.chain))
            .fetch_optional(transaction.connection())?;
        if let Some(row) = known
            && self.ends_silence(&row)?
        {
            transaction.wake();
        }
        // The time makes every note a change. SQLite does not write a page whose content stays the same.
        let done = query("UPDATE chains SET head_number = $2, noted_at_ms = $3 WHERE chain_id = $1")
            .bind(chain_id(self.chain))
            .bind(integer("the node's head", self.head)?)
            .bind(bound(self.at_ms))
            .execute(transaction.connection())?;
        if done.rows_affected() == 0 { Err(StoreError::UnknownChain { chain: self.chain }) } else { Ok(()) }
    }
}

impl NoteHead {
    /// Whether this note may make an index current again, although there is no new block. Then those who wait for that
    /// are woken. Most notes change nothing for anybody.
    fn ends_silence(&self, row: &Row) -> Result<bool, StoreError> {
        let Some(noted) = row.maybe_number("noted_at_ms")? else { return Ok(true) };
        // The index may have been behind a higher head, and be at this one.
        let lower = row.maybe_number("head_number")?.is_none_or(|head| head > self.head);
        Ok(lower || noted.abs_diff(self.at_ms) > SILENCE_MS)
    }
}

/// Where the index stands, read within a step.
pub(crate) fn cursor(connection: &SyncConnection<'_>, chain: ChainId) -> Result<Option<Cursor>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT cursor_number, cursor_hash FROM chains WHERE chain_id = ?1")?;
    let mut rows = select.query([chain_id(chain)])?;
    let row = rows.next()?.ok_or(StoreError::UnknownChain { chain })?;
    if row.is_null(0)? || row.is_null(1)? {
        return Ok(None);
    }
    Ok(Some(Cursor { number: row.natural(0, "cursor_number")?, hash: row.hash_at(1, "cursor_hash")? }))
}

fn cursor_of(row: &Row) -> Result<Option<Cursor>, StoreError> {
    let number = row.maybe_number("cursor_number")?;
    let hash = row.maybe_hash("cursor_hash")?;
    Ok(number.zip(hash).map(|(number, hash)| Cursor { number, hash }))
}

fn block_of(row: &Row) -> Result<Block, StoreError> {
    Ok(Block {
        number: row.number("number")?,
        hash: row.hash("hash")?,
        parent_hash: row.hash("parent_hash")?,
        timestamp: row.number("timestamp")?,
    })
}

/// The claims of a group. They are added to the chains' totals once, at its end.
#[derive(Default)]
struct NewClaims(BTreeMap<ChainId, i64>);

impl Gathered for NewClaims {
    fn write(&self, connection: &mut Connection) -> Result<(), StoreError> {
        for (chain, count) in &self.0 {
            query("UPDATE chains SET claims = claims + $2 WHERE chain_id = $1")
                .bind(chain_id(*chain))
                .bind(*count)
                .execute(connection)?;
        }
        Ok(())
    }
}

/// Notes a new claim for the chain's total.
pub(crate) fn count_claim(transaction: &mut WriteTransaction<'_>, chain: ChainId) {
    transaction.gather(|claims: &mut NewClaims| *claims.0.entry(chain).or_default() += 1);
}
