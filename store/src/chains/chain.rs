//! Chains: which one it is, where the index stands, and the headers it remembers.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use salt402_protocol::{B256, ChainId};

use crate::chains::halt::{self, Halt};
use crate::engine::async_sql::{AsyncConnection, AsyncRow, query};
use crate::engine::clock;
use crate::engine::columns::{Columns as _, bound, chain_id, integer};
use crate::engine::queue::{Write, send};
use crate::engine::sync_sql::SyncConnection;
use crate::engine::transaction::{Gathered, WriteTransaction};
use crate::rows::block::{Block, Cursor, HaltKind};
use crate::rows::error::StoreError;
use crate::store::Store;

/// What the store knows of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainState {
    /// The hash of block 0, which tells two chains with one id apart.
    pub genesis: B256,
    /// Where the index stands; `None` before the first batch.
    pub cursor: Option<Cursor>,
    /// The first block of the index; `None` before anything was followed. Nothing below it can be compared with a
    /// header, and a contract's past may reach below it.
    pub first_block: Option<u64>,
    /// The node's newest block when the indexer last said so.
    pub head: Option<u64>,
    /// When the indexer last said anything of this chain, in milliseconds since 1970 UTC. A process that does not
    /// index tells by it whether one does.
    pub noted_at_ms: Option<u64>,
    /// The height at which the node's chain leaves the index and is lower than it ([`Store::note_lower_fork`]): what is above
    /// may leave the chain. `None` where nothing may.
    pub lower_fork_at: Option<u64>,
    /// Why it is not followed further before the operator acts; `None` while nothing hinders.
    pub halt: Option<Halt>,
}

impl Store {
    /// What is known of a chain; `None` before it was pinned.
    pub async fn chain_state(&self, chain: ChainId) -> Result<Option<ChainState>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT c.genesis_hash, c.cursor_number, c.cursor_hash, c.first_block, c.head_number, c.noted_at_ms,
                    c.lower_fork_at, h.kind AS halt_kind, h.depth AS halt_depth, h.halted_at_ms, h.keep_through, h.accepted_hash
             FROM chains c LEFT JOIN open_halts h ON h.chain_id = c.chain_id
             WHERE c.chain_id = $1",
        )
        .bind(chain_id(chain))
        .fetch_optional(reader.connection()?)
        .await?;
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

    /// Notes a lower fork: the node shows a chain that leaves the index at a height and ends below it; with `None`, that it
    /// shows none. While there is one, nothing new is granted on a payment above that height, as if it had no confirmations,
    /// and nothing of it leaves the chain. The next step that is applied ends it too.
    pub async fn note_lower_fork(&self, chain: ChainId, at: Option<u64>) -> Result<(), StoreError> {
        send(self.jobs(), LowerFork { chain, at }).await
    }

    /// Stores the genesis block's hash of a chain the first time, and compares it every other time
    /// ([`StoreError::OtherGenesis`]). Every chain is pinned before anything else is stored of it.
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
        .fetch_optional(reader.connection()?)
        .await?;
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
        .fetch_optional(reader.connection()?)
        .await?;
        row.map(|row| Ok((block_of(&row)?, row.flag("canonical")?))).transpose()
    }

    /// Notes the node's newest block, and that the indexer is alive. Always a commit that other processes see, also
    /// when the head is the same.
    pub async fn note_head(&self, chain: ChainId, head: u64) -> Result<(), StoreError> {
        let at_ms = u64::try_from(clock::now_ms()).unwrap_or(0);
        self.note_head_at(chain, head, at_ms).await
    }

    /// [`Store::note_head`] at a moment of the caller's, in milliseconds since 1970 UTC.
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

    /// A chain that is new has no payments, and a known one stays as it is.
    fn changes_payments(&self) -> bool {
        false
    }

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        let Self { chain, genesis } = *self;
        query(
            "INSERT INTO chains (chain_id, genesis_hash) VALUES ($1, $2) ON CONFLICT (chain_id) DO NOTHING",
        )
        .bind(chain_id(chain))
        .bind(genesis.as_slice())
        .execute(transaction.connection())
        .await?;
        let row = query("SELECT genesis_hash FROM chains WHERE chain_id = $1")
            .bind(chain_id(chain))
            .fetch_one(transaction.connection())
            .await?;
        let stored = row.hash("genesis_hash")?;
        if stored == genesis {
            // The right chain is back.
            halt::close(transaction.connection(), chain, HaltKind::Genesis).await?;
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

    /// What is above the fork has no confirmations meanwhile.
    fn changes_payments(&self) -> bool {
        true
    }

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        let done = query("UPDATE chains SET lower_fork_at = $2 WHERE chain_id = $1")
            .bind(chain_id(self.chain))
            .bind(self.at.map(bound))
            .execute(transaction.connection())
            .await?;
        // What was above the fork counts again.
        if self.at.is_none() {
            transaction.wake();
        }
        if done.rows_affected() == 0 { Err(StoreError::UnknownChain { chain: self.chain }) } else { Ok(()) }
    }
}

