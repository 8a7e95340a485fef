//! How the engine tells what is kept in memory about commits to the database.

use std::sync::Arc;

use crate::engine::changes::Changes;

/// Something that keeps answers of the database in memory. The writer tells it of each of its transactions.
pub(crate) trait Memory: Send + Sync {
    /// Whether anything is kept. If not, it is told nothing.
    fn is_on(&self) -> bool;

    /// A transaction began, and will say what it changed. It holds the write lock, so nobody else commits.
    fn begun(&self);

    /// What the memory sees of the database now. Asked for after the commit.
    fn seen(&self) -> Seen;

    /// The transaction was committed and changed this. `alone` says that nobody else committed between `begun` and
    /// `seen`.
    fn committed(&self, seen: Seen, alone: bool, changes: Changes);

    /// The transaction ended without saying what it changed.
    fn abandoned(&self);
}

/// The `data_version` that the memory sees now, and the one for which its content was true.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) now: Option<i64>,
    pub(crate) kept_at: Option<i64>,
}

/// A transaction of this process, until it says what it changed. If it is dropped before, the memory is told that this
/// is not known.
#[must_use = "until it is published, nothing is answered from memory"]
pub(super) struct Publication {
    memory: Arc<dyn Memory>,
    own: Option<i64>,
    done: bool,
}

impl Publication {
    /// Call this while the transaction holds the write lock. `own` is the `data_version` of the connection that writes.
    pub(super) fn begin(memory: &Arc<dyn Memory>, own: Option<i64>) -> Self {
        memory.begun();
        Self { memory: Arc::clone(memory), own, done: false }
    }

    /// What the memory sees after the commit.
    pub(super) fn seen(&self) -> Seen {
        self.memory.seen()
    }

    /// Tells the memory what the commit changed, after the commit and before the commit is answered. `own` is the
    /// writing connection's `data_version`, asked for after `seen`. If it has not changed, nobody else committed in
    /// between.
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
