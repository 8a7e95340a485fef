//! Payments by their reference, which says what they were paid for.
//!
//! A payer who shows a quote id knows the reference of the payment, but perhaps not its transaction: a wallet may have
//! replaced it, and a bundler or a Safe shows another hash. That is rare. An index over the references of all payments
//! would cost every payment: references are random, so a back-fill would change a page per row. So there is no index. A
//! quote says in which time its payment was mined. The rows of that time are read once. What is kept is a mark of each
//! reference and the number of its row, by stretches of heights. Everything else is read from the row each time:
//! whether it is on the chain, how deep, whether it was used. So nothing here is out of date.
//!
//! Rows are never deleted, so an added row has a higher number than all before it, whatever block it is in and however
//! it was found: by the follower, by a back-fill, in the past of an added contract, or by its receipt. Each look-up
//! first takes in the rows above the last one it saw. A reorganization only marks rows and adds some.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::ops::RangeInclusive;
use std::sync::{LazyLock, Mutex, TryLockError};

use hashlink::LruCache;
use salt402_protocol::{B256, ChainId};

use crate::engine::{SyncConnection, bound, chain_id, params};
use crate::payments::query;
use crate::rows::{IndexedPayment, StoreError};

/// How many blocks a stretch has.
const STRETCH: u64 = 1024;
/// How many rows are kept over all stretches; each takes about 30 bytes. If the time of one quote holds more, it is not
/// searched.
const KEPT: usize = 1 << 20;
/// The memory that a stretch takes besides its rows, counted in rows.
const STRETCH_COSTS: usize = 8;
/// How many added rows are taken in on the caller's thread.
const ADDED: usize = 1024;
/// If more rows than this were added, everything is forgotten, and read again when somebody asks.
const TOO_MANY_ADDED: i64 = 1 << 17;
/// If a reference has more payments than this, they are not looked at. Anybody can pay any reference that is known.
pub const OF_ONE: usize = 64;
/// Times are rounded outwards to this many seconds, so that quotes of about the same time use the same heights.
const GRAIN: u64 = 64;
/// For how many times it is remembered which heights they are.
const TIMES: usize = 4096;

/// What is known of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referred {
    /// The payments with this reference, in whatever blocks they are.
    Payments(Vec<IndexedPayment>),
    /// The time of the quote holds more payments than are searched, or the reference has [`OF_ONE`] or more.
    TooMany,
}

/// What is looked for.
pub(crate) struct Search {
    chain: ChainId,
    reference: B256,
    mined: RangeInclusive<u64>,
}

impl Search {
    /// The payments with a reference that were mined in a stretch of time, or a little before and after it.
    pub(crate) fn new(chain: ChainId, reference: B256, mined: &RangeInclusive<u64>) -> Self {
        let begin = mined.start() / GRAIN * GRAIN;
        let end = (mined.end() / GRAIN).saturating_add(1).saturating_mul(GRAIN);
        Self { chain, reference, mined: begin..=end }
    }
}

/// A number under which a reference is kept. Payers choose references, and cannot know which references have the same
/// number.
pub(super) fn mark(reference: B256) -> u64 {
    static MARKS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    MARKS.hash_one(reference)
}

/// The rows kept under a reference. Two references with the same mark are told apart by their rows.
pub(super) fn under(rows: &BTreeSet<(u64, i64)>, reference: B256) -> Vec<i64> {
    let mark = mark(reference);
    rows.range((mark, i64::MIN)..=(mark, i64::MAX)).map(|(_, row)| *row).take(OF_ONE).collect()
}

/// The references of the stretches that were asked for.
pub(crate) struct References {
    /// A std mutex, because no await happens while it is held.
    known: Mutex<Known>,
    /// Held by the one caller who reads much.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// All rows up to this one are in the stretches that are kept.
    seen: Option<i64>,
    stretches: Stretches,
    rows: usize,
    /// The lowest and the highest block of each chain that has a payment.
    extents: HashMap<ChainId, (u64, u64)>,
    /// The heights of each time.
    heights: HashMap<(ChainId, u64, u64), (u64, u64)>,
}

