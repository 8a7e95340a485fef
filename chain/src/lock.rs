//! Locks of values that nothing awaits while it holds them, which is why they are std's.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The value. A panic elsewhere leaves no value of this crate half changed, so that a poisoned lock is a lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