/// How long nothing is heard of an index that is no longer at work, in milliseconds: several signs of life, and much less than
/// any exit delay's part that an index may be old.
const SILENCE_MS: u64 = 10_000;

struct NoteHead {
    chain: ChainId,
    head: u64,
    at_ms: u64,
}

impl Write for NoteHead {
    type Output = ();

    fn changes_payments(&self) -> bool {
        false
    }

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        let known = query("SELECT noted_at_ms, head_number FROM chains WHERE chain_id = $1")
            .bind(chain_id(self.chain))
            .fetch_optional(transaction.connection())
            .await?;
        if let Some(row) = known
            && self.ends_silence(&row)?
        {
            transaction.wake();
        }
        // The time is what makes every note a change: SQLite does not write a page whose content stays the same.
        let done = query("UPDATE chains SET head_number = $2, noted_at_ms = $3 WHERE chain_id = $1")
            .bind(chain_id(self.chain))
            .bind(integer("the node's head", self.head)?)
            .bind(bound(self.at_ms))
            .execute(transaction.connection())
            .await?;
        if done.rows_affected() == 0 { Err(StoreError::UnknownChain { chain: self.chain }) } else { Ok(()) }
    }
}

impl NoteHead {
    /// Whether the index may be current by this again, though no block is new: then those are woken who wait for that. An
    /// ordinary sign of life changes nothing for anybody.
    fn ends_silence(&self, row: &AsyncRow) -> Result<bool, StoreError> {
        let Some(noted) = row.maybe_number("noted_at_ms")? else { return Ok(true) };
        // An index that was behind a higher head may stand at this one.
        let lower = row.maybe_number("head_number")?.is_none_or(|head| head > self.head);
        Ok(lower || noted.abs_diff(self.at_ms) > SILENCE_MS)
    }
}

/// Where the index stands, inside of a step.
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

fn cursor_of(row: &AsyncRow) -> Result<Option<Cursor>, StoreError> {
    let number = row.maybe_number("cursor_number")?;
    let hash = row.maybe_hash("cursor_hash")?;
    Ok(number.zip(hash).map(|(number, hash)| Cursor { number, hash }))
}

fn block_of(row: &AsyncRow) -> Result<Block, StoreError> {
    Ok(Block {
        number: row.number("number")?,
        hash: row.hash("hash")?,
        parent_hash: row.hash("parent_hash")?,
        timestamp: row.number("timestamp")?,
    })
}

/// Claims that a group makes: added to the chains' totals once, at its end, and not once a claim.
#[derive(Default)]
struct NewClaims(BTreeMap<ChainId, i64>);

impl Gathered for NewClaims {
    fn write<'a>(
        &'a self,
        connection: &'a mut AsyncConnection,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>> {
        Box::pin(async move {
            for (chain, count) in &self.0 {
                query("UPDATE chains SET claims = claims + $2 WHERE chain_id = $1")
                    .bind(chain_id(*chain))
                    .bind(*count)
                    .execute(connection)
                    .await?;
            }
            Ok(())
        })
    }
}

/// Notes a new claim for the chain's total.
pub(crate) fn count_claim(transaction: &mut WriteTransaction<'_>, chain: ChainId) {
    transaction.gather(|claims: &mut NewClaims| *claims.0.entry(chain).or_default() += 1);
}