/// The stretches by their number: their lowest height divided by [`STRETCH`].
struct Stretches(LruCache<(ChainId, u64), BTreeSet<(u64, i64)>>);

impl Default for Stretches {
    fn default() -> Self {
        Self(LruCache::new_unbounded())
    }
}

impl Default for References {
    fn default() -> Self {
        Self { known: Mutex::default(), turn: tokio::sync::Mutex::new(()) }
    }
}

impl References {
    /// What is found. `None` if the caller may not wait and much must be read first, or another caller is looking.
    pub(crate) fn look(
        &self,
        connection: &SyncConnection<'_>,
        search: &Search,
        may_wait: bool,
    ) -> Result<Option<Referred>, StoreError> {
        let mut known = match self.known.try_lock() {
            Ok(known) => known,
            Err(TryLockError::Poisoned(poisoned)) => {
                // After a panic in the middle of a change.
                let mut known = poisoned.into_inner();
                *known = Known::default();
                self.known.clear_poison();
                known
            }
            Err(TryLockError::WouldBlock) if may_wait => self.known.lock().unwrap_or_else(|poisoned| {
                let mut known = poisoned.into_inner();
                *known = Known::default();
                known
            }),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        connection.at_one_moment(|connection| {
            let rows = known.rows_of(connection, search, may_wait)?;
            drop(known);
            let rows = match rows {
                Rows::These(rows) => rows,
                Rows::Unread => return Ok(None),
                Rows::TooMany => return Ok(Some(Referred::TooMany)),
            };
            let mut found = query::read_rows(connection, search.chain, &rows)?.payments;
            found.retain(|row| row.placed.payment.reference == search.reference);
            Ok(Some(Referred::Payments(found)))
        })
    }
}

enum Rows {
    These(Vec<i64>),
    /// More must be read than this caller may read.
    Unread,
    TooMany,
}

impl Known {
    fn rows_of(
        &mut self,
        connection: &SyncConnection<'_>,
        search: &Search,
        may_wait: bool,
    ) -> Result<Rows, StoreError> {
        if !self.take_in(connection, may_wait)? {
            return Ok(Rows::Unread);
        }
        let (from, to) = match self.heights_of(connection, search, may_wait)? {
            Heights::Known(from, to) => (from, to),
            Heights::None => return Ok(Rows::These(Vec::new())),
            Heights::Unread => return Ok(Rows::Unread),
        };
        let stretches = from / STRETCH..=to / STRETCH;
        let is_kept = |stretch: &u64| self.stretches.0.contains_key(&(search.chain, *stretch));
        let missing: Vec<u64> = stretches.clone().filter(|stretch| !is_kept(stretch)).collect();
        if !missing.is_empty() && !may_wait {
            return Ok(Rows::Unread);
        }
        let (mut rows, mut looked_at) = (Vec::new(), 0);
        for stretch in stretches {
            let key = (search.chain, stretch);
            if !self.stretches.0.contains_key(&key) {
                let Some(read) = read_stretch(connection, key)? else { return Ok(Rows::TooMany) };
                self.keep(key, read);
            }
            // What was read for this quote may not fit in together with the rest.
            let Some(kept) = self.stretches.0.get(&key) else { return Ok(Rows::TooMany) };
            looked_at += kept.len() + STRETCH_COSTS;
            if looked_at > KEPT {
                return Ok(Rows::TooMany);
            }
            rows.extend(under(kept, search.reference));
        }
        // The payer's own may be behind them.
        if rows.len() >= OF_ONE {
            return Ok(Rows::TooMany);
        }
        rows.sort_unstable();
        Ok(Rows::These(rows))
    }

