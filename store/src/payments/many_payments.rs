//! Transactions with many payments. The wanted row is found by its reference or its position, and the others are not
//! read.
//!
//! Anybody can make a transaction of thousands of payments and show its hash, or pay in a transaction that thousands
//! wait for. So a question about one payment reads one payment. The positions of all payments of a transaction are read
//! once and kept, with some bytes each. The rows themselves are read from the database each time, so nothing here is
//! out of date. Only added rows must be noticed. Rows are never deleted, so added rows have the highest numbers.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use hashlink::LruCache;
use salt402_protocol::B256;

use crate::engine::{SyncConnection, chain_id, params};
use crate::payments::query::{self, FEW};
use crate::payments::references;
use crate::rows::{Found, Key, StoreError};

/// How many positions are kept over all transactions. Each takes about 40 bytes.
const KEPT: usize = 1 << 18;
/// If at most this many rows were added since a transaction was read, they are searched for rows of it. If there were
/// more, the transaction is read again.
const ADDED: i64 = 4096;

/// Which payment is wanted of a transaction that holds more than [`FEW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The payments with this reference.
    Reference(B256),
    /// The payment at this position, counted from 0.
    Position(u32),
    /// None in particular.
    Any,
}

/// Whether a transaction holds more than [`FEW`] different payments, in whatever blocks. It reads as many rows of an
/// index.
fn holds_many(connection: &SyncConnection<'_>, key: &Key) -> Result<bool, StoreError> {
    let mut ids = HashSet::new();
    for sql in [ON_CHAIN, ORPHANED] {
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query(params![chain_id(key.0), key.1.as_slice(), (FEW + 1) as i64])?;
        while let Some(row) = rows.next()? {
            ids.insert(row.hash_at(0, "payment_id")?);
        }
        if ids.len() > FEW {
            return Ok(true);
        }
    }
    Ok(false)
}

const ON_CHAIN: &str = "SELECT payment_id FROM payments INDEXED BY payments_on_chain
                        WHERE chain_id = ?1 AND transaction_hash = ?2 AND canonical LIMIT ?3";
const ORPHANED: &str = "SELECT DISTINCT payment_id FROM payments INDEXED BY payments_orphaned
                        WHERE chain_id = ?1 AND transaction_hash = ?2 AND NOT canonical LIMIT ?3";

/// The position and the reference of each payment of a transaction. Everything else is in its row.
const POSITIONS: &str = "SELECT id, reference, position FROM payments
                      WHERE chain_id = ?1 AND transaction_hash = ?2 AND canonical
                      UNION ALL
                      SELECT id, reference, position FROM payments
                      WHERE chain_id = ?1 AND transaction_hash = ?2 AND NOT canonical";

/// The newest rows, which were added since.
const NEWER: &str =
    "SELECT 1 FROM payments WHERE id > ?1 AND chain_id = ?2 AND transaction_hash = ?3 LIMIT 1";

/// The transactions with many payments that were asked about.
pub(crate) struct ManyPayments {
    /// A std mutex, because no await happens while it is held. It stays locked while a transaction is read, so that two
    /// callers do not read it twice.
    known: Mutex<Known>,
}

struct Known {
    transactions: LruCache<Key, Positions>,
    payments: usize,
}

/// One transaction. Its rows by the mark of their reference and by their position. The last part of each is the number
/// of the row.
struct Positions {
    by_reference: BTreeSet<(u64, i64)>,
    by_position: BTreeSet<(u32, i64)>,
    /// All rows up to this one are known.
    seen: i64,
}

impl Default for ManyPayments {
    fn default() -> Self {
        Self { known: Mutex::new(Known { transactions: LruCache::new_unbounded(), payments: 0 }) }
    }
}

