//! Recent payments in memory. They are never older than the database.
//!
//! The memory keeps what [`read`](crate::payments::query::read) returned, so it cannot show a payment differently from
//! the database. It could only show an earlier state. So everything kept is valid for one number: the `data_version`
//! that the memory's own connection sees. That number changes with every commit, in this process or another. Each
//! look-up asks for it first, which takes some microseconds, and uses the memory only if the number is the same.
//!
//! A commit of this process changes the number too. The memory need not forget everything then, because the writer says
//! what it changed. Between the commit and that message, look-ups read the database. Whether another process committed
//! in between is known from the writer's own connection: its `data_version` changes only with the commits of others.
//!
//! ```text
//! writer   BEGIN IMMEDIATE   begin()   … rows …   COMMIT   publish(what changed)   answer
//! looks                    kept is believed             to the database          kept is believed
//! ```

use std::collections::{BTreeMap, HashMap};
use std::mem::size_of;
use std::sync::{Mutex, MutexGuard, TryLockError};

use hashlink::LruCache;
use salt402_protocol::{ChainId, PaymentId};

use crate::engine::{Changes, CommitWatcher, Forget, Memory, Seen};
use crate::payments::query::are_many;
use crate::rows::{Found, IndexedPayment, Key, Stand};

/// The memory that an entry takes besides its payments, in bytes: its key, its links and its place in the tables.
const ENTRY_BYTES: usize = 256;

/// What the memory holds and did since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Transactions whose payments are kept.
    pub transactions: u64,
    /// About how many bytes they take.
    pub bytes: u64,
    /// Look-ups that were answered from memory.
    pub hits: u64,
    /// Look-ups that went to the database.
    pub misses: u64,
}

/// The memory of a store.
pub(crate) struct Recent {
    /// How many bytes may be kept.
    limit: usize,
    /// A std mutex, because no await happens while it is held. A look-up does not wait for it but reads the database.
    state: Mutex<State>,
}

struct State {
    /// Notices commits. `None` if nothing is kept, and once closed.
    watcher: Option<CommitWatcher>,
    /// The watcher's `data_version` for which everything below is true.
    version: Option<i64>,
    /// Whether a transaction of this process is open that will say what it changed.
    writing: bool,
    /// Where each index stands, to compute confirmations.
    stands: BTreeMap<ChainId, Stand>,
    entries: LruCache<Key, Vec<IndexedPayment>>,
    /// For each payment, the one entry that holds it. A payment can be in several transactions over time, and each
    /// shows its claim. Only one of them is kept, so that a claim knows which entry to drop.
    holders: HashMap<PaymentId, Key>,
    bytes: usize,
    hits: u64,
    misses: u64,
}

/// What the memory says of a transaction.
pub(crate) enum Look {
    /// These are its payments now.
    Known(Vec<IndexedPayment>),
    /// Nothing is known. What the database says may be kept if the ticket is still valid then.
    Unknown(Option<Ticket>),
}

/// The moment of a look, as a `data_version`.
#[derive(Clone, Copy)]
pub(crate) struct Ticket(i64);

impl Recent {
    /// A memory of this many bytes, and what notices commits. With 0 bytes, nothing is kept.
    pub(crate) fn new(watcher: Option<CommitWatcher>, limit: usize) -> Self {
        let state = State {
            watcher,
            version: None,
            writing: false,
            stands: BTreeMap::new(),
            entries: LruCache::new_unbounded(),
            holders: HashMap::new(),
            bytes: 0,
            hits: 0,
            misses: 0,
        };
        Self { limit, state: Mutex::new(state) }
    }

    /// What the memory knows of a transaction at this moment.
    pub(crate) fn look(&self, key: &Key) -> Look {
        let Some(mut state) = self.try_state() else { return Look::Unknown(None) };
        let ticket = state.current().map(Ticket);
        let known = ticket.and_then(|_| state.recall(key));
        match known {
            Some(known) => {
                state.hits += 1;
                Look::Known(known)
            }
            None => {
                state.misses += 1;
                Look::Unknown(ticket)
            }
        }
    }

    /// Keeps what the database said after a look-up, if nobody committed since. It is not kept that a transaction has
    /// no payments, because anybody could ask about any number of transactions.
    pub(crate) fn keep(&self, Ticket(version): Ticket, key: Key, found: &Found) {
        if found.payments.is_empty() {
            return;
        }
        let Some(mut state) = self.try_state() else { return };
        if state.current() == Some(version) {
            state.insert(key, found, self.limit);
        }
    }

    pub(crate) fn usage(&self) -> MemoryUse {
        let state = self.state();
        MemoryUse {
            transactions: state.entries.len() as u64,
            bytes: state.bytes as u64,
            hits: state.hits,
            misses: state.misses,
        }
    }

