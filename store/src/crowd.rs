//! Transactions with many payments: which row is wanted is known by its reference or its place, and no others are read.
//!
//! Anybody can make a transaction of thousands of payments, show its hash, or pay into one that thousands wait for. So whoever asks
//! for one of them gets one. Where each stands is read once for a transaction and kept, some bytes a payment; rows are read from the
//! database all the same, so nothing here can be older than it. Only a row that is added later must be noticed, and those have
//! the highest numbers: rows are never deleted.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use hashlink::LruCache;
use rusqlite::{Connection, params};
use salt402_protocol::{B256, ChainId};

use crate::columns::{Places as _, chain_id};
use crate::payment::{self, Found};
use crate::recent::{Key, Look};
use crate::{IndexedPayment, Store, StoreError};

/// Payments of a transaction up to which all of them are read and kept in memory, whichever is wanted.
pub const FEW: usize = 16;
/// Payments whose places are kept, over all transactions; some 40 bytes each.
const KEPT: usize = 1 << 18;
/// Rows that may have been added since a transaction was read, to look whether one is of it. Beyond that it is read again.
const ADDED: i64 = 4096;

/// Which payment of a transaction is wanted, if it holds more than [`FEW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those with a reference.
    Reference(B256),
    /// The one at a place among them, counted from 0.
    Place(u32),
    /// None in particular.
    Any,
}

impl Store {
    /// As [`Store::payments_in`], but of a transaction that holds more than [`FEW`] payments only what is wanted of it, in
    /// whatever blocks it is. Where that is nothing, some others of the transaction, a few more than [`FEW`]: they say what it is.
    ///
    /// What it costs does not grow with the transaction, but for the first who asks about one.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn payments_wanted(
        &self,
        chain: ChainId,
        transaction: B256,
        wanted: Wanted,
    ) -> Result<Vec<IndexedPayment>, StoreError> {
        tokio::task::coop::consume_budget().await;
        let key = (chain, transaction);
        let ticket = match self.recent().look(&key) {
            Look::Known(payments) => return Ok(payments),
            Look::Unknown(ticket) => ticket,
        };
        let (found, is_few) =
            self.direct().read(|connection| self.crowds().find(connection, &key, wanted)).await?;
        match ticket {
            Some(ticket) if is_few => self.recent().keep(ticket, key, &found),
            _ => {}
        }
        Ok(found.payments)
    }
}

/// Whether these are more than [`FEW`] payments; one that stood in several blocks counts once.
pub(crate) fn are_many(payments: &[IndexedPayment]) -> bool {
    payments.len() > FEW
        && payments.iter().map(|row| row.placed.payment.id).collect::<HashSet<_>>().len() > FEW
}

