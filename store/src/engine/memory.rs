//! What is kept in memory of the database: how the engine tells it of its commits.

use std::sync::Arc;

use crate::engine::changes::Changes;

/// Something that keeps in memory what the database said. The writer tells it of each of its transactions.
pub(crate) trait Memory: Send + Sync {
    /// Whether anything is kept at all; if not, nothing is told.
    fn is_on(&self) -> bool;

    /// A transaction began that will say what it changed. It holds the write lock: nobody else commits.
    fn begun(&self);

    /// What the memory sees of the database now, asked for after the commit.
    fn seen(&self) -> Seen;

    /// The transaction was committed, and this is what it changed. `alone` says that nobody else committed between
    /// `begun` and `seen`.
    fn committed(&self, seen: Seen, alone: bool, changes: Changes);

    /// The transaction ended in another way: what it did is not known.
    fn abandoned(&self);
}

/// The `data_version` that a memory sees, and the one at which what it keeps was true.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) now: Option<i64>,
    pub(crate) kept_at: Option<i64>,
}

/// A transaction of this process, from its beginning until what it changed is said. Dropped without that, the memory is
/// told that it is not known.
#[must_use = "until it is published, nothing is answered from memory"]
pub(super) struct Publication {
    memory: Arc<dyn Memory>,
    own: Option<i64>,
    done: bool,
}

impl Publication {
    /// To be called while the transaction holds the write lock. `own` is the `data_version` of the connection that writes.
    pub(super) fn begin(memory: &Arc<dyn Memory>, own: Option<i64>) -> Self {
        memory.begun();
        Self { memory: Arc::clone(memory), own, done: false }
    }

    /// What the memory sees after the commit.
    pub(super) fn seen(&self) -> Seen {
        self.memory.seen()
    }

    /// After the commit and before it is answered: what the commit changed. `own` is the `data_version` of the
    /// connection that wrote, asked for after `seen`: if it is what it was, then all that was seen is this commit.
    pub(super) fn publish(mut self, seen: Seen, own: Option<i64>, changes: Changes) {
        self.done = true;
        let alone = self.own.is_some() && self.own == own;
        self.memory.committed(seen, alone, changes);
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        if !self.done {
            self.memory.abandoned();
        }
    }
}