    /// Forgets everything and keeps nothing any more.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.forget_all();
        drop(state.watcher.take());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| self.recover(poisoned.into_inner()))
    }

    fn try_state(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(self.recover(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Forgets everything after a panic in the middle of a change.
    fn recover<'s>(&self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        state.forget_all();
        self.state.clear_poison();
        state
    }
}

impl State {
    /// The `data_version` for which the content is true, if that is the present one. After a commit of another process,
    /// the content is dropped. After a commit of this process, the content is not used until the writer says what it
    /// changed.
    fn current(&mut self) -> Option<i64> {
        let seen = self.see()?;
        if self.version == Some(seen) {
            return Some(seen);
        }
        if self.writing {
            return None;
        }
        self.forget_all();
        self.version = Some(seen);
        Some(seen)
    }

    /// What the watcher sees now.
    fn see(&self) -> Option<i64> {
        self.watcher.as_ref().and_then(CommitWatcher::data_version)
    }

    fn recall(&mut self, key: &Key) -> Option<Vec<IndexedPayment>> {
        let stand = *self.stands.get(&key.0)?;
        let mut payments = self.entries.get(key)?.clone();
        for payment in payments.iter_mut().filter(|payment| payment.canonical) {
            payment.confirmations = stand.depth(payment.placed.block_number);
        }
        Some(payments)
    }

    /// An entry with many payments is not kept: each claim of one of them would make all of them be read again.
    fn insert(&mut self, key: Key, found: &Found, limit: usize) {
        self.forget(&key);
        if are_many(&found.payments) {
            return;
        }
        for id in found.payments.iter().map(|row| row.placed.payment.id) {
            if let Some(other) = self.holders.insert(id, key).filter(|other| *other != key) {
                self.forget(&other);
            }
        }
        self.stands.insert(key.0, found.stand);
        self.bytes += bytes_of(&found.payments);
        self.entries.insert(key, found.payments.clone());
        while self.bytes > limit {
            let Some((oldest, payments)) = self.entries.remove_lru() else { break };
            self.left(&oldest, &payments);
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(payments) = self.entries.remove(key) {
            self.left(key, &payments);
        }
    }

    /// Updates the sums after an entry was removed.
    fn left(&mut self, key: &Key, payments: &[IndexedPayment]) {
        self.bytes = self.bytes.saturating_sub(bytes_of(payments));
        for id in payments.iter().map(|row| row.placed.payment.id) {
            if self.holders.get(&id) == Some(key) {
                self.holders.remove(&id);
            }
        }
    }

    fn forget_all(&mut self) {
        self.version = None;
        self.stands.clear();
        self.entries.clear();
        self.holders.clear();
        self.bytes = 0;
    }

    fn apply(&mut self, changes: Changes, limit: usize) {
        match changes.forget {
            Forget::Nothing => {}
            Forget::These(keys) => keys.iter().for_each(|key| self.forget(key)),
            Forget::Everything => {
                let version = self.version;
                self.forget_all();
                self.version = version;
            }
        }
        for id in &changes.used {
            if let Some(key) = self.holders.get(id).copied() {
                self.forget(&key);
            }
        }
        if let Some((chain, cursor)) = changes.cursor {
            // Where it moves, a lower fork is over.
            self.stands.insert(chain, Stand { cursor: Some(cursor), lower_fork_at: None });
        }
        for (key, found) in changes.fresh.iter().filter(|(_, found)| !found.payments.is_empty()) {
            self.insert(*key, found, limit);
        }
    }
}

impl Memory for Recent {
    fn is_on(&self) -> bool {
        self.limit > 0
    }

    fn begun(&self) {
        let mut state = self.state();
        // The commits of others up to here are taken in. If they cannot be seen, nothing is kept during the
        // transaction.
        if state.current().is_none() {
            state.forget_all();
        }
        state.writing = true;
    }

    fn seen(&self) -> Seen {
        let state = self.state();
        Seen { now: state.see(), kept_at: state.version }
    }

    fn committed(&self, seen: Seen, alone: bool, changes: Changes) {
        let mut state = self.state();
        state.writing = false;
        match seen.now {
            Some(version) if alone && state.version == seen.kept_at && state.version.is_some() => {
                state.version = Some(version);
                state.apply(changes, self.limit);
            }
            _ => state.forget_all(),
        }
    }

    fn abandoned(&self) {
        let mut state = self.state();
        state.writing = false;
        state.forget_all();
    }
}

/// About how many bytes an entry takes.
fn bytes_of(payments: &[IndexedPayment]) -> usize {
    let names: usize =
        payments.iter().filter_map(|row| row.claim.as_ref()).map(|claim| claim.claimant.len()).sum();
    ENTRY_BYTES + size_of_val(payments) + names + size_of::<Vec<IndexedPayment>>()
}