    /// Puts what was added since the last look where it belongs. `false` where that is much, and the caller may not wait.
    fn take_in(&mut self, connection: &SyncConnection<'_>, may_wait: bool) -> Result<bool, StoreError> {
        let newest = query::newest_row(connection)?;
        let Some(seen) = self.seen.filter(|seen| newest - seen <= TOO_MANY_ADDED) else {
            // Everything that is read from here on includes these rows.
            *self = Self { seen: Some(newest), ..Self::default() };
            return Ok(true);
        };
        if newest == seen {
            return Ok(true);
        }
        if !may_wait && newest - seen > ADDED as i64 {
            return Ok(false);
        }
        let mut select = connection.prepare_cached(ADDED_ROWS)?;
        let mut rows = select.query([seen])?;
        while let Some(row) = rows.next()? {
            let chain = ChainId::new(row.natural(1, "chain_id")?);
            let chain = chain.ok_or(StoreError::Corrupt { column: "chain_id" })?;
            let height = row.natural(3, "block_number")?;
            if let Some((lowest, highest)) = self.extents.get_mut(&chain) {
                (*lowest, *highest) = ((*lowest).min(height), (*highest).max(height));
            }
            let key = (chain, height / STRETCH);
            if let Some(stretch) = self.stretches.0.get_mut(&key)
                && stretch.insert((mark(row.hash_at(2, "reference")?), row.get(0)?))
            {
                self.rows += 1;
            }
        }
        self.seen = Some(newest);
        self.make_room();
        Ok(true)
    }

    /// The lowest and the highest block that may be of a time. What is remembered stays true: blocks that come later are
    /// above, and what is added between is between.
    fn heights_of(
        &mut self,
        connection: &SyncConnection<'_>,
        search: &Search,
        may_wait: bool,
    ) -> Result<Heights, StoreError> {
        let Some((lowest, highest)) = self.extent(connection, search.chain)? else {
            return Ok(Heights::None);
        };
        let key = (search.chain, *search.mined.start(), *search.mined.end());
        // What had no payment after it may have some by now, and then ends before them.
        let ends = |(from, to): &(u64, u64)| *to != u64::MAX || highest.saturating_sub(*from) < 2 * STRETCH;
        let (from, to) = match self.heights.get(&key).copied().filter(ends) {
            Some(known) => known,
            None if !may_wait => return Ok(Heights::Unread),
            None => {
                let from = first_height(connection, search.chain, (lowest, highest), |time| time >= key.1)?;
                let after = first_height(connection, search.chain, (lowest, highest), |time| time > key.2)?;
                let after = row_from(connection, search.chain, after)?;
                let found = (from, after.map_or(u64::MAX, |(height, _)| height.saturating_sub(1)));
                if self.heights.len() >= TIMES {
                    self.heights.clear();
                }
                // Rows that are added below the lowest may be of that time.
                let found = if from <= lowest { (0, found.1) } else { found };
                self.heights.insert(key, found);
                found
            }
        };
        let (from, to) = (from.max(lowest), to.min(highest));
        Ok(if from > to { Heights::None } else { Heights::Known(from, to) })
    }

    /// The lowest and the highest block that has a payment.
    fn extent(
        &mut self,
        connection: &SyncConnection<'_>,
        chain: ChainId,
    ) -> Result<Option<(u64, u64)>, StoreError> {
        if let Some(extent) = self.extents.get(&chain) {
            return Ok(Some(*extent));
        }
        let mut extent: Option<(u64, u64)> = None;
        for sql in ENDS {
            let found: Option<i64> =
                connection.prepare_cached(sql)?.query_optional([chain_id(chain)], |row| row.get(0))?;
            if let Some(height) = found.and_then(|height| u64::try_from(height).ok()) {
                let (lowest, highest) = extent.unwrap_or((height, height));
                extent = Some((lowest.min(height), highest.max(height)));
            }
        }
        if let Some(extent) = extent {
            self.extents.insert(chain, extent);
        }
        Ok(extent)
    }

