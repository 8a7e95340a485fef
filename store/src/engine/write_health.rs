//! Whether work can be written, by the result of the last of it.
//!
//! A server must not ask for money while it could not store the claim. So everybody who asks is told when the disk
//! refuses to write, before the next claim meets it. Where nothing else is written, a small write from time to time
//! finds that out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::rows::StoreError;

/// How long a small write may take. A disk that hangs does not refuse, and does not write either.
const SMALL_WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The result of the last piece of work.
#[derive(Debug)]
pub(crate) struct WriteHealth(Mutex<Shown>);

#[derive(Debug)]
struct Shown {
    refused: Option<StoreError>,
    at: Instant,
    /// Since when a small write is under way. `None` if none is.
    trying: Option<Instant>,
}

impl Default for WriteHealth {
    fn default() -> Self {
        Self(Mutex::new(Shown { refused: None, at: Instant::now(), trying: None }))
    }
}

impl WriteHealth {
    /// Notes the result of a piece of work. A fault of the work itself says nothing about the disk.
    pub(crate) fn note<T>(&self, result: &Result<T, StoreError>) {
        let refused = match result {
            Ok(_) => None,
            Err(error @ (StoreError::Busy | StoreError::DiskFull | StoreError::DiskFailed(_))) => {
                Some(error.clone())
            }
            Err(_) => return,
        };
        let mut shown = self.lock();
        (shown.refused, shown.at) = (refused, Instant::now());
    }

    /// Whether the last write succeeded.
    pub(crate) fn writable(&self) -> Result<(), StoreError> {
        let shown = self.lock();
        let hangs = shown.trying.is_some_and(|since| since.elapsed() > SMALL_WRITE_TIMEOUT);
        let refused = shown.refused.clone().or_else(|| hangs.then_some(StoreError::Busy));
        refused.map_or(Ok(()), Err)
    }

    /// Begins a small write if one is due. There is one at a time.
    pub(crate) fn try_now(&self, quiet: Duration) -> Option<SmallWrite<'_>> {
        let mut shown = self.lock();
        let due = shown.trying.is_none() && (shown.refused.is_some() || shown.at.elapsed() >= quiet);
        due.then(|| {
            shown.trying = Some(Instant::now());
            SmallWrite(self)
        })
    }

    // A std mutex, because nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A small write that is under way, until this is dropped.
pub(crate) struct SmallWrite<'a>(&'a WriteHealth);

impl Drop for SmallWrite<'_> {
    fn drop(&mut self) {
        self.0.lock().trying = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f20_a_disk_that_hangs_is_no_better_than_one_that_refuses() {
        let health = WriteHealth::default();
        let trying = health.try_now(Duration::ZERO).unwrap();
        assert!(health.writable().is_ok() && health.try_now(Duration::ZERO).is_none(), "one at a time");
        health.lock().trying = Instant::now().checked_sub(SMALL_WRITE_TIMEOUT * 2);
        assert!(matches!(health.writable(), Err(StoreError::Busy)));
        drop(trying);
        assert!(health.writable().is_ok() && health.try_now(Duration::ZERO).is_some());
    }
}
