//! Recent payments in memory, never older than what the database says.
//!
//! What is kept is what [`payment::read`](crate::payment) found, so memory and database cannot differ in how they see a
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
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use hashlink::LruCache;
use rusqlite::Connection;
use salt402_protocol::{B256, ChainId, PaymentId};

use crate::payment::{Found, Stand};
use crate::{IndexedPayment, StoreError, crowd, direct};

/// Bytes that an entry costs beside its payments: its key, its links, its place in the tables.
const ENTRY_BYTES: usize = 256;

/// A transaction.
pub(crate) type Key = (ChainId, B256);

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

/// What a commit changed of what look-ups find.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) forget: Forget,
    /// Where an index stands now.
    pub(crate) cursor: Option<(ChainId, u64)>,
    /// What was claimed, in whatever transactions it is.
    pub(crate) claimed: Vec<PaymentId>,
    /// What was read in the committed transaction itself, after its last change.
    pub(crate) fresh: Vec<(Key, Found)>,
}

#[derive(Debug, Default)]
pub(crate) enum Forget {
    #[default]
    Nothing,
    These(Vec<Key>),
    Everything,
}

impl Changes {
    /// What is not known in detail.
    pub(crate) fn everything() -> Self {
        Self { forget: Forget::Everything, ..Self::default() }
    }
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
    watcher: Option<Connection>,
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
    /// A memory of so many bytes; with 0, it keeps nothing.
    pub(crate) fn open(path: &Path, limit: usize) -> Result<Self, StoreError> {
        let watcher = if limit == 0 { None } else { Some(direct::connect(path)?) };
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
        Ok(Self { limit, state: Mutex::new(state) })
    }

    /// Whether anything is kept at all.
    pub(crate) fn is_on(&self) -> bool {
        self.limit > 0
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

    /// Begins a transaction that will say what it changed. To be called while it holds the write lock: nobody else
    /// commits then. `own` is the `data_version` of the connection that writes.
    pub(crate) fn begin(self: &Arc<Self>, own: Option<i64>) -> Publication {
        let mut state = self.state();
        // Commits of others up to here are seen here. Where they cannot be, nothing is kept through the transaction.
        if state.current().is_none() {
            state.forget_all();
        }
        state.writing = true;
        Publication { recent: Arc::clone(self), own, done: false }
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
        self.watcher.as_ref().and_then(data_version)
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
        if crowd::are_many(&found.payments) {
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
        for id in &changes.claimed {
            if let Some(key) = self.holders.get(id).copied() {
                self.forget(&key);
            }
        }
        if let Some((chain, cursor)) = changes.cursor {
            // Where it moves, nothing is in doubt any more.
            self.stands.insert(chain, Stand { cursor: Some(cursor), doubted_above: None });
        }
        for (key, found) in changes.fresh.iter().filter(|(_, found)| !found.payments.is_empty()) {
            self.insert(*key, found, limit);
        }
    }
}

/// A transaction of this process, from its beginning until what it changed is said. Dropped without that, everything
/// is forgotten.
#[must_use = "until it is published, nothing is answered from memory"]
pub(crate) struct Publication {
    recent: Arc<Recent>,
    own: Option<i64>,
    done: bool,
}

impl Publication {
    /// After the commit and before it is answered: what the commit changed. `own` is the `data_version` of the
    /// connection that wrote, asked for after `seen`: if it is what it was, then all that was seen is this commit.
    pub(crate) fn publish(mut self, seen: Seen, own: Option<i64>, changes: Changes) {
        self.done = true;
        let mut state = self.recent.state();
        state.writing = false;
        let alone = self.own.is_some() && self.own == own;
        match seen.0 {
            Some(version) if alone && state.version == seen.1 && state.version.is_some() => {
                state.version = Some(version);
                state.apply(changes, self.recent.limit);
            }
            _ => state.forget_all(),
        }
    }

    /// What the watcher sees after the commit.
    pub(crate) fn seen(&self) -> Seen {
        let state = self.recent.state();
        Seen(state.see(), state.version)
    }
}

/// What the watcher saw after a commit, and the version before it.
#[derive(Clone, Copy)]
pub(crate) struct Seen(Option<i64>, Option<i64>);

impl Drop for Publication {
    fn drop(&mut self) {
        if !self.done {
            let mut state = self.recent.state();
            state.writing = false;
            state.forget_all();
        }
    }
}

/// The `data_version` that a connection sees; `None` where it cannot be asked, and then nothing is believed.
pub(crate) fn data_version(connection: &Connection) -> Option<i64> {
    let mut pragma = connection.prepare_cached("PRAGMA data_version").ok()?;
    pragma.query_row([], |row| row.get(0)).ok()
}

/// Bytes of an entry, about.
fn bytes_of(payments: &[IndexedPayment]) -> usize {
    let names: usize =
        payments.iter().filter_map(|row| row.claim.as_ref()).map(|claim| claim.claimant.len()).sum();
    ENTRY_BYTES + size_of_val(payments) + names + size_of::<Vec<IndexedPayment>>()
}
