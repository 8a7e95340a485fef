//! Recent payments in memory, never older than what the database says.
//!
//! What is kept is what [`read`](crate::payments::query::read) found, so memory and database cannot differ in how they see a
//! payment; they could only differ in when. So all that is kept carries one number: the `data_version` that a connection
//! of this memory's own sees, which changes with every commit of anybody, in this process or another. Each look asks for
//! it first, some microseconds in the shared memory of the write-ahead log, and believes what is kept only if the number
//! is the one at which it was true.
//!
//! A commit of this process changes the number too, and would make the memory forget everything. It does not, because
//! the writer says what it changed. Between its commit and that, looks go to the database. Whether somebody else
//! committed in between, the writer's own connection knows: its own `data_version` changes with the commits of others only.
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

use crate::engine::changes::{Changes, Forget};
use crate::engine::direct::CommitWatcher;
use crate::engine::memory::{Memory, Seen};
use crate::payments::query::are_many;
use crate::rows::block::Stand;
use crate::rows::payment::{Found, IndexedPayment, Key};

/// Bytes that an entry costs besides its payments: its key, its links, its place in the tables.
const ENTRY_BYTES: usize = 256;

/// What the memory did, since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Transactions whose payments are kept.
    pub transactions: u64,
    /// Bytes that they take, about.
    pub bytes: u64,
    /// Look-ups that were answered from memory.
    pub hits: u64,
    /// Look-ups that went to the database.
    pub misses: u64,
}

/// The memory of a store.
pub(crate) struct Recent {
    /// Bytes that may be kept.
    limit: usize,
    /// A std mutex, because no await happens while it is held. Looks do not wait for it: the database is near.
    state: Mutex<State>,
}

struct State {
    /// Sees commits. `None` where nothing is kept, and once closed.
    watcher: Option<CommitWatcher>,
    /// The watcher's `data_version` at which everything below is true.
    version: Option<i64>,
    /// Whether a transaction of this process is open that will say what it changed.
    writing: bool,
    /// Where each index stands, for the confirmations.
    stands: BTreeMap<ChainId, Stand>,
    entries: LruCache<Key, Vec<IndexedPayment>>,
    /// The one entry that has a payment. Some payments can be in several transactions over time, and a claim of one shows
    /// in all of them; kept is at most one, so that a claim finds all there is to forget.
    holders: HashMap<PaymentId, Key>,
    bytes: usize,
    hits: u64,
    misses: u64,
}

/// What memory says of a transaction.
pub(crate) enum Look {
    /// This, and it is true now.
    Known(Vec<IndexedPayment>),
    /// Nothing. What the database says may be kept, if the ticket is still good then.
    Unknown(Option<Ticket>),
}

/// The moment of a look, as a `data_version`.
#[derive(Clone, Copy)]
pub(crate) struct Ticket(i64);

impl Recent {
    /// A memory of so many bytes, with what sees commits; with 0 bytes, it keeps nothing.
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

    /// What is known of a transaction at this moment.
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

    /// Keeps what the database said after a look, if nobody committed since that look. That a transaction has no
    /// payments is not kept: anybody can ask for any number of those.
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

    /// Forgets everything, for good.
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

    /// After a panic in the middle of a change.
    fn recover<'s>(&self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        state.forget_all();
        self.state.clear_poison();
        state
    }
}

impl State {
    /// The version at which what is kept is true, if that is now. What a commit of somebody else made untrue is
    /// forgotten; what one of this process did may be, until it says what it changed, and is only not believed.
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

    /// Not what holds many payments: each claim of one of them would make all of them be read again.
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

    /// After an entry was taken out.
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
        // Commits of others up to here are seen here. Where they cannot be, nothing is kept through the transaction.
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

/// Bytes of an entry, about.
fn bytes_of(payments: &[IndexedPayment]) -> usize {
    let names: usize =
        payments.iter().filter_map(|row| row.claim.as_ref()).map(|claim| claim.claimant.len()).sum();
    ENTRY_BYTES + size_of_val(payments) + names + size_of::<Vec<IndexedPayment>>()
}