/// Whether a transaction holds more than [`FEW`] different payments, in whatever blocks. Reads as many rows of an index.
pub(crate) fn is_crowd(connection: &Connection, key: &Key) -> Result<bool, StoreError> {
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

/// Where each payment of a transaction is: everything else is in its row.
const PLACES: &str = "SELECT id, reference, position FROM payments
                      WHERE chain_id = ?1 AND transaction_hash = ?2 AND canonical
                      UNION ALL
                      SELECT id, reference, position FROM payments
                      WHERE chain_id = ?1 AND transaction_hash = ?2 AND NOT canonical";

/// Rows that were added, the few newest.
const NEWER: &str =
    "SELECT 1 FROM payments WHERE id > ?1 AND chain_id = ?2 AND transaction_hash = ?3 LIMIT 1";

/// The transactions with many payments that were asked about.
pub(crate) struct Crowds {
    /// A std mutex, because no await happens while it is held. It is held while one is read, so that it is read once.
    known: Mutex<Known>,
}

struct Known {
    crowds: LruCache<Key, Crowd>,
    payments: usize,
}

/// One transaction. Rows by the mark of their reference and by their place; ids of rows are the last part of each.
struct Crowd {
    by_reference: BTreeSet<(u64, i64)>,
    by_place: BTreeSet<(u32, i64)>,
    /// All rows up to this one are known.
    seen: i64,
}

impl Default for Crowds {
    fn default() -> Self {
        Self { known: Mutex::new(Known { crowds: LruCache::new_unbounded(), payments: 0 }) }
    }
}

impl Crowds {
    /// What is wanted of a transaction, and whether that is all there is.
    fn find(&self, connection: &Connection, key: &Key, wanted: Wanted) -> Result<(Found, bool), StoreError> {
        // What was a crowd stays one.
        if !self.knows(key) {
            let found = payment::read_some(connection, key, Some(FEW + 1))?;
            if found.payments.len() <= FEW {
                return Ok((found, true));
            }
            // Few payments may stand in many blocks.
            if !is_crowd(connection, key)? {
                return Ok((payment::read(connection, key)?, true));
            }
        }
        metrics::counter!("salt402_crowded_lookups_total").increment(1);
        let rows = self.rows(connection, key, wanted)?;
        let mut found = payment::read_rows(connection, key.0, &rows)?;
        found.payments.retain(|row| match wanted {
            Wanted::Reference(reference) => row.placed.payment.reference == reference,
            Wanted::Place(place) => row.placed.position == place,
            Wanted::Any => false,
        });
        if !found.payments.is_empty() {
            return Ok((found, false));
        }
        let some = self.some(connection, key)?;
        Ok((payment::read_rows(connection, key.0, &some)?, false))
    }

    fn knows(&self, key: &Key) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).crowds.contains_key(key)
    }

    /// The rows that may be wanted.
    fn rows(&self, connection: &Connection, key: &Key, wanted: Wanted) -> Result<Vec<i64>, StoreError> {
        self.with(connection, key, |crowd| match wanted {
            Wanted::Reference(reference) => crate::references::under(&crowd.by_reference, reference),
            Wanted::Place(place) => {
                crowd.by_place.range((place, i64::MIN)..=(place, i64::MAX)).map(|(_, row)| *row).collect()
            }
            Wanted::Any => Vec::new(),
        })
    }

    /// Rows of one more payment than are few, the first by their places.
    fn some(&self, connection: &Connection, key: &Key) -> Result<Vec<i64>, StoreError> {
        self.with(connection, key, |crowd| {
            let mut places = HashSet::new();
            let first = crowd.by_place.iter().filter(|(place, _)| places.insert(*place));
            first.map(|(_, row)| *row).take(FEW + 1).collect()
        })
    }

    fn with<T>(
        &self,
        connection: &Connection,
        key: &Key,
        read: impl FnOnce(&Crowd) -> T,
    ) -> Result<T, StoreError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(crowd) = known.crowds.get_mut(key)
            && crowd.is_whole(connection, key)?
        {
            return Ok(read(crowd));
        }
        let crowd = Crowd::read(connection, key)?;
        let answer = read(&crowd);
        known.keep(*key, crowd);
        Ok(answer)
    }
}

impl Known {
    fn keep(&mut self, key: Key, crowd: Crowd) {
        self.payments += crowd.by_place.len();
        if let Some(old) = self.crowds.insert(key, crowd) {
            self.payments = self.payments.saturating_sub(old.by_place.len());
        }
        while self.payments > KEPT {
            let Some((_, oldest)) = self.crowds.remove_lru() else { break };
            self.payments = self.payments.saturating_sub(oldest.by_place.len());
        }
    }
}

impl Crowd {
    fn read(connection: &Connection, key: &Key) -> Result<Self, StoreError> {
        // Asked first: what is added from here on is looked for again, and known twice at most.
        let seen = payment::newest_row(connection)?;
        let mut select = connection.prepare_cached(PLACES)?;
        let mut rows = select.query(params![chain_id(key.0), key.1.as_slice()])?;
        let mut crowd = Self { by_reference: BTreeSet::new(), by_place: BTreeSet::new(), seen };
        while let Some(row) = rows.next()? {
            let (id, place) = (row.get::<_, i64>(0)?, row.natural(2, "position")?);
            let place = u32::try_from(place).map_err(|_| StoreError::Corrupt { column: "position" })?;
            crowd.by_reference.insert((crate::references::mark(row.hash_at(1, "reference")?), id));
            crowd.by_place.insert((place, id));
        }
        Ok(crowd)
    }

    /// Whether no row was added since.
    fn is_whole(&mut self, connection: &Connection, key: &Key) -> Result<bool, StoreError> {
        let newest = payment::newest_row(connection)?;
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