    fn keep(&mut self, key: (ChainId, u64), stretch: BTreeSet<(u64, i64)>) {
        self.rows += stretch.len() + STRETCH_COSTS;
        self.stretches.0.insert(key, stretch);
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.rows > KEPT {
            let Some((_, oldest)) = self.stretches.0.remove_lru() else { break };
            self.rows = self.rows.saturating_sub(oldest.len() + STRETCH_COSTS);
        }
    }
}

enum Heights {
    Known(u64, u64),
    None,
    Unread,
}

/// Rows that were added, in their order.
const ADDED_ROWS: &str =
    "SELECT id, chain_id, reference, block_number FROM payments WHERE id > ?1 ORDER BY id";

/// The first and the last height of the rows on the chain, and of the rows that left it.
const ENDS: [&str; 4] = [
    "SELECT block_number FROM payments WHERE chain_id = ?1 AND canonical ORDER BY block_number LIMIT 1",
    "SELECT block_number FROM payments WHERE chain_id = ?1 AND canonical ORDER BY block_number DESC LIMIT 1",
    "SELECT block_number FROM payments WHERE chain_id = ?1 AND NOT canonical ORDER BY block_number LIMIT 1",
    "SELECT block_number FROM payments WHERE chain_id = ?1 AND NOT canonical ORDER BY block_number DESC LIMIT 1",
];

/// The first payment at a height or above it.
const FROM_HEIGHT: &str = "SELECT block_number, block_timestamp FROM payments
                           WHERE chain_id = ?1 AND block_number >= ?2 AND canonical ORDER BY block_number LIMIT 1";

/// All rows of a stretch.
const STRETCH_ROWS: &str = "SELECT id, reference FROM payments
                            WHERE chain_id = ?1 AND block_number BETWEEN ?2 AND ?3 AND canonical
                            UNION ALL
                            SELECT id, reference FROM payments
                            WHERE chain_id = ?1 AND block_number BETWEEN ?2 AND ?3 AND NOT canonical";

fn row_from(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    height: u64,
) -> Result<Option<(u64, u64)>, StoreError> {
    let mut select = connection.prepare_cached(FROM_HEIGHT)?;
    let mut rows = select.query(params![chain_id(chain), bound(height)])?;
    match rows.next()? {
        Some(row) => Ok(Some((row.natural(0, "block_number")?, row.natural(1, "block_timestamp")?))),
        None => Ok(None),
    }
}

/// The lowest height from which on blocks are as late as `late` says. One above the last height if there is none.
fn first_height(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    (lowest, highest): (u64, u64),
    late: impl Fn(u64) -> bool,
) -> Result<u64, StoreError> {
    let (mut low, mut high) = (lowest, highest.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        match row_from(connection, chain, middle)? {
            Some((height, time)) if !late(time) => low = height.saturating_add(1),
            _ => high = middle,
        }
    }
    Ok(low)
}

/// What is kept of a stretch. `None` if it is more than may be kept at all.
fn read_stretch(
    connection: &SyncConnection<'_>,
    (chain, stretch): (ChainId, u64),
) -> Result<Option<BTreeSet<(u64, i64)>>, StoreError> {
    let first = stretch.saturating_mul(STRETCH);
    let mut select = connection.prepare_cached(STRETCH_ROWS)?;
    let last = first.saturating_add(STRETCH - 1);
    let mut rows = select.query(params![chain_id(chain), bound(first), bound(last)])?;
    let mut kept = Vec::new();
    while let Some(row) = rows.next()? {
        if kept.len() == KEPT {
            return Ok(None);
        }
        kept.push((mark(row.hash_at(1, "reference")?), row.get(0)?));
    }
    Ok(Some(kept.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{open, sql};

    /// However many payments there are, none of these looks at more than it needs, and none sorts.
    #[tokio::test]
    async fn payments_of_a_time_are_found_by_their_heights() {
        let (_directory, mut connection) = open::empty().await;
        let statements = ENDS.into_iter().chain([ADDED_ROWS, FROM_HEIGHT, STRETCH_ROWS]);
        for sql in statements {
            let plan = sql::plan(&mut connection, sql);
            assert!(plan.iter().any(|line| line.starts_with("SEARCH payments USING")), "{sql}: {plan:?}");
            assert!(!plan.iter().any(|line| line.starts_with("SCAN")), "{sql}: {plan:?}");
            assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{sql}: {plan:?}");
        }
    }
}