impl ManyPayments {
    /// The wanted payments of a transaction, and whether these are all there are.
    pub(crate) fn find(
        &self,
        connection: &SyncConnection<'_>,
        key: &Key,
        wanted: Wanted,
    ) -> Result<(Found, bool), StoreError> {
        // A transaction that held many still does.
        if !self.knows(key) {
            let found = query::read_some(connection, key, Some(FEW + 1))?;
            if found.payments.len() <= FEW {
                return Ok((found, true));
            }
            // A transaction may hold few payments that are in many blocks.
            if !holds_many(connection, key)? {
                return Ok((query::read(connection, key)?, true));
            }
        }
        metrics::counter!("salt402_store_many_payments_lookups_total").increment(1);
        let rows = self.rows(connection, key, wanted)?;
        let mut found = query::read_rows(connection, key.0, &rows)?;
        found.payments.retain(|row| match wanted {
            Wanted::Reference(reference) => row.placed.payment.reference == reference,
            Wanted::Position(position) => row.placed.position == position,
            Wanted::Any => false,
        });
        if !found.payments.is_empty() {
            return Ok((found, false));
        }
        let some = self.some(connection, key)?;
        Ok((query::read_rows(connection, key.0, &some)?, false))
    }

    fn knows(&self, key: &Key) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).transactions.contains_key(key)
    }

    /// The rows that may be wanted.
    fn rows(
        &self,
        connection: &SyncConnection<'_>,
        key: &Key,
        wanted: Wanted,
    ) -> Result<Vec<i64>, StoreError> {
        self.with(connection, key, |positions| match wanted {
            Wanted::Reference(reference) => references::under(&positions.by_reference, reference),
            Wanted::Position(at) => {
                positions.by_position.range((at, i64::MIN)..=(at, i64::MAX)).map(|(_, row)| *row).collect()
            }
            Wanted::Any => Vec::new(),
        })
    }

    /// [`FEW`] payments and one more, the first by their positions.
    fn some(&self, connection: &SyncConnection<'_>, key: &Key) -> Result<Vec<i64>, StoreError> {
        self.with(connection, key, |positions| {
            let mut known = HashSet::new();
            let first = positions.by_position.iter().filter(|(position, _)| known.insert(*position));
            first.map(|(_, row)| *row).take(FEW + 1).collect()
        })
    }

    fn with<T>(
        &self,
        connection: &SyncConnection<'_>,
        key: &Key,
        read: impl FnOnce(&Positions) -> T,
    ) -> Result<T, StoreError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(positions) = known.transactions.get_mut(key)
            && positions.is_whole(connection, key)?
        {
            return Ok(read(positions));
        }
        let positions = Positions::read(connection, key)?;
        let answer = read(&positions);
        known.keep(*key, positions);
        Ok(answer)
    }
}

impl Known {
    fn keep(&mut self, key: Key, positions: Positions) {
        self.payments += positions.by_position.len();
        if let Some(old) = self.transactions.insert(key, positions) {
            self.payments = self.payments.saturating_sub(old.by_position.len());
        }
        while self.payments > KEPT {
            let Some((_, oldest)) = self.transactions.remove_lru() else { break };
            self.payments = self.payments.saturating_sub(oldest.by_position.len());
        }
    }
}

impl Positions {
    fn read(connection: &SyncConnection<'_>, key: &Key) -> Result<Self, StoreError> {
        // Asked for first. Rows that are added from here on are searched for later, and at most found twice.
        let seen = query::newest_row(connection)?;
        let mut select = connection.prepare_cached(POSITIONS)?;
        let mut rows = select.query(params![chain_id(key.0), key.1.as_slice()])?;
        let mut positions = Self { by_reference: BTreeSet::new(), by_position: BTreeSet::new(), seen };
        while let Some(row) = rows.next()? {
            let (id, position) = (row.get::<i64>(0)?, row.natural(2, "position")?);
            let position = u32::try_from(position).map_err(|_| StoreError::Corrupt { column: "position" })?;
            positions.by_reference.insert((references::mark(row.hash_at(1, "reference")?), id));
            positions.by_position.insert((position, id));
        }
        Ok(positions)
    }

    /// Whether no row was added since.
    fn is_whole(&mut self, connection: &SyncConnection<'_>, key: &Key) -> Result<bool, StoreError> {
        let newest = query::newest_row(connection)?;
        if newest == self.seen {
            return Ok(true);
        }
        if newest - self.seen > ADDED {
            return Ok(false);
        }
        let row = params![self.seen, chain_id(key.0), key.1.as_slice()];
        if connection.prepare_cached(NEWER)?.exists(row)? {
            return Ok(false);
        }
        self.seen = newest;
        Ok(true)
    }
}
