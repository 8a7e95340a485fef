//! A transaction that writes.

use std::any::Any;

use crate::engine::sql::{Connection, Transaction, begin};
use crate::rows::StoreError;

/// The transaction of one group.
pub(crate) struct WriteTransaction<'c> {
    inner: Transaction<'c>,
    gathered: Vec<Box<dyn Gathered>>,
    /// Whether the commit may bring what somebody waits for.
    wakes: bool,
}

/// Something that the pieces of a group add up, and that is written once before the commit.
pub(crate) trait Gathered: Any + Send + Sync {
    /// Writes it.
    fn write(&self, connection: &mut Connection) -> Result<(), StoreError>;
}

impl<'c> WriteTransaction<'c> {
    /// Begins, and takes the write lock at once.
    pub(super) fn begin(connection: &'c mut Connection) -> Result<Self, StoreError> {
        Ok(Self { inner: begin(connection)?, gathered: Vec::new(), wakes: false })
    }

    /// The connection to run statements on.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.inner.connection()
    }

    /// Adds something that is written once for the whole group, at its end.
    pub(crate) fn gather<G: Gathered + Default>(&mut self, note: impl FnOnce(&mut G)) {
        for gathered in &mut self.gathered {
            let gathered: &mut dyn Any = gathered.as_mut();
            if let Some(known) = gathered.downcast_mut() {
                return note(known);
            }
        }
        let mut new = G::default();
        note(&mut new);
        self.gathered.push(Box::new(new));
    }

    /// After the commit, those who wait for the index look at it again.
    pub(crate) fn wake(&mut self) {
        self.wakes = true;
    }

    /// Whether [`WriteTransaction::wake`] was called.
    pub(super) fn wakes(&self) -> bool {
        self.wakes
    }

    /// Commits. After a failure the state of the connection is not known. It must be closed, which undoes everything.
    pub(super) fn commit(mut self) -> Result<(), StoreError> {
        for gathered in std::mem::take(&mut self.gathered) {
            gathered.write(self.inner.connection())?;
        }
        self.inner.commit()
    }

    /// Undoes everything.
    pub(super) fn rollback(self) -> Result<(), StoreError> {
        self.inner.rollback()
    }
}
